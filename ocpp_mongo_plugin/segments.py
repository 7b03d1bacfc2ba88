"""The bytes of a journal segment: what was captured, as records that are checked one by one.

A segment is eight bytes of signature, the last of which is the version of the format, and then records: length and
CRC-32 of a BSON document, four bytes each, little-endian, and the document. The first record says who wrote the
segment. Hides how items become documents. Promises that ``scan`` takes any bytes whatever: what is damaged is
skipped and told, and what follows it is still found. A version, once released, can be read for ever.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError

from ocpp_mongo_plugin.frames import Frame, Session, SessionChange, Undelivered
from ocpp_mongo_plugin.recording import Item

VERSION = 1
_SIGNATURE = b"OCPPJNL"
SIGNATURE = _SIGNATURE + bytes([VERSION])
_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_NUMBER = struct.Struct("<i")
_TIME_AND_LENGTH = struct.Struct("<q3sIB")
_FIXED = _LENGTH.size + _NUMBER.size + _TIME_AND_LENGTH.size + 1
_INT32 = 1 << 31
_MICROSECOND = timedelta(microseconds=1)
_SMALLEST = 5
"""Bytes of an empty BSON document."""
LARGEST = 256 * 1024 * 1024
"""Bytes; no frame that a WebSocket library passes on is longer, so a greater length is damage."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DIRECTIONS = ("sent", "received", "unknown")
_DIRECTION_CODES = {name: code for code, name in enumerate(_DIRECTIONS)}
_TIMES = frozenset({"opened_at", "closed_at"})
_SESSION_FIELDS = tuple(field.name for field in fields(Session))


class Header(NamedTuple):
    """Who wrote a segment, for whom."""

    recorder: str
    """The recording process, as host:pid:nonce."""
    server: str
    """The MongoDB that it was meant for, without credentials."""
    database: str
    created_at: datetime
    """UTC."""


class Record(NamedTuple):
    """One record that is whole."""

    offset: int
    """Of its first byte in the segment."""
    end: int
    """Of the first byte after it."""
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record."""

    offset: int
    length: int
    torn: bool
    """Whether it is the unfinished end of a segment whose writer died: nothing that was captured."""
    reason: str


class UnknownVersionError(ValueError):
    """The segment was written by a later version of this package."""


# -- writing ----------------------------------------------------------------------------------------------------


def header(told: Header) -> bytes:
    """Return what a segment begins with."""
    document = {"k": "h", "r": told.recorder, "u": told.server, "b": told.database, "t": _micro(told.created_at)}
    return SIGNATURE + record(document)


def record(document: Mapping[str, Any]) -> bytes:
    """Return the record of a document."""
    data = bson.encode(document)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def encode(item: Item) -> bytes | None:
    """Return the record of what was captured; None for what a journal does not keep."""
    if type(item) is Frame:
        try:
            return _usual_record(item) or record(_frame_document(item))
        except (BSONError, UnicodeError, OverflowError, ValueError):
            return record(_frame_document(_plain(item)))
    if isinstance(item, Undelivered):
        return record(_undelivered_document(item))
    if isinstance(item, SessionChange):
        try:
            return record(_change_document(item))
        except (BSONError, UnicodeError, OverflowError, ValueError):
            return None
    return None


def _frame_document(frame: Frame) -> dict[str, Any]:
    document: dict[str, Any] = {
        "k": "f",
        "s": frame.station_id,
        "i": frame.session_id,
        "n": frame.sequence,
        "d": _DIRECTION_CODES[frame.direction],
        "o": frame.origin,
        "v": frame.protocol_version,
        **({} if frame.seen_on_socket else {"w": False}),
        "t": None if frame.timestamp is None else _micro(frame.timestamp),
        # As bytes: the library accepts lone surrogates, which BSON text does not.
        "x": frame.text.encode("utf-8", "surrogatepass"),
    }
    if frame.redacted:
        document["r"] = list(frame.redacted)
    return document


def _usual_record(frame: Frame) -> bytes | None:
    """Return the very bytes of ``record(_frame_document(frame))``, in less time; None for an unusual frame.

    Runs in the host's turn for each frame. What is the same for all frames of a session is made once.
    """
    at, number = frame.timestamp, frame.sequence
    if at is None or frame.redacted or not 0 <= number < _INT32:
        return None
    micro = (at - _EPOCH) // _MICROSECOND
    if micro < _INT32:
        return None
    text = frame.text.encode("utf-8", "surrogatepass")
    beginning = _beginning(frame.station_id, frame.session_id)
    middle = _middle(_DIRECTION_CODES[frame.direction], frame.origin, frame.protocol_version, frame.seen_on_socket)
    length = len(beginning) + len(middle) + len(text) + _FIXED
    data = b"".join(
        (
            _LENGTH.pack(length),
            beginning,
            _NUMBER.pack(number),
            middle,
            _TIME_AND_LENGTH.pack(micro, b"\x05x\0", len(text), 0),
            text,
            b"\0",
        )
    )
    return _HEAD.pack(length, zlib.crc32(data)) + data


@lru_cache(maxsize=4096)
def _beginning(station_id: str, session_id: str) -> bytes:
    return bson.encode({"k": "f", "s": station_id, "i": session_id})[4:-1] + b"\x10n\0"


@lru_cache(maxsize=256)
def _middle(direction: int, origin: str | None, version: str | None, seen_on_socket: bool) -> bytes:
    told = {"d": direction, "o": origin, "v": version}
    return bson.encode(told if seen_on_socket else {**told, "w": False})[4:-1] + b"\x12t\0"


def _undelivered_document(item: Undelivered) -> dict[str, Any]:
    return {"k": "u", "s": _text(item.frame.station_id), "i": item.frame.session_id, "n": item.frame.sequence}


def _change_document(change: SessionChange) -> dict[str, Any]:
    session: dict[str, Any] = {}
    for name in _SESSION_FIELDS:
        value = getattr(change.session, name)
        if isinstance(value, datetime):
            session[name] = _micro(value)
        elif value is not None:
            session[name] = _text(value) if isinstance(value, str) else value
    return {"k": "s", "c": change.kind, "t": _micro(change.at), "e": session}


def _plain(frame: Frame) -> Frame:
    version = frame.protocol_version
    station_id, told = _text(frame.station_id), version if version is None else _text(version)
    return frame._replace(station_id=station_id, protocol_version=told)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _micro(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


# -- reading ----------------------------------------------------------------------------------------------------


def scan(data: bytes) -> Iterator[Record | Damage]:
    """Read the records of a whole segment, the first of which is its header.

    Raises:
        UnknownVersionError: it was written by a later version.
    """
    if data[: len(_SIGNATURE)] != _SIGNATURE:
        torn = SIGNATURE.startswith(data) or not data.strip(b"\0")
        following = None if torn else _next(data, 0)
        end = len(data) if following is None else following
        if data:
            yield Damage(0, end, torn, "it does not begin as a segment does")
        yield from records(data, end)
        return
    if len(data) > len(_SIGNATURE) and data[len(_SIGNATURE)] > VERSION:
        raise UnknownVersionError(f"it has format {data[len(_SIGNATURE)]}, and this version reads up to {VERSION}")
    yield from records(data, len(SIGNATURE))


def records(data: bytes, at: int = 0) -> Iterator[Record | Damage]:
    """Read records from the offset of one on."""
    while at < len(data):
        found = _at(data, at)
        if found is not None:
            yield found
            at = found.end
            continue
        following = _next(data, at + 1)
        end = len(data) if following is None else following
        torn = following is None and _is_torn(data, at)
        yield Damage(at, end - at, torn, "cut off" if torn else "the checksum does not fit")
        at = end


def item_of(document: Mapping[str, Any]) -> Item | Header | None:
    """Return what a record keeps; None when it is of a kind that this version does not know, or not as it should be."""
    try:
        return _READERS[document["k"]](document)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError):
        return None


def _at(data: bytes, at: int) -> Record | None:
    """Return the record at this offset, if a whole one is there."""
    body = at + _HEAD.size
    if body + _SMALLEST > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, at)
    if not _SMALLEST <= length <= LARGEST or body + length > len(data) or data[body : body + 4] != data[at : at + 4]:
        return None
    document = data[body : body + length]
    if zlib.crc32(document) != checksum:
        return None
    try:
        return Record(at, body + length, bson.decode(document))
    except (BSONError, ValueError):
        return None


def _next(data: bytes, at: int) -> int | None:
    """Return the offset of the next whole record: its length stands before it and again at its beginning."""
    while (at := _candidate(data, at)) != -1:
        if _at(data, at) is not None:
            return at
        at += 1
    return None


def _candidate(data: bytes, at: int) -> int:
    # Every document of ours begins with the field "k", a string: type 2, "k", NUL; after length, checksum, length.
    found = data.find(b"\x02k\0", at + 12)
    return -1 if found == -1 else found - 12


def _is_torn(data: bytes, at: int) -> bool:
    """Whether what is left can be a write that the death of its writer, or of the machine, cut off."""
    rest = data[at:]
    if not rest.strip(b"\0"):
        return True
    if len(rest) < _LENGTH.size:
        return True
    length: int = _LENGTH.unpack_from(rest)[0]
    return _SMALLEST <= length <= LARGEST and len(rest) < _HEAD.size + length


def _read_frame(document: Mapping[str, Any]) -> Frame:
    return Frame(
        document["s"],
        document["i"],
        document["n"],
        _DIRECTIONS[document["d"]],  # type: ignore[arg-type]
        document["o"],
        document["v"],
        _moment(document["t"]),
        document["x"].decode("utf-8", "surrogatepass"),
        tuple(document.get("r", ())),
        document.get("w", True),
    )


def _read_undelivered(document: Mapping[str, Any]) -> Undelivered:
    frame = Frame(document["s"], document["i"], document["n"], "sent", None, None, None, "")
    return Undelivered(frame)


def _read_change(document: Mapping[str, Any]) -> SessionChange:
    known = {name: value for name, value in document["e"].items() if name in _SESSION_FIELDS}
    values: dict[str, Any] = {name: _moment(value) if name in _TIMES else value for name, value in known.items()}
    at = _moment(document["t"])
    if at is None:
        raise ValueError("a change without a time")
    return SessionChange(document["c"], Session(**{"role": None, **values}), at)


def _read_header(document: Mapping[str, Any]) -> Header:
    return Header(document["r"], document["u"], document["b"], _moment(document["t"]) or _EPOCH)


_READERS: dict[str, Callable[[Mapping[str, Any]], Item | Header]] = {
    "f": _read_frame,
    "u": _read_undelivered,
    "s": _read_change,
    "h": _read_header,
}


def _moment(micro: int | None) -> datetime | None:
    return None if micro is None else _EPOCH + timedelta(microseconds=micro)
