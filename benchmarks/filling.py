"""Millions of documents of the recorded kind, in minutes.

Hides how they are made: charging sessions of 40 stations are recorded, and what they left is copied again and again,
to other stations and earlier hours, under keys that are derived from those of the original, so that all references
among the documents of a copy hold. All that differs has a fixed length, so a copy is the BSON of its original with
some bytes written over. Indexes are built at last, as they would be for a restored database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from struct import Struct
from typing import Any, NamedTuple

from bson import ObjectId, encode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.mix import CALLS_OF_A_SESSION, exchange, identity, moment
from benchmarks.server import PATIENCE, database, recording, usual_settings
from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.indexes import INDEXES

_ORIGINALS = 40
_FRAMES = 2 * CALLS_OF_A_SESSION * _ORIGINALS
_BATCH = 5000
_HOUR = 3600
_KEY_BYTES, _REST_BITS, _SEQUENCE_BITS = 12, 64, 24
_SALT, _SALTS = 0x9E3779B97F, 1 << 40
"""An odd number, so that its multiples are all different."""
_MOMENT = Struct("<q")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_HEX_KEY = re.compile("[0-9a-f]{24}")
_STATION = re.compile("CP[0-9]{5}")
_MESSAGE_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-CP[0-9]{5}")
_ACTIVE = {"status": "active", "stop_timestamp": None, "meter_stop": None}

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


def _insert(target: Database[Document], collection: str, documents: Iterator[RawBSONDocument]) -> None:
    while batch := list(islice(documents, _BATCH)):
        target[collection].insert_many(batch, ordered=False)


def _copies(originals: list[Document], kind: Collection, size: Size) -> Iterator[RawBSONDocument]:
    """Yield the copies, an hour of all stations after the other; the last hour's transactions are active."""
    templates = [_Template(original) for original in originals]
    active = [_Template({**original, **_ACTIVE}) for original in originals] if kind == "transactions" else templates
    for number in range(size.copies):
        if kind == "stations" and number >= size.groups:
            return
        hours = (size.copies - 1 - number) // size.groups
        copy = _Copy(number, number % size.groups * _ORIGINALS, hours)
        for template in templates if hours else active:
            yield template.written(copy)


class _Copy(NamedTuple):
    """One copy of all that was recorded: which it is, on which stations, and how much earlier."""

    number: int
    first_station: int
    hours: int

    def key(self, key: bytes) -> bytes:
        """Move a key in time as its document is, so that keys still rise with it; change what names the session."""
        moved = int.from_bytes(key, "big") - (self.hours * _HOUR << _REST_BITS)
        return (moved ^ (self.number * _SALT % _SALTS << _SEQUENCE_BITS)).to_bytes(_KEY_BYTES, "big")

    def hex_key(self, key: bytes) -> bytes:
        """Do the same for a key that is written in hexadecimal digits."""
        return self.key(bytes.fromhex(key.decode())).hex().encode()

    def station(self, station_id: bytes) -> bytes:
        """Return the station in place of an original one."""
        return identity(int(station_id[2:]) + self.first_station).encode()

    def moment(self, at: bytes) -> bytes:
        """Move a time, which BSON has in milliseconds."""
        (milliseconds,) = _MOMENT.unpack(at)
        return _MOMENT.pack(milliseconds - self.hours * _HOUR * 1000)

    def message_id(self, _session: bytes) -> bytes:
        """Return what message ids begin with: the number of the charging session."""
        return b"%08x" % self.number


class _Template:
    """The BSON of a document, and what is written over where."""

    def __init__(self, document: Document) -> None:
        self._encoded = encode(document)
        self._places: list[tuple[int, bytes, Callable[[_Copy, bytes], bytes]]] = []
        for value in set(_values(document)):
            for pattern, change in _changes(value):
                at = self._encoded.find(pattern)
                while at >= 0:
                    self._places.append((at, pattern, change))
                    at = self._encoded.find(pattern, at + 1)

    def written(self, copy: _Copy) -> RawBSONDocument:
        """Return the document of a copy."""
        encoded = bytearray(self._encoded)
        for at, original, change in self._places:
            encoded[at : at + len(original)] = change(copy, original)
        return RawBSONDocument(bytes(encoded))


def _values(value: Any) -> Iterator[Any]:
    """Yield all single values of a document."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str) or not isinstance(value, Iterable):
        yield value
    else:
        for one in value:
            yield from _values(one)


def _changes(value: object) -> Iterator[tuple[bytes, Callable[[_Copy, bytes], bytes]]]:
    """Yield the bytes of a value that a copy has otherwise, and how it has them."""
    if isinstance(value, ObjectId):
        yield value.binary, _Copy.key
    elif isinstance(value, datetime):
        milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
        yield _MOMENT.pack(milliseconds), _Copy.moment
    elif isinstance(value, str) and _HEX_KEY.fullmatch(value):
        yield value.encode(), _Copy.hex_key
    elif isinstance(value, str) and _STATION.fullmatch(value):
        yield value.encode(), _Copy.station  # wherever it stands: in message ids and raw texts, too
    elif isinstance(value, str) and _MESSAGE_ID.fullmatch(value):
        yield value[:8].encode() + b"-", lambda copy, session: copy.message_id(session) + b"-"
