"""How much later the host's loop runs its timers because frames are recorded and stored.

Hides the load and the timer. Many stations exchange 2,000 frames a second, evenly, over a wire that takes everything
at once, while a timer of the same loop is due every millisecond; its lateness is the lag. Added is what the p99 is
above that of the same load of twins that nobody records, in turn. A stalled loop counts with each tick it missed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from itertools import islice
from time import perf_counter
from typing import Any

from benchmarks import program
from benchmarks.lines import Result, number
from benchmarks.mix import take, texts
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, record, recording
from benchmarks.turns import percentile, settle, spread, turns
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedMongod

RATE = 2000
STATIONS = 100
_TICK = 0.001
_MILLI = 1000
_FORGET_AFTER = 2000
"""Exchanges after which the library's queues of unmatched answers are emptied."""


class _Timer:
    """A timer of the running loop, due every millisecond."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + _TICK
        self._handle = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        while self._due <= now:
            self._late.append(now - self._due)
            self._due += _TICK
        self._handle = self._loop.call_at(self._due, self._ring)

    def stop(self) -> float:
        """Stop, and return the p99 of its lateness in milliseconds."""
        self._ring()  # a tick that the loop did not come to is late, too
        self._handle.cancel()
        return percentile(self._late, 99) * _MILLI


class _Load:
    """Stations of one kind, recorded or not, that talk at the rate."""

    def __init__(self, classes: dict[str, Any]) -> None:
        self._fleet = program.Fleet(classes)
        self._texts = texts(STATIONS)
        self.frames = 0

    async def run(self, seconds: float | None) -> None:
        """Talk for so many seconds, or until cancelled; texts are written as they are needed."""
        begun, done = perf_counter(), 0
        while seconds is None or done < seconds * RATE / 2:
            due = int((perf_counter() - begun) * RATE / 2) + 1
            await self.exchange(due - done)
            if due // _FORGET_AFTER > done // _FORGET_AFTER:
                self._fleet.forget_answers()
            done = due
            await asyncio.sleep(_TICK)

    async def exchange(self, count: int) -> None:
        """Exchange so many calls and answers at once."""
        await program.exchange(self._fleet.exchanges(islice(self._texts, 2 * count)))
        self.frames += 2 * count


class _Rounds:
    """Blocks of load, recorded and not, in turn; each returns the p99 of the lag."""

    def __init__(self, plugin: MongoPlugin, seconds: float) -> None:
        self.plugin = plugin
        self.recorded, self.plain = _Load(program.RECORDED), _Load(program.PLAIN)
        self.others = 0
        """Frames that were recorded by hand."""
        self._seconds = seconds

    async def compare(
        self, block: Callable[[], Awaitable[float]], rounds: int, most_seconds: float
    ) -> list[tuple[float, float]]:
        """Return the lag of each block and of the unrecorded load beside it; what waits meanwhile takes its time."""
        for load in (self.recorded, self.plain):
            await load.exchange(STATIONS)  # sessions open with a station's first frame
        pairs = []
        for order in turns("recorded", "plain", most=rounds, seconds=most_seconds):
            late = {}
            for side in order:
                await self.plugin.flush(PATIENCE)
                settle()
                late[side] = await (block() if side == "recorded" else self.lag(self.plain))
            pairs.append((late["recorded"], late["plain"]))
        await self.plugin.flush(PATIENCE)
        return pairs

    async def lag(self, load: _Load) -> float:
        """Return the lag while this load talks."""
        timer = _Timer()
        await load.run(self._seconds)
        return timer.stop()

    async def lag_while(self, stored: Awaitable[None]) -> float:
        """Return the lag while the recorded load talks until something is done."""
        loading = asyncio.ensure_future(self.recorded.run(None))
        timer = _Timer()
        try:
            await stored
            return timer.stop()
        finally:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading

    def result(self, line: str, pairs: list[tuple[float, float]], how: str) -> Result:
        """Return what was added."""
        added = spread([recorded - plain for recorded, plain in pairs])
        recorded, plain = (spread(list(side)).median for side in zip(*pairs, strict=True))
        return Result(
            line,
            added.median,
            f"p99 of the lateness {number(recorded)} ms recorded, {number(plain)} ms not recorded",
            f"{added}, {how}; {STATIONS} stations, journal on, flushed between blocks",
            lost_of(self.plugin, self.recorded.frames + self.others),
        )


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the lag with MongoDB alive, stopped, and while a burst drains."""
    for scenario in (_alive, _stopped, _burst):
        with EmbeddedMongod() as server, connected(server.uri) as client, database(client) as name:
            yield asyncio.run(scenario(server, name, scale))


async def _alive(server: EmbeddedMongod, name: str, scale: Scale) -> Result:
    return await _steady("lag-alive", server, name, scale, nullcontext)


async def _stopped(server: EmbeddedMongod, name: str, scale: Scale) -> Result:
    @asynccontextmanager
    async def stopped() -> AsyncIterator[None]:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server.pid, signal.SIGCONT)

    return await _steady("lag-stopped", server, name, scale, stopped)


async def _steady(
    line: str,
    server: EmbeddedMongod,
    name: str,
    scale: Scale,
    meanwhile: Callable[[], AbstractAsyncContextManager[None]],
) -> Result:
    seconds = scale.pick(1.0, 3.0, 5.0)
    async with recording(server.uri, name) as plugin:
        rounds = _Rounds(plugin, seconds)

        async def block() -> float:
            async with meanwhile():
                return await rounds.lag(rounds.recorded)

        pairs = await rounds.compare(block, scale.pick(2, 4, 10), scale.pick(10, 40, 600))
        return rounds.result(line, pairs, f"blocks of {number(seconds)} s")


async def _burst(server: EmbeddedMongod, name: str, scale: Scale) -> Result:
    frames = scale.pick(5000, 30_000, 30_000)
    drained: list[float] = []
    async with recording(server.uri, name) as plugin:
        rounds = _Rounds(plugin, scale.pick(1.0, 3.0, 5.0))

        async def block() -> float:
            record(plugin, take(frames, STATIONS, first=1000 * (1 + len(drained))))
            rounds.others += frames
            begun = perf_counter()
            late = await rounds.lag_while(plugin.flush(PATIENCE))
            drained.append(perf_counter() - begun)
            return late

        pairs = await rounds.compare(block, scale.pick(1, 2, 5), scale.pick(10, 50, 600))
        took = number(spread(drained).median)
        how = f"{frames:,} frames, from the end of the offering until they are stored ({took} s), the load going on"
        return rounds.result("lag-burst", pairs, how)
