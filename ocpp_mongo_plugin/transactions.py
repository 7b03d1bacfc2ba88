"""What a transaction document is: its groups of fields, and what follows from them.

Hides how energy, missing sequence numbers and anomalies are worked out of what was seen. Promises that ``derive``
depends on the document alone, so that every order of events ends in the same document. Energies are Wh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ocpp_mongo_plugin.changes import Document, Earliest, Highest, Known, Latest, Part, Union
from ocpp_mongo_plugin.frames import Message

ACTIVE, FAILED, COMPLETED = "active", "failed", "completed"

_STATUS_RANK = {ACTIVE: "1", FAILED: "2", COMPLETED: "3"}

_FIRST_WINS = {
    "start": ("start_timestamp", "start_timestamp_text", "start_received_at"),
    "begin": ("meter_start", "reservation_id"),
    "place": ("connector_id", "evse_id"),
    "token": ("id_tag", "id_token_type"),
    "stop": (
        "stop_timestamp",
        "stop_timestamp_text",
        "stop_received_at",
        "meter_stop",
        "reason",
        "stop_id_tag",
    ),
    "register": ("meter_first",),
}
_LAST_WINS = {
    "identity": ("transaction_id",),
    "authorization": ("authorization_status", "parent_id_tag"),
    "cost": ("total_cost",),
    "charging": ("charging_state",),
    "trigger": ("trigger_reason",),
    "meter": ("meter_latest", "meter_latest_at"),
    "status": ("status", "failure"),
}
ID_TAG_FIELDS = ("id_tag", "stop_id_tag", "parent_id_tag")
"""The fields that name a person."""
_PERSONAL = frozenset({"idTag", "idToken"})
_SETS = ("session_ids", "evidence", "seq_nos", "stop_refs", "noted")

EMPTY: Document = {
    "transaction_id": None,
    "station_id": None,
    **{name: None for names in (*_FIRST_WINS.values(), *_LAST_WINS.values()) for name in names},
    "status": ACTIVE,
    "energy_consumed": None,
    "protocol_version": None,
    "remote_start_id": None,
    "offline": None,
    "first_seq_no": None,
    "last_seq_no": None,
    "missing_seq_nos": [],
    **{name: [] for name in _SETS},
    "anomalies": [],
    "clocks": {},
}

_MOST_MISSING = 1_000
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode
_NOT_SEEN = "start not seen"
STOP_WITHOUT_START = "stop without start"


def derived_key(at: datetime | None, *identity: Any) -> str:
    """Return a key of 24 hexadecimal digits: the second of ``at``, then a hash of what identifies the document.

    The leading second keeps the index of ``_id`` local in time. Without a time all digits are the hash. Id tags in a
    payload are left out of it: it is the same transaction after its person was forgotten.
    """
    text = _canonical([_impersonal(part) if isinstance(part, dict) else part for part in identity])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if at is None:
        return digest[:24]
    return f"{int(at.timestamp()) & 0xFFFFFFFF:08x}{digest[:16]}"


def message_identity(station_id: str, message: Message, text: str) -> str:
    """Return what is the same of one message from whichever end it was recorded: its text, but for id tags."""
    if isinstance(message.payload, dict) and not _PERSONAL.isdisjoint(message.payload):
        return derived_key(None, station_id, "station", message.message_id, message.payload)
    told = f"{station_id}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:24]


def numbered_keys(identity: str) -> Callable[[datetime | None], str]:
    """Return what gives the keys of the parts of one document, in turn: the second of a part's time, then its number.

    ``identity`` is a ``derived_key`` without a time. They are counted on from there: a hash for each value costs
    more.
    """
    number = int(identity[:16], 16)
    second, of = "00000000", None

    def key(at: datetime | None) -> str:
        nonlocal number, second, of
        if at is not of:
            of = at
            second = f"{0 if at is None else int(at.timestamp()) & 0xFFFFFFFF:08x}"
        number = (number + 1) & 0xFFFFFFFFFFFFFFFF
        return f"{second}{number:016x}"

    return key


def _impersonal(payload: dict[str, Any]) -> dict[str, Any]:
    if _PERSONAL.isdisjoint(payload):
        return payload
    return {name: value for name, value in payload.items() if name not in _PERSONAL}


def with_status(status: str, clock: str, failure: str | None = None) -> Latest:
    """Return the change to a status; completed outranks failed, failed outranks active, whatever the order."""
    return Latest("status", _STATUS_RANK[status] + clock, {"status": status, "failure": failure})


def everything_of(document: Document) -> tuple[Part, ...]:
    """Return the parts that bring all that one transaction document knows into another one."""
    clocks: dict[str, str] = document.get("clocks") or {}
    first = [Earliest(g, clocks[g], _values(document, f)) for g, f in _FIRST_WINS.items() if g in clocks]
    last = [
        Latest(g, clocks[g], _values(document, f)) for g, f in _LAST_WINS.items() if g in clocks and g != "identity"
    ]
    sets = [Union(name, [m for m in document.get(name) or [] if m != _NOT_SEEN]) for name in _SETS]
    rest = Known({name: document.get(name) for name in ("station_id", "protocol_version", "remote_start_id")})
    return (*first, *last, *sets, rest, Highest({"offline": document.get("offline")}))


def start_is_known(document: Document) -> bool:
    """Whether the start of this transaction was seen, rather than only what came after it."""
    return "start" in (document.get("clocks") or {}) and _NOT_SEEN not in (document.get("noted") or [])


def start_not_seen() -> Union:
    """Return the note that the transaction is known only from what came after its start."""
    return Union("noted", [_NOT_SEEN])


def derive(document: Document) -> set[str]:
    """Work out energy, sequence gaps and anomalies in place; return the names of the fields that changed."""
    anomalies = list(document.get("noted") or [])
    if STOP_WITHOUT_START in anomalies and _started_first(document):
        # The stop was only stored first, as when the start was recovered from a journal.
        anomalies.remove(STOP_WITHOUT_START)
    derived: Document = {}
    if document.get("protocol_version") not in (None, "1.6"):
        if document.get("meter_first") is not None:
            derived["meter_start"] = document["meter_first"]
        if document.get("meter_latest") is not None and document.get("status") == COMPLETED:
            derived["meter_stop"] = document["meter_latest"]
        derived |= _sequence(document, anomalies)
    start = derived.get("meter_start", document.get("meter_start"))
    stop = derived.get("meter_stop", document.get("meter_stop"))
    derived["energy_consumed"] = _energy(document, start, stop, anomalies)
    derived["anomalies"] = anomalies
    changed = {name for name, value in derived.items() if document.get(name) != value}
    document.update(derived)
    return changed


def _started_first(document: Document) -> bool:
    start, stop = document.get("start_received_at"), document.get("stop_received_at")
    return start is not None and stop is not None and bool(start <= stop) and start_is_known(document)


def _energy(document: Document, start: float | None, stop: float | None, anomalies: list[str]) -> int | float | None:
    first, latest = document.get("meter_first"), document.get("meter_latest")
    start = first if start is None else start
    stop = latest if stop is None else stop
    energy = None if start is None or stop is None else _whole(stop - start)
    if energy is None or energy >= 0:
        return energy
    anomalies.append("meter went backwards")
    # meterStart and the samples may come from different registers (lifetime, session): the samples among
    # themselves still say what was delivered.
    sampled = None if first is None or latest is None else _whole(latest - first)
    return sampled if sampled is not None and sampled > 0 else None


def _sequence(document: Document, anomalies: list[str]) -> Document:
    """Return what the seqNos say (OCPP 2.0.1 part 2, E01.FR.07: each event counts one up from 0)."""
    seen: list[int] = document.get("seq_nos") or []
    if not seen:
        return {"first_seq_no": None, "last_seq_no": None, "missing_seq_nos": []}
    low, high = seen[0], seen[-1]
    missing: list[int] = []
    if high - low < len(seen) + _MOST_MISSING:
        present = set(seen)
        missing = [number for number in range(low, high) if number not in present]
        anomalies.extend(f"seqNo {number} missing" for number in missing)
    else:
        anomalies.append(f"{high - low + 1 - len(seen)} seqNos missing between {low} and {high}")
    return {"first_seq_no": low, "last_seq_no": high, "missing_seq_nos": missing}


def _whole(number: float) -> int | float:
    rounded = round(number, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _values(document: Document, names: tuple[str, ...]) -> Document:
    return {name: document.get(name) for name in names}
