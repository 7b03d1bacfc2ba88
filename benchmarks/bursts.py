"""Whether frames that are offered all at once are all stored, with the settings that a URI brings by itself.

Hides nothing but the counting: what was captured, what is stored, and what MongoDB holds must be the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

from benchmarks.lines import Result, number
from benchmarks.mix import take
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, record, recording
from benchmarks.turns import settle
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_SIZES = {"burst-30000": 30_000, "burst-300000": 300_000}


def measure(scale: Scale) -> Iterator[Result]:
    """Yield how many frames of a burst are missing."""
    with EmbeddedMongod() as server, connected(server.uri) as client:
        for line, frames in _SIZES.items():
            if line == "burst-300000" and scale is Scale.QUICK:
                return
            with database(client) as name:
                offered, took, wrong = asyncio.run(_burst(server.uri, name, frames))
                found = client[name].ocpp_messages.count_documents({})
            if found != frames:
                wrong = f"{frames:,} frames were offered, MongoDB has {found:,} messages"
            yield Result(
                line,
                frames - found,
                f"offered in {number(offered)} s, all stored after {number(took)} s "
                f"({number(frames / took)} frames a second)",
                "offered in one go without awaiting anything; default settings: journal on",
                wrong,
            )


async def _burst(uri: str, name: str, frames: int) -> tuple[float, float, str | None]:
    async with recording(uri, name) as plugin:
        texts = take(frames)
        settle()
        begun = perf_counter()
        record(plugin, texts)
        offered = perf_counter() - begun
        await plugin.flush(PATIENCE)
        return offered, perf_counter() - begun, lost_of(plugin, frames)
