"""A program that records into its journal and is killed: ``python -m benchmarks.victim URI DATABASE JOURNALS FRAMES``.

Says "captured" when all its frames are, and waits for its end.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.mix import take
from benchmarks.server import record
from ocpp_mongo_plugin import MongoPlugin


async def main() -> None:
    """Record, say so, and wait."""
    uri, database, journals, frames = sys.argv[1:]
    plugin = MongoPlugin(uri, database, durability="journal", journal_directory=journals)
    await plugin.start()
    record(plugin, take(int(frames)))
    if plugin.stats.captured != int(frames) or plugin.stats.lost:
        raise RuntimeError(f"not all was captured: {plugin.stats}")
    sys.stdout.write("captured\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
