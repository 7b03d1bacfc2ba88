"""Frames on disk until MongoDB has acknowledged them: one directory a process, of segments that only grow.

Hides files, locks and what a disk does when it is full or fails. Promises that ``append`` never raises and has
handed the frame to the operating system when it returns; that a segment is either there, to be replayed whole, or
gone; that a directory has one owner, and that one whose owner died can be adopted by any other process. No file keeps
positions, so none can be wrong.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from ocpp_mongo_plugin import segments
from ocpp_mongo_plugin.errors import OcppMongoError
from ocpp_mongo_plugin.frames import Frame, Session, SessionChange, opened_at
from ocpp_mongo_plugin.log import own_error, warn
from ocpp_mongo_plugin.recording import ABANDONED, Item
from ocpp_mongo_plugin.segments import Damage, Header, Record, UnknownVersionError, item_of, scan
from ocpp_mongo_plugin.wake import Wake

LOCK, QUARANTINE = "lock", "quarantine"
_SEGMENT_NAME = re.compile(r"(\d{8,})\.journal")
_MOST_SEGMENT_BYTES = 8 * 1024 * 1024
_SEGMENTS = 8
_READ_AT_ONCE = 1024 * 1024
_MOST_READ = 4 * 1024 * 1024
_RETRY = 1.0
FULL = "the journal is full"


class JournalError(OcppMongoError):
    """A journal cannot be opened, or is not what it should be."""


class Target(NamedTuple):
    """Where the frames of a journal belong: frames meant for one database never end in another."""

    server: str
    """Hosts of the URI, without credentials."""
    database: str
    collections: tuple[str, ...] = ()
    """Their names, where they are not the usual ones."""

    @property
    def directory(self) -> str:
        """The name of the directory that holds the journals for it."""
        told = hashlib.blake2b(
            json.dumps([self.server, self.database, *self.collections]).encode(), digest_size=6
        ).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.database)[:40]}-{told}"


@dataclass(eq=False, slots=True)
class Segment:
    """One file of a journal that is being written."""

    number: int
    path: Path
    size: int = 0
    """Bytes that are whole records."""
    unsettled: int = 0
    """Records that are not known to be stored."""
    beginning: int = 0
    """Where the records begin that are of this segment alone, and no copies out of one that could not be synced."""
    sealed: bool = False
    copies: list[tuple[Segment, int]] = field(default_factory=list)


class Place(NamedTuple):
    """A record's place in a journal that is being written."""

    number: int
    offset: int


class Journal:
    """The directory of this process."""

    def __init__(
        self,
        root: Path,
        target: Target,
        recorder: str,
        *,
        most_bytes: int,
        fsync_interval: float | None,
    ) -> None:
        """Keep at most ``most_bytes`` under ``root``; with ``fsync_interval`` None sync as soon as there is something.

        ``fsync_interval`` is in seconds.
        """
        self.root = root / target.directory
        self._target = target
        self._recorder = recorder
        self._most_bytes = most_bytes
        self._segment_bytes = max(64 * 1024, min(_MOST_SEGMENT_BYTES, most_bytes // _SEGMENTS))
        self._interval = fsync_interval
        self._lock = threading.RLock()
        self.directory = self.root / recorder.replace(":", "-").replace("/", "-")
        self._lock_file: int | None = None
        self._file: int | None = None
        self._segments: deque[Segment] = deque()
        self._number = 0
        self._bytes = 0
        self._next_try = 0.0
        self.trouble: str | None = None
        """What keeps frames from the journal at the moment, in a few words."""
        self._unsynced: dict[Segment, tuple[int, int]] = {}
        self._unreliable: set[Segment] = set()
        self._new_names = False
        self.appended = self.synced = 0
        """Records so far, and how many of them the disk has."""
        self._dirty = Wake()
        self._stop = threading.Event()
        self._syncer: threading.Thread | None = None
        self._waiters: list[tuple[int, Callable[[bool], None]]] = []

    # -- lifecycle ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the directory and lock it.

        Raises:
            JournalError: it cannot be made, written or locked.
        """
        try:
            self._lock_file = _make_own(self.root, self.directory)
            self._roll()
        except OSError as error:
            self._release()
            raise JournalError(f"no journal can be kept in {self.root}: {error.strerror or error}") from None
        _open_journals.add(self)
        self._syncer = threading.Thread(target=self._keep_syncing, name="ocpp-mongo-journal", daemon=True)
        try:
            self._syncer.start()
        except RuntimeError:  # the interpreter ends: what is written is synced by the system
            self._syncer = None

    def close(self) -> None:
        """Sync, unlock, and remove the directory if all that it held is stored."""
        self._stop.set()
        self._dirty.set()
        if self._syncer is not None:
            self._syncer.join(1.0)
        with self._lock:
            kept = any(segment.unsettled for segment in self._segments)
            if kept:
                with contextlib.suppress(OSError):
                    self.sync()
            for file, _ in self._unsynced.values():
                _close(file)
            self._unsynced.clear()
            self._file, self.trouble = None, "the journal is closed"
            if not kept:
                shutil.rmtree(self.directory, ignore_errors=True)
            self._release()
        self._tell_waiters(everyone=True)
        _open_journals.discard(self)

    def _release(self) -> None:
        if self._lock_file is not None:
            _close(self._lock_file)
            self._lock_file = None

    def forked(self) -> None:
        """In a child process: close the files of the parent, without touching what they hold."""
        self._lock = threading.RLock()
        for file in [*(file for file, _ in self._unsynced.values()), self._lock_file]:
            if file is not None:
                _close(file)
        self._unsynced, self._file, self._lock_file = {}, None, None
        self._segments.clear()
        self._syncer = None
        self._next_try = float("inf")
        self.trouble = "the process forked"

    # -- writing -----------------------------------------------------------------------------------------------

    def append(self, data: bytes) -> Segment | None:
        """Hand one record to the operating system and return the segment that holds it; None when it cannot be."""
        with self._lock:
            if self.trouble is not None and not self._try_again():
                return None
            try:
                current = self._segments[-1]
                if current.size + len(data) > self._segment_bytes and current.size > current.beginning:
                    self._roll()
                    current = self._segments[-1]
                if self._bytes + len(data) > self._most_bytes:
                    self.trouble = FULL
                    return None
                self._write(current, data)
            except OSError as error:
                self._troubled(error)
                return None
            current.unsettled += 1
            self.appended += 1
            if not self._dirty.is_set():
                self._dirty.set()
            return current

    def _write(self, segment: Segment, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the type checker
        length = len(data)
        whole = False
        try:
            if os.write(self._file, data) != length:
                # A full disk takes a part, and says so only at the next write.
                raise OSError(errno.ENOSPC, "No space left on device")
            segment.size += length
            self._bytes += length
            whole = True
        finally:
            if not whole:  # also when a signal handler of the host raised
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, segment.size)

    def _troubled(self, error: OSError) -> None:
        self.trouble = f"{errno.errorcode.get(error.errno or 0, 'OSError')}: {error.strerror}"
        self._next_try = time.monotonic() + _RETRY

    def _try_again(self) -> bool:
        if self._file is None or (self.trouble != FULL and time.monotonic() < self._next_try):
            return False
        if self.trouble != FULL:
            # A disk that failed, or was full, gets a new file: what the old one holds is known, and stays.
            try:
                self._roll()
            except OSError as error:
                self._troubled(error)
                return False
        self.trouble = None
        return True

    def _roll(self) -> None:
        """Begin a new segment. Raises OSError."""
        self._number += 1
        path = self.directory / f"{self._number:08}.journal"
        head = segments.header(
            Header(self._recorder, self._target.server, self._target.database, datetime.now(timezone.utc))
        )
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        segment = Segment(self._number, path)
        before, self._file = self._file, file
        try:
            self._write(segment, head)
        except OSError:
            self._file = before
            _close(file)
            path.unlink(missing_ok=True)
            raise
        segment.beginning = segment.size
        if self._segments:
            self._segments[-1].sealed = True
        self._segments.append(segment)
        self._unsynced[segment] = (file, 0)
        self._new_names = True
        self._tidy()

    # -- what is stored ----------------------------------------------------------------------------------------

    def settle(self, segment: Segment, count: int) -> None:
        """Note that so many records of a segment are stored, or given up."""
        with self._lock:
            segment.unsettled -= count
            if segment.unsettled == 0:
                copies, segment.copies = segment.copies, []
                for copy, number in copies:
                    self.settle(copy, number)
                self._tidy()

    def _tidy(self) -> None:
        """Remove what is sealed and stored."""
        for segment in [s for s in self._segments if s.sealed and not s.unsettled]:
            self._segments.remove(segment)
            self._bytes -= segment.size
            known = self._unsynced.pop(segment, None)
            if known is not None:
                _close(known[0])
            with contextlib.suppress(OSError):
                segment.path.unlink()

    @property
    def awaited(self) -> bool:
        """Whether what is captured is to be on disk before the host goes on."""
        return self._interval is None and self.trouble is None

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return self._bytes

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the room is taken, so that what is stored should be let go of soon."""
        return self._bytes > self._most_bytes // 2

    @property
    def takes_more(self) -> bool:
        """Whether an ordinary frame would have room now."""
        return self.trouble is None and self._bytes + self._segment_bytes // 64 < self._most_bytes

    # -- reading what memory had no room for --------------------------------------------------------------------

    def read(self, place: Place, most: int) -> tuple[list[tuple[Item | None, Segment]], Place]:
        """Read records from a place on, and return the place after them; None stands for one that was damaged."""
        found: list[tuple[Item | None, Segment]] = []
        read = 0
        while len(found) < most and read < _MOST_READ:
            with self._lock:
                ahead = [s for s in self._segments if s.number >= place.number]
                if not ahead:
                    break
                segment, size = ahead[0], ahead[0].size
            start = max(place.offset if segment.number == place.number else 0, segment.beginning)
            place = Place(segment.number, start)
            if start >= size:
                if not segment.sealed:
                    break
                place = Place(segment.number + 1, 0)
                continue
            place = self._read_some(segment, start, size, most, found)
            read += place.offset - start if place.number == segment.number else 0
        return found, place

    def _read_some(
        self, segment: Segment, start: int, size: int, most: int, found: list[tuple[Item | None, Segment]]
    ) -> Place:
        end = start
        length = min(size - start, _READ_AT_ONCE)
        try:
            with segment.path.open("rb") as file:
                file.seek(start)
                data = file.read(length)
                if length < size - start and _is_cut(data):
                    data += file.read(size - start - length)
        except OSError:
            return Place(segment.number + 1, 0)
        for one in segments.records(data):
            if isinstance(one, Damage):
                if one.torn and start + len(data) < size:
                    break  # the rest of it comes with the next piece
                end = start + one.offset + one.length
                found.append((None, segment))
            else:
                end = start + one.end
                item = item_of(one.document)
                found.append((item if not isinstance(item, Header) else None, segment))
            if len(found) >= most:
                break
        return Place(segment.number, end)

    # -- syncing -----------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Have the disk take what was written. A sync that failed is not repeated on the same file.

        Raises:
            OSError: neither the file nor a new one could be synced.
        """
        with self._lock:
            for segment in [s for s, (_, start) in self._unsynced.items() if s.sealed and s.size <= start]:
                _close(self._unsynced.pop(segment)[0])
            work = [(s, os.dup(file), s.size) for s, (file, start) in self._unsynced.items() if s.size > start]
            reached, names, self._new_names = self.appended, self._new_names, False
        if names:
            _sync_directory(self.directory)
        for segment, file, size in work:
            try:
                if segment not in self._unreliable:
                    os.fdatasync(file)
                    self._is_synced(segment, size)
            except OSError:
                self._unreliable.add(segment)
            finally:
                _close(file)
        if self._unreliable:
            self._replace()
            return
        with self._lock:
            self.synced = max(self.synced, reached)
        self._tell_waiters()

    def _tell_waiters(self, *, everyone: bool = False) -> None:
        with self._lock:
            ready = [w for w in self._waiters if everyone or w[0] <= self.synced]
            self._waiters = [w for w in self._waiters if not (everyone or w[0] <= self.synced)]
        for _, done in ready:
            done(True)

    def _is_synced(self, segment: Segment, size: int) -> None:
        with self._lock:
            known = self._unsynced.get(segment)
            if known is None:
                return
            if segment.sealed and size >= segment.size:
                _close(known[0])
                del self._unsynced[segment]
            else:
                self._unsynced[segment] = (known[0], size)

    def _replace(self) -> None:
        """Write again, into a new segment, what may not be on disk: its pages count as clean though they are not."""
        with self._lock:
            try:
                self._roll()
                for segment in [*self._unreliable]:
                    self._copy(segment, self._segments[-1])
                    self._unreliable.discard(segment)
            except OSError as error:
                self._troubled(error)
                raise
            self._dirty.set()
        warn("a sync of the journal failed; what it may have lost was written into a new segment")

    def _copy(self, segment: Segment, fresh: Segment) -> None:
        known = self._unsynced.get(segment)
        if known is None:
            return  # all of it is stored, and it is gone
        file, start = known
        data = segment.path.read_bytes()[: segment.size]
        # The header of a segment that was never synced need not be copied: the new one has its own.
        start = max(start, len(segments.SIGNATURE))
        whole = [one for one in segments.records(data, start) if isinstance(one, Record) and one.document["k"] != "h"]
        try:
            for one in whole:
                self._write(fresh, data[one.offset : one.end])
        finally:
            fresh.beginning = fresh.size
        if segment.unsettled and whole:
            fresh.unsettled += len(whole)
            segment.copies.append((fresh, len(whole)))
        _close(file)
        del self._unsynced[segment]

    def _keep_syncing(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._interval is not None:
                self._stop.wait(self._interval)
            if self._stop.is_set():
                return
            try:
                self.sync()
            except OSError:
                self._tell_waiters(everyone=True)  # a disk that fails must not hold the host up
                self._stop.wait(_RETRY)
                self._dirty.set()
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything
                own_error(type(error).__name__)

    def expect_synced(self, done: Callable[[bool], None]) -> None:
        """Have ``done`` called, from another thread, once all that was appended so far is on disk."""
        with self._lock:
            if self.synced >= self.appended or self.trouble is not None or self._syncer is None:
                ready = True
            else:
                ready = False
                self._waiters.append((self.appended, done))
        if ready:
            done(True)


# -- directories whose owner died -------------------------------------------------------------------------------


class Chunk(NamedTuple):
    """Some of what a dead owner's directory holds."""

    items: list[Item]
    whole: list[Path]
    """Segments that are read to their end with this chunk."""


class AbandonedJournal:
    """The directory of a process that died, locked for us."""

    def __init__(self, directory: Path, lock_file: int) -> None:
        self.directory = directory
        self._lock_file = lock_file
        self.damaged = 0
        """Stretches of bytes that were no records."""
        self._spoilt: set[Path] = set()
        self._reading: Path | None = None
        self._left_alone: set[Path] = set()
        self._sessions = UnfinishedSessions()
        _abandoned.add(self)

    def chunks(self, most: int) -> Iterator[Chunk]:
        """Read all segments in order, about so many items at a time; each is handed out once."""
        items: list[Item] = []
        whole: list[Path] = []
        size = 0
        for path in segment_paths(self.directory):
            self._reading = path
            for item in self._items_of(path):
                items += self._sessions.taken(item)
                size += len(item.text) if isinstance(item, Frame) else 0
                if len(items) >= most or size >= _MOST_READ:
                    yield Chunk(items, whole)
                    items, whole, size = [], [], 0
            if path not in self._left_alone:
                whole.append(path)
        items += self._sessions.closings()
        if items or whole:
            yield Chunk(items, whole)

    def _items_of(self, path: Path) -> Iterator[Item]:
        try:
            for one in scan(path.read_bytes()):
                if isinstance(one, Damage):
                    self._note_damage(path, one)
                    continue
                item = item_of(one.document)
                if isinstance(item, Header):
                    self._sessions.recorder = item.recorder
                elif item is None:
                    self._note_damage(path, None)
                else:
                    yield item
        except (OSError, UnknownVersionError) as error:
            self._left_alone.add(path)
            told = error.strerror if isinstance(error, OSError) else error
            warn("the journal segment %s is left alone: %s", path, told)

    def _note_damage(self, path: Path, damage: Damage | None) -> None:
        if damage is None or not damage.torn:
            self.damaged += 1
            self._spoilt.add(path)

    def spoil(self, chunk: Chunk) -> None:
        """Keep the segments of this chunk for a person to look at: what they hold could not be stored."""
        self._spoilt.update(chunk.whole)
        if self._reading is not None:
            self._spoilt.add(self._reading)

    def settle(self, chunk: Chunk) -> None:
        """Remove the segments that were read to their end; what was damaged is put aside for a person to look at."""
        for path in chunk.whole:
            with contextlib.suppress(OSError):
                if path in self._spoilt:
                    aside = self.directory.parent / QUARANTINE
                    aside.mkdir(mode=0o700, exist_ok=True)
                    path.rename(aside / f"{self.directory.name}-{path.name}")
                    warn("the journal segment %s was damaged; it is kept in %s", path.name, aside)
                else:
                    path.unlink()

    def close(self) -> None:
        """Unlock the directory, and remove it if nothing of it is left."""
        with contextlib.suppress(OSError):
            if not any(path.name != LOCK for path in self.directory.iterdir()):
                (self.directory / LOCK).unlink()
                self.directory.rmdir()
        if self._left_alone:
            _not_ours_to_read.add(self.directory)
        _close(self._lock_file)
        _abandoned.discard(self)

    def forked(self) -> None:
        """In a child process: the lock is the parent's."""
        _close(self._lock_file)


class UnfinishedSessions:
    """What a dead process can no longer say of its sessions: that they were open, and that they are over."""

    def __init__(self) -> None:
        self.recorder: str | None = None
        self._open: dict[str, Session] = {}
        self._last: dict[str, datetime] = {}

    def taken(self, item: Item) -> list[Item]:
        """Return the item, after what has to be said before it."""
        if isinstance(item, SessionChange):
            session = replace(item.session, recorder=item.session.recorder or self.recorder)
            if item.kind == "closed":
                self._open.pop(session.session_id, None)
            else:
                self._open[session.session_id] = session
                self._last.setdefault(session.session_id, item.at)
            return [item._replace(session=session)]
        if not isinstance(item, Frame):
            return [item]
        first = item.session_id not in self._last
        self._last[item.session_id] = item.timestamp or opened_at(item.session_id)
        if not first:
            return [item]
        # Its opening was stored, and let go, before the process died; the least that can be said tells whose it was.
        at = opened_at(item.session_id)
        session = Session(item.session_id, item.station_id, None, at, "connecting", recorder=self.recorder)
        self._open[item.session_id] = session
        return [SessionChange("opened", session, at), item]

    def closings(self) -> list[Item]:
        """Return the end of every session that has none."""
        return [
            SessionChange(
                "closed",
                replace(session, status="disconnected", closed_at=self._last[key], error=ABANDONED),
                self._last[key],
            )
            for key, session in self._open.items()
        ]


def adopt(root: Path, target: Target) -> Iterator[AbandonedJournal]:
    """Lock, one after the other, the directories of dead owners for that target."""
    yield from adopt_in(root / target.directory)


def adopt_in(parent: Path) -> Iterator[AbandonedJournal]:
    """Lock, one after the other, the directories in ``parent`` whose owner is dead."""
    for directory in owner_directories(parent):
        if directory in _not_ours_to_read:
            continue
        lock_file = lock_of_dead(directory)
        if lock_file is not None:
            yield AbandonedJournal(directory, lock_file)


def owner_directories(parent: Path) -> list[Path]:
    """Return the directories of single processes, dead or alive, the oldest first."""
    try:
        found = [path for path in parent.iterdir() if path.name[0] != "." and (path / LOCK).is_file()]
        return sorted(found, key=lambda path: ((path / LOCK).stat().st_mtime, path.name))
    except OSError:
        return []


def segment_paths(directory: Path) -> list[Path]:
    """Return the segments of a directory, the oldest first; files that are something else are left alone."""
    try:
        found = [(int(m[1]), path) for path in directory.iterdir() if (m := _SEGMENT_NAME.fullmatch(path.name))]
    except OSError:
        return []
    return [path for _, path in sorted(found)]


def lock_of_dead(directory: Path) -> int | None:
    """Lock a directory whose owner is dead; None when it lives, or the directory is gone."""
    if fcntl is None:
        return None
    try:
        file = os.open(directory / LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have removed the directory while we waited for the lock.
        same = os.fstat(file).st_ino == (directory / LOCK).stat().st_ino
    except OSError:
        same = False
    if same:
        return file
    _close(file)
    return None


def _make_own(root: Path, directory: Path) -> int:
    """Make and lock the directory of this process. Raises OSError."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this platform has no file locks of the kind that a journal needs")
    for parent in (root.parent, root):
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under another name until it is locked, so that nobody takes it for one whose owner died.
    fresh = root / f".{directory.name}"
    fresh.mkdir(mode=0o700)
    try:
        file = os.open(fresh / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.rename(directory)
        except OSError:
            _close(file)
            raise
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return file


def _is_cut(data: bytes) -> bool:
    """Whether a piece of a segment holds not even one whole record."""
    first = next(segments.records(data), None)
    return isinstance(first, Damage) and first.torn


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):
        file = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            _close(file)


def _close(file: int) -> None:
    with contextlib.suppress(OSError):
        os.close(file)


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_not_ours_to_read: set[Path] = set()
"""Directories with segments that this version cannot read; looked at once."""
_abandoned: weakref.WeakSet[AbandonedJournal] = weakref.WeakSet()


def _forked() -> None:
    # A lock of a file belongs to the open file, which a child shares: it would outlive the parent.
    for journal in list(_open_journals):
        journal.forked()
    for abandoned in list(_abandoned):
        abandoned.forked()
    _open_journals.clear()
    _abandoned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
