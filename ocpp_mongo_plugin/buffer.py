"""What was captured and is not stored yet: in memory, on disk beside it, and on disk alone when memory is full.

Hides where a frame waits. Promises that ``offer`` never waits, never raises and keeps the order of capture; that
captured = stored + waiting + dead-lettered + lost, at every moment, since every figure changes under one lock; and
that whatever is lost is counted by reason and leaves a gap that can be written down once the store is back.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from ocpp_mongo_plugin.changes import Document
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.journal import Journal, Place, Segment
from ocpp_mongo_plugin.recording import Item
from ocpp_mongo_plugin.segments import encode
from ocpp_mongo_plugin.settings import Settings

FULL, SHUTDOWN, INTERNAL, UNREADABLE = "buffer full", "shutdown", "internal error", "journal unreadable"
REFUSED = "refused by MongoDB"

_FRAME_OVERHEAD = 400
"""What a waiting frame weighs besides its text, in bytes: the tuples, its time, its place."""
_MOST_GAPS = 10_000
_TEXT = Frame._fields.index("text")


class Entry(NamedTuple):
    """An item, and the segment of the journal that has it; None when memory alone does."""

    item: Item
    segment: Segment | None


_Waiting: TypeAlias = tuple[Any, ...]
"""An item and the number of its segment. A frame waits as a plain tuple of its fields and that number: of those, unlike
of any class, the garbage collector does not go through hundreds of thousands again and again in the host's time."""
_IN_MEMORY: _Waiting = (None,)
_OF_NO_FRAME = 2
"""Elements of what waits and is no frame."""


class Taken:
    """Entries that were taken from the buffer, made anew each time they are asked for: so only few live at once."""

    __slots__ = ("_segments", "_waiting", "frames")

    def __init__(self, waiting: list[_Waiting], segments: dict[int, Segment]) -> None:
        self._waiting = waiting
        self._segments = segments
        self.frames = sum(len(one) > _OF_NO_FRAME for one in waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Entry]:
        return (_entry(one, self._segments) for one in self._waiting)

    def part(self, start: int, end: int) -> list[Entry]:
        """Return some of them."""
        return [_entry(one, self._segments) for one in self._waiting[start:end]]

    def segments(self) -> Iterator[Segment]:
        """Return the segment of each that is in the journal."""
        return (self._segments[one[-1]] for one in self._waiting if one[-1] is not None)


@dataclass(slots=True)
class Spill:
    """Records that are on disk alone, one after the other, because memory was full when they came."""

    place: Place
    items: int = 0
    frames: int = 0


@dataclass(slots=True)
class Gap:
    """Frames of one session that were lost for one reason, since the last gap of it was written."""

    station_id: str
    session_id: str
    reason: str
    frames: int
    first_sequence: int
    last_sequence: int
    first_at: datetime | None
    last_at: datetime | None

    def document(self, recorder: str, now: datetime) -> Document:
        """Return it as a document of the collection ``gaps``; its key is derived, so writing it twice is one gap."""
        told = f"{self.session_id} {self.first_sequence} {self.reason}"
        return {
            "_id": hashlib.blake2b(told.encode(), digest_size=12).hexdigest(),
            "station_id": self.station_id,
            "session_id": self.session_id,
            "reason": self.reason,
            "frames": self.frames,
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "recorder": recorder,
            "created_at": now,
        }


class Buffer:
    """The waiting items of one plugin."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal | None,
        redact: Callable[[Item], Item | None],
        lost: Callable[[list[Frame], str], None],
    ) -> None:
        """Keep at most ``buffer_size`` frames in memory; ``lost`` is told of every loss.

        ``redact`` takes the credentials out before the disk; it returns None for what would hold up the host's turn,
        and waits in memory alone.
        """
        self._settings = settings
        self.journal = journal
        self._redact = redact
        self._say_lost = lost
        # Reentrant: a signal handler of the host may record while the frame that it interrupted is being taken.
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.captured = self.waiting = 0
        """Frames: all, and those that are not stored yet."""
        self.lost: Counter[str] = Counter()
        self._queue: deque[_Waiting | Spill] = deque()
        self._most_frames, self._most_bytes = settings.buffer_size, settings.buffer_bytes
        self._held = self._bytes = 0
        """Items in memory, and what they weigh."""
        self._spilt = self._spilt_frames = 0
        self._is_placing = False
        self._interrupting: deque[tuple[Item, bytes | None]] = deque()
        self._in_flight = Taken([], {})
        self._segments: dict[int, Segment] = {}
        """Those that waiting items are in."""
        self._stored: Counter[Segment] = Counter()
        self._gaps: dict[tuple[str, str], Gap] = {}
        self.offered = self.taken = 0
        self.closed = False
        self.on_arrival: Callable[[], None] = lambda: None
        """Called when there is something, and when there is a batch."""

    # -- the host's turn ---------------------------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take an item; return False when it, or an older one in its place, is lost."""
        data = None
        if self.journal is not None:
            redacted = self._redact(item)
            if redacted is not None:
                item, data = redacted, encode(redacted)
        dropped: list[Item] | None = None
        with self.lock:
            if self._is_placing:
                # From a signal handler of the host: it waits until the frame that it interrupted has its place.
                self._interrupting.append((item, data))
                return True
            self._is_placing = True
            try:
                if not self._place(item, data):
                    dropped = self._place_with_difficulty(item, data)
                while self._interrupting:
                    other = self._interrupting.popleft()
                    if not self._place(*other):
                        dropped = [*(dropped or ()), *self._place_with_difficulty(*other)]
            finally:
                self._is_placing = False
            waiting = self._held + self._spilt
        if waiting == 1 or waiting == self._settings.batch_size:  # noqa: PLR1714 - a set would be made each time
            self.on_arrival()
        if not dropped:
            return True
        self._tell(dropped, SHUTDOWN if self.closed else FULL)
        return False

    def _place(self, item: Item, data: bytes | None) -> bool:
        """Let an ordinary item wait where there is room in memory; False, and nothing done, where it is not so."""
        if type(item) is not Frame or self.closed:
            return False
        weight = len(item.text) + _FRAME_OVERHEAD
        if self._held >= self._most_frames or self._bytes + weight > self._most_bytes:
            return False
        number, journal = _IN_MEMORY, self.journal
        if data is not None and journal is not None and (segment := journal.append(data)) is not None:
            number = (segment.number,)
            self._segments[segment.number] = segment
        self._queue.append(item + number)
        self._held += 1
        self._bytes += weight
        self.offered += 1
        self.captured += 1
        self.waiting += 1
        return True

    def _place_with_difficulty(self, item: Item, data: bytes | None) -> list[Item]:
        """Let an item wait wherever that can be; return what is lost for it, or with it."""
        dropped: list[Item] = []
        self.captured += type(item) is Frame
        if self.closed:
            self._drop(item, SHUTDOWN, dropped)
            return dropped
        weight = _weight(item)
        segment = self._append(data)
        fits = self._fits(item, weight)
        if not fits and segment is None and self._settings.overflow == "drop-oldest":
            fits = self._make_room(item, weight, dropped)
            segment = self._append(data)
        if not fits and segment is None:
            self._drop(item, FULL, dropped)
            return dropped
        self.offered += 1
        self.waiting += type(item) is Frame
        if fits:
            self._let_wait(item, segment, weight)
        elif segment is not None:
            self._spill(item, segment, len(data or b""))
        return dropped

    def _let_wait(self, item: Item, segment: Segment | None, weight: int) -> None:
        if segment is not None:
            self._segments[segment.number] = segment
        self._queue.append(_waiting(item, segment))
        self._held += 1
        self._bytes += weight

    def _append(self, data: bytes | None) -> Segment | None:
        return self.journal.append(data) if self.journal is not None and data is not None else None

    def _fits(self, item: Item, weight: int) -> bool:
        # What is no frame has room of its own, but not without end.
        if type(item) is not Frame:
            return self._held < 2 * self._most_frames
        return self._held < self._most_frames and self._bytes + weight <= self._most_bytes

    def _spill(self, item: Item, segment: Segment, length: int) -> None:
        last = self._queue[-1] if self._queue else None
        if not isinstance(last, Spill):
            last = Spill(Place(segment.number, segment.size - length))
            self._queue.append(last)
        last.items += 1
        self._spilt += 1
        if type(item) is Frame:
            last.frames += 1
            self._spilt_frames += 1

    def _make_room(self, item: Item, weight: int, dropped: list[Item]) -> bool:
        """Give up the oldest that are in memory."""
        if weight > self._most_bytes:
            return False
        while not self._fits(item, weight) and self._held:
            on_disk = []
            while isinstance(first := self._queue.popleft(), Spill):
                on_disk.append(first)
            self._queue.extendleft(reversed(on_disk))
            oldest = self._forget(first)
            self.taken += 1
            if oldest.segment is not None and self.journal is not None:
                self.journal.settle(oldest.segment, 1)
            self.waiting -= type(oldest.item) is Frame
            self._drop(oldest.item, FULL, dropped)
        return self._fits(item, weight)

    def _forget(self, first: _Waiting) -> Entry:
        """Note that it does not wait in memory any more, and return what it is."""
        entry = _entry(first, self._segments)
        self._held -= 1
        self._bytes -= _weight(entry.item)
        return entry

    def _drop(self, item: Item, reason: str, dropped: list[Item]) -> None:
        if isinstance(item, Frame):
            self.lost[reason] += 1
            self._note_gap(item, reason)
        else:
            self.counts["lost_changes"] += 1
        dropped.append(item)

    def _tell(self, dropped: list[Item], reason: str) -> None:
        frames = [item for item in dropped if isinstance(item, Frame)]
        if frames:
            self._say_lost(frames, reason)

    def _note_gap(self, frame: Frame, reason: str) -> None:
        key = (frame.session_id, reason)
        gap = self._gaps.get(key)
        if gap is None:
            if len(self._gaps) >= _MOST_GAPS:
                self.counts["untold_gaps"] += 1
                return
            number, at = frame.sequence, frame.timestamp
            self._gaps[key] = Gap(frame.station_id, frame.session_id, reason, 1, number, number, at, at)
            return
        gap.frames += 1
        gap.first_sequence = min(gap.first_sequence, frame.sequence)
        gap.last_sequence = max(gap.last_sequence, frame.sequence)
        gap.last_at = frame.timestamp or gap.last_at

    @property
    def on_disk_alone(self) -> int:
        """Frames that wait on disk because memory is full."""
        return self._spilt_frames

    @property
    def is_congested(self) -> bool:
        """Whether a frame would be lost now."""
        full = self._held >= self._most_frames or self._bytes >= self._most_bytes
        return full and (self.journal is None or not self.journal.takes_more)

    def note_wait(self) -> None:
        """Count that the host was awaited for room."""
        with self.lock:
            self.counts["held_up"] += 1

    def has_room(self, frames: int) -> bool:
        """Whether that many more frames fit; for those who can wait, as an import can."""
        with self.lock:
            return self._held + frames <= self._most_frames // 2 and self._bytes < self._most_bytes // 2

    # -- the sink's thread -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._held + self._spilt

    def take(self, most: int) -> Taken:
        """Take the oldest entries, at most so many; they are in flight until ``settle`` or ``lose``."""
        with self.lock:
            first = self._queue[0] if self._queue else None
            if not isinstance(first, Spill):
                self._in_flight = self._from_memory(most)
                return self._in_flight
            # Only this thread takes from it, and what is added to it meanwhile comes after.
            place, items = first.place, first.items
        return self._from_disk(first, place, items, most)

    def _from_memory(self, most: int) -> Taken:
        taken: list[_Waiting] = []
        while self._queue and len(taken) < most and not isinstance(first := self._queue[0], Spill):
            self._queue.popleft()
            taken.append(first)
            self._held -= 1
            self._bytes -= (len(first[_TEXT]) if len(first) > _OF_NO_FRAME else 0) + _FRAME_OVERHEAD
        segments = self._segments
        if not self._held:
            self._segments = {}
        return Taken(taken, segments)

    def _from_disk(self, spill: Spill, place: Place, items: int, most: int) -> Taken:
        found, after = self.journal.read(place, min(items, most)) if self.journal is not None else ([], place)
        waiting = [_waiting(item, segment) for item, segment in found if item is not None]
        taken = Taken(waiting, {segment.number: segment for _, segment in found})
        with self.lock:
            spill.place = after
            if self.journal is not None:
                for segment in [segment for item, segment in found if item is None]:
                    self.journal.settle(segment, 1)
            self._in_flight = taken
            # Nothing found: a person removed it, or the disk fails.
            passed = len(found) or items
            missing = passed - len(taken)
            spill.items -= passed
            self._spilt -= passed
            spill.frames -= taken.frames
            self._spilt_frames -= taken.frames
            self.taken += missing
            self._lose_unseen(spill, min(missing, spill.frames) if spill.items else spill.frames)
            if not spill.items:
                self._queue.remove(spill)
        return taken

    def _lose_unseen(self, spill: Spill, frames: int) -> None:
        """Count frames of which nothing is known but that they were there."""
        if frames > 0:
            spill.frames -= frames
            self._spilt_frames -= frames
            self.waiting -= frames
            self.lost[UNREADABLE] += frames

    def settle(self, *, stored: int, dead: int, left_out: int, lost: Sequence[tuple[Frame, str]] = ()) -> None:
        """Note what became of the frames in flight."""
        dropped: list[Item] = []
        with self.lock:
            if self.closed:
                return  # closing gave up on these, and said so
            frames = self._in_flight.frames
            self._let_go()
            self.waiting -= frames
            self.captured -= left_out
            self.counts["left_out"] += left_out
            self.counts["stored"] += stored
            self.counts["dead"] += dead
            for frame, reason in lost:
                self._drop(frame, reason, dropped)
            missing = frames - stored - dead - left_out - len(lost)
            if missing:
                self.lost[INTERNAL] += missing
        for frame, reason in lost:
            self._tell([frame], reason)

    def lose(self, reason: str) -> None:
        """Give up the frames in flight."""
        dropped: list[Item] = []
        with self.lock:
            taken = self._in_flight
            self._let_go()
            self.waiting -= taken.frames
            for entry in taken:
                self._drop(entry.item, reason, dropped)
        if dropped:
            self._tell(dropped, reason)

    def _let_go(self) -> None:
        self.taken += len(self._in_flight)
        self._stored.update(self._in_flight.segments())
        self._in_flight = Taken([], {})

    def release(self) -> None:
        """Let the journal forget what is stored; called when nothing that follows from it is unwritten."""
        with self.lock:
            stored, self._stored = self._stored, Counter()
            if self.journal is not None:
                for segment, count in stored.items():
                    self.journal.settle(segment, count)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, frame or not, here or on its way to the store."""
        with self.lock:
            return not len(self) and not len(self._in_flight)

    def close(self, reason: str) -> int:
        """Take nothing more, lose what is in memory alone, and return how many frames wait on disk."""
        dropped: list[Item] = []
        with self.lock:
            self.closed = True
            queued = [one for one in self._queue if not isinstance(one, Spill)]
            entries = [*self._in_flight, *Taken(queued, self._segments)]
            self._in_flight, self._held, self._bytes, self._spilt = Taken([], {}), 0, 0, 0
            self._queue.clear()
            for entry in entries:
                if entry.segment is None:
                    self.waiting -= type(entry.item) is Frame
                    self._drop(entry.item, reason, dropped)
            kept = self.waiting
        if dropped:
            self._tell(dropped, reason)
        return kept

    # -- gaps --------------------------------------------------------------------------------------------------

    def gaps(self) -> list[Gap]:
        """Take the gaps that are not written yet."""
        with self.lock:
            gaps, self._gaps = list(self._gaps.values()), {}
        return gaps


def _waiting(item: Item, segment: Segment | None) -> _Waiting:
    number = _IN_MEMORY if segment is None else (segment.number,)
    return item + number if type(item) is Frame else (item, *number)


def _entry(waiting: _Waiting, segments: dict[int, Segment]) -> Entry:
    *fields, number = waiting
    item = Frame._make(fields) if len(fields) > 1 else fields[0]
    return Entry(item, None if number is None else segments[number])


def _weight(item: Item) -> int:
    return (len(item.text) if isinstance(item, Frame) else 0) + _FRAME_OVERHEAD
