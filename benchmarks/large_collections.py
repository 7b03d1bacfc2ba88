"""What changes when the collections are large: the cost of a frame, and the time of the usual reads.

Hides the millions. Reads are what a program asks the repositories for, of many stations in turn; what they really
asked MongoDB is overheard and explained: no plan may go without an index or sort in memory. The cost of a frame is
compared with that of one into empty collections of the same server, block by block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from pymongo import MongoClient, monitoring

from benchmarks.filling import Size, fill
from benchmarks.lines import Result, number
from benchmarks.mix import Text, identity, take
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, record, recording
from benchmarks.turns import percentile, settle, spread, turns
from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.embedded import EmbeddedMongod

Document = dict[str, Any]
Read = Callable[[str], Awaitable[bool]]

_COMMANDS = ("find", "aggregate", "count", "distinct")
_OF_THE_CONNECTION = ("$db", "lsid", "$clusterTime", "$readPreference", "maxTimeMS", "apiVersion")
_BY_INDEX = {"IXSCAN", "COUNT_SCAN", "IDHACK", "DISTINCT_SCAN", "EOF"}
_HISTORY = 100
_READS, _STRIDE = 200, 7
_EXPLAINED = 10
_FRAMES = 20_000
_LOADED = "large"


class _Overheard(monitoring.CommandListener):
    """The reads that clients of this process made, while asked to listen."""

    def __init__(self) -> None:
        self.commands: list[Document] = []
        self.listens = False

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep what a program asked."""
        if self.listens and event.command_name in _COMMANDS and event.database_name == _LOADED:
            self.commands.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing."""


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the reads, and the cost of a frame where there is time for ten million."""
    messages = scale.pick(30_000, 300_000, 10_000_000)
    full = scale is Scale.FULL
    kinds: tuple[Collection, ...] = ("messages", "transactions", "stations", "sessions", "meter_values")
    overheard = _Overheard()
    monitoring.register(overheard)  # before the plugin makes its clients
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as data,
        EmbeddedMongod(Path(data), cache_gb=4 if full else 0.5) as server,
        connected(server.uri) as client,
    ):
        stations = scale.pick(120, 400, 1000)
        size = Size(messages, stations)
        count = asyncio.run(fill(client, server.uri, _LOADED, size, kinds if full else kinds[:3]))
        yield from asyncio.run(_reads(server.uri, client, overheard, count, stations))
        if full:
            yield asyncio.run(_cost(server.uri, client, count))


async def _reads(
    uri: str, client: MongoClient[Document], overheard: _Overheard, count: int, stations: int
) -> list[Result]:
    async with recording(uri, _LOADED) as plugin:

        async def history(station: str) -> bool:
            return len(await plugin.messages.find(station_id=station, limit=_HISTORY)) == _HISTORY

        async def active(station: str) -> bool:
            return bool(await plugin.transactions.active(station))

        async def stats(station: str) -> bool:
            return (await plugin.transactions.stats(station)).total > 1

        reads: dict[str, Read] = {"read-history": history, "read-active": active, "read-stats": stats}
        found = []
        for line, read in reads.items():
            overheard.commands.clear()
            overheard.listens = True
            took, complete = await _timed(read, stations)
            overheard.listens = False
            stages = {stage for command in overheard.commands[:_EXPLAINED] for stage in _plan(client, command)}
            wrong = _objection(stages) or (None if complete else "a read did not find what is there")
            found.append(
                Result(
                    line,
                    spread(took).median,
                    f"p90 {number(percentile(took, 90))} ms, longest {number(max(took))} ms; plan: "
                    f"{', '.join(sorted(stages))}",
                    f"median of reads of {len(took)} stations among {count:,} messages; what was asked is explained",
                    wrong,
                )
            )
        return found


async def _timed(read: Read, stations: int) -> tuple[list[float], bool]:
    """Read of many stations in turn; return milliseconds, and whether each found what it should."""
    await read(identity(0))  # the first read of a loop binds the document classes
    settle()
    took, complete = [], True
    for number_of_read in range(_READS):
        station = identity(number_of_read * _STRIDE % stations)
        begun = perf_counter()
        complete = await read(station) and complete
        took.append((perf_counter() - begun) * 1000)
    return took, complete


def _plan(client: MongoClient[Document], command: Document) -> set[str]:
    """Return the stages of the plan that MongoDB makes for a command."""
    asked = {name: value for name, value in command.items() if name not in _OF_THE_CONNECTION}
    return set(_stages(client[_LOADED].command("explain", asked, verbosity="queryPlanner")))


def _stages(explained: Any) -> Iterator[str]:
    if isinstance(explained, list):
        for one in explained:
            yield from _stages(one)
    elif isinstance(explained, dict):
        if isinstance(explained.get("stage"), str):
            yield explained["stage"]
        if "$sort" in explained:  # of an aggregation, behind its plan
            yield "SORT"
        for name, value in explained.items():
            if name not in ("rejectedPlans", "command"):
                yield from _stages(value)


def _objection(stages: set[str]) -> str | None:
    """Return what is wrong with the plans of a read; None when all go by an index and none sorts."""
    if "SORT" in stages:
        return "a plan sorts in memory"
    return None if stages & _BY_INDEX and "COLLSCAN" not in stages else "a plan goes without an index"


async def _cost(uri: str, client: MongoClient[Document], count: int) -> Result:
    """Compare blocks of frames into the large collections with blocks into empty ones."""
    pairs, cpu = [], []
    wrong: str | None = None
    for at, order in enumerate(turns("large", "empty", most=6)):
        seconds = {}
        for side in order:
            texts = take(_FRAMES, stations=400, first=1000 * (at + 1))
            if side == "large":
                seconds[side], used, lost = await _stored(uri, _LOADED, texts)
                cpu.append(used)
            else:
                with database(client) as name:
                    seconds[side], _, lost = await _stored(uri, name, texts)
            wrong = wrong or lost
        pairs.append((seconds["large"], seconds["empty"]))
    ratios = spread([one / other for one, other in pairs])
    large, empty = (spread(list(side)).median / _FRAMES * 1e6 for side in zip(*pairs, strict=True))
    return Result(
        "cost-large",
        ratios.median,
        f"{number(large)} us a frame ({number(spread(cpu).median / _FRAMES * 1e6)} us of our CPU), "
        f"{number(empty)} us into empty ones",
        f"{ratios}, {_FRAMES:,} frames each, first to end of flush; {count:,} messages at first; journal on",
        wrong,
    )


async def _stored(uri: str, name: str, texts: list[Text]) -> tuple[float, float, str | None]:
    async with recording(uri, name) as plugin:
        settle()
        begun, used = perf_counter(), process_time()
        record(plugin, texts)
        await plugin.flush(PATIENCE)
        return perf_counter() - begun, process_time() - used, lost_of(plugin, len(texts))
