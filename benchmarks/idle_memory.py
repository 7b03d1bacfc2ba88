"""What memory a station takes that is attached and says nothing.

Hides what the program's own objects take: they exist before the first figure is taken. Stations are attached a few
hundred at a time and flushed, as they connect in life, so that what waits meanwhile does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from benchmarks import program
from benchmarks.lines import Result, number
from benchmarks.mix import exchange
from benchmarks.resident import MIB, resident_bytes
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, recording
from benchmarks.turns import settle
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_AT_ONCE = 250
_WARM = 500
"""Stations that are attached before, so that what is needed once is there."""
_KIB = 1024


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the memory of one idle station."""
    with EmbeddedMongod() as server, connected(server.uri) as client, database(client) as name:
        yield asyncio.run(_measure(server.uri, name, scale.pick(2000, 10_000, 10_000)))


async def _measure(uri: str, name: str, stations: int) -> Result:
    bare = resident_bytes()
    fleet = program.Fleet(program.RECORDED)
    exchanges = fleet.exchanges(text for one in range(stations + _WARM) for text in exchange(one, 0, 6))
    settle()
    own = (resident_bytes() - bare) / (stations + _WARM)
    async with recording(uri, name, record_all=False) as plugin:
        before = 0
        for first in range(0, len(exchanges), _AT_ONCE):
            if first == _WARM:
                settle()
                before = resident_bytes()
            group = exchanges[first : first + _AT_ONCE]
            for station, _, _ in group:
                plugin.attach(station)
            await program.exchange(group)  # a heartbeat, as an idle station says now and then
            await plugin.flush(PATIENCE)
        fleet.forget_answers()
        settle()
        after = resident_bytes()
        wrong = lost_of(plugin, 2 * len(exchanges))
    return Result(
        "station-idle",
        (after - before) / stations / _KIB,
        f"{number(before / MIB)} MiB before, {number(after / MIB)} MiB after; the program's own object and its texts "
        f"take {number(own / _KIB)} KiB a station besides",
        f"resident set, {stations:,} stations attached, one heartbeat each, flushed; journal on",
        wrong,
    )
