"""Recorded OCPP traffic as files: JSON Lines, one frame a line, or a log that the ``ocpp`` library wrote.

Hides the form of the lines, the numbering of frames, and how a session gets the same id at every import, so that
importing a file twice, or again after it has grown, adds only what is new. Promises that any line whatever is either
a frame or a ``BadLine`` with its number and one sentence; a bad line costs nothing but itself. Memory grows by 8 to
16 bytes a frame, never by its text. Knows no database: what is stored already is asked through ``StoredTexts``.

A line is an object with ``station``, ``protocol_version``, ``direction`` ("sent", "received", "unknown"; seen from the
CSMS unless ``"side": "station"``), ``ts`` (date and time, UTC where it names no zone, or null) and ``raw`` (the exact
text). ``session``, ``sequence`` and ``origin`` are kept where a line has them; other keys are ignored. A log
(``library_log``) is one session for each station, since the library says nothing when one connects.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import shutil
import tempfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, TypeAlias, cast

from ocpp_mongo_plugin.errors import ImportFormatError
from ocpp_mongo_plugin.frames import (
    Direction,
    Frame,
    Origin,
    Session,
    SessionChange,
    new_session_id,
    normalise_version,
)
from ocpp_mongo_plugin.library_log import Log, LoggedFrame, LogLine, OtherLine, holds_frame

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; MongoDB takes 16 MiB a document, and JSON may write one character as six."""
HIGHEST_SEQUENCE = (1 << 40) - 1
"""What the clock of a frame has room for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_HEX_SESSION = re.compile(r"[0-9a-f]{24}")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"\s*(?:([Zz]|UTC)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_GZIP, _UTF_16 = _UNPACKED = ("gzip data", "UTF-16 text")
_OTHER_FILES = {
    b"\x1f\x8b": _GZIP,
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"PK": "a zip file",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One frame as its line tells it."""

    number: int
    """Line number, from 1."""
    station_id: str
    side: Origin | None
    """The end of the connection that recorded it; None when nobody knows."""
    direction: Direction
    origin: Origin | None
    protocol_version: str | None
    timestamp: datetime | None
    """UTC."""
    text: str
    session: str | None
    sequence: int | None
    from_log: bool = False
    """Whether a log told it: side and version are concluded there, and may become known as it grows."""


class BadLine(NamedTuple):
    """A line that is no frame."""

    number: int
    """Line number, from 1."""
    reason: str
    """One sentence, without the line's text."""


class StoredTexts(Protocol):
    """Asks the store what it holds of a session."""

    def __call__(self, session_id: str) -> AsyncIterable[tuple[int, str | None]]:
        """Return sequence and text of each stored frame; None for a text that could not be stored as it was."""
        ...


def open_interchange(path: Path, *, unpack: bool = False) -> IO[bytes]:
    """Open that file for ``read_lines`` and ``LogFile``.

    Args:
        path: a regular file; it is read more than once.
        unpack: gzip data and UTF-16 text are unpacked into a temporary file, which is opened then.

    Raises:
        ImportFormatError: there is no such file, it cannot be read, is empty, or is plainly something else.
    """
    try:
        special = (
            "a directory" if path.is_dir() else "no regular file" if path.exists() and not path.is_file() else None
        )
        file = None if special else path.open("rb")
    except FileNotFoundError:
        raise ImportFormatError(f"{path} does not exist") from None
    except PermissionError:
        raise ImportFormatError(f"{path} may not be read by this user") from None
    except (OSError, ValueError) as error:
        raise ImportFormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if file is None:
        raise ImportFormatError(f"{path} is {special}; an import takes files, which it reads twice")
    start = file.read(2)
    other = next((name for magic, name in _OTHER_FILES.items() if start.startswith(magic)), None)
    file.seek(0)
    if start and other is None:
        return file
    if unpack and other in _UNPACKED:
        with file:
            return _unpacked(path, file, other)
    file.close()
    raise ImportFormatError(f"{path} is {other}, not UTF-8 text" if other else f"{path} is empty")


def _unpacked(path: Path, file: IO[bytes], kind: str) -> IO[bytes]:
    """Return what the file holds, as UTF-8 where it was UTF-16."""
    plain = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        if kind == _GZIP:
            with gzip.open(file) as packed:
                shutil.copyfileobj(packed, plain)
        else:
            for chunk in iter(partial(codecs.getreader("utf-16")(file, "backslashreplace").read, 1 << 20), ""):
                plain.write(chunk.encode("utf-8", "backslashreplace"))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        plain.close()
        raise ImportFormatError(f"{path} is {kind} that is damaged: {error}") from None
    plain.seek(0)
    return plain


def read_lines(file: IO[bytes], *, end: int | None = None) -> Iterator[Line | BadLine]:
    """Read the frames of a file in JSON Lines, one at a time; blank lines are skipped.

    Args:
        file: from ``open_interchange``, at its start.
        end: stop at this offset in bytes, when the file may have grown since it was scanned.
    """
    for number, data in _physical(file, end):
        if data is None:
            yield BadLine(number, f"it is longer than {LONGEST_LINE >> 20} MiB")
        elif data.strip():
            yield parse_line(number, data)


def _physical(file: IO[bytes], end: int | None) -> Iterator[tuple[int, bytes | None]]:
    """Return each line with its number; None for one that is too long."""
    number = 0
    while (end is None or file.tell() < end) and (data := file.readline(LONGEST_LINE)):
        number += 1
        if len(data) == LONGEST_LINE and not data.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, None
            continue
        yield number, data.removeprefix(_BYTE_ORDER_MARK) if number == 1 else data


@dataclass(frozen=True, slots=True)
class LogReading:
    """How a log of the ``ocpp`` library is to be read: what one says of it, what is left out is concluded."""

    zone: tzinfo | None = None
    """Of times that name none; UTC where nobody says."""
    prefix: re.Pattern[str] | None = None
    """What stands before the station id in each line."""
    side: Origin | None = None
    """The end of the connection that wrote it."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"."""


class _Assumed(tzinfo):
    """UTC, which remembers whether a time needed it."""

    is_used = False

    def utcoffset(self, moment: datetime | None) -> timedelta:  # noqa: ARG002 - as tzinfo has it
        self.is_used = True
        return timedelta(0)

    def dst(self, moment: datetime | None) -> timedelta:  # noqa: ARG002 - as tzinfo has it
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002 - as tzinfo has it
        return "UTC"


class LogFile:
    """A file that holds a log of the ``ocpp`` library."""

    def __init__(self, file: IO[bytes], reading: LogReading, *, end: int | None = None) -> None:
        """Learn how its lines are formed.

        Args:
            file: from ``open_interchange``, where it begins does not matter.
            reading: what one knows of it.
            end: stop at this offset in bytes, when the file may have grown.
        """
        self._file = file
        self._reading = reading
        self._end = end
        self._assumed = _Assumed()
        self._log = Log(zone=reading.zone or self._assumed, prefix=reading.prefix)
        file.seek(0)
        self._line_end = "\r\n" if file.readline(LONGEST_LINE).endswith(b"\r\n") else "\n"
        self._log.learn_form(self._lines())

    @property
    def assumes_utc(self) -> bool:
        """Whether a time that was read so far named no zone, and nobody said which it is."""
        return self._assumed.is_used

    def learn(self) -> Iterator[None]:
        """Read all of it once, to learn who speaks which version; yields after each item, for others to have a turn."""
        for item in self._log.frames(self._lines()):
            if isinstance(item, LoggedFrame):
                self._log.learn_frame(item)
            yield

    def read(self) -> Iterator[Line | OtherLine]:
        """Read its frames from the beginning, and its other lines; blank lines are skipped."""
        sides, reading = self._log.sides(), self._reading
        version = normalise_version(reading.protocol_version)
        for item in self._log.frames(self._lines()):
            if isinstance(item, OtherLine):
                if item.text.strip():
                    yield item
                continue
            side = reading.side or sides.of(item)
            yield Line(
                item.number,
                item.station_id,
                side,
                item.direction,
                _origin(item.direction, side),
                version or self._log.version(item.station_id),
                item.timestamp,
                item.text,
                session=None,
                sequence=None,
                from_log=True,
            )

    def _lines(self) -> Iterator[LogLine]:
        self._file.seek(0)
        for number, data in _physical(self._file, self._end):
            text = "" if data is None else data.decode("utf-8", "backslashreplace")
            yield LogLine(number, text.removesuffix(self._line_end).removesuffix("\n"))


def form_of(file: IO[bytes]) -> Literal["log", "jsonl", "text", "data"]:
    """Return what the file is: the first line that holds a frame, of the ``ocpp`` library's log or in JSON, decides.

    Without a frame it is "jsonl" where a line at least has a key "raw", else "text", or "data" when it is no UTF-8.
    """
    file.seek(0)
    others: set[Literal["jsonl", "text", "data"]] = {"text"}
    for number, data in _physical(file, None):
        if data is None:
            continue
        if b'"raw"' in data:
            others.add("jsonl")
            if isinstance(parse_line(number, data), Line):
                return "jsonl"
        is_likely = b": send" in data or b": receive message" in data
        if is_likely and holds_frame(data.decode("utf-8", "backslashreplace")):
            return "log"
        if not _is_text(data):
            others.add("data")
    return next(one for one in ("jsonl", "data", "text") if one in others)


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def parse_line(number: int, data: bytes) -> Line | BadLine:
    """Read one line. Never raises."""
    try:
        return _Fields(_object(data)).line(number)
    except ImportFormatError as error:
        return BadLine(number, str(error))


def parse_time(text: str) -> datetime | None:
    """Return the time in UTC, or None when the text is no date and time; without a zone it is taken as UTC."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    try:
        date = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=timezone.utc)
        local = date.replace(microsecond=int(f"{fraction or '':0<6.6}"))
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):
        return None


def digest(text: str) -> int:
    """Return 64 bits that stand for the text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Contents:
    """What a file holds: its sessions, and of each frame its number and 8 bytes of digest.

    Filled by a first pass (``add`` for each line of ``read_lines``), completed by ``identify``, then asked by a
    second pass (``replay``), which gives every frame the place it got in the first.
    """

    def __init__(self) -> None:
        self.lines = 0
        """Lines that are not blank."""
        self.frames = 0
        """Distinct frames."""
        self.bad = 0
        self.others = 0
        """Lines of a log that hold no frame."""
        self.copies = 0
        """Frames of a log that two handlers wrote; each counts once."""
        self.recordings: dict[_Key, Recording] = {}

    def add(self, item: Line | BadLine | OtherLine) -> BadLine | None:
        """Take in one line; return it as a bad one when it is, or when it contradicts an earlier line."""
        self.lines += 1
        if isinstance(item, OtherLine):
            self.copies += item.is_copy
            self.others += not item.is_copy
            return None
        bad = item if isinstance(item, BadLine) else self._add(item)
        self.bad += bad is not None
        return bad

    def _add(self, line: Line) -> BadLine | None:
        key = _key(line)
        recording = self.recordings.get(key)
        if recording is None:
            recording = self.recordings[key] = Recording(line)
        sequence = recording.texts.following if line.sequence is None else line.sequence
        added = recording.texts.add(sequence, digest(line.text))
        self.frames += added is True
        if added is None:
            return BadLine(line.number, f"sequence {sequence} of its session was on an earlier line, with another text")
        return None

    async def identify(self, stored_texts: StoredTexts) -> None:
        """Give each session its id, and count how many of its frames are stored already.

        Two logs can begin with equal frames. An id is therefore taken only when nothing that is stored under it
        contradicts this file; otherwise the next one is tried, in an order that is the same at every import.
        """
        taken: set[str] = set()
        for recording in self.recordings.values():
            salt = 0
            while True:
                candidate = recording.candidate(salt)
                there = None if candidate in taken else await recording.texts.already(stored_texts(candidate))
                if there is not None:
                    break
                salt += 1
            recording.session_id, recording.already = candidate, there
            taken.add(candidate)

    @property
    def already(self) -> int:
        """Frames that the store had when ``identify`` asked it."""
        return sum(recording.already for recording in self.recordings.values())

    def replay(self, items: Iterable[Line | BadLine | OtherLine]) -> Iterator[Frame | SessionChange]:
        """Turn the lines of a second pass into frames, each session announced before its first frame."""
        following: dict[_Key, int] = {}
        for line in items:
            if not isinstance(line, Line):
                continue
            key = _key(line)
            recording = self.recordings[key]
            if key not in following:
                following[key] = 0
                yield recording.opened()
            sequence = following[key] if line.sequence is None else line.sequence
            if recording.texts.get(sequence) == digest(line.text):
                following[key] = max(following[key], sequence + 1)
                yield recording.frame(line, sequence)


class Recording:
    """One session of one station, as a file tells it."""

    def __init__(self, first: Line) -> None:
        self._first = first
        self.texts = Texts()
        self.session_id = ""
        """24 hexadecimal digits, once identified."""
        self.already = 0
        """Frames that the store had before."""

    def candidate(self, salt: int) -> str:
        """Return the session id to try: what the file says if it is one of ours, else one derived from content."""
        first = self._first
        if salt == 0 and first.session is not None and _HEX_SESSION.fullmatch(first.session):
            return first.session
        time = first.timestamp
        version, side = (None, None) if first.from_log else (first.protocol_version, first.side)
        identity = [first.station_id, version, first.session, side]
        event = [time.isoformat() if time else None, first.direction, first.text]
        microseconds = 0 if time is None else (time - _EPOCH) // timedelta(microseconds=1)
        told = json.dumps([*identity, *event, salt]).encode()
        return new_session_id(microseconds, hashlib.blake2b(told, digest_size=5).digest())

    def opened(self) -> SessionChange:
        """Return the announcement of this session; the time is that of its first frame, or 1970 when that has none."""
        at = self._first.timestamp or _EPOCH
        session = Session(
            session_id=self.session_id,
            station_id=self._first.station_id,
            role=None if self._first.direction == "unknown" else self._first.side,
            opened_at=at,
            status="disconnected",
            protocol_version=self._first.protocol_version,
            source="import",
        )
        return SessionChange("opened", session, at)

    def frame(self, line: Line, sequence: int) -> Frame:
        """Return the frame of that line."""
        return Frame(
            line.station_id,
            self.session_id,
            sequence,
            line.direction,
            line.origin,
            line.protocol_version,
            line.timestamp,
            line.text,
        )


@dataclass(slots=True)
class Texts:
    """Digests by sequence number: 16 bytes a frame, in order of sequence."""

    _sequences: array[int] = field(default_factory=lambda: array("q"))
    _digests: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def following(self) -> int:
        """The number after the highest."""
        return self._sequences[-1] + 1 if self._sequences else 0

    def add(self, sequence: int, text: int) -> bool | None:
        """Remember a digest. True: added; False: it was there; None: another one has that number."""
        place = len(self._sequences) if sequence >= self.following else bisect_left(self._sequences, sequence)
        if place < len(self._sequences) and self._sequences[place] == sequence:
            return False if self._digests[place] == text else None
        self._sequences.insert(place, sequence)
        self._digests.insert(place, text)
        return True

    def get(self, sequence: int) -> int | None:
        """Return the digest under that number."""
        place = bisect_left(self._sequences, sequence)
        found = place < len(self._sequences) and self._sequences[place] == sequence
        return self._digests[place] if found else None

    async def already(self, stored: AsyncIterable[tuple[int, str | None]]) -> int | None:
        """Count the frames that are among the stored ones, or return None when one of those contradicts."""
        count = 0
        async for sequence, text in stored:
            ours = self.get(sequence)
            if ours is None:
                continue
            if text is not None and digest(text) != ours:
                return None
            count += 1
        return count


_Key: TypeAlias = tuple[str, "str | None", "str | None", "str | None"]


def _key(line: Line) -> _Key:
    """Return what tells recordings apart; a named session may learn its version late, so that is no part of it."""
    is_named = line.session is not None or line.from_log
    return line.station_id, line.session, line.side, None if is_named else line.protocol_version


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ImportFormatError("it is not UTF-8") from None
    except RecursionError:
        raise ImportFormatError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ImportFormatError(f"it is not JSON: {error.msg} at column {error.colno}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise ImportFormatError("it holds a number too long to read") from None
    if not isinstance(value, dict):
        raise ImportFormatError("it is not a JSON object")
    return value


class _Fields:
    """The keys of one line, each taken with its check."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def line(self, number: int) -> Line:
        self._required("direction")
        direction = cast("Direction", self._one_of("direction", "sent", "received", "unknown"))
        side = cast("Origin", self._one_of("side", "csms", "station") or "csms")
        origin = cast("Origin | None", self._one_of("origin", "station", "csms"))
        return Line(
            number,
            self._required("station"),
            side,
            direction,
            origin or _origin(direction, side),
            normalise_version(self._text("protocol_version")),
            self._time(),
            self._required("raw"),
            self._text("session") or None,
            self._sequence(),
        )

    def _text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise ImportFormatError(f'"{key}" is not a string')

    def _required(self, key: str) -> str:
        value = self._text(key)
        if value is None:
            raise ImportFormatError(f'"{key}" is missing')
        return value

    def _one_of(self, key: str, *allowed: str) -> str | None:
        value = self._text(key)
        if value is None or value in allowed:
            return value
        raise ImportFormatError(f'"{key}" is none of {", ".join(allowed)}')

    def _time(self) -> datetime | None:
        text = self._text("ts")
        time = None if text is None else parse_time(text)
        if text is not None and time is None:
            raise ImportFormatError('"ts" is not a date and time')
        return time

    def _sequence(self) -> int | None:
        value = self._values.get("sequence")
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_SEQUENCE:
            return value
        raise ImportFormatError('"sequence" is not a whole number from 0 on')


def _origin(direction: Direction, side: Origin | None) -> Origin | None:
    if direction == "unknown" or side is None:
        return None
    other: Origin = "station" if side == "csms" else "csms"
    return side if direction == "sent" else other
