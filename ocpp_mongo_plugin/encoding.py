"""New documents of a batch as BSON, ready to be inserted as often as it takes.

Hides what MongoDB cannot hold and how a document is made to fit: it is encoded as it is, or else with what BSON
refuses replaced, or else without its payload. Promises that no document costs its neighbours, and that a document is
made into bytes as soon as nothing in its batch can change it: the many small objects that it was made of are gone
before the garbage collector has to look at them again.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import bson
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from ocpp_mongo_plugin import transcription
from ocpp_mongo_plugin.changes import Amend, Document
from ocpp_mongo_plugin.facts import Sample
from ocpp_mongo_plugin.projections import MeterValues
from ocpp_mongo_plugin.recording import Batch
from ocpp_mongo_plugin.transactions import numbered_keys

# MongoDB takes 16 MiB a document; the rest is room for the command around it.
_LARGEST = 16 * 1024 * 1024 - 16 * 1024
_SMALLEST_REST = 64 * 1024
_CUT = 1024 * 1024
_LENGTH = struct.Struct("<i")
_DOUBLE = struct.Struct("<d")
_LONG = struct.Struct("<7sq")
_INT32 = 1 << 31
_LARGEST_KIND, _MOST_KINDS = 1024, 4096
_TEXT_ID = b"\x02_id\x00" + _LENGTH.pack(25)
_OBJECT_ID = b"\x07_id\x00"
_AFTER_TEXT_ID = 4 + len(_TEXT_ID) + 25
_SHORTER = len(_TEXT_ID) + 25 - len(_OBJECT_ID) - 12
REFUSED = (BSONError, OverflowError, ValueError, RecursionError, TypeError)
"""What BSON raises about a document that it cannot hold."""

AppendOnly: TypeAlias = Literal["messages", "meter_values"]
APPEND_ONLY: tuple[AppendOnly, ...] = ("messages", "meter_values")


class Fitted(NamedTuple):
    """A new document that BSON could not hold as it was, or a mock takes only as a mapping."""

    document: Any
    """As the driver takes it."""
    original: Document
    """As it was made, with ``_id`` as text."""


Encoded: TypeAlias = bytes | Fitted
"""A new document. Nearly all are bytes: the garbage collector has nothing to look for in those."""


def taken(one: Encoded) -> Any:
    """Return a document as the driver takes it."""
    return RawBSONDocument(one) if isinstance(one, bytes) else one.document


def made(one: Encoded) -> Document:
    """Return a document as it was made, with ``_id`` as text."""
    if isinstance(one, bytes):
        document: Document = bson.decode(one)
        return {**document, "_id": str(document["_id"])}
    return one.original


class Part:
    """Documents of a batch that are inserted with one command."""

    __slots__ = ("documents", "ended", "refused")

    def __init__(self, documents: list[Encoded]) -> None:
        self.documents = documents
        self.refused: list[tuple[Encoded, str]] | None = None
        """What MongoDB refused, and why; None until it has acknowledged the rest."""
        self.ended = threading.Event()
        """Set when nobody is inserting it."""
        self.ended.set()


class Outgoing:
    """The new documents of one batch."""

    def __init__(self, now: datetime, *, as_mappings: bool = False) -> None:
        """Make documents created ``now``; ``as_mappings`` for a mock, which does not take BSON."""
        self._now = now
        self._as_mappings = as_mappings
        self._unanswered: dict[str, Document] = {}
        self.ready: dict[AppendOnly, list[Encoded]] = {key: [] for key in APPEND_ONLY}
        """Encoded, and in no part yet."""
        self.parts: dict[AppendOnly, list[Part]] = {key: [] for key in APPEND_ONLY}
        self.amends: list[Amend] = []
        """What is to be amended in the store, since it is not of this batch, or no longer a mapping."""

    def add(self, batch: Batch, pause: Callable[[], None]) -> None:
        """Take what a batch holds by now out of it, and encode all but calls that have no outcome yet.

        ``pause`` is called after each document, so that the work never holds the interpreter for long.
        """
        for document in batch.messages:
            self._unanswered[document["_id"]] = document
        self._amend(batch.amends)
        for key, document in [*self._unanswered.items()]:
            if document["message_type"] == "Call" and document["outcome"] is None:
                continue
            del self._unanswered[key]
            self.ready["messages"].append(self._message(document))
            pause()
        for values in batch.meter_values:
            self.ready["meter_values"] += self._values(values)
            pause()
        batch.messages, batch.meter_values, batch.amends = [], [], []

    def finish(self, batch: Batch, pause: Callable[[], None]) -> None:
        """Encode what is left."""
        self.add(batch, pause)
        for document in self._unanswered.values():
            self.ready["messages"].append(self._message(document))
            pause()
        self._unanswered.clear()

    def cut(self, key: AppendOnly) -> Part:
        """Make a part of what is ready for a collection."""
        part = Part(self.ready[key])
        self.ready[key] = []
        if part.documents:
            self.parts[key].append(part)
        return part

    def _amend(self, amends: Iterable[Amend]) -> None:
        """Amend the messages that are still mappings; the rest is left for the store."""
        for amend in amends:
            document = self._unanswered.get(amend.key)
            if document is None:
                self.amends.append(amend)
            elif not (amend.unless_known and document["outcome"] is not None):
                document.update(amend.values)

    def _message(self, document: Document) -> Encoded:
        document["created_at"] = self._now
        key: str = document["_id"]
        if not self._as_mappings:
            try:
                data = _with_object_id(bson.encode(document), key)
            except REFUSED:
                pass
            else:
                if len(data) <= _LARGEST:
                    return data
        return self._made_to_fit(document)

    def _values(self, values: MeterValues) -> list[Encoded]:
        if not self._as_mappings and not any(sample.signed is not None for sample in values.samples):
            try:
                encoded: list[Encoded] = [*_meter_values(values, self._now)]
            except REFUSED:
                pass
            else:
                return encoded
        return [self._made_to_fit({**document, "created_at": self._now}) for document in values.documents()]

    def _made_to_fit(self, document: Document) -> Encoded:
        """Return a document that MongoDB takes, with what it cannot hold replaced."""
        fitting = {**document, "_id": ObjectId(document["_id"])}
        try:
            data = bson.encode(fitting)
        except REFUSED:
            fitting = transcription.storable(fitting)
            data = bson.encode(fitting)
        if len(data) > _LARGEST:
            fitting = _shrunk(fitting)
            data = bson.encode(fitting)
        return Fitted(fitting if self._as_mappings else RawBSONDocument(data), document)


def _with_object_id(data: bytes, key: str) -> bytes:
    """Return the BSON of a document whose first field is ``_id`` as text, with an ObjectId there.

    Cheaper than to make an ObjectId and have the driver encode that.
    """
    return b"".join((_LENGTH.pack(len(data) - _SHORTER), _OBJECT_ID, bytes.fromhex(key), data[_AFTER_TEXT_ID:]))


# -- meter values -----------------------------------------------------------------------------------------------


def _meter_values(values: MeterValues, now: datetime) -> Iterator[bytes]:
    """Yield the BSON of ``values.documents()``, in less time than those take: most of it is the same each time.

    It is put together of parts that the BSON library made: of what all samples of a message share, and of what all
    samples of a kind do, whatever their message. Raises as BSON does.
    """
    end = bson.encode({**values.of_all, "created_at": now})[4:]
    place = {"station_id": values.station_id, "connector_id": values.connector_id}
    where = bson.encode({**place, "transaction_id": values.transaction_id})[4:-1]
    key_at = numbered_keys(values.identity)
    moment, timestamp, beginning, written = None, None, b"", b""
    for sample in values.samples:
        if sample.at is not moment:
            moment = sample.at
            timestamp = moment.at or values.of_all["received_at"]
            beginning = bson.encode({"timestamp": timestamp})[4:-1] + b"\x03metadata\0"
            written = bson.encode({"timestamp_text": moment.text})[4:-1]
        what, how = _of_kind(sample, values.evse_id)
        original = sample.original_value.encode()
        parts = (
            _OBJECT_ID,
            bytes.fromhex(key_at(timestamp)),
            beginning,
            _LENGTH.pack(len(where) + len(what) + 4),
            where,
            what,
            _number(sample.value),
            b"\x02original_value\0",
            _LENGTH.pack(len(original) + 1),
            original,
            b"\0",
            written,
            how,
            end,
        )
        data = b"".join(parts)
        if len(data) > _LARGEST:
            raise ValueError
        yield _LENGTH.pack(len(data) + 4) + data


def _of_kind(sample: Sample, evse_id: int | None) -> tuple[bytes, bytes]:
    """Return what the documents of such samples have in common: the end of their metadata, and how they measured."""
    measured = (sample.measurand, sample.phase, sample.context, sample.format, sample.location)
    kind = (*measured, evse_id, sample.unit, sample.original_unit, sample.multiplier)
    known = _kinds.get(kind)
    if known is not None:
        return known
    metadata = {"measurand": sample.measurand, "evse_id": evse_id, "phase": sample.phase}
    how = {
        "unit": sample.unit,
        "context": sample.context,
        "format": sample.format,
        "location": sample.location,
        "original_unit": sample.original_unit,
        "multiplier": sample.multiplier,
        "signed": None,
    }
    made = bson.encode(metadata)[4:], bson.encode(how)[4:-1]
    if len(made[0]) + len(made[1]) <= _LARGEST_KIND:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        _kinds[kind] = made
    return made


_kinds: dict[tuple[Any, ...], tuple[bytes, bytes]] = {}


def _number(value: float | None) -> bytes:
    if type(value) is float:
        return b"\x01value\0" + _DOUBLE.pack(value)
    if type(value) is int:
        return (
            (b"\x10value\0" + _LENGTH.pack(value)) if -_INT32 <= value < _INT32 else _LONG.pack(b"\x12value\0", value)
        )
    return b"\x0avalue\0"


def _shrunk(document: Document) -> Document:
    """Return a document over 16 MiB without its payload, and with its raw text compressed if that is not enough."""
    shrunk = {**document, "payload": None, "error_details": None}
    reasons = [*(document.get("lossy") or []), transcription.TOO_LARGE]
    raw = (document.get("raw") or "").encode("utf-8", "surrogatepass")
    if len(raw) > _LARGEST // 2:
        compressed = zlib.compress(raw)
        if len(compressed) > _LARGEST - _SMALLEST_REST:
            shrunk |= {"raw": (document.get("raw") or "")[:_CUT]}
            reasons.append(transcription.RAW_CUT)
        else:
            shrunk |= {"raw": "", "raw_zlib": compressed}
            reasons.append(transcription.RAW_COMPRESSED)
    return {**shrunk, "lossy": sorted(reasons)}
