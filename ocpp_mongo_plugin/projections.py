"""From facts to changes: what each thing that happened means for the documents.

Hides which transaction a message speaks of when ids are missing, repeated or wrong, and in which order things may
arrive. Promises that it never refuses: what does not fit is kept and noted as an anomaly, in plain words. Pure:
the ledger is memory, time comes with the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from ocpp_mongo_plugin import facts
from ocpp_mongo_plugin.changes import (
    Document,
    Earliest,
    Element,
    Highest,
    Known,
    Latest,
    Merge,
    Part,
    Remove,
    Union,
)
from ocpp_mongo_plugin.frames import Message, PendingCall, wire_clock
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.transactions import (
    ACTIVE,
    COMPLETED,
    FAILED,
    STOP_WITHOUT_START,
    derived_key,
    everything_of,
    message_identity,
    numbered_keys,
    start_is_known,
    start_not_seen,
    with_status,
)

ENERGY_REGISTER = "Energy.Active.Import.Register"
_PLAUSIBLE_YEAR = 2000
_INT64 = 1 << 63
_MOST_EVIDENCE = 1_000
_NOWHERE = object()

Notice: TypeAlias = tuple[Literal["started", "updated", "ended", "station"], str]
"""What the hooks behind the sink are told, and the key of the document."""


class Source(NamedTuple):
    """Where a fact comes from: the frame it was read in, and the call that the frame answers."""

    station_id: str
    session_id: str
    key: str
    """Of the message."""
    clock: str
    protocol_version: str | None
    received_at: datetime | None
    text: str
    """Of the frame."""
    message: Message
    call: PendingCall | None = None

    def evidence(self) -> tuple[Part, ...]:
        """Return what every document that follows from this frame notes of it."""
        return (
            Union("session_ids", [self.session_id]),
            Union("evidence", [self.key], _MOST_EVIDENCE),
            Known({"station_id": self.station_id, "protocol_version": self.protocol_version}),
        )


class Mention(NamedTuple):
    """A transaction that a fact speaks of by its id, so that it can be looked up before the fact is projected."""

    station_id: str
    transaction_id: facts.TransactionId


class MeterValues(NamedTuple):
    """The new meter values of one message; ``documents`` makes one document of each sample."""

    samples: tuple[facts.Sample, ...]
    identity: str
    """From which the keys of the documents follow, in turn."""
    station_id: str
    connector_id: int | None
    evse_id: int | None
    transaction_id: facts.TransactionId | None
    of_all: Document
    """What each document ends with: what is known of the message."""

    def documents(self) -> list[Document]:
        """Return the documents, with ``_id`` as 24 hexadecimal digits."""
        key_at = numbered_keys(self.identity)
        received_at = self.of_all["received_at"]
        documents = []
        for sample in self.samples:
            timestamp = sample.at.at or received_at
            documents.append(
                {
                    "_id": key_at(timestamp),
                    "timestamp": timestamp,
                    "metadata": {
                        "station_id": self.station_id,
                        "connector_id": self.connector_id,
                        "transaction_id": self.transaction_id,
                        "measurand": sample.measurand,
                        "evse_id": self.evse_id,
                        "phase": sample.phase,
                    },
                    "value": sample.value,
                    "original_value": sample.original_value,
                    "timestamp_text": sample.at.text,
                    "unit": sample.unit,
                    "context": sample.context,
                    "format": sample.format,
                    "location": sample.location,
                    "original_unit": sample.original_unit,
                    "multiplier": sample.multiplier,
                    "signed": sample.signed,
                    **self.of_all,
                }
            )
        return documents


@dataclass(slots=True)
class Projection:
    """Projects facts on a ledger, and collects what else the store and the hooks must be told."""

    ledger: Ledger
    meter_values: list[MeterValues] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def project(self, fact: facts.Fact, source: Source) -> None:
        """Project one fact. Never refuses."""
        number = getattr(fact, "transaction_id", None)
        if isinstance(number, int) and not -_INT64 <= number < _INT64:
            # BSON has no such integer; the digits are kept.
            fact = replace(fact, **{"transaction_id": str(number)})  # type: ignore[arg-type]  # noqa: PIE804 - not all facts have it
        _PROJECT[type(fact)](self, fact, source)

    def edit(self, edit: facts.TransactionEdit) -> None:
        """Project what a program says of a transaction through the repository."""
        _edit(self, edit)

    def transaction(self, key: str, *parts: Part) -> None:
        """Change one transaction, and note what the hooks are told of it."""
        before = self.ledger.document("transactions", key)
        status = before.get("status") if before is not None else None
        noticed = self.ledger.merge(Merge("transactions", key, parts))
        after = self.ledger.document("transactions", key) or {}
        if before is None:
            self.notices.append(("started", key))
        if after.get("status") != (status or ACTIVE):
            self.notices.append(("ended", key))
        elif noticed and before is not None:
            self.notices.append(("updated", key))

    def station(self, station_id: str, *parts: Part, urgent: bool = True) -> None:
        """Change one station."""
        if self.ledger.merge(Merge("stations", station_id, parts), urgent=urgent) and urgent:
            self.notices.append(("station", station_id))


# -- stations and connectors ------------------------------------------------------------------------------------


def _booted(projection: Projection, fact: facts.Booted, source: Source) -> None:
    values = {name: getattr(fact, name) for name in fact.__slots__}
    boot = Latest("boot", source.clock, {**values, "last_boot": source.received_at})
    projection.station(source.station_id, boot, _version(source))


def _boot_answered(projection: Projection, fact: facts.BootAnswered, source: Source) -> None:
    values = {"boot_status": fact.status, "heartbeat_interval": fact.heartbeat_interval}
    projection.station(source.station_id, Latest("boot_answer", source.clock, values))


def _heartbeat(projection: Projection, _fact: facts.HeartbeatSeen, source: Source) -> None:
    projection.station(source.station_id, Highest({"last_heartbeat": source.received_at}), urgent=False)


def _status(projection: Projection, fact: facts.StatusReported, source: Source) -> None:
    values = {
        "status": fact.status,
        "error_code": fact.error_code,
        "info": fact.info,
        "vendor_id": fact.vendor_id,
        "vendor_error_code": fact.vendor_error_code,
        "status_timestamp": fact.at.at,
    }
    if fact.evse_id is None and not fact.connector_id:
        # Connector 0 is the main controller (OCPP 1.6 edition 2, section 6.47).
        own = {"status": fact.status, "error_code": fact.error_code}
        projection.station(source.station_id, Latest("status", source.clock, own))
        return
    part = Element(fact.evse_id, fact.connector_id, Latest("status", source.clock, values))
    projection.station(source.station_id, part, _version(source))


def _availability(projection: Projection, fact: facts.AvailabilityChanged, source: Source) -> None:
    part = Latest("availability", source.clock, {"availability": fact.availability})
    if not fact.connector_id and not fact.evse_id:
        projection.station(source.station_id, part)
        return
    for place in _connectors(projection, source.station_id, fact.evse_id, fact.connector_id):
        projection.station(source.station_id, Element(*place, part))


def _reservation(projection: Projection, fact: facts.ReservationChanged, source: Source) -> None:
    station = projection.ledger.document("stations", source.station_id) or {}
    if fact.active:
        places = _connectors(projection, source.station_id, fact.evse_id, fact.connector_id)
    else:
        places = [
            (c["evse_id"], c["connector_id"])
            for c in station.get("connectors") or []
            if c.get("reservation_id") == fact.reservation_id
        ]
    values = {"reservation_id": fact.reservation_id if fact.active else None}
    for place in places:
        projection.station(source.station_id, Element(*place, Latest("reservation", source.clock, values)))


def _station_noted(projection: Projection, fact: facts.StationNoted, source: Source) -> None:
    values: Document = {fact.field: fact.value}
    if fact.field == "last_security_event":
        values["last_security_event_at"] = fact.at.at or source.received_at
    projection.station(source.station_id, Latest(fact.field, source.clock, values))


def _version(source: Source) -> Latest:
    return Latest("version", source.clock, {"protocol_version": source.protocol_version})


def _connectors(
    projection: Projection, station_id: str, evse_id: int | None, connector_id: int | None
) -> list[tuple[int | None, int | None]]:
    """Return the connectors meant: the one named, or all that are known of an EVSE."""
    if connector_id:
        return [(evse_id, connector_id)]
    if not evse_id:
        return []
    station = projection.ledger.document("stations", station_id) or {}
    known = [(c["evse_id"], c["connector_id"]) for c in station.get("connectors") or [] if c["evse_id"] == evse_id]
    return known or [(evse_id, 1)]


def _occupancy(projection: Projection, source_clock: str, key: str) -> None:
    """Have the connector of this transaction name the transaction that is active on it now."""
    document = projection.ledger.document("transactions", key) or {}
    station_id, evse, connector = (document.get(n) for n in ("station_id", "evse_id", "connector_id"))
    if station_id is None or (not evse and not connector):
        return
    places = _connectors(projection, station_id, evse, connector)[:1]
    status = document.get("status")
    # Each meter value says it again: the station need not be written for that.
    if status == ACTIVE and _shown(projection, station_id, places[0]) == document.get("transaction_id"):
        return
    here = [d for _, d in projection.ledger.active(station_id) if _same_place(d, evse, connector)]
    if not here and status == ACTIVE:
        return
    values = {"current_transaction_id": here[-1].get("transaction_id") if here else None}
    for place in places:
        projection.station(station_id, Element(*place, Latest("transaction", source_clock, values)))


def _shown(projection: Projection, station_id: str, place: tuple[int | None, int | None]) -> object:
    """Return the transaction that a connector names; another object when it is not known."""
    station = projection.ledger.document("stations", station_id) or {}
    for connector in station.get("connectors") or ():
        if (connector["evse_id"], connector["connector_id"]) == place:
            return connector.get("current_transaction_id")
    return _NOWHERE


def _same_place(document: Document, evse_id: int | None, connector_id: int | None) -> bool:
    if document.get("evse_id") != evse_id:
        return False
    return document.get("connector_id") == connector_id or (evse_id is not None and connector_id is None)


# -- transactions of OCPP 1.6 -----------------------------------------------------------------------------------


def _started(projection: Projection, fact: facts.TransactionStarted, source: Source) -> None:
    key = _begin(projection, fact, source, source.message)
    projection.transaction(key, with_status(ACTIVE, source.clock), *source.evidence())
    _occupancy(projection, source.clock, key)


def _identified(projection: Projection, fact: facts.TransactionIdentified, source: Source) -> None:
    call = source.call.message if source.call is not None else source.message
    key = _begin(projection, fact.started, source, call)
    own = projection.ledger.document("transactions", key) or {}
    given = fact.transaction_id
    parts: list[Part] = [Latest("identity", source.clock, {"transaction_id": given}), *source.evidence()]
    values = {"authorization_status": fact.authorization_status, "parent_id_tag": fact.parent_id_tag}
    parts.append(Latest("authorization", source.clock, values))
    others = [(k, d) for k, d in _with_id(projection, source.station_id, given) if k != key]
    if any(d.get("status") == ACTIVE and start_is_known(d) for _, d in others):
        parts.append(Union("noted", ["transaction id reused while active"]))
    if fact.authorization_status not in (None, "Accepted") and _is_no_id(given):
        # Without an id there is nothing to stop later: the CSMS refused, so nothing is charging.
        failure = f"start refused: {fact.authorization_status}"
        parts.append(with_status(FAILED, source.clock, failure))
    for other, document in others:
        if not start_is_known(document) and _may_follow(own, document):
            parts.extend(everything_of(document))
            projection.ledger.remove(Remove(other, successor=key))
    projection.transaction(key, *parts)
    if (projection.ledger.document("transactions", key) or {}).get("status") == ACTIVE:
        _supersede(projection, key, fact.started.at.at, source, None, fact.started.connector_id, unseen=True)
    _occupancy(projection, source.clock, key)


def _refused(projection: Projection, fact: facts.TransactionRefused, source: Source) -> None:
    call = source.call.message if source.call is not None else source.message
    key = _begin(projection, fact.started, source, call)
    failure = with_status(FAILED, source.clock, f"start answered with an error: {fact.error}")
    projection.transaction(key, failure, *source.evidence())
    _occupancy(projection, source.clock, key)


def _begin(projection: Projection, fact: facts.TransactionStarted, source: Source, call: Message) -> str:
    """Return the key of the transaction that this StartTransaction began, and write down its start."""
    own = start_key(source.station_id, fact, call)
    known = projection.ledger.document("transactions", own)
    if source.call is not None and known is not None and start_is_known(known):
        return own  # the call was projected before its answer
    key = own if known is not None else _retried(projection, fact, source.station_id) or own
    if known is None and key == own:
        _supersede(projection, own, fact.at.at, source, None, fact.connector_id)
    noted = [f"meterStart {fact.meter_start}"] if fact.meter_start is not None and fact.meter_start < 0 else []
    if key != own and start_is_known(projection.ledger.document("transactions", key) or {}):
        noted.append("start repeated with another message id")
    if fact.at.at is None:
        noted.append("start time not understood")
    # Of an answer the start is known already, with the clock of its call.
    clock = source.clock if source.call is None else _clock_of(source.call)
    received_at = source.received_at if source.call is None else source.call.frame.timestamp
    start = {
        "start_timestamp": fact.at.at or received_at,
        "start_timestamp_text": fact.at.text,
        "start_received_at": received_at,
    }
    begin = {"meter_start": _not_negative(fact.meter_start), "reservation_id": fact.reservation_id}
    projection.transaction(
        key,
        Earliest("start", clock, start),
        Earliest("begin", clock, begin),
        Earliest("place", clock, {"connector_id": fact.connector_id, "evse_id": None}),
        Earliest("token", clock, {"id_tag": fact.id_tag, "id_token_type": None}),
        Union("noted", noted),
        Known({"station_id": source.station_id, "protocol_version": source.protocol_version}),
    )
    return key


def start_key(station_id: str, fact: facts.TransactionStarted, call: Message) -> str:
    """Return the key of the OCPP 1.6 transaction that this StartTransaction begins, the same from either end."""
    return derived_key(fact.at.at, station_id, "station", call.message_id, call.payload)


def _retried(projection: Projection, fact: facts.TransactionStarted, station_id: str) -> str | None:
    """Return the transaction that a start with another message id tells again, or that a program created itself."""
    plausible = fact.at.at is not None and fact.at.at.year >= _PLAUSIBLE_YEAR
    for key, document in reversed(projection.ledger.transactions(station_id)):
        if document.get("connector_id") != fact.connector_id:
            continue
        same = (
            document.get("id_tag") == fact.id_tag
            and document.get("meter_start") == _not_negative(fact.meter_start)
            and document.get("start_timestamp_text") == fact.at.text
            and fact.at.text is not None
        )
        # A station without a clock says 1970 each time: then only a start that still awaits its id is the same.
        by_hand = document.get("status") == ACTIVE and "start" not in (document.get("clocks") or {})
        if by_hand and document.get("id_tag") in (None, fact.id_tag):
            return key
        if same and (plausible or (document.get("status") == ACTIVE and document.get("transaction_id") is None)):
            return key
    return None


def _supersede(
    projection: Projection,
    key: str,
    at: datetime | None,
    source: Source,
    evse_id: int | None,
    connector: int | None,
    *,
    unseen: bool = False,
) -> None:
    """Fail the transactions that still were active where a new one starts.

    Those whose start was not seen wait until the new one has its id, since they may turn out to be the same.
    """
    if not evse_id and not connector:
        return
    for other, document in projection.ledger.active(source.station_id):
        if other == key or not _same_place(document, evse_id, connector) or not (unseen or start_is_known(document)):
            continue
        earlier = document.get("start_timestamp")
        if at is not None and earlier is not None and earlier.year >= _PLAUSIBLE_YEAR and at < earlier:
            continue  # told late, of an earlier time: the active one came after it
        failure = "superseded by a start on the same connector"
        projection.transaction(
            other,
            with_status(FAILED, source.clock, failure),
            Union("noted", ["superseded: no stop was seen"]),
        )


def _stopped(projection: Projection, fact: facts.TransactionStopped, source: Source) -> None:
    key, noted = _stop_of(projection, fact, source)
    if fact.meter_stop is not None and fact.meter_stop < 0:
        noted.append(f"meterStop {fact.meter_stop}")
    if fact.at.at is None:
        noted.append("stop time not understood")
    document = projection.ledger.document("transactions", key) or {}
    stop = {
        "stop_timestamp": fact.at.at or source.received_at,
        "stop_timestamp_text": fact.at.text,
        "stop_received_at": source.received_at,
        "meter_stop": _not_negative(fact.meter_stop),
        "reason": fact.reason or "Local",  # may be left out when it is Local: OCPP 1.6 edition 2, section 6.49
        "stop_id_tag": fact.id_tag,
    }
    if _stopped_otherwise(document, stop):
        noted.append("stopped twice")
    parts: list[Part] = [Earliest("stop", source.clock, stop), with_status(COMPLETED, source.clock)]
    readings = _readings(fact.samples, source, "1")
    parts += [Union("noted", noted), Union("stop_refs", [_stop_ref(source)]), *source.evidence()]
    projection.transaction(key, *parts, *readings)
    place = (document.get("connector_id"), None)
    _meter_values(projection, fact.samples, source, key, place, fact.transaction_id)
    _occupancy(projection, source.clock, key)


def _stop_of(projection: Projection, fact: facts.TransactionStopped, source: Source) -> tuple[str, list[str]]:
    """Return the transaction that this stop ends, and what is odd about that."""
    known = projection.ledger.transactions(source.station_id)
    told = [k for k, d in known if _stop_ref(source) in (d.get("stop_refs") or [])]
    if told:
        return told[-1], []  # told before, or from the other end
    named = _with_id(projection, source.station_id, fact.transaction_id)
    active = [(k, d) for k, d in named if d.get("status") == ACTIVE]
    if active:
        return _best_match(active, fact), []
    if named:
        failed = [(k, d) for k, d in named if d.get("status") == FAILED]
        return (failed or named)[-1][0], []
    unnamed = [(k, d) for k, d in projection.ledger.active(source.station_id) if d.get("transaction_id") is None]
    if len(unnamed) == 1:
        return unnamed[0][0], ["stop before the start's answer"]
    running = projection.ledger.active(source.station_id)
    if _is_no_id(fact.transaction_id) and len(running) == 1:
        return running[0][0], [f"stop names transaction {fact.transaction_id}"]
    key = _stop_ref(source)
    _unseen(projection, key, fact.transaction_id, source)
    return key, [STOP_WITHOUT_START]


def _stop_ref(source: Source) -> str:
    """Return what is the same of one StopTransaction however often, and from whichever end, it is told."""
    return derived_key(None, source.station_id, "stop", source.message.message_id, source.message.payload)


def _best_match(active: list[tuple[str, Document]], fact: facts.TransactionStopped) -> str:
    """Choose among active transactions of one id: by id tag, then by the meter reading nearest below the stop."""

    def distance(item: tuple[str, Document]) -> tuple[bool, bool, float]:
        document = item[1]
        stop = _not_negative(fact.meter_stop)
        reading = document.get("meter_latest") or document.get("meter_start")
        other_tag = fact.id_tag is not None and document.get("id_tag") != fact.id_tag
        if stop is None or reading is None:
            return other_tag, True, 0
        return other_tag, reading > stop, abs(stop - reading)

    return min(active, key=distance)[0]


def _stopped_otherwise(document: Document, stop: Document) -> bool:
    return document.get("status") == COMPLETED and any(
        document.get(name) != stop[name] for name in ("stop_timestamp_text", "meter_stop")
    )


def _unseen(projection: Projection, key: str, transaction_id: facts.TransactionId | None, source: Source) -> None:
    """Begin a transaction of which only a later message was seen."""
    projection.transaction(
        key,
        Latest("identity", source.clock, {"transaction_id": transaction_id}),
        start_not_seen(),
        *source.evidence(),
    )


def _may_follow(start: Document, orphan: Document) -> bool:
    """Whether what was seen without its start can belong to this start: it must not lie before it."""
    began, ended = start.get("start_timestamp"), orphan.get("stop_timestamp")
    return began is None or ended is None or ended >= began


def _with_id(
    projection: Projection, station_id: str, transaction_id: facts.TransactionId | None
) -> list[tuple[str, Document]]:
    return [] if transaction_id is None else projection.ledger.named(station_id, transaction_id)


def _authorized(projection: Projection, fact: facts.TransactionAuthorized, source: Source) -> None:
    known = _with_id(projection, source.station_id, fact.transaction_id)
    if not known:
        return
    parts: list[Part] = [*source.evidence()]
    if fact.authorization_status is not None:
        values = {"authorization_status": fact.authorization_status, "parent_id_tag": fact.parent_id_tag}
        parts.append(Latest("authorization", source.clock, values))
    if fact.total_cost is not None:
        parts.append(Latest("cost", source.clock, {"total_cost": fact.total_cost}))
    projection.transaction(known[-1][0], *parts)


# -- transactions of OCPP 2.x -----------------------------------------------------------------------------------


def _event(projection: Projection, fact: facts.TransactionEvent, source: Source) -> None:
    key = event_key(source.station_id, fact.transaction_id)
    order = f"{fact.seq_no or 0:012d}"
    if fact.event == "Started" and projection.ledger.document("transactions", key) is None:
        _supersede(projection, key, fact.at.at, source, fact.evse_id, fact.connector_id)
    start = {
        "start_timestamp": fact.at.at or source.received_at,
        "start_timestamp_text": fact.at.text,
        "start_received_at": source.received_at,
    }
    parts: list[Part] = [
        Known({"transaction_id": fact.transaction_id, "remote_start_id": fact.remote_start_id}),
        Known({"reservation_id": fact.reservation_id}),
        Earliest("start", ("0" if fact.event == "Started" else "1") + order, start),
        Latest("trigger", order, {"trigger_reason": fact.trigger_reason}),
        Union("seq_nos", [] if fact.seq_no is None else [fact.seq_no]),
        with_status(COMPLETED if fact.event == "Ended" else ACTIVE, order),
        *_event_details(fact, order),
        *_event_end(fact, order, source),
        *_readings(fact.samples, source, order),
        *source.evidence(),
    ]
    projection.transaction(key, *parts)
    document = projection.ledger.document("transactions", key) or {}
    place = (document.get("connector_id"), document.get("evse_id"))
    _meter_values(projection, fact.samples, source, key, place, fact.transaction_id)
    _occupancy(projection, source.clock, key)


def _event_details(fact: facts.TransactionEvent, order: str) -> Iterable[Part]:
    if fact.evse_id is not None:
        yield Earliest("place", order, {"evse_id": fact.evse_id, "connector_id": fact.connector_id})
    if fact.id_token is not None and fact.event != "Ended":
        yield Earliest("token", order, {"id_tag": fact.id_token, "id_token_type": fact.id_token_type})
    if fact.charging_state is not None:
        yield Latest("charging", order, {"charging_state": fact.charging_state})
    if fact.offline is not None:
        yield Highest({"offline": fact.offline})


def _event_end(fact: facts.TransactionEvent, order: str, source: Source) -> Iterable[Part]:
    if fact.event != "Ended":
        return
    stop = {
        "stop_timestamp": fact.at.at or source.received_at,
        "stop_timestamp_text": fact.at.text,
        "stop_received_at": source.received_at,
        "reason": fact.stopped_reason or "Local",  # may be left out when it is Local: OCPP 2.0.1 part 2, E06
        "stop_id_tag": fact.id_token,
    }
    yield Earliest("stop", order, stop)


def event_key(station_id: str, transaction_id: str) -> str:
    """Return the key of an OCPP 2.x transaction: its id is unique on its station (part 2, E01)."""
    return derived_key(None, station_id, "transaction", transaction_id)


# -- meter values -----------------------------------------------------------------------------------------------


def _metered(projection: Projection, fact: facts.Metered, source: Source) -> None:
    key = _metered_transaction(projection, fact, source)
    if key is not None:
        readings = _readings(fact.samples, source, "1")
        projection.transaction(key, *readings, *source.evidence())
        _occupancy(projection, source.clock, key)
    _meter_values(projection, fact.samples, source, key, (fact.connector_id, fact.evse_id), fact.transaction_id)


def _metered_transaction(projection: Projection, fact: facts.Metered, source: Source) -> str | None:
    """Return the transaction these samples belong to: by id, else the one active on the connector."""
    named = _with_id(projection, source.station_id, fact.transaction_id)
    here = [k for k, d in named if d.get("status") == ACTIVE and d.get("connector_id") == fact.connector_id]
    active = [k for k, d in named if d.get("status") == ACTIVE]
    if here or active or named:
        return (here or active or [k for k, _ in named])[-1]
    if fact.evse_id is not None:
        return None  # OCPP 2.x: what belongs to a transaction comes in TransactionEvent (part 2, J02)
    if not _is_no_id(fact.transaction_id):
        message = source.message
        key = derived_key(None, source.station_id, "unseen start", message.message_id, message.payload)
        _unseen(projection, key, fact.transaction_id, source)
        place = {"connector_id": fact.connector_id, "evse_id": None}
        first = next((s.at.at for s in fact.samples if s.at.at is not None), source.received_at)
        start = {
            "start_timestamp": first,
            "start_timestamp_text": None,
            "start_received_at": source.received_at,
        }
        projection.transaction(key, Earliest("place", "~", place), Earliest("start", "~" + source.clock, start))
        _supersede(projection, key, first, source, None, fact.connector_id, unseen=True)
        return key
    running = projection.ledger.active(source.station_id) if fact.connector_id else []
    on_connector = [k for k, d in running if d.get("connector_id") == fact.connector_id]
    return on_connector[-1] if on_connector else None


def _readings(samples: Iterable[facts.Sample], source: Source, order: str) -> Iterable[Part]:
    """Return what the energy register said: the first reading, and the latest."""
    clock = source.clock if order == "1" else ""
    for index, (context, at, energy) in enumerate(_registers(samples)):
        begin, end = context == "Transaction.Begin", context == "Transaction.End"
        tail = f"{order}{clock}{index:06d}"
        first = ("0" if begin else "1") + tail
        latest = ("0" if begin else "2" if end else "1") + tail
        yield Earliest("register", first, {"meter_first": energy})
        yield Latest("meter", latest, {"meter_latest": energy, "meter_latest_at": at or source.received_at})


def _registers(samples: Iterable[facts.Sample]) -> list[tuple[str | None, datetime | None, int | float]]:
    """Return one energy reading (Wh) a moment: the total at the outlet, or else the sum of its phases."""
    moments: dict[tuple[str | None, str | None], list[facts.Sample]] = {}
    for sample in samples:
        if sample.measurand == ENERGY_REGISTER and sample.value is not None and sample.unit == "Wh":
            moments.setdefault((sample.at.text, sample.context), []).append(sample)
    readings: list[tuple[str | None, datetime | None, int | float]] = []
    for (_, context), group in moments.items():
        outlet = [s for s in group if s.location in (None, "Outlet")] or group
        totals = [s.value for s in outlet if s.phase is None and s.value is not None]
        phases = {s.phase: s.value for s in outlet if s.phase in ("L1", "L2", "L3") and s.value is not None}
        if totals or phases:
            energy = totals[-1] if totals else round(sum(phases.values()), 6)
            readings.append((context, group[0].at.at, energy))
    return readings


def _meter_values(
    projection: Projection,
    samples: tuple[facts.Sample, ...],
    source: Source,
    key: str | None,
    place: tuple[int | None, int | None],
    transaction_id: facts.TransactionId | None,
) -> None:
    if not samples:
        return
    of_all: Document = {
        "transaction_ref": key,
        "message_ref": source.key,
        "session_id": source.session_id,
        "received_at": source.received_at,
        "protocol_version": source.protocol_version,
        "created_at": None,
        "schema_version": 1,
    }
    identity = message_identity(source.station_id, source.message, source.text)
    values = MeterValues(samples, identity, source.station_id, *place, transaction_id, of_all)
    projection.meter_values.append(values)


# -- a program's own word ---------------------------------------------------------------------------------------


def _edit(projection: Projection, edit: facts.TransactionEdit) -> None:
    known = _with_id(projection, edit.station_id, edit.transaction_id)
    active = [k for k, d in known if d.get("status") == ACTIVE]
    key = active[-1] if active else known[-1][0] if known else None
    if edit.operation == "create":
        key = active[-1] if active else _created(projection, edit)
    if key is None:
        return
    if edit.operation == "delete":
        projection.ledger.remove(Remove(key))
        return
    fields = dict(edit.fields)
    if edit.operation == "complete":
        projection.transaction(key, _by_hand(projection, key, "status", {"status": COMPLETED, "failure": None}, "3"))
    elif edit.operation == "fail":
        failure = {"status": FAILED, "failure": fields.pop("failure", None)}
        projection.transaction(key, _by_hand(projection, key, "status", failure, "2"))
    elif edit.operation == "rename":
        projection.transaction(key, _by_hand(projection, key, "identity", fields))
        fields = {}
    if "status" in fields:
        status = {"status": fields.pop("status")}
        projection.transaction(key, _by_hand(projection, key, "status", status))
    projection.transaction(key, *(_by_hand(projection, key, f"edited {n}", {n: v}) for n, v in fields.items()))
    _occupancy(projection, "", key)


def _by_hand(projection: Projection, key: str, group: str, values: Mapping[str, Any], rank: str = "") -> Latest:
    """Set fields by hand: what a person says stands until something newer is recorded."""
    document = projection.ledger.document("transactions", key) or {}
    clock = (document.get("clocks") or {}).get(group, "")
    return Latest(group, max(clock, rank) + "~", values)


def _created(projection: Projection, edit: facts.TransactionEdit) -> str:
    """Return the transaction a program creates: the one that was started on that connector, else a new one."""
    connector = edit.fields.get("connector_id")
    waiting = [
        k
        for k, d in projection.ledger.active(edit.station_id)
        if d.get("transaction_id") is None and d.get("connector_id") == connector
    ]
    if waiting:
        projection.transaction(waiting[-1], Latest("identity", "", {"transaction_id": edit.transaction_id}))
        return waiting[-1]
    if isinstance(edit.transaction_id, str):
        key = event_key(edit.station_id, edit.transaction_id)
    else:
        started = edit.fields.get("start_timestamp") or edit.at
        key = derived_key(started, edit.station_id, "created", edit.transaction_id, started.isoformat())
    identity = Latest("identity", "", {"transaction_id": edit.transaction_id})
    projection.transaction(key, Known({"station_id": edit.station_id}), identity)
    return key


# -- the table --------------------------------------------------------------------------------------------------

_PROJECT: dict[type, Callable[[Projection, Any, Source], None]] = {
    facts.Booted: _booted,
    facts.BootAnswered: _boot_answered,
    facts.HeartbeatSeen: _heartbeat,
    facts.StatusReported: _status,
    facts.AvailabilityChanged: _availability,
    facts.ReservationChanged: _reservation,
    facts.StationNoted: _station_noted,
    facts.TransactionStarted: _started,
    facts.TransactionIdentified: _identified,
    facts.TransactionRefused: _refused,
    facts.TransactionStopped: _stopped,
    facts.Metered: _metered,
    facts.TransactionEvent: _event,
    facts.TransactionAuthorized: _authorized,
}


def _is_no_id(transaction_id: facts.TransactionId | None) -> bool:
    """Whether it is none, or one of those that programs send for none: 0, -1, -16."""
    return transaction_id is None or (isinstance(transaction_id, int) and transaction_id <= 0)


def _not_negative(number: float | None) -> int | float | None:
    return None if number is None or number < 0 else number


def _clock_of(call: PendingCall) -> str:
    return wire_clock(call.frame.session_id, call.frame.sequence)
