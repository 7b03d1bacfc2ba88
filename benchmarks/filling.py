"""Millions of documents of the recorded kind, in minutes.

Hides how they are made: charging sessions of 40 stations are recorded, and what they left is copied again and again,
to other stations and earlier hours, under keys that are derived from those of the original, so that all references
among the documents of a copy hold. Indexes are built at last, as they would be for a restored database.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.mix import CALLS_OF_A_SESSION, exchange, identity, moment
from benchmarks.server import PATIENCE, database, recording, usual_settings
from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.documents import INDEXES

_ORIGINALS = 40
_FRAMES = 2 * CALLS_OF_A_SESSION * _ORIGINALS
_BATCH = 5000
_KEY = 24
_MOMENT_BYTES, _REST_BYTES = 4, 8
_SALT_BITS, _SEQUENCE_BITS = 40, 24

_ANSWERED_AFTER = timedelta(milliseconds=20)

Document = dict[str, Any]


class Size(NamedTuple):
    """How much there shall be, about."""

    messages: int
    stations: int

    @property
    def copies(self) -> int:
        """How often all that was recorded is copied."""
        return max(1, self.messages // _FRAMES)

    @property
    def groups(self) -> int:
        """Among how many groups of stations the copies are dealt out."""
        return self.stations // _ORIGINALS


async def fill(client: MongoClient[Document], uri: str, name: str, size: Size, kinds: Sequence[Collection]) -> int:
    """Fill the collections of these kinds; return how many messages there are."""
    target, names = client[name], usual_settings().collections()
    with database(client) as source:
        await _record(uri, source)
        originals = {kind: list(client[source][names[kind]].find()) for kind in kinds}
        for kind in kinds:
            target.create_collection(names[kind], **client[source][names[kind]].options())
            _insert(target, names[kind], _copies(originals[kind], kind, size))
    for kind in kinds:
        target[names[kind]].create_indexes([*INDEXES[kind]])
    return target[names["messages"]].estimated_document_count()


async def _record(uri: str, name: str) -> None:
    """Record one charging session of each station, at the times it would have."""
    async with recording(uri, name, durability="memory") as plugin:
        for step in range(CALLS_OF_A_SESSION):
            for station in range(_ORIGINALS):
                for text in exchange(station, 0, step):
                    way = "sent" if text.is_answer else "received"
                    at = moment(0, step) + text.is_answer * _ANSWERED_AFTER
                    plugin.record(text.station_id, way, text.text, text.version, timestamp=at)
        await plugin.flush(PATIENCE)


def _insert(target: Database[Document], collection: str, documents: Iterator[Document]) -> None:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            target[collection].insert_many(batch, ordered=False)
            batch.clear()
    if batch:
        target[collection].insert_many(batch, ordered=False)


def _copies(originals: list[Document], kind: Collection, size: Size) -> Iterator[Document]:
    """Yield the copies, an hour of all stations after the other; the last hour's transactions are active."""
    for number in range(size.copies):
        if kind == "stations" and number >= size.groups:
            return
        copy = _Copy(number, number % size.groups * _ORIGINALS, hours=(size.copies - 1 - number) // size.groups)
        for original in originals:
            document = copy.of(original)
            if kind == "transactions" and number >= size.copies - size.groups:
                document |= {"status": "active", "stop_timestamp": None, "meter_stop": None}
            yield document


class _Copy:
    """One copy of all that was recorded: to which stations, how much earlier, under which keys."""

    def __init__(self, number: int, first_station: int, hours: int) -> None:
        self._first_station = first_station
        self._earlier = timedelta(hours=hours)
        self._salt = random.Random(number).getrandbits(_SALT_BITS) << _SEQUENCE_BITS  # noqa: S311 - no secret
        self._moved = f"-{number:06x}"
        self._of_type: dict[type, Callable[[Any], Any]] = {
            ObjectId: self._key,
            datetime: self._moment,
            str: self._text,
            dict: self.of,
            list: lambda items: [self._value(item) for item in items],
        }

    def of(self, document: Document) -> Document:
        """Return the copy of a document; payloads and raw texts stay."""
        found = {}
        for name, value in document.items():
            if name in ("payload", "raw"):
                found[name] = value
            elif name == "message_id" and value is not None:
                found[name] = value + self._moved
            else:
                found[name] = self._value(value)
        return found

    def _value(self, value: Any) -> Any:
        change = self._of_type.get(type(value))
        return value if change is None else change(value)

    def _moment(self, at: datetime) -> datetime:
        return at - self._earlier

    def _text(self, text: str) -> str:
        if len(text) == _KEY and ObjectId.is_valid(text):
            return str(self._key(ObjectId(text)))
        if text.startswith("CP") and text[2:].isdigit():
            return identity(int(text[2:]) + self._first_station)
        return text

    def _key(self, key: ObjectId) -> ObjectId:
        """Move the key in time as the document is, so that keys still rise with it; change what names the session."""
        at = key.generation_time.astimezone(timezone.utc) - self._earlier
        rest = int.from_bytes(key.binary[_MOMENT_BYTES:], "big") ^ self._salt
        return ObjectId(int(at.timestamp()).to_bytes(_MOMENT_BYTES, "big") + rest.to_bytes(_REST_BYTES, "big"))
