"""The one thread that carries what was captured to the store.

Hides batching, retries, recovery, flush, close and the periodic sync. Promises that what is taken from the buffer
is stored, set aside, or counted as lost; that what a dead process left is stored too, while live traffic goes on; and
that the thread works in small slices, so that the host's loop does not feel it. A daemon thread with a synchronous
driver, because a recorded program may stall its loop, run several, or end without closing us.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from ocpp_mongo_plugin.buffer import INTERNAL, REFUSED, SHUTDOWN, Buffer, Taken
from ocpp_mongo_plugin.driver_errors import ErrorClass, classify, describe
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.journal import AbandonedJournal, Chunk
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.log import own_error, warn
from ocpp_mongo_plugin.recording import Batch, Decoded, Item, Loaded, Recording, Wanted
from ocpp_mongo_plugin.redaction import Redactor
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.store import GiveWay, Store, Written
from ocpp_mongo_plugin.wake import Wake

_SLICE = 25
"""Frames; fewer small objects than those at which Python looks for garbage."""
_SHORT_STRETCH, _LONG_STRETCH = 0.0004, 0.001
"""Seconds that the thread works on before it gives way to the host."""
_FIRST_RETRY, _LONGEST_RETRY, _SICK_RETRY = 0.1, 30.0, 5.0
_LEASE_IN_SYNCS = 3
_GRACE = 0.1
_POISON_ATTEMPTS = 3
_jitter = random.Random()  # noqa: S311 - no secret; of our own, since a host may have seeded the common one
_SAY_AGAIN_AFTER, _AFTER_ERROR = 60.0, 0.01
"""Seconds."""


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
    waiting_on_disk: int = 0
    """Of those that wait, how many are in the journal alone because memory is full."""
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Frames lost, by reason: "buffer full", "shutdown", "internal error", "journal unreadable"."""
    lost_changes: int = 0
    """Session changes and other items that are no frames, and were lost."""
    recovered: int = 0
    """Frames stored out of the journals of processes that died; not among the captured."""
    recovered_dead_letters: int = 0
    """Frames of those journals that MongoDB refused."""
    damaged: int = 0
    """Stretches of those journals that could not be read."""
    held_up: int = 0
    """How often the host was awaited by the overflow policy ``wait``."""
    redacted: int = 0
    """Frames out of which something secret or personal was taken."""
    retries: int = 0
    last_error: str | None = None
    """The last error of the store: its class and code, never its text."""


class Health(NamedTuple):
    """Whether recording works, and why not."""

    state: Literal["ok", "degraded", "down"]
    """ok: all is stored soon. degraded: something is wrong, and nothing is lost. down: frames are lost, or will not be
    stored before somebody does something."""
    reason: str
    """One sentence."""

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


class Listener(Protocol):
    """Who is told what was written or lost: the hooks behind the sink."""

    def stored(self, batch: Batch, ledger: Ledger) -> None:
        """A batch is in the store."""

    def lost(self, frames: list[Frame], reason: str) -> None:
        """These frames are not, and will not be."""

    def redacted(self, decoded: Decoded) -> Decoded:
        """Return the message as plugins of others want it stored."""

    @property
    def wants_facts(self) -> bool:
        """Whether what was understood is to be kept in the batch."""


class _Items(Protocol):
    """What one batch is made of."""

    def __len__(self) -> int: ...

    def part(self, start: int, end: int) -> list[Item]:
        """Return some of it, without credentials."""

    def frames(self) -> Iterator[Frame]:
        """Return the frames as they came."""


@dataclass(frozen=True, slots=True)
class _Live:
    """What was captured here."""

    taken: Taken
    clean: Callable[[Item], Item]

    def __len__(self) -> int:
        return len(self.taken)

    def part(self, start: int, end: int) -> list[Item]:
        # What is in a journal was cleaned before it got there.
        entries = self.taken.part(start, end)
        return [self.clean(entry.item) if entry.segment is None else entry.item for entry in entries]

    def frames(self) -> Iterator[Frame]:
        return (entry.item for entry in self.taken if isinstance(entry.item, Frame))


@dataclass(frozen=True, slots=True)
class _Recovered:
    """What a dead process left."""

    items: list[Item]
    clean: Callable[[Item], Item]

    def __len__(self) -> int:
        return len(self.items)

    def part(self, start: int, end: int) -> list[Item]:
        return [self.clean(item) for item in self.items[start:end]]

    def frames(self) -> Iterator[Frame]:
        return (item for item in self.items if isinstance(item, Frame))


class _Carried(NamedTuple):
    batch: Batch
    dead: int
    """Frames that became dead letters."""
    lost: list[tuple[Frame, str]]
    """Frames that could be kept nowhere, or of which an error of ours made nothing, with the reason."""


class _Step(NamedTuple):
    work: Callable[[Store], Any]
    done: Callable[[Any], None]


class _Waiter(NamedTuple):
    target: int
    done: Callable[[bool], None]
    """Told whether what it waits for is stored."""


class Sink:
    """The thread."""

    def __init__(
        self,
        connect: Callable[[], Store],
        settings: Settings,
        listener: Listener,
        *,
        recorder: str,
        where: str,
        buffer: Buffer,
        redactor: Redactor,
        clean: Callable[[Item], Item],
        adopt: Callable[[], Iterator[AbandonedJournal]] | None = None,
        poll: Callable[[], None] | None = None,
        at_end: Callable[[float], None] | None = None,
    ) -> None:
        """Carry what ``buffer`` holds to the store that ``connect`` opens on the thread, which is ``where``.

        ``clean`` takes the credentials out, ``adopt`` names the journals of dead processes, ``poll`` is called with
        each sync, and ``at_end`` at last, with the seconds that are left for it.
        """
        self._at_end_step = at_end
        self._connect = connect
        self._settings = settings
        self._listener = listener
        self._poll = poll
        self._adopt = adopt
        self._redactor = redactor
        self._clean = clean
        self._recorder = recorder
        self._where = where
        self._lease = timedelta(seconds=_LEASE_IN_SYNCS * settings.sync_interval)
        self._recording = Recording(leave_out=settings.exclude_actions, recorder=recorder, lease=self._lease)
        self.buffer = buffer
        self._lock = buffer.lock
        self._counts = buffer.counts
        self._last_flush: datetime | None = None
        self._last_error: str | None = None
        self._trouble: ErrorClass | None = None
        self._waiters: list[_Waiter] = []
        self._steps: deque[_Step] = deque()
        self._give_way = GiveWay(_SHORT_STRETCH)
        self._wake = Wake()
        buffer.on_arrival = self._wake.set
        self._hurry = False
        self._closing_at: float | None = None
        self._warned_down = self._warned_indexes = False
        self._thread: threading.Thread | None = None
        self._at_end: list[Callable[[bool], None]] = []
        self._has_ended = False
        self._has_given_up = self._left_something = False
        """Whether it is over, and whether something waited then that is in the journal, or lost."""
        self._giving_up = threading.Lock()
        self._store: Store | None = None
        self._has_opened = threading.Event()
        self._prepared = False
        self._missing_indexes = 0
        self._abandoned: AbandonedJournal | None = None
        self._chunks: Iterator[Chunk] = iter(())
        self._journals: Iterator[AbandonedJournal] = iter(())
        self._next_sync = self._say_error_at = 0.0

    # -- from outside ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; where none can begin, as when the interpreter ends, that is said, and frames wait."""
        self._thread = threading.Thread(target=self._run, name="ocpp-mongo-sink", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._last_error = str(error)
            warn("ocpp-mongo-plugin stores nothing in this process: %s; frames wait in %s", error, self.waiting_place)

    def wait_until_open(self, timeout: float) -> None:
        """Wait until the driver is open, for ``timeout`` seconds at most; no server need answer for that."""
        self._has_opened.wait(timeout)

    async def flush(self, timeout: float) -> bool:
        """Wait until all that was captured so far is stored; return False when that took longer than ``timeout``."""
        done, from_thread = awaited_signal()
        waiter = self._expect(from_thread)
        if waiter is None:
            return self.has_stored_all
        try:
            return await asyncio.wait_for(asyncio.shield(done), timeout)
        except asyncio.TimeoutError:
            return False
        finally:
            self._no_longer(waiter)

    def flush_now(self, timeout: float) -> bool:
        """Do what ``flush`` does where nothing can be awaited: the calling thread waits."""
        done: concurrent.futures.Future[bool] = concurrent.futures.Future()
        waiter = self._expect(done.set_result)
        if waiter is None:
            return self.has_stored_all
        try:
            return done.result(timeout)
        except concurrent.futures.TimeoutError:
            return False
        finally:
            self._no_longer(waiter)

    @property
    def has_stored_all(self) -> bool:
        """Whether nothing waits, and nothing was given up at the end."""
        with self._lock:
            return self.buffer.is_empty and not (self._left_something or self.buffer.lost.get(SHUTDOWN))

    def _expect(self, done: Callable[[bool], None]) -> _Waiter | None:
        """Have ``done`` called once all is stored that was captured so far; None where nobody is there to store it."""
        with self._lock:
            if self._thread is None or self._has_given_up:
                return None
            waiter = _Waiter(self.buffer.offered, done)
            self._waiters.append(waiter)
            self._hurry = True
        self._wake.set()
        return waiter

    def _no_longer(self, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters = [w for w in self._waiters if w is not waiter]

    async def close(self, timeout: float) -> bool:
        """Store what waits within ``timeout`` seconds and end the thread; return whether it ended."""
        ended, from_thread = awaited_signal()
        with self._lock:
            thread = self._thread
            if self._has_ended or thread is None:
                from_thread(True)
            else:
                self._at_end.append(from_thread)
        self.begin_close(timeout)
        await asyncio.wait({ended}, timeout=timeout + _GRACE)
        if not ended.done():
            # The driver does not answer: what is left to do touches the disk, and would hold up the loop.
            await _in_thread(self._abandon)
            await asyncio.wait({ended}, timeout=_GRACE)
        self.join(_GRACE if ended.done() else 0)
        return thread is None or not thread.is_alive()

    def begin_close(self, timeout: float) -> None:
        """Have the thread store what waits, within ``timeout`` seconds, and end."""
        with self._lock:
            if self._closing_at is None:
                self._closing_at = time.monotonic() + timeout
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; return whether it came. What is in memory alone then is lost, and counted."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        self._abandon()
        if thread is None:
            return True
        if thread.is_alive():
            thread.join(_GRACE)
        return not thread.is_alive()

    def _abandon(self) -> None:
        """Part with the thread, ended or not."""
        thread, self._thread = self._thread, None
        self._give_up()
        if thread is not None and thread.is_alive() and self._store is not None:
            # A driver that is left open waits for its own threads when the interpreter ends.
            self._guarded(self._store.close)

    async def forget(self, id_tag: str, timeout: float) -> dict[str, int] | None:
        """Take an id tag out of what is stored, and of what is in memory; None when that was not done in time."""
        done, from_thread = awaited_signal()
        with self._lock:
            if self._thread is None or self._has_given_up:
                return None
            self._steps.append(_Step(partial(self._forget, id_tag), from_thread))
            self._hurry = True
        self._wake.set()
        try:
            return await asyncio.wait_for(asyncio.shield(done), timeout)
        except asyncio.TimeoutError:
            return None

    def _forget(self, id_tag: str, store: Store) -> dict[str, int]:
        self._take_key_of_marks(store)
        changed = store.forget(id_tag, self._redactor, _now())
        self._recording.forget(self._redactor)
        return changed

    def _learn_forgotten(self, store: Store) -> None:
        marks = store.forgotten()
        if marks:
            self._take_key_of_marks(store)
        self._redactor.forgotten = marks

    def _take_key_of_marks(self, store: Store) -> None:
        # Without a key of the user's, marks are made with one of the database's own.
        if not self._redactor.policy.key:
            self._redactor.policy = replace(self._redactor.policy, key=store.key_of_marks())

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def statistics(self) -> Statistics:
        """Return the figures as they are now, all of one moment."""
        with self._lock:
            counts, lost = Counter(self._counts), dict(self.buffer.lost)
            captured, waiting = self.buffer.captured, self.buffer.waiting
            last_flush, last_error = self._last_flush, self._last_error
            on_disk = self.buffer.on_disk_alone
        return Statistics(
            total_messages=counts["decoded"],
            sent_messages=counts["sent"],
            received_messages=counts["received"],
            call_messages=counts["Call"],
            call_result_messages=counts["CallResult"],
            call_error_messages=counts["CallError"],
            buffered_messages=waiting,
            dropped_messages=sum(lost.values()),
            last_flush=last_flush,
            flush_count=counts["flushes"],
            captured=captured,
            stored=counts["stored"],
            waiting=waiting,
            waiting_on_disk=on_disk,
            left_out=counts["left_out"],
            dead_lettered=counts["dead"],
            lost=MappingProxyType(lost),
            lost_changes=counts["lost_changes"],
            recovered=counts["recovered"],
            recovered_dead_letters=counts["recovered_dead"],
            damaged=counts["damaged"],
            held_up=counts["held_up"],
            redacted=counts["redacted"],
            retries=counts["retries"],
            last_error=last_error,
        )

    def health(self) -> Health:
        """Return whether recording works now."""
        with self._lock:
            waiting, trouble, error = self.buffer.waiting, self._trouble, self._last_error
            congested = self.buffer.is_congested
        journal = self.buffer.journal
        where = "in the journal" if journal is not None and journal.trouble is None else "in memory"
        server = self._where
        if not self.is_alive:
            return Health("down", f"the thread that stores has ended{f' ({error})' if error else ''}")
        if congested:
            return Health("down", f"the buffer is full, and frames are lost ({error or 'MongoDB is too slow'})")
        if trouble is ErrorClass.POISON:
            return Health("down", f"frames are lost to an error that nobody expected ({error}); please report it")
        if trouble in (ErrorClass.CONFIGURATION, ErrorClass.SICK):
            told = f"MongoDB at {server} refuses to store ({error}); {waiting} frame(s) wait {where}"
            return Health("down", told)
        if trouble is not None:
            return Health("degraded", f"MongoDB at {server} does not answer ({error}); {waiting} frame(s) wait {where}")
        if journal is not None and journal.trouble is not None:
            return Health("degraded", f"the journal cannot be written ({journal.trouble}); frames wait in memory alone")
        if self._missing_indexes:
            return Health("degraded", f"{self._missing_indexes} index(es) are missing; 'ocpp-mongo init' makes them")
        return Health("ok", "frames are stored")

    # -- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._next_sync = time.monotonic() + self._settings.sync_interval
        self._guarded(self._open)
        self._guarded(self._look_for_journals)
        while not self._is_over():
            self._await_work()
            if not self._guarded(self._turn):
                time.sleep(_AFTER_ERROR)  # an error of each turn must not take the whole of a processor
        self._guarded(self._last_turn)
        if self._abandoned is not None:
            self._guarded(self._abandoned.close)
        if self._store is not None:
            self._guarded(self._store.close)
        if self._at_end_step is not None:
            left = (self._closing_at or 0) - time.monotonic()
            self._guarded(partial(self._at_end_step, max(0.0, left)))
        with self._lock:
            self._has_ended = True
            told = self._at_end
        for tell in told:
            tell(True)

    def _guarded(self, step: Callable[[], Any]) -> bool:
        """Do a step; return whether it went without an error of ours."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the thread must outlive anything, and say it
            self._note_error(error)
            now = time.monotonic()
            if now >= self._say_error_at:
                self._say_error_at = now + _SAY_AGAIN_AFTER
                own_error(describe(error))
            return False
        return True

    def _is_over(self) -> bool:
        with self._lock:
            if self._closing_at is None:
                return False
            return not len(self.buffer) or time.monotonic() >= self._closing_at

    def _await_work(self) -> None:
        """Wait until a batch is full, its time is up, somebody waits for a flush, or the sync is due."""
        if self._abandoned is not None:
            return  # there is work on disk
        with self._lock:
            idle = not len(self.buffer) and not self._hurry and self._closing_at is None
        if idle:
            self._wake.wait(max(0.0, self._next_sync - time.monotonic()))
        self._wake.clear()
        with self._lock:
            waiting = len(self.buffer)
            soon = waiting >= self._settings.batch_size or self._hurry or self._closing_at is not None
        if not soon and waiting:
            self._wake.wait(self._settings.flush_interval)
            self._wake.clear()

    def _turn(self) -> None:
        with self._lock:
            self._hurry = False
            closing = self._closing_at is not None
        while True:
            entries = self.buffer.take(self._settings.batch_limit)
            self._give_way()
            sync_due = time.monotonic() >= self._next_sync
            with self._lock:
                more = bool(len(self.buffer))
                awaited = any(w.target <= self.buffer.taken + len(entries) for w in self._waiters)
                steps = not more and bool(self._steps)
            everything = awaited or sync_due or steps or (closing and not more) or self._journal_is_crowded()
            try:
                if len(entries) or everything:
                    self._carry_live(entries, everything=everything)
            finally:
                if awaited:
                    self._release_waiters()
            if steps:
                self._take_steps()
            if sync_due:
                self._sync()
            # Between two live batches one of what a dead process left: neither waits for the end of the other.
            self._recover()
            if not more or self._is_over():
                break

    def _journal_is_crowded(self) -> bool:
        return self.buffer.journal is not None and self.buffer.journal.is_crowded

    def _carry_live(self, entries: Taken, *, everything: bool) -> None:
        try:
            outcome = self._carry(_Live(entries, self._clean), everything=everything)
        except Exception:
            # An error of ours: these frames are counted, the next batch goes on.
            self.buffer.lose(INTERNAL)
            raise
        if outcome is None:
            return
        batch, dead, lost = outcome
        stored = batch.frames - dead - sum(reason == REFUSED for _, reason in lost)
        self._give_way()
        self.buffer.settle(stored=stored, dead=dead, left_out=batch.left_out, lost=lost)
        if everything:
            self.buffer.release()
        self._give_way()
        with self._lock:
            self._counts["flushes"] += bool(len(entries))
        self._tell(batch)
        gaps = self.buffer.gaps()
        if gaps:
            documents = [gap.document(self._recorder, _now()) for gap in gaps]
            self._persist(lambda store: store.insert_gaps(documents))

    def _carry(self, items: _Items, *, everything: bool, fresh: bool = True) -> _Carried | None:
        """Bring one batch to the store, however long that takes; only closing ends the trying.

        What is ``fresh`` was captured here.
        """
        store = self._persist(lambda store: store)
        if store is None:
            return None
        batch = Batch(projected=[] if self._listener.wants_facts else None)
        # With much to do there are fewer rests.
        pause = self._give_way
        pause.stretch = _LONG_STRETCH if len(items) >= self._settings.batch_limit else _SHORT_STRETCH
        now = _now()
        outgoing = store.outgoing(now)
        lost: list[tuple[Frame, str]] = []
        # In slices: the server takes one while the next is made, and no more than a slice lives as small objects.
        for start in range(0, len(items), _SLICE):
            decoded = self._decode(items.part(start, start + _SLICE), pause, fresh=fresh)
            try:
                if not self._look_up(decoded):
                    return None
            except Exception as error:  # noqa: BLE001 - then the frames are stored without what the store knows
                self._note_error(error)
            lost += [(frame, INTERNAL) for frame in self._take_all(decoded, batch, now, pause)]
            outgoing.add(batch, pause)
            store.begin(outgoing)
        batch.amends = self._recording.expire(now, timedelta(seconds=self._settings.call_timeout))
        outgoing.finish(batch, pause)
        self._guarded(partial(self._recording.tally, everything=everything))
        ledger = self._recording.ledger
        written: Written | None = self._persist(
            lambda store: store.write(outgoing, ledger, everything=everything, now=_now(), pause=pause)
        )
        if written is None:
            return None
        with self._lock:
            self._last_flush = _now()
        refused = {(letter["session_id"], letter["sequence"]) for letter in written.unkept}
        frames = items.frames() if refused else ()
        lost += [(frame, REFUSED) for frame in frames if (frame.session_id, frame.sequence) in refused]
        return _Carried(batch, len([letter for letter in written.dead if letter["kind"] == "message"]), lost)

    def _look_up(self, decoded: Sequence[Decoded]) -> bool:
        """Learn from the store what must be known before these are taken; False when closing ended the trying."""
        # A call that had to be looked up may speak of a transaction that has to be looked up, too.
        for _ in range(2):
            wanted = self._recording.wanted(decoded)
            if wanted:
                loaded = self._persist(partial(_load, wanted))
                if loaded is None:
                    return False
                self._recording.learn(wanted, loaded)
            if not wanted.calls:
                break
        return True

    def _take_all(
        self, decoded: Sequence[Decoded], batch: Batch, now: datetime, pause: Callable[[], None]
    ) -> list[Frame]:
        """Take all into the batch; return the frames of which an error of ours made nothing."""
        failed = []
        for one in decoded:
            # The message is in the batch before anything is made of it: an error of ours mostly costs no frame.
            before = batch.frames + batch.left_out
            self._guarded(partial(self._recording.take, one, batch, now))
            if isinstance(one.item, Frame) and batch.frames + batch.left_out == before:
                failed.append(one.item)
            pause()
        return failed

    def _tell(self, batch: Batch) -> None:
        self._guarded(partial(self._listener.stored, batch, self._recording.ledger))
        self._guarded(self._recording.trim)

    # -- what dead processes left ------------------------------------------------------------------------------

    def _look_for_journals(self) -> None:
        if self._adopt is not None and self._abandoned is None:
            self._journals = self._adopt()
            self._next_journal()

    def _next_journal(self) -> None:
        self._abandoned = next(self._journals, None)
        if self._abandoned is not None:
            self._chunks = self._abandoned.chunks(self._settings.batch_limit)

    def _recover(self) -> None:
        """Store a batch of what a dead process left."""
        if self._abandoned is None or self._closing_at is not None:
            return
        abandoned, damaged = self._abandoned, self._abandoned.damaged
        chunk = next(self._chunks, None)
        with self._lock:
            self._counts["damaged"] += abandoned.damaged - damaged
        if chunk is None:
            abandoned.close()
            self._next_journal()
            return
        try:
            outcome = self._carry(_Recovered(chunk.items, self._clean), everything=bool(chunk.whole), fresh=False)
        except Exception:
            abandoned.spoil(chunk)
            abandoned.settle(chunk)  # into quarantine: not again with each sync
            raise
        if outcome is None:
            return  # closing: it stays where it is
        batch, dead, lost = outcome
        with self._lock:
            self._counts["recovered"] += batch.frames - dead - sum(reason == REFUSED for _, reason in lost)
            self._counts["recovered_dead"] += dead
        abandoned.settle(chunk)
        self._tell(batch)

    @property
    def is_recovering(self) -> bool:
        """Whether there is something of a dead process that is not stored yet."""
        return self._abandoned is not None

    def _decode(self, items: Sequence[Item], pause: Callable[[], None], *, fresh: bool) -> list[Decoded]:
        decoded = []
        figures: Counter[str] = Counter()
        for item in items:
            one = self._listener.redacted(self._recording.decode(item, self._redactor))
            decoded.append(one)
            if fresh and isinstance(one.item, Frame) and one.message is not None:
                figures.update(("decoded", one.item.direction, one.message.message_type))
                figures["redacted"] += bool(one.item.redacted)
            pause()
        with self._lock:
            self._counts.update(figures)
        return decoded

    def _release_waiters(self) -> None:
        with self._lock:
            ready = [w for w in self._waiters if w.target <= self.buffer.taken]
            self._waiters = [w for w in self._waiters if w.target > self.buffer.taken]
        for waiter in ready:
            waiter.done(True)

    def _take_steps(self) -> None:
        while True:
            with self._lock:
                if not self._steps:
                    return
                step = self._steps.popleft()
            result = None
            try:
                result = self._persist(step.work)
            finally:
                step.done(result)

    def _sync(self) -> None:
        """Do what is periodic: look for closed connections, renew what is open, close what others left open."""
        self._next_sync = time.monotonic() + self._settings.sync_interval
        if self._poll is not None:
            self._poll()
        self._persist(self._keep_up)
        self._look_for_journals()

    def _keep_up(self, store: Store) -> bool:
        store.renew_leases(_now(), self._lease, self._recording.living())
        store.close_orphans(_now())
        self._learn_forgotten(store)
        return True

    def _last_turn(self) -> None:
        """At the end, write also what waits for the sync, if the store can still be had."""
        if self._closing_at is not None and time.monotonic() < self._closing_at and not len(self.buffer):
            self._carry_live(Taken([], {}), everything=True)
        self._give_up()

    def _give_up(self) -> None:
        with self._lock:
            is_first, self._has_given_up = not self._has_given_up, True
            if is_first:
                self._giving_up.acquire()
        if not is_first:
            # Another thread is at it, and its account is not whole before. No event: a signal handler that closes may
            # interrupt the setting of one, and would wait for ever for the lock that is within.
            if self._giving_up.acquire(timeout=_GRACE):
                self._giving_up.release()
            return
        with self._lock:
            self._left_something = not self.buffer.is_empty
            waiters, self._waiters = self._waiters, []
            steps, self._steps = self._steps, deque()
            lost, changes = sum(self.buffer.lost.values()), self._counts["lost_changes"]
        kept = self.buffer.close(SHUTDOWN)
        lost, changes = sum(self.buffer.lost.values()) - lost, self._counts["lost_changes"] - changes
        why = self._last_error or "no error"
        if lost or changes:
            warn(
                "ocpp-mongo-plugin ended with %d frame(s) not stored%s: MongoDB did not take them in time (%s)",
                lost,
                f", nor {changes} change(s) of sessions" if changes else "",
                why,
            )
        if self.buffer.journal is not None:
            self.buffer.journal.close()
            if kept:
                warn(
                    "ocpp-mongo-plugin ended while %d frame(s) wait in the journal %s (%s); the next start stores "
                    "them, or 'ocpp-mongo journal replay'",
                    kept,
                    self.buffer.journal.directory,
                    why,
                )
        self._giving_up.release()
        for waiter in waiters:
            waiter.done(self.has_stored_all)
        for step in steps:
            step.done(None)

    # -- trying ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._persist(lambda _store: True)

    def _ready(self) -> Store:
        if self._store is None:
            self._store = self._connect()
            self._has_opened.set()
        if not self._prepared:
            self._store.reach()  # a server that is not there is said soon, not after a whole operation timeout
            if self._settings.create_indexes:
                self._say_missing(self._store.prepare())
            self._learn_forgotten(self._store)
            self._store.close_orphans(_now())
            self._prepared = True
        return self._store

    def _say_missing(self, problems: list[str]) -> None:
        self._missing_indexes = len(problems)
        if problems and not self._warned_indexes:
            self._warned_indexes = True
            warn(
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
                self._trouble = kind
                attempt += 1
                if kind is ErrorClass.POISON and attempt >= _POISON_ATTEMPTS:
                    raise  # no waiting helps: what it concerns is counted as lost, the rest goes on
                if not self._may_retry(kind, attempt):
                    return None
            else:
                self._trouble = None
                if self._warned_down:
                    self._warned_down = False
                    warn("MongoDB is back: ocpp-mongo-plugin stores what waited")
                return result

    def _may_retry(self, kind: ErrorClass, attempt: int) -> bool:
        """Wait before the next attempt; return False when closing leaves no time for one."""
        if self._thread is None:
            return False  # nobody waits for this thread any more
        if not self._warned_down:
            self._warned_down = True
            warn(
                "MongoDB at %s does not take frames (%s); they wait in %s and are stored when it does",
                self._where,
                self._last_error,
                self.waiting_place,
            )
        longest = min(_LONGEST_RETRY, _FIRST_RETRY * 2 ** min(attempt, 10))
        floor = _SICK_RETRY if kind in (ErrorClass.SICK, ErrorClass.CONFIGURATION) else 0.0
        until = time.monotonic() + floor + _jitter.uniform(0, longest)
        while True:
            with self._lock:
                closing = self._closing_at
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

    @property
    def waiting_place(self) -> str:
        """Where frames wait: "memory" or "the journal"."""
        return "memory" if self.buffer.journal is None else "the journal"

    def _note_error(self, error: Exception) -> None:
        with self._lock:
            self._last_error = describe(error)


def _load(wanted: Wanted, store: Store) -> Loaded:
    return store.load(wanted)


def awaited_signal() -> tuple[asyncio.Future[Any], Callable[[Any], None]]:
    """Return a future of the running loop, and what another thread calls to resolve it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def resolve(value: Any) -> None:
        if not future.done():
            future.set_result(value)

    def from_thread(value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed while it waited
            loop.call_soon_threadsafe(resolve, value)

    return future, from_thread


async def _in_thread(work: Callable[[], None]) -> None:
    """Do something in a thread of its own, which ends with it: executors leave theirs behind."""
    done, from_thread = awaited_signal()

    def run() -> None:
        try:
            work()
        finally:
            from_thread(True)

    threading.Thread(target=run, name="ocpp-mongo-close", daemon=True).start()
    await done


def _now() -> datetime:
    return datetime.now(timezone.utc)
