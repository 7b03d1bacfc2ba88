"""The documents that change, as far as this process knows them: stations, sessions and their transactions.

Hides which documents are in memory, which of them differ from the store, and which transaction a mention means when
ids repeat. Promises that every change goes through ``merge``, so that the store can be told afterwards what to
write, and a document that somebody else wrote meanwhile can be merged again. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from ocpp_mongo_plugin import changes, transactions
from ocpp_mongo_plugin.changes import Document, Merge, Remove, Revision

Mutable: TypeAlias = Literal["transactions", "stations", "sessions"]

_RECENT = 4
_NEVER = datetime.min.replace(tzinfo=timezone.utc)

_BOOKKEEPING = frozenset(
    {"clocks", "evidence", "session_ids", "seq_nos", "first_seq_no", "last_seq_no", "noted", "stop_refs"}
)


class Ledger:
    """The documents in memory, by collection and key."""

    def __init__(self) -> None:
        self._documents: dict[tuple[Mutable, str], Document] = {}
        self._of_station: dict[str, dict[str, Document]] = {}
        self._revisions: dict[tuple[Mutable, str], Revision] = {}
        self._removals: dict[str, Remove] = {}
        self._loaded: set[str] = set()

    # -- what is known ---------------------------------------------------------------------------------------

    def document(self, collection: Mutable, key: str) -> Document | None:
        """Return a document, or None when it is not in memory."""
        return self._documents.get((collection, key))

    def transactions(self, station_id: str) -> list[tuple[str, Document]]:
        """Return the transactions of a station that are in memory, oldest start first."""
        return _by_start(list(self._of_station.get(station_id, {}).items()))

    def active(self, station_id: str) -> list[tuple[str, Document]]:
        """Return the active transactions of a station, oldest start first."""
        known = self._of_station.get(station_id, {}).items()
        return _by_start([(k, d) for k, d in known if d.get("status") == transactions.ACTIVE])

    def named(self, station_id: str, transaction_id: int | str) -> list[tuple[str, Document]]:
        """Return the transactions of a station that have this id, oldest start first."""
        known = self._of_station.get(station_id, {}).items()
        return _by_start([(k, d) for k, d in known if d.get("transaction_id") == transaction_id])

    def has_active(self, station_id: str, transaction_id: int | str) -> bool:
        """Whether an active transaction of this station has this id."""
        known = self._of_station.get(station_id, {}).values()
        return any(d.get("transaction_id") == transaction_id and d.get("status") == transactions.ACTIVE for d in known)

    def is_loaded(self, station_id: str) -> bool:
        """Whether the station's own document and its active transactions were asked for."""
        return station_id in self._loaded

    # -- what is learned from the store -----------------------------------------------------------------------

    def loaded(self, station_id: str) -> None:
        """Note that all the store has of this station was handed to ``learn``."""
        self._loaded.add(station_id)

    def reload(self, station_id: str) -> None:
        """Ask the store again before this station's next event: another process may have recorded it meanwhile."""
        self._loaded.discard(station_id)

    def learn(self, collection: Mutable, key: str, document: Document) -> None:
        """Take a document from the store, unless a newer one is in memory."""
        if (collection, key) not in self._revisions:
            self._put(collection, key, document)

    def relearn(self, collection: Mutable, key: str, document: Document | None) -> None:
        """Take what somebody else wrote meanwhile, and make this process's unwritten changes to it again."""
        revision = self._revisions.pop((collection, key))
        self._put(collection, key, document if document is not None else _empty(collection, key))
        parts = tuple(part for kept in revision.parts.values() for part in kept)
        self.merge(Merge(collection, key, parts), urgent=revision.urgent)

    # -- changes ----------------------------------------------------------------------------------------------

    def merge(self, merge: Merge, *, urgent: bool = True) -> bool:
        """Apply a change; return whether anything that a reader would notice changed.

        What is not ``urgent`` waits for the periodic sync.
        """
        key = (merge.collection, merge.key)
        document = self._documents.get(key)
        if document is None:
            document = self._put(merge.collection, merge.key, _empty(merge.collection, merge.key))
        changed = changes.apply(document, merge)
        if merge.collection == "transactions":
            changed |= transactions.derive(document)
            self._of_station.setdefault(document["station_id"], {})[merge.key] = document
        if not changed and "revision" in document:
            return False
        revision = self._revisions.get(key)
        if revision is None:
            revision = self._revisions[key] = Revision(merge.collection, merge.key, document)
        revision.fields |= changed
        for part in merge.parts:
            changes.keep(revision.parts, part)
        revision.urgent = revision.urgent or (urgent and bool(changed))
        return not changed <= _BOOKKEEPING

    def remove(self, removal: Remove) -> None:
        """Forget a transaction and have the store delete it."""
        self._removals[removal.key] = removal
        self._revisions.pop(("transactions", removal.key), None)
        self.forget_transaction(removal.key)

    # -- what the store must be told --------------------------------------------------------------------------

    def revisions(self, *, all_of_them: bool) -> list[Revision]:
        """Return the documents that differ from the store: the urgent ones, or all."""
        return [r for r in self._revisions.values() if all_of_them or r.urgent]

    def removals(self) -> list[Remove]:
        """Return the transactions that the store must delete."""
        return list(self._removals.values())

    def written(self, revision: Revision) -> None:
        """Note that the store has this document as it is now."""
        self._revisions.pop((revision.collection, revision.key), None)

    def removed(self, removal: Remove) -> None:
        """Note that the store deleted it."""
        self._removals.pop(removal.key, None)

    def forget_transaction(self, key: str) -> None:
        """Forget a transaction that is not in the store any more."""
        document = self._documents.pop(("transactions", key), None)
        if document is not None:
            self._of_station.get(document.get("station_id") or "", {}).pop(key, None)

    def forget_written(self) -> None:
        """Forget every station of which all is written; it is asked for again when it is spoken of."""
        for station_id in list(self._loaded):
            if self._is_written(station_id):
                self._forget_station(station_id)

    def trim(self, idle: Iterable[str] = ()) -> None:
        """Forget what is written and over: all but a few ended transactions, and the stations named ``idle``."""
        for station_id in idle:
            if self._is_written(station_id):
                self._forget_station(station_id)
        for station_id, known in self._of_station.items():
            if len(known) > _RECENT:
                self._forget_ended(station_id, known)

    def trim_sessions(self, living: Container[str]) -> None:
        """Forget the sessions that are written and not among the living."""
        known = [key for collection, key in self._documents if collection == "sessions" and key not in living]
        for key in known:
            if ("sessions", key) not in self._revisions:
                del self._documents["sessions", key]

    # -- inside -----------------------------------------------------------------------------------------------

    def _put(self, collection: Mutable, key: str, document: Document) -> Document:
        self._documents[collection, key] = document
        if collection == "transactions" and document.get("station_id") is not None:
            self._of_station.setdefault(document["station_id"], {})[key] = document
        return document

    def _is_written(self, station_id: str) -> bool:
        keys = [("transactions", k) for k in self._of_station.get(station_id, {})]
        return not any(k in self._revisions for k in [("stations", station_id), *keys])

    def _forget_station(self, station_id: str) -> None:
        for key in self._of_station.pop(station_id, {}):
            self._documents.pop(("transactions", key), None)
        self._documents.pop(("stations", station_id), None)
        self._loaded.discard(station_id)

    def _forget_ended(self, station_id: str, known: dict[str, Document]) -> None:
        ended = [k for k, d in self.transactions(station_id) if d.get("status") != transactions.ACTIVE]
        for key in ended[:-_RECENT]:
            if ("transactions", key) not in self._revisions:
                del known[key]
                self._documents.pop(("transactions", key), None)


def _by_start(found: list[tuple[str, Document]]) -> list[tuple[str, Document]]:
    if len(found) > 1:
        found.sort(key=lambda item: _started(item[1]))
    return found


def _started(document: Document) -> datetime:
    # By receipt: the clocks of stations are wrong too often. Without a time of receipt the order of arrival stays.
    return document.get("start_received_at") or document.get("stop_received_at") or _NEVER


def _empty(collection: Mutable, key: str) -> Document:
    template = {"transactions": transactions.EMPTY, "stations": EMPTY_STATION, "sessions": EMPTY_SESSION}[collection]
    document = {name: _fresh(value) for name, value in template.items()}
    if collection != "transactions":
        document["station_id" if collection == "stations" else "session_id"] = key
    return document


def _fresh(value: object) -> object:
    return value.copy() if isinstance(value, list | dict) else value


EMPTY_STATION: Document = {
    "station_id": None,
    # A person's own: written once, with the document, and never again.
    "name": None,
    "tags": [],
    "enabled": True,
    "auto_start": False,
    "protocol_version": None,
    "connection_status": "disconnected",
    "connected_at": None,
    "disconnected_at": None,
    "last_heartbeat": None,
    "last_error": None,
    "last_seen": None,
    "session_id": None,
    "recorder": None,
    "lease_expires_at": None,
    "status": None,
    "error_code": None,
    "availability": None,
    "vendor": None,
    "model": None,
    "serial_number": None,
    "box_serial_number": None,
    "firmware_version": None,
    "iccid": None,
    "imsi": None,
    "meter_type": None,
    "meter_serial_number": None,
    "boot_reason": None,
    "boot_status": None,
    "heartbeat_interval": None,
    "last_boot": None,
    "firmware_status": None,
    "diagnostics_status": None,
    "log_status": None,
    "last_security_event": None,
    "last_security_event_at": None,
    "connectors": [],
    "clocks": {},
}

EMPTY_SESSION: Document = {
    "session_id": None,
    "station_id": None,
    "role": None,
    "status": "open",
    "source": "websocket",
    "opened_at": None,
    "connected_at": None,
    "closed_at": None,
    "close_code": None,
    "close_reason": None,
    "error": None,
    "protocol_version": None,
    "subprotocol": None,
    "remote_address": None,
    "messages_sent": 0,
    "messages_received": 0,
    "last_sequence": None,
    "last_message_at": None,
    "reconnect_attempts": 0,
    "recorder": None,
    "lease_expires_at": None,
    "clocks": {},
}
