"""How much memory recording takes in the long run, with a MongoDB that stores and with none.

Hides the pace and the samples. Texts are written as they are offered, and nothing of them is kept here, so that what
grows is the recorder. The buffer is small, so that without a server it fills early and frames are lost, as the setting
``overflow`` says: the account must still be whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from time import perf_counter

from benchmarks.lines import Result, number
from benchmarks.mix import texts
from benchmarks.resident import MIB, resident_bytes
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, nobody, record, recording, recording_for_nobody
from benchmarks.suite import MEMORY_BUFFER
from benchmarks.turns import settle
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_TICK = 0.005
_SAMPLE_EVERY = 0.25
_WARM = 4000


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the growth with MongoDB alive and dead, and what of it came in the last half."""
    seconds, rate = scale.pick(5, 20, 600), scale.pick(4000, 4000, 2000)
    settings = {"durability": "memory", "buffer_bytes": MEMORY_BUFFER}

    async def alive(uri: str, name: str) -> _Growth:
        async with recording(uri, name, **settings) as plugin:
            growth = _Growth(plugin, rate, seconds)
            growth.offer(_WARM)
            await plugin.flush(PATIENCE)
            await growth.run()
            return growth

    async def dead(uri: str) -> _Growth:
        async with recording_for_nobody(uri, **settings) as plugin:
            growth = _Growth(plugin, rate, seconds)
            growth.offer(1)
            await growth.run()
            return growth

    with nobody() as uri:  # first: what a server's driver and documents take would be there to be used again
        yield from asyncio.run(dead(uri)).results("memory-dead")
    with EmbeddedMongod() as server, connected(server.uri) as client, database(client) as name:
        yield from asyncio.run(alive(server.uri, name)).results("memory-alive")


class _Growth:
    """Frames at a rate, and what the process holds meanwhile."""

    def __init__(self, plugin: MongoPlugin, rate: int, seconds: float) -> None:
        self._plugin, self._rate, self._seconds = plugin, rate, seconds
        self._texts = texts()
        self._offered = 0
        self._samples: list[int] = []

    def offer(self, count: int) -> None:
        """Record so many frames."""
        record(self._plugin, islice(self._texts, count))
        self._offered += count

    async def run(self) -> None:
        """Record at the rate, and take samples."""
        settle()
        self._samples = [resident_bytes()]
        begun, done = perf_counter(), 0
        while (passed := perf_counter() - begun) < self._seconds:
            self.offer(int(passed * self._rate) - done)
            done = int(passed * self._rate)
            if passed > len(self._samples) * _SAMPLE_EVERY:
                self._samples.append(resident_bytes())
            await asyncio.sleep(_TICK)
        self._stats = self._plugin.stats

    def results(self, line: str) -> Iterator[Result]:
        """Yield the growth in all, and in the last half."""
        half = len(self._samples) // 2
        first, last = max(self._samples[:half]), max(self._samples[half:])
        start, stats = self._samples[0], self._stats
        lost = sum(stats.lost.values())
        whole = stats.captured == stats.stored + stats.waiting + stats.dead_lettered + lost == self._offered
        told = f"stored {stats.stored:,}, waiting {stats.waiting:,}, lost {lost:,} of {stats.captured:,} captured"
        how = f"{self._seconds:.0f} s at {self._rate:,} frames/s, buffer_bytes {MEMORY_BUFFER // MIB} MiB, memory mode"
        wrong = None if whole else f"the account is not whole: {self._offered:,} offered; {told}"
        yield Result(
            line,
            (max(first, last) - start) / MIB,
            f"{number(start / MIB)} MiB at first, {number(max(first, last) / MIB)} MiB at most; {told}",
            how,
            wrong,
        )
        yield Result(
            f"{line}-flat",
            max(0, last - first) / MIB,
            f"{number(first / MIB)} MiB at most in the first half, {number(last / MIB)} MiB in the last",
            "the same run",
        )
