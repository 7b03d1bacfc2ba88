"""How long a read through the plugin takes right after a frame, which it waits for.

Hides the pauses: each read is of an idle recorder. Promises that what was read is the frame that was just recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

from benchmarks.lines import Result, number
from benchmarks.mix import take
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, record, recording
from benchmarks.turns import percentile, settle, spread
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_PAUSE = 0.02
_WARM = 20
_BEFORE = 2000


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the median of reads."""
    with EmbeddedMongod() as server, connected(server.uri) as client, database(client) as name:
        yield asyncio.run(_measure(server.uri, name, scale.pick(50, 300, 1000)))


async def _measure(uri: str, name: str, reads: int) -> Result:
    async with recording(uri, name) as plugin:
        took: list[float] = []
        wrong = 0
        record(plugin, take(_BEFORE))
        await plugin.flush(PATIENCE)
        for text in take(reads + _WARM, first=1000):
            await asyncio.sleep(_PAUSE)
            if len(took) == _WARM:
                settle()
            begun = perf_counter()
            record(plugin, [text])
            found = await plugin.messages.find(station_id=text.station_id, limit=1)
            took.append((perf_counter() - begun) * 1000)
            wrong += not found or found[0].raw != text.text
    took = took[_WARM:]
    return Result(
        "read-fresh",
        spread(took).median,
        f"p90 {number(percentile(took, 90))} ms, longest {number(max(took))} ms",
        f"median of {reads} times record() and messages.find(station_id=..., limit=1), {_PAUSE * 1000:.0f} ms apart; "
        "journal on",
        f"{wrong} of {reads + _WARM} reads did not see the frame before them" if wrong else None,
    )
