"""The bounded buffer, and the one thread that carries what was captured to the store.

Hides batching, retries, flush, close and the periodic sync. Promises that ``offer`` never waits and never raises; that
captured = stored + waiting + dead-lettered + lost, at every moment; and that the thread works in small slices, so that
the host's loop does not feel it. A daemon thread with a synchronous driver, because a recorded program may stall its
loop, run several, or end without closing us.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ocpp_mongo_plugin.driver_errors import ErrorClass, classify, describe
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.recording import Batch, Decoded, Item, Loaded, Recording, Wanted
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.store import Store, Written

logger = logging.getLogger("ocpp_mongo_plugin")

# What a waiting frame weighs besides its text: the tuple, its time, its place in the buffer.
_FRAME_OVERHEAD = 300
_SLICE = 16
_FIRST_RETRY, _LONGEST_RETRY, _SICK_RETRY = 0.1, 30.0, 5.0
_LEASE_IN_SYNCS = 3
_GRACE = 0.1
_POISON_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was captured since the plugin started, and what became of it."""

    total_messages: int = 0
    """Frames captured and decoded."""
    sent_messages: int = 0
    received_messages: int = 0
    call_messages: int = 0
    call_result_messages: int = 0
    call_error_messages: int = 0
    buffered_messages: int = 0
    """Frames in the buffer now (the same as ``waiting``)."""
    dropped_messages: int = 0
    """Frames lost, whatever the reason."""
    last_flush: datetime | None = None
    """When a batch was last acknowledged, UTC."""
    flush_count: int = 0
    captured: int = 0
    """captured = stored + waiting + dead_lettered + the sum of lost."""
    stored: int = 0
    waiting: int = 0
    left_out: int = 0
    """Frames that ``exclude_actions`` leaves out of the message log; not among the captured."""
    dead_lettered: int = 0
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Frames lost, by reason: "buffer full", "shutdown"."""
    retries: int = 0
    last_error: str | None = None
    """The last error of the store: its class and code, never its text."""


class Listener(Protocol):
    """Who is told what was written or lost: the hooks behind the sink."""

    def stored(self, batch: Batch, ledger: Ledger) -> None:
        """A batch is in the store."""

    def lost(self, frames: list[Frame], reason: str) -> None:
        """These frames are not, and will not be."""


class _Waiter(NamedTuple):
    target: int
    done: Callable[[bool], None]
    """Told whether what it waits for is stored."""


class Sink:
    """The buffer and its thread."""

    def __init__(
        self,
        connect: Callable[[], Store],
        settings: Settings,
        listener: Listener,
        *,
        recorder: str,
        poll: Callable[[], None] | None = None,
        at_end: Callable[[float], None] | None = None,
    ) -> None:
        """Carry frames to the store that ``connect`` opens on the thread.

        ``poll`` is called with each sync, and ``at_end`` at last, with the seconds that are left for it.
        """
        self._at_end_step = at_end
        self._connect = connect
        self._settings = settings
        self._listener = listener
        self._poll = poll
        self._lease = timedelta(seconds=_LEASE_IN_SYNCS * settings.sync_interval)
        self._recording = Recording(leave_out=settings.exclude_actions, recorder=recorder, lease=self._lease)
        self._lock = threading.Lock()
        self._buffer: deque[Item] = deque()
        self._bytes = 0
        self._offered = self._taken = 0
        self._in_flight: list[Frame] = []
        self._counts: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._last_flush: datetime | None = None
        self._last_error: str | None = None
        self._waiters: list[_Waiter] = []
        self._wake = threading.Event()
        self._hurry = False
        self._closing_at: float | None = None
        self._warned_full = self._warned_down = self._warned_indexes = False
        self._thread: threading.Thread | None = None
        self._at_end: Callable[[bool], None] = lambda _stored: None
        self._store: Store | None = None
        self._prepared = False
        self._next_sync = 0.0

    # -- the host's turn ---------------------------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take an item into the buffer; return False when it is full and the item is lost, and counted."""
        is_frame = type(item) is Frame
        weight = len(item.text) + _FRAME_OVERHEAD if is_frame else _FRAME_OVERHEAD  # type: ignore[union-attr]
        with self._lock:
            if is_frame:
                self._counts["captured"] += 1
                full = (
                    len(self._buffer) >= self._settings.buffer_size
                    or self._bytes + weight > self._settings.buffer_bytes
                )
                reason = "buffer full" if full else "shutdown" if self._closed else None
                if reason is not None:
                    self._lost[reason] += 1
                    lost = reason
                else:
                    lost = None
                    self._counts["waiting"] += 1
            elif len(self._buffer) >= 2 * self._settings.buffer_size:
                lost = "buffer full"  # what is no frame has room of its own, but not without end
            else:
                lost = "shutdown" if self._closed else None
            if lost is None:
                self._buffer.append(item)
                self._bytes += weight
                self._offered += 1
                waiting = len(self._buffer)
        if lost is not None:
            self._say_lost(item, lost)
            return False
        if waiting in {1, self._settings.batch_size}:
            self._wake.set()
        return True

    def has_room(self, frames: int) -> bool:
        """Whether that many more frames fit; for those who can wait, as an import can."""
        with self._lock:
            return (
                len(self._buffer) + frames <= self._settings.buffer_size // 2
                and self._bytes < self._settings.buffer_bytes // 2
            )

    def _say_lost(self, item: Item, reason: str) -> None:
        if isinstance(item, Frame):
            self._listener.lost([item], reason)
        if not self._warned_full:
            self._warned_full = True
            logger.warning("ocpp-mongo-plugin loses frames: %s; stats.lost counts them", reason)

    @property
    def _closed(self) -> bool:
        return self._thread is None

    # -- from outside ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="ocpp-mongo-sink", daemon=True)
        self._thread.start()

    async def flush(self, timeout: float) -> bool:
        """Wait until all that was captured so far is stored; return False when that took longer than ``timeout``."""
        done, from_thread = _signal()
        waiter = self._expect(from_thread)
        if waiter is None:
            return True
        try:
            return await asyncio.wait_for(asyncio.shield(done), timeout)
        except asyncio.TimeoutError:
            return False
        finally:
            self._forget(waiter)

    def _expect(self, done: Callable[[bool], None]) -> _Waiter | None:
        with self._lock:
            if self._thread is None:
                return None
            waiter = _Waiter(self._offered, done)
            self._waiters.append(waiter)
            self._hurry = True
        self._wake.set()
        return waiter

    def _forget(self, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters = [w for w in self._waiters if w is not waiter]

    async def close(self, timeout: float) -> bool:
        """Store what waits within ``timeout`` seconds and end the thread; return whether it ended."""
        ended, from_thread = _signal()
        with self._lock:
            self._at_end = from_thread
        self.begin_close(timeout)
        if self.is_alive:
            await asyncio.wait({ended}, timeout=timeout + _GRACE)
        return self.join(_GRACE)

    def begin_close(self, timeout: float) -> None:
        """Have the thread store what waits, within ``timeout`` seconds, and end."""
        with self._lock:
            if self._closing_at is None:
                self._closing_at = time.monotonic() + timeout
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; return whether it came. What still waits then is lost, and counted."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        ended = not thread.is_alive()
        self._thread = None
        self._give_up("shutdown")
        return ended

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def statistics(self) -> Statistics:
        """Return the figures as they are now, all of one moment."""
        with self._lock:
            counts, lost = Counter(self._counts), dict(self._lost)
            last_flush, last_error = self._last_flush, self._last_error
        return Statistics(
            total_messages=counts["decoded"],
            sent_messages=counts["sent"],
            received_messages=counts["received"],
            call_messages=counts["Call"],
            call_result_messages=counts["CallResult"],
            call_error_messages=counts["CallError"],
            buffered_messages=counts["waiting"],
            dropped_messages=sum(lost.values()),
            last_flush=last_flush,
            flush_count=counts["flushes"],
            captured=counts["captured"],
            stored=counts["stored"],
            waiting=counts["waiting"],
            left_out=counts["left_out"],
            dead_lettered=counts["dead"],
            lost=MappingProxyType(lost),
            retries=counts["retries"],
            last_error=last_error,
        )

    # -- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._next_sync = time.monotonic() + self._settings.sync_interval
        self._guarded(self._open)
        while not self._is_over():
            self._await_work()
            self._guarded(self._turn)
        self._guarded(self._last_turn)
        if self._store is not None:
            self._guarded(self._store.close)
        if self._at_end_step is not None:
            left = (self._closing_at or 0) - time.monotonic()
            self._guarded(partial(self._at_end_step, max(0.0, left)))
        self._at_end(True)

    def _guarded(self, step: Callable[[], Any]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the thread must outlive anything, and say it
            self._note_error(error)
            logger.error("ocpp-mongo-plugin met an error of its own: %s", describe(error))  # noqa: TRY400

    def _is_over(self) -> bool:
        with self._lock:
            if self._closing_at is None:
                return False
            return not self._buffer or time.monotonic() >= self._closing_at

    def _await_work(self) -> None:
        """Wait until a batch is full, its time is up, somebody waits for a flush, or the sync is due."""
        with self._lock:
            idle = not self._buffer and not self._hurry and self._closing_at is None
        if idle:
            self._wake.wait(max(0.0, self._next_sync - time.monotonic()))
        self._wake.clear()
        with self._lock:
            soon = len(self._buffer) >= self._settings.batch_size or self._hurry or self._closing_at is not None
            empty = not self._buffer
        if not soon and not empty:
            self._wake.wait(self._settings.flush_interval)
            self._wake.clear()

    def _turn(self) -> None:
        with self._lock:
            self._hurry = False
            closing = self._closing_at is not None
        while True:
            items = self._take()
            sync_due = time.monotonic() >= self._next_sync
            with self._lock:
                more = bool(self._buffer)
                awaited = any(w.target <= self._taken + len(items) for w in self._waiters)
            everything = awaited or sync_due or (closing and not more)
            try:
                if items or everything:
                    self._carry_safely(items, everything=everything)
            finally:
                if awaited:
                    self._release_waiters()
            if sync_due:
                self._sync()
            if not more or self._is_over():
                break

    def _carry_safely(self, items: list[Item], *, everything: bool) -> None:
        try:
            self._carry(items, everything=everything)
        except Exception:
            # An error of ours: these frames are counted, the next batch goes on.
            self._lose_in_flight("internal error", len(items))
            raise

    def _lose_in_flight(self, reason: str, items: int) -> None:
        with self._lock:
            frames, self._in_flight = self._in_flight, []
            self._counts["waiting"] -= len(frames)
            self._taken += items
            if frames:
                self._lost[reason] += len(frames)
        if frames:
            self._listener.lost(frames, reason)

    def _take(self) -> list[Item]:
        items: list[Item] = []
        with self._lock:
            while self._buffer and len(items) < self._settings.batch_limit:
                item = self._buffer.popleft()
                items.append(item)
                self._bytes -= (len(item.text) if isinstance(item, Frame) else 0) + _FRAME_OVERHEAD
            self._in_flight = [item for item in items if isinstance(item, Frame)]
        return items

    def _carry(self, items: list[Item], *, everything: bool) -> None:
        """Bring one batch to the store, however long that takes; only closing ends the trying."""
        decoded = self._decode(items)
        # A call that had to be looked up may speak of a transaction that has to be looked up, too.
        for _ in range(2):
            wanted = self._recording.wanted(decoded)
            if wanted:
                loaded = self._persist(partial(_load, wanted))
                if loaded is None:
                    return
                self._recording.learn(wanted, loaded)
            if not wanted.calls:
                break
        now = _now()
        batch = Batch()
        for index, one in enumerate(decoded):
            # The message is in the batch before anything is made of it: an error of ours costs no frame.
            self._guarded(partial(self._recording.take, one, batch, now))
            if index % _SLICE == _SLICE - 1:
                _pause()
        batch.amends += self._recording.expire(now, timedelta(seconds=self._settings.call_timeout))
        ledger = self._recording.ledger
        written = self._persist(
            lambda store: store.write(batch, ledger, everything=everything, now=_now(), pause=_pause)
        )
        if written is not None:
            self._acknowledge(items, batch, written)

    def _decode(self, items: list[Item]) -> list[Decoded]:
        decoded = []
        for index, item in enumerate(items):
            decoded.append(self._recording.decode(item))
            if index % _SLICE == _SLICE - 1:
                _pause()
        figures: Counter[str] = Counter()
        for item, message in decoded:
            if isinstance(item, Frame) and message is not None:
                figures.update(("decoded", item.direction, message.message_type))
        with self._lock:
            self._counts.update(figures)
        return decoded

    def _acknowledge(self, items: list[Item], batch: Batch, written: Written) -> None:
        dead = len([letter for letter in written.dead if letter["kind"] == "message"])
        with self._lock:
            if self._thread is None:
                return  # closing gave up on these: they are counted as lost
            self._taken += len(items)
            # Frames of which an error of ours made no message are lost, and counted so.
            missing = len(self._in_flight) - batch.frames - batch.left_out
            self._counts["waiting"] -= len(self._in_flight)
            self._in_flight = []
            if missing:
                self._lost["internal error"] += missing
            self._counts["captured"] -= batch.left_out
            self._counts["stored"] += batch.frames - dead
            self._counts["left_out"] += batch.left_out
            self._counts["dead"] += dead
            if items:
                self._counts["flushes"] += 1
            self._last_flush = _now()
        if dead:
            logger.warning("MongoDB refused %d frame(s); they are kept as dead letters", dead)
        self._guarded(partial(self._listener.stored, batch, self._recording.ledger))
        self._guarded(self._recording.trim)

    def _release_waiters(self) -> None:
        with self._lock:
            ready = [w for w in self._waiters if w.target <= self._taken]
            self._waiters = [w for w in self._waiters if w.target > self._taken]
        for waiter in ready:
            waiter.done(True)

    def _sync(self) -> None:
        """Do what is periodic: look for closed connections, renew what is open, close what others left open."""
        self._next_sync = time.monotonic() + self._settings.sync_interval
        if self._poll is not None:
            self._poll()
        self._persist(self._keep_leases)

    def _keep_leases(self, store: Store) -> bool:
        store.renew_leases(_now(), self._lease, self._recording.living())
        store.close_orphans(_now())
        return True

    def _last_turn(self) -> None:
        """At the end, write also what waits for the sync, if the store can still be had."""
        if self._closing_at is not None and time.monotonic() < self._closing_at:
            self._carry([], everything=True)
        self._give_up("shutdown")

    def _give_up(self, reason: str) -> None:
        with self._lock:
            frames = [*self._in_flight, *(item for item in self._buffer if isinstance(item, Frame))]
            self._buffer.clear()
            self._bytes = 0
            self._in_flight = []
            self._counts["waiting"] -= len(frames)
            if frames:
                self._lost[reason] += len(frames)
            waiters, self._waiters = self._waiters, []
        if frames:
            self._listener.lost(frames, reason)
            logger.warning(
                "ocpp-mongo-plugin ended with %d frame(s) not stored: MongoDB did not take them in time (%s)",
                len(frames),
                self._last_error or "no error",
            )
        for waiter in waiters:
            waiter.done(False)

    # -- trying ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._persist(lambda _store: True)

    def _ready(self) -> Store:
        if self._store is None:
            self._store = self._connect()
        if not self._prepared:
            self._store.reach()  # a server that is not there is said soon, not after a whole operation timeout
            if self._settings.create_indexes:
                self._say_missing(self._store.prepare())
            self._store.close_orphans(_now())
            self._prepared = True
        return self._store

    def _say_missing(self, problems: list[str]) -> None:
        if problems and not self._warned_indexes:
            self._warned_indexes = True
            logger.warning(
                "ocpp-mongo-plugin goes on without %d index(es), the first being %s; 'ocpp-mongo init' makes them",
                len(problems),
                problems[0],
            )

    def _persist(self, step: Callable[[Store], Any]) -> Any:
        """Do one step at the store, again and again until it is done; None when closing ended the trying."""
        attempt = 0
        while True:
            try:
                result = step(self._ready())
            except Exception as error:
                self._note_error(error)
                kind = classify(error)
                attempt += 1
                if kind is ErrorClass.POISON and attempt >= _POISON_ATTEMPTS:
                    raise  # no waiting helps: what it concerns is counted as lost, the rest goes on
                if not self._may_retry(kind, attempt):
                    return None
            else:
                if self._warned_down:
                    self._warned_down = False
                    logger.warning("MongoDB is back: ocpp-mongo-plugin stores what waited")
                return result

    def _may_retry(self, kind: ErrorClass, attempt: int) -> bool:
        """Wait before the next attempt; return False when closing leaves no time for one."""
        if not self._warned_down:
            self._warned_down = True
            logger.warning(
                "MongoDB at %s does not take frames (%s); they wait in memory and are stored when it does",
                self._settings.shown_uri,
                self._last_error,
            )
        longest = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** min(attempt, 10))
        floor = _SICK_RETRY if kind in (ErrorClass.SICK, ErrorClass.CONFIGURATION) else 0.0
        until = time.monotonic() + floor + random.uniform(0, longest)  # noqa: S311 - jitter
        while True:
            with self._lock:
                closing = self._closing_at
                self._counts["retries"] += 0
            now = time.monotonic()
            if closing is not None and now >= closing:
                return False
            left = min(until, closing if closing is not None else until) - now
            if left <= 0:
                break
            self._wake.wait(left)
            self._wake.clear()
        with self._lock:
            self._counts["retries"] += 1
        return closing is None or time.monotonic() < closing

    def _note_error(self, error: Exception) -> None:
        with self._lock:
            self._last_error = describe(error)


def _load(wanted: Wanted, store: Store) -> Loaded:
    return store.load(wanted)


def _signal() -> tuple[asyncio.Future[bool], Callable[[bool], None]]:
    """Return a future of the running loop, and what another thread calls to resolve it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()

    def resolve(value: bool) -> None:
        if not future.done():
            future.set_result(value)

    def from_thread(value: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed while it waited
            loop.call_soon_threadsafe(resolve, value)

    return future, from_thread


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _pause() -> None:
    """Let other threads have the interpreter."""
    time.sleep(0)
