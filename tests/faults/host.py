"""A host program in a thread of this process: an event loop that records frames at a rate, and times what it feels."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Any

from judge import unaccounted
from oracle import Entry
from waiting import wait_until

from ocpp_mongo_plugin import MongoPlugin

_TICK = 0.005


class Host:
    """Records ``rate`` frames a second while its context is open and it is not paused."""

    def __init__(
        self, uri: str, database: str = "faults", *, rate: int = 400, stations: int = 4, tag: str = "h", **settings: Any
    ) -> None:
        self.plugin = MongoPlugin(uri, database, **in_memory(settings))
        self.database = database
        self.captured: list[Entry] = []
        self._per_tick = max(1, round(rate * _TICK))
        self._tick = self._per_tick / rate
        self._stations = stations
        self._tag = tag
        self._running = threading.Event()
        self._ending = False
        self.closed_whole = False
        self.close_seconds = 0.0
        self.errors: list[BaseException] = []
        self.begin()

    def begin(self) -> None:
        """Forget the times measured so far."""
        self._latencies, self._lags = array("d"), array("d")
        self._since = time.perf_counter()

    def __enter__(self) -> Host:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="host")
        self._running.set()
        self._thread.start()
        wait_until(lambda: self.captured or self.errors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        self._thread.join(60)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            await self.plugin.start()
            await self._record_until_end()
            begun = time.perf_counter()
            self.closed_whole = await self.plugin.close()
            self.close_seconds = time.perf_counter() - begun
        except BaseException as error:
            self.errors.append(error)
            raise

    async def _record_until_end(self) -> None:
        due = time.perf_counter()
        while not self._ending:
            if self._running.is_set():
                for _ in range(self._per_tick):
                    self._record_one()
            now = time.perf_counter()
            due = max(due + self._tick, now)
            await asyncio.sleep(due - now)
            self._lags.append(time.perf_counter() - due)

    def _record_one(self) -> None:
        number = len(self.captured)
        station = f"{self._tag}{number % self._stations}"
        direction, text = frame(f"{self._tag}-{number}", number // self._stations)
        begun = time.perf_counter()
        self.plugin.record(station, direction, text, "1.6")
        self._latencies.append(time.perf_counter() - begun)
        self.captured.append(Entry(station, station, direction, text))

    # -- from the test's thread --------------------------------------------------------------------------------

    def pause(self) -> None:
        """Record no more; returns when the last capture is over."""
        self._running.clear()
        self.within(lambda: None)

    def go_on(self) -> None:
        self._running.set()

    def within(self, function: Callable[[], Any]) -> Any:
        """Call on the loop and return what it gave."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    def captures(self, more: int, bound: float = 30) -> None:
        """Wait until that many more frames were captured."""
        target = len(self.captured) + more
        wait_until(lambda: len(self.captured) >= target, bound)

    def felt(self) -> tuple[float, float, float, float]:
        """Return p50, p99 and the most of the capture call, and the most by which the loop was late; milliseconds."""
        times = sorted(self._latencies)
        p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
        return p50, p99, times[-1] * 1000, max(self._lags) * 1000

    def feelings(self) -> str:
        p50, p99, most, lag = self.felt()
        return f"capture p50 {p50:.3f} p99 {p99:.3f} max {most:.2f} ms, loop late by {lag:.1f} ms at most"

    def drained(self, bound: float = 60) -> float:
        """Wait until nothing waits; return how long that took. Checks I5 at every look."""
        begun = time.perf_counter()

        def is_drained() -> bool:
            stats = self.plugin.stats
            assert unaccounted(stats) == 0, stats
            return stats.waiting == 0

        wait_until(is_drained, bound)
        return time.perf_counter() - begun

    def stores_a_fresh_frame(self, database: Any, bound: float = 15) -> float:
        """I6: capture one more frame and wait until it is stored; return how long that took."""
        begun = time.perf_counter()
        self.within(self._record_one)
        text = self.captured[-1].text
        wait_until(lambda: database.ocpp_messages.find_one({"raw": text}), bound)
        return time.perf_counter() - begun


def in_memory(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings that keep no journal unless they say where."""
    return settings if "journal_directory" in settings else {"durability": "memory", **settings}


def frame(identity: str, turn: int) -> tuple[str, str]:
    """Return direction and text of a frame with that id; one in ten changes the state of its station."""
    if turn % 10 == 9:
        status = "Charging" if turn % 20 == 9 else "Available"
        payload = f'{{"connectorId":1,"errorCode":"NoError","status":"{status}"}}'
        return "received", f'[2,"{identity}","StatusNotification",{payload}]'
    if turn % 2:
        return "sent", f'[2,"{identity}","GetConfiguration",{{}}]'
    return "received", f'[2,"{identity}","Heartbeat",{{}}]'
