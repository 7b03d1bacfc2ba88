"""Queries and updates on the five collections, typed and asynchronous.

Hides Beanie's query language. Promises that values from outside never act as query operators, that every error is one
of this package, and that reads see what was captured before them (unless ``flush_before_read`` is off).

The original system's methods, and their names here:

=====================  ==========================================
GetMessages            ``messages.find``
DeleteOldMessages      ``messages.delete_older_than``
Create, Update         ``transactions.create``, ``.update``
Complete               ``transactions.complete``
MarkAsFailed           ``transactions.mark_failed``
GetByID                ``transactions.get``
GetActive              ``transactions.active``
GetActiveByConnector   ``transactions.active_on_connector``
GetByStation           ``transactions.by_station``
GetByIDTag             ``transactions.by_id_tag``
GetByDateRange         ``transactions.by_date_range``
GetStats, Count        ``transactions.stats``, ``.count``
Delete, DeleteOld      ``transactions.delete``, ``.delete_older_than``
=====================  ==========================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol, TypeAlias

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from ocpp_mongo_plugin.documents import Documents, Message, MeterValue, Session, Station, Transaction
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.drivers import collection_of
from ocpp_mongo_plugin.errors import ArgumentError, NotFoundError
from ocpp_mongo_plugin.facts import TransactionEdit, TransactionId
from ocpp_mongo_plugin.frames import normalise_version
from ocpp_mongo_plugin.ledger import EMPTY_STATION
from ocpp_mongo_plugin.redaction import MASK

Query: TypeAlias = dict[str, Any]

HIGHEST_LIMIT = 100_000
LONGEST_SEARCH = 4_000
"""Characters; MongoDB refuses patterns of 32,764 bytes."""
_DIRECTIONS = ("sent", "received", "unknown")
_MESSAGE_TYPES = ("Call", "CallResult", "CallError", "CallResultError", "Send", "Malformed")
_STATUSES = ("active", "completed", "failed")

EDITABLE: Mapping[str, tuple[type, ...]] = {
    "connector_id": (int,),
    "evse_id": (int,),
    "id_tag": (str,),
    "start_timestamp": (datetime,),
    "stop_timestamp": (datetime,),
    "meter_start": (int, float),
    "meter_stop": (int, float),
    "reason": (str,),
    "status": (str,),
    "protocol_version": (str,),
    "charging_state": (str,),
    "stop_id_tag": (str,),
    "authorization_status": (str,),
    "parent_id_tag": (str,),
    "reservation_id": (int,),
    "remote_start_id": (int,),
    "meter_latest": (int, float),
    "total_cost": (int, float),
    "failure": (str,),
}
"""The fields of a transaction that a program may set, and their types."""


class Reading(Protocol):
    """What a repository needs of the plugin."""

    async def documents(self) -> Documents:
        """Return the document classes bound on the running loop, after a flush if that is set."""
        ...

    async def edit(self, edit: TransactionEdit) -> None:
        """Have a program's word about a transaction take its place among the frames."""
        ...

    def id_tag(self, id_tag: str) -> str:
        """Return how an id tag is stored: as it is, or as its pseudonym."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """A call and its answer."""

    call: Message | None
    answer: Message | None
    """None while there is none."""


@dataclass(frozen=True, slots=True)
class TransactionStats:
    """Figures over transactions, of one station or all."""

    total: int
    active: int
    completed: int
    failed: int
    total_energy_wh: int | float
    """Of all transactions whose energy is known, Wh."""
    average_energy_wh: float
    """Of completed transactions whose energy is known, Wh; 0 when there is none."""


class _Repository:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def _find(
        self, kind: str, query: Query, *, sort: Sequence[str], limit: int | None, skip: int = 0
    ) -> list[Any]:
        _check_page(limit, skip)
        document = getattr(await self._reading.documents(), kind)
        with translated(f"reading {document.get_settings().name}"):
            if len(sort) > 1 and sort[1][1:] == "_id":
                return await _page(document, query, sort[0], limit, skip)
            found = document.find(query).sort(*sort).skip(skip)
            return await (found if limit is None else found.limit(limit)).to_list()  # type: ignore[no-any-return]

    async def _count(self, kind: str, query: Query) -> int:
        document = getattr(await self._reading.documents(), kind)
        with translated(f"counting {document.get_settings().name}"):
            return int(await document.find(query).count())

    async def _delete(self, kind: str, query: Query) -> int:
        document = getattr(await self._reading.documents(), kind)
        with translated(f"deleting from {document.get_settings().name}"):
            result = await collection_of(document).delete_many(query)
        return int(result.deleted_count)


class Messages(_Repository):
    """The message log."""

    async def find(
        self,
        *,
        station_id: str | None = None,
        direction: str | None = None,
        message_type: str | None = None,
        action: str | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        session_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        text: str | None = None,
        limit: int | None = 100,
        skip: int = 0,
        newest_first: bool = True,
    ) -> list[Message]:
        """Return messages that fit all that is given, newest first.

        Args:
            station_id: identity of the charging station.
            direction: "sent" or "received", seen from the recording process.
            message_type: "Call", "CallResult", "CallError", "CallResultError", "Send" or "Malformed".
            action: OCPP action; finds calls and their answers.
            message_id: message id on the wire.
            correlation_id: of one call and its answer.
            session_id: of one connection.
            start: recorded at or after, UTC where it has no zone.
            end: recorded before.
            text: part of the raw text, in any case.
            limit: at most so many; None for all.
            skip: leave out so many first.
            newest_first: else oldest first.

        Raises:
            ArgumentError: an argument is wrong.
            StoreUnavailableError: MongoDB did not answer.
        """
        query = _message_query(
            station_id=station_id,
            direction=direction,
            message_type=message_type,
            action=action,
            message_id=message_id,
            correlation_id=correlation_id,
            session_id=session_id,
            start=start,
            end=end,
            text=text,
        )
        sign = "-" if newest_first else "+"
        sort = [f"{sign}sequence"] if session_id is not None else [f"{sign}timestamp", f"{sign}_id"]
        return await self._find("messages", query, sort=sort, limit=limit, skip=skip)

    async def count(self, **filters: Any) -> int:
        """Return how many messages fit; the arguments are those of ``find`` without limit and skip."""
        try:
            query = _message_query(**filters)
        except TypeError as error:
            raise ArgumentError(f"messages.count: {error}") from None
        return await self._count("messages", query)

    async def get(self, key: str | ObjectId) -> Message:
        """Return the message with this ``_id``, as such or as 24 hexadecimal digits.

        Raises:
            NotFoundError: there is none.
        """
        if not isinstance(key, ObjectId) and not (isinstance(key, str) and ObjectId.is_valid(key)):
            raise ArgumentError("key takes an ObjectId or 24 hexadecimal digits")
        found: list[Message] = await self._find("messages", {"_id": ObjectId(key)}, sort=["-_id"], limit=1)
        if not found:
            raise NotFoundError(f"there is no message {key}")
        return found[0]

    async def pair(self, message: Message | str) -> Pair:
        """Return a call and its answer, given either of them or their correlation id.

        Raises:
            NotFoundError: there is no message of that correlation id.
        """
        if isinstance(message, Message) and message.correlation_id is None:
            return Pair(message, None)
        correlation_id = message.correlation_id if isinstance(message, Message) else message
        query = {"correlation_id": _text("correlation_id", correlation_id)}
        found: list[Message] = await self._find("messages", query, sort=["+_id"], limit=10)
        if not found:
            raise NotFoundError(f"there is no message with the correlation id {correlation_id!r}")
        calls = [m for m in found if m.message_type in ("Call", "Send")]
        answers = [m for m in found if m.message_type in ("CallResult", "CallError")]
        return Pair(calls[0] if calls else None, answers[0] if answers else None)

    async def delete_older_than(self, age: timedelta | datetime) -> int:
        """Delete messages recorded before now less ``age``, or before that time; return how many."""
        return await self._delete("messages", {"timestamp": {"$lt": _before(age)}})


class Transactions(_Repository):
    """Charging transactions. Mutations take their place among the frames, so both make one document."""

    async def create(
        self,
        transaction_id: TransactionId,
        station_id: str,
        *,
        connector_id: int | None = None,
        id_tag: str | None = None,
        start_timestamp: datetime | None = None,
        meter_start: float | None = None,
        protocol_version: str | None = None,
        **fields: Any,
    ) -> Transaction:
        """Create a transaction, or complete what was recorded of it from the wire.

        Args:
            transaction_id: an int in OCPP 1.6, a string in 2.x.
            station_id: identity of the charging station.
            connector_id: connector number.
            id_tag: who started it.
            start_timestamp: when charging started; now when None.
            meter_start: Wh.
            protocol_version: "1.6", "2.0.1" or "2.1".
            fields: further fields of ``EDITABLE``.
        """
        now = _now()
        if start_timestamp is None and not await self._is_begun(transaction_id, station_id, connector_id):
            start_timestamp = now
        values = {
            "connector_id": connector_id,
            "id_tag": id_tag,
            "start_timestamp": start_timestamp,
            "meter_start": meter_start,
            "protocol_version": normalise_version(protocol_version),
            **fields,
        }
        known = {name: value for name, value in values.items() if value is not None}
        await self._edit("create", transaction_id, station_id, known, now)
        return await self.get(transaction_id, station_id)

    async def update(self, transaction_id: TransactionId, station_id: str, **fields: Any) -> Transaction:
        """Set fields of ``EDITABLE``.

        Raises:
            NotFoundError: there is no such transaction.
            ArgumentError: a field does not exist or has the wrong type.
        """
        _check_fields(fields)
        await self.get(transaction_id, station_id)
        await self._edit("update", transaction_id, station_id, fields)
        return await self.get(transaction_id, station_id)

    async def complete(
        self,
        transaction_id: TransactionId,
        station_id: str,
        meter_stop: float | None = None,
        reason: str | None = None,
        *,
        stop_timestamp: datetime | None = None,
    ) -> Transaction:
        """Complete a transaction; its energy is worked out.

        Args:
            transaction_id: which one.
            station_id: on which station.
            meter_stop: Wh.
            reason: "Local", "Remote", ...
            stop_timestamp: now when None.

        Raises:
            NotFoundError: there is no such transaction.
        """
        found = await self.get(transaction_id, station_id)
        stopped = stop_timestamp or found.stop_timestamp or _now()
        values = {"meter_stop": meter_stop, "reason": reason, "stop_timestamp": stopped}
        known = {name: value for name, value in values.items() if value is not None}
        await self._edit("complete", transaction_id, station_id, known)
        return await self.get(transaction_id, station_id)

    async def mark_failed(self, transaction_id: TransactionId, station_id: str, reason: str) -> Transaction:
        """Mark a transaction as failed; a stop that is recorded later completes it after all.

        Raises:
            NotFoundError: there is no such transaction.
        """
        await self.get(transaction_id, station_id)
        await self._edit("fail", transaction_id, station_id, {"failure": reason, "reason": reason})
        return await self.get(transaction_id, station_id)

    async def update_transaction_id(self, old: TransactionId, station_id: str, new: TransactionId) -> Transaction:
        """Give a transaction the id that the CSMS chose.

        Raises:
            NotFoundError: there is no transaction with the old id, nor with the new one.
        """
        _check_transaction_id("new", new)
        try:
            await self.get(old, station_id)
        except NotFoundError:
            return await self.get(new, station_id)  # the answer on the wire was recorded first
        await self._edit("rename", old, station_id, {"transaction_id": new})
        return await self.get(new, station_id)

    async def get(self, transaction_id: TransactionId, station_id: str) -> Transaction:
        """Return the transaction of that id, the active one or else the latest when ids repeat.

        Raises:
            NotFoundError: there is none.
        """
        query = {**_of_station(station_id), "transaction_id": _id(transaction_id)}
        found: list[Transaction] = await self._find("transactions", query, sort=["-start_timestamp"], limit=100)
        if not found:
            raise NotFoundError(f"station {station_id!r} has no transaction {transaction_id!r}")
        return next((t for t in found if t.status == "active"), found[0])

    async def active(self, station_id: str | None = None) -> list[Transaction]:
        """Return the active transactions of a station, or of all, newest first."""
        query = {"status": "active", **_of_station(station_id)}
        return await self._find("transactions", query, sort=["-start_timestamp"], limit=None)

    async def active_on_connector(
        self, station_id: str, connector_id: int, *, evse_id: int | None = None
    ) -> Transaction | None:
        """Return the transaction that is active on a connector, or None."""
        query = {
            "status": "active",
            **_of_station(station_id),
            "connector_id": _int("connector_id", connector_id),
        }
        if evse_id is not None:
            query["evse_id"] = _int("evse_id", evse_id)
        found = await self._find("transactions", query, sort=["-start_timestamp"], limit=1)
        return found[0] if found else None

    async def by_station(self, station_id: str, *, limit: int | None = 100, skip: int = 0) -> list[Transaction]:
        """Return the transactions of a station, newest first."""
        query = _of_station(station_id)
        return await self._find("transactions", query, sort=["-start_timestamp", "-_id"], limit=limit, skip=skip)

    async def by_id_tag(self, id_tag: str, *, limit: int | None = 100, skip: int = 0) -> list[Transaction]:
        """Return the transactions that an id tag started, newest first."""
        query = {"id_tag": self._of_person(id_tag)}
        return await self._find("transactions", query, sort=["-start_timestamp", "-_id"], limit=limit, skip=skip)

    async def by_date_range(
        self,
        station_id: str | None,
        start: datetime | None,
        end: datetime | None,
        *,
        limit: int | None = 100,
        skip: int = 0,
    ) -> list[Transaction]:
        """Return the transactions that started at or after ``start`` and before ``end``, newest first."""
        query = {**_of_station(station_id), **_range("start_timestamp", start, end)}
        return await self._find("transactions", query, sort=["-start_timestamp", "-_id"], limit=limit, skip=skip)

    async def stats(self, station_id: str | None = None) -> TransactionStats:
        """Return the figures of a station, or of all."""
        document = (await self._reading.documents()).transactions
        group = {
            "_id": "$status",
            "count": {"$sum": 1},
            "energy": {"$sum": "$energy_consumed"},
            "average": {"$avg": "$energy_consumed"},
        }
        pipeline = [{"$match": _of_station(station_id)}, {"$group": group}]
        with translated("counting transactions"):
            rows = await document.aggregate(pipeline).to_list()
        by_status = {row["_id"]: row for row in rows}
        counts = {status: by_status.get(status, {}).get("count", 0) for status in _STATUSES}
        return TransactionStats(
            total=sum(counts.values()),
            total_energy_wh=sum(row["energy"] or 0 for row in rows),
            average_energy_wh=by_status.get("completed", {}).get("average") or 0,
            **counts,
        )

    async def count(
        self, *, station_id: str | None = None, status: str | None = None, id_tag: str | None = None
    ) -> int:
        """Return how many transactions fit all that is given."""
        query = _of_station(station_id)
        if status is not None:
            query["status"] = _choice("status", status, _STATUSES)
        if id_tag is not None:
            query["id_tag"] = self._of_person(id_tag)
        return await self._count("transactions", query)

    async def delete(self, transaction_id: TransactionId, station_id: str) -> None:
        """Delete the transaction that ``get`` returns.

        Raises:
            NotFoundError: there is none.
        """
        found = await self.get(transaction_id, station_id)
        await self._edit("delete", transaction_id, station_id, {})
        await self._delete("transactions", {"_id": found.id})

    async def delete_older_than(self, age: timedelta | datetime) -> int:
        """Delete transactions that started before now less ``age``, or before that time; active ones stay."""
        # Judged by when they were recorded: a station's clock may stand at 1970.
        chain: list[Query] = []
        unknown: Query = {}
        for name in ("start_received_at", "start_timestamp", "stop_received_at", "stop_timestamp", "created_at"):
            chain.append({**unknown, name: {"$lt": _before(age)}})
            unknown = {**unknown, name: None}
        query = {"$or": chain, "status": {"$ne": "active"}}
        return await self._delete("transactions", query)

    def _of_person(self, id_tag: str) -> Query:
        """Return what matches an id tag as it is stored; nothing, where what is stored tells nobody apart."""
        _text("id_tag", id_tag)
        stored = self._reading.id_tag(id_tag)
        return {"$in": []} if stored == MASK else {"$eq": stored}

    async def _is_begun(self, transaction_id: TransactionId, station_id: str, connector_id: int | None) -> bool:
        """Whether a recorded start is active under this id, or waits on the connector for the CSMS to give it one."""
        waiting = {"transaction_id": None, "connector_id": {"$eq": connector_id}}
        query = {
            "station_id": _text("station_id", station_id),
            "status": "active",
            "$or": [{"transaction_id": _id(transaction_id)}, waiting],
        }
        return await self._count("transactions", query) > 0

    async def _edit(
        self,
        operation: Any,
        transaction_id: TransactionId,
        station_id: str,
        fields: Mapping[str, Any],
        at: datetime | None = None,
    ) -> None:
        _check_transaction_id("transaction_id", transaction_id)
        _text("station_id", station_id)
        if operation != "rename":
            _check_fields(fields)
        clean = {name: _utc(value) if isinstance(value, datetime) else value for name, value in fields.items()}
        await self._reading.edit(TransactionEdit(operation, station_id, transaction_id, clean, at or _now()))


class Stations(_Repository):
    """Charging stations and their connectors."""

    async def get(self, station_id: str) -> Station:
        """Return a station.

        Raises:
            NotFoundError: it was never recorded nor configured.
        """
        found: list[Station] = await self._find("stations", {"_id": _text("station_id", station_id)}, sort=[], limit=1)
        if not found:
            raise NotFoundError(f"there is no station {station_id!r}")
        return found[0]

    async def all(self, *, limit: int | None = None, skip: int = 0) -> list[Station]:
        """Return all stations, by station id."""
        return await self._by({}, limit, skip)

    async def connected(self, *, limit: int | None = None, skip: int = 0) -> list[Station]:
        """Return the stations that are connected now; those of a recorder that died are not."""
        return await self._by({"connection_status": "connected", "$or": _living()}, limit, skip)

    async def by_tag(self, tag: str, *, limit: int | None = None, skip: int = 0) -> list[Station]:
        """Return the stations that a person gave this tag."""
        return await self._by({"tags": _text("tag", tag)}, limit, skip)

    async def by_version(self, protocol_version: str, *, limit: int | None = None, skip: int = 0) -> list[Station]:
        """Return the stations that speak this version; "ocpp1.6" and "1.6" are the same."""
        _text("protocol_version", protocol_version)
        return await self._by({"protocol_version": {"$eq": normalise_version(protocol_version)}}, limit, skip)

    async def enabled(
        self, *, auto_start: bool | None = None, limit: int | None = None, skip: int = 0
    ) -> list[Station]:
        """Return the enabled stations; with ``auto_start``, those where it is so."""
        query: Query = {"enabled": True}
        if auto_start is not None:
            if not isinstance(auto_start, bool):
                raise ArgumentError(f"auto_start takes True or False, not {auto_start!r}")
            query["auto_start"] = auto_start
        return await self._by(query, limit, skip)

    async def configure(
        self,
        station_id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        enabled: bool | None = None,
        auto_start: bool | None = None,
    ) -> Station:
        """Set what a person decides about a station; None leaves as it is. Recording never overwrites it.

        Raises:
            ArgumentError: an argument is wrong.
        """
        _text("station_id", station_id)
        if name is not None:
            _text("name", name)
        if tags is not None and (isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags)):
            raise ArgumentError(f"tags takes a list of texts, not {tags!r}")
        for label, flag in (("enabled", enabled), ("auto_start", auto_start)):
            if flag is not None and not isinstance(flag, bool):
                raise ArgumentError(f"{label} takes True or False, not {flag!r}")
        given = {
            "name": name,
            "tags": None if tags is None else list(tags),
            "enabled": enabled,
            "auto_start": auto_start,
        }
        values = {label: value for label, value in given.items() if value is not None}
        now = _now()
        fresh = {
            **EMPTY_STATION,
            "station_id": station_id,
            "created_at": now,
            "revision": "configured",
            "schema_version": 1,
        }
        update = {
            "$set": {**values, "updated_at": now},
            "$setOnInsert": {label: value for label, value in fresh.items() if label not in values},
        }
        document = (await self._reading.documents()).stations
        with translated("configuring a station"):
            collection = collection_of(document)
            try:
                await collection.update_one({"_id": station_id}, update, upsert=True)
            except DuplicateKeyError:
                # It was first recorded in this moment: now it is there to be updated.
                await collection.update_one({"_id": station_id}, update, upsert=True)
        return await self.get(station_id)

    async def _by(self, query: Query, limit: int | None, skip: int) -> list[Station]:
        return await self._find("stations", query, sort=["+station_id"], limit=limit, skip=skip)


class Sessions(_Repository):
    """WebSocket connections."""

    async def get(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            NotFoundError: there is none of this id.
        """
        _text("session_id", session_id)
        query = {"_id": ObjectId(session_id) if ObjectId.is_valid(session_id) else None}
        found: list[Session] = await self._find("sessions", query, sort=["-_id"], limit=1)
        if not found:
            raise NotFoundError(f"there is no session {session_id!r}")
        return found[0]

    async def find(
        self,
        *,
        station_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = 100,
        skip: int = 0,
    ) -> list[Session]:
        """Return the sessions that opened at or after ``start`` and before ``end``, newest first."""
        query = {**_of_station(station_id), **_range("opened_at", start, end)}
        return await self._find("sessions", query, sort=["-opened_at", "-_id"], limit=limit, skip=skip)

    async def by_station(self, station_id: str, *, limit: int | None = 100, skip: int = 0) -> list[Session]:
        """Return the sessions of a station, newest first."""
        return await self.find(station_id=station_id, limit=limit, skip=skip)

    async def open(self, station_id: str | None = None) -> list[Session]:
        """Return the sessions that are open, newest first; those of a recorder that died are not."""
        query = {"status": "open", "$or": _living(), **_of_station(station_id)}
        return await self._find("sessions", query, sort=["-opened_at", "-_id"], limit=None)


class MeterValues(_Repository):
    """Sampled values."""

    async def find(
        self,
        *,
        station_id: str | None = None,
        transaction_id: TransactionId | None = None,
        connector_id: int | None = None,
        measurand: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = 1000,
        skip: int = 0,
    ) -> list[MeterValue]:
        """Return sampled values that fit all that is given, oldest first.

        Args:
            station_id: identity of the charging station.
            transaction_id: as the message said it; ``by_transaction`` also finds those that did not say it.
            connector_id: connector number.
            measurand: such as "Power.Active.Import".
            start: sampled at or after, UTC where it has no zone.
            end: sampled before.
            limit: at most so many; None for all.
            skip: leave out so many first.
        """
        query = _range("timestamp", start, end)
        if station_id is not None:
            query["metadata.station_id"] = _text("station_id", station_id)
        if transaction_id is not None:
            query["metadata.transaction_id"] = _id(transaction_id)
        if connector_id is not None:
            query["metadata.connector_id"] = _int("connector_id", connector_id)
        if measurand is not None:
            query["metadata.measurand"] = _text("measurand", measurand)
        return await self._find("meter_values", query, sort=["+timestamp", "+_id"], limit=limit, skip=skip)

    async def by_transaction(
        self,
        transaction: Transaction,
        *,
        measurand: str | None = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> list[MeterValue]:
        """Return all values that count for a transaction, oldest first, also where the message named none."""
        if not isinstance(transaction, Transaction):
            raise ArgumentError("by_transaction takes a Transaction, as transactions.get returns it")
        query: Query = {"transaction_ref": str(transaction.id)}
        if measurand is not None:
            query["metadata.measurand"] = _text("measurand", measurand)
        return await self._find("meter_values", query, sort=["+timestamp", "+_id"], limit=limit, skip=skip)

    async def latest(self, station_id: str, measurand: str) -> MeterValue | None:
        """Return the newest value of a measurand at a station, or None."""
        query = {
            "metadata.station_id": _text("station_id", station_id),
            "metadata.measurand": _text("measurand", measurand),
        }
        found = await self._find("meter_values", query, sort=["-timestamp", "-_id"], limit=1)
        return found[0] if found else None


async def _page(document: Any, query: Query, by: str, limit: int | None, skip: int) -> list[Any]:
    """Return one page in the order of (time, ``_id``); documents without a time are the oldest.

    The indexes end with the time, so only an order by time alone is free: one by (time, ``_id``) sorts all that the
    query finds, for each page anew. So the page is read by time, one document wider at each end, and ordered here; only
    where it cuts through documents of one and the same time are those looked at more closely.
    """
    name, newest_first = by[1:], by[0] == "-"
    before = 1 if skip else 0
    found = document.find(query).sort(by).skip(skip - before)
    wide = await (found if limit is None else found.limit(before + limit + 1)).to_list()
    last = len(wide) if limit is None else min(len(wide), before + limit)
    times = [getattr(row, name) for row in wide]
    if last <= before:
        return []
    if not (before and times[0] == times[1]) and not (last < len(wide) and times[last - 1] == times[last]):
        return sorted(wide[before:last], key=lambda row: _place(row, name), reverse=newest_first)
    first_time, last_time = times[before], times[last - 1]
    if first_time is not None and last_time is not None:
        earlier = {"$gt": first_time} if newest_first else {"$not": {"$gte": first_time}}
        skip -= await document.find({"$and": [query, {name: earlier}]}).count()
        oldest, newest = sorted((first_time, last_time))
        query = {"$and": [query, {name: {"$gte": oldest, "$lte": newest}}]}
    near = document.find(query).sort(by, f"{by[0]}_id").skip(skip)
    return await (near if limit is None else near.limit(limit)).to_list()  # type: ignore[no-any-return]


def _place(row: Any, name: str) -> tuple[bool, Any, Any]:
    at = getattr(row, name)
    return (at is not None, at or 0, row.id)


# -- arguments --------------------------------------------------------------------------------------------------


def _message_query(
    *,
    station_id: str | None = None,
    direction: str | None = None,
    message_type: str | None = None,
    action: str | None = None,
    message_id: str | None = None,
    correlation_id: str | None = None,
    session_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    text: str | None = None,
) -> Query:
    query = _range("timestamp", start, end)
    texts = {
        "station_id": station_id,
        "action": action,
        "message_id": message_id,
        "correlation_id": correlation_id,
        "session_id": session_id,
    }
    query |= {name: _text(name, value) for name, value in texts.items() if value is not None}
    if direction is not None:
        query["direction"] = _choice("direction", direction, _DIRECTIONS)
    if message_type is not None:
        query["message_type"] = _choice("message_type", message_type, _MESSAGE_TYPES)
    if text is not None:
        _text("text", text)
        if len(text) > LONGEST_SEARCH:
            raise ArgumentError(f"text takes at most {LONGEST_SEARCH} characters")
        query["raw"] = {"$regex": re.escape(text).replace("\0", r"\x00"), "$options": "i"}
    return query


def _text(name: str, value: object) -> Query:
    """Return a match for exactly this text, whatever is in it."""
    if not isinstance(value, str):
        raise ArgumentError(f"{name} takes a text, not {type(value).__name__}")
    return {"$eq": value}


def _int(name: str, value: object) -> Query:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(f"{name} takes a whole number, not {type(value).__name__}")
    return {"$eq": value}


def _choice(name: str, value: object, choices: Sequence[str]) -> Query:
    if value not in choices:
        raise ArgumentError(f"{name} is one of {', '.join(choices)}, not {value!r}")
    return {"$eq": value}


def _check_transaction_id(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ArgumentError(f"{name} takes an int (OCPP 1.6) or a text (2.x), not {type(value).__name__}")


def _id(value: object) -> Query:
    _check_transaction_id("transaction_id", value)
    return {"$eq": value}


def _living() -> list[Query]:
    return [{"lease_expires_at": None}, {"lease_expires_at": {"$gt": _now()}}]


def _of_station(station_id: str | None) -> Query:
    return {} if station_id is None else {"station_id": _text("station_id", station_id)}


def _range(field: str, start: datetime | None, end: datetime | None) -> Query:
    bounds: Query = {}
    for name, operator, moment in (("start", "$gte", start), ("end", "$lt", end)):
        if moment is not None:
            if not isinstance(moment, datetime):
                raise ArgumentError(f"{name} takes a datetime, not {type(moment).__name__}")
            bounds[operator] = _utc(moment)
    if len(bounds) > 1 and bounds["$gte"] > bounds["$lt"]:
        raise ArgumentError("start lies after end")
    return {field: bounds} if bounds else {}


def _check_page(limit: int | None, skip: int) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= HIGHEST_LIMIT):
        raise ArgumentError(f"limit takes a number from 1 to {HIGHEST_LIMIT}, or None for all, not {limit!r}")
    if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
        raise ArgumentError(f"skip takes a number from 0, not {skip!r}")


def _check_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        kinds = EDITABLE.get(name)
        if kinds is None:
            raise ArgumentError(f"a transaction has no field {name!r} to set; there are {', '.join(EDITABLE)}")
        if isinstance(value, bool) or not isinstance(value, kinds):
            takes = " or ".join(kind.__name__ for kind in kinds)
            raise ArgumentError(f"{name} takes {takes}, not {type(value).__name__}")
    if "status" in fields:
        _choice("status", fields["status"], _STATUSES)


def _before(age: timedelta | datetime) -> datetime:
    if isinstance(age, datetime):
        return _utc(age)
    if not isinstance(age, timedelta) or age < timedelta(0):
        raise ArgumentError(f"age takes a timedelta from 0, or a datetime, not {age!r}")
    try:
        return _now() - age
    except OverflowError:
        raise ArgumentError("age reaches back before the year 1") from None


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except OverflowError:
        raise ArgumentError("a time is needed that lies between the years 1 and 9999 in UTC") from None


def _now() -> datetime:
    return datetime.now(timezone.utc)
