"""Whether a frame costs more where many stations are connected.

Hides how the traffic is dealt out. All stations exist on both sides, so that the host's own objects cost both the
same; what differs is how many of them are attached and talk. Each is at another step of its charging session, so
both sides record the mix in its proportions. Attaching and what begins a session are not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import program
from benchmarks.lines import Result, number
from benchmarks.mix import CALLS_OF_A_SESSION, START, exchange
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, recording
from benchmarks.turns import settle, spread, turns
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_FEW = 10
_BEFORE = 1_000_000
"""A charging session long before."""


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the cost with many stations, against that with few."""
    many, frames = scale.pick(500, 10_000, 10_000), scale.pick(4000, 40_000, 120_000)
    fleet = program.Fleet(program.RECORDED)
    for station in range(many):
        fleet.exchanges(exchange(station, 0, 0))
    pairs = []
    wrong = None
    with EmbeddedMongod() as server, connected(server.uri) as client:
        for order in turns("many", "few", most=scale.pick(1, 2, 4), seconds=60):
            costs = {}
            for side in order:
                stations = many if side == "many" else _FEW
                with database(client) as name:
                    costs[side], lost = asyncio.run(_cost(server.uri, name, fleet, stations, frames))
                wrong = wrong or lost
            pairs.append((costs["many"], costs["few"]))
    ratios = spread([one / other for one, other in pairs])
    cost, cost_few = (spread(list(side)).median * 1e6 for side in zip(*pairs, strict=True))
    yield Result(
        "stations-many",
        ratios.median,
        f"{number(cost)} us of CPU a frame with {many:,} stations, {number(cost_few)} us with {_FEW}",
        f"{ratios}, {frames:,} frames each, from capture to the end of flush; journal on",
        wrong,
    )


async def _cost(uri: str, name: str, fleet: program.Fleet, stations: int, frames: int) -> tuple[float, str | None]:
    """Return the CPU seconds of this process for a frame."""
    beginning = _exchanges(fleet, [_before(station) for station in range(stations)])
    talk = _exchanges(
        fleet, [_at(station, turn) for turn in range(frames // 2 // stations) for station in range(stations)]
    )
    async with recording(uri, name, record_all=False) as plugin:
        for station, _, _ in beginning:
            plugin.attach(station)
        await program.exchange(beginning)
        await plugin.flush(PATIENCE)
        fleet.forget_answers()
        settle()
        begun = time.process_time()
        await program.exchange(talk)
        await plugin.flush(PATIENCE)
        took = time.process_time() - begun
        return took / (2 * len(talk)), lost_of(plugin, 2 * (len(beginning) + len(talk)))


def _exchanges(fleet: program.Fleet, steps: list[tuple[int, int, int]]) -> list[tuple[Any, str, str]]:
    return fleet.exchanges(text for step in steps for text in exchange(*step))


def _at(station: int, turn: int) -> tuple[int, int, int]:
    """Return station, session and step: neighbours are a step apart."""
    session, step = divmod(station % CALLS_OF_A_SESSION + turn, CALLS_OF_A_SESSION)
    return station, session, step


def _before(station: int) -> tuple[int, int, int]:
    """Return what a station says first: the start of its transaction, or something of no matter."""
    in_transaction = START < station % CALLS_OF_A_SESSION < CALLS_OF_A_SESSION - 1
    return (station, 0, START) if in_transaction else (station, _BEFORE, 0)
