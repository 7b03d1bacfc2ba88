"""What is stored: one model for each of the five collections, their indexes, and their binding to Beanie.

Hides Beanie and how it keeps its state. Promises that every document this package writes validates as its model,
that every time read is UTC and says so, and that two plugins in one process do not share a document class: Beanie
keeps the collection in the class, so ``bind`` makes new classes for each plugin. The models themselves are plain
pydantic, for types and validation. Treat what is read as read-only: the repositories write, Beanie's ``save`` would
write over what was recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from beanie import Document, PydanticObjectId, init_beanie
from bson import DBRef
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.drivers import collection_of, readable
from ocpp_mongo_plugin.frames import Direction, MessageType, Origin

SCHEMA_VERSION = 1

ModelT = TypeVar("ModelT", bound=BaseModel)


def _in_utc(value: object) -> object:
    """Say of a time that it is UTC: BSON keeps no zone, and drivers give naive times unless told otherwise."""
    if not isinstance(value, datetime) or value.tzinfo is timezone.utc:
        return value
    if value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    try:
        return value.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("not a time between the years 1 and 9999 in UTC") from error


def _as_on_the_wire(value: Any) -> Any:
    """Undo what the driver makes of an object with the keys ``$ref`` and ``$id``: a DBRef, wherever it stands."""
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Mapping):
        return {key: _as_on_the_wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_on_the_wire(item) for item in value]
    return value


Moment: TypeAlias = Annotated[datetime, BeforeValidator(_in_utc)]
"""UTC, to the millisecond."""
Number: TypeAlias = int | float
TransactionId: TypeAlias = StrictInt | StrictStr
"""An integer in OCPP 1.6, a string in 2.0.1 and 2.1: 1 and "1" are two ids."""
Json: TypeAlias = Annotated[Any, BeforeValidator(_as_on_the_wire)]
TransactionStatus: TypeAlias = Literal["active", "completed", "failed"]
ConnectionStatus: TypeAlias = Literal["connecting", "connected", "disconnected"]


class _Stored(BaseModel):
    """Unknown fields are refused, so that a writer and its model cannot drift apart."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class Message(_Stored):
    """One frame that crossed the wire, and what it is."""

    id: PydanticObjectId = Field(alias="_id")
    """Derived from session and sequence: a frame that is written twice is stored once."""
    station_id: str
    """Identity of the charging station; may be empty, as some real ones are."""
    direction: Direction
    """As seen from the process that recorded it."""
    message_type: MessageType
    """Send exists in OCPP 2.1 only; Malformed is what is no OCPP-J message."""
    action: str | None = None
    """Of an answer: that of its call. None when it is unknown."""
    message_id: str | None = None
    """The id on the wire, as text. Stations repeat ids: correlation_id does not."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"; None when nobody said."""
    payload: Json = None
    """The JSON on the wire, keys untouched; of errors, the details."""
    timestamp: Moment | None = None
    """When it was recorded; None only for imported frames without a time."""
    correlation_id: str | None = None
    """Joins a call and its answer, and nothing else: the _id of the call, as 24 hexadecimal digits."""
    error_code: str | None = None
    """Of CallError and CallResultError."""
    error_description: str | None = None
    """Of CallError and CallResultError; of Malformed, what is wrong with it."""
    error_details: Json = None
    """Of CallError and CallResultError."""
    created_at: Moment | None = None
    """When this document was written."""
    origin: Origin | None = None
    """Who wrote the frame; None when the recorder could not tell."""
    session_id: str
    """The WebSocket connection it crossed: _id in sessions, as 24 hexadecimal digits."""
    sequence: int
    """Its place on the wire within the session, from 0, both directions counted together."""
    raw: str | None = None
    """The text on the wire; empty where raw_zlib holds it."""
    raw_zlib: bytes | None = None
    """The text on the wire, compressed with zlib, where the document would be over 16 MiB."""
    latency_ms: Number | None = None
    """Of answers: milliseconds since the call."""
    outcome: Literal["answered", "error", "timeout", "unanswered"] | None = None
    """Of calls: what became of it; None while that is open."""
    delivered: bool = True
    """False when sending it raised an error in the recorded program, or had not ended when the session closed."""
    seen_on_socket: bool = True
    """False when the program handed it to ``route_message`` and no socket was to be seen: shapes.md; else absent."""
    redacted: list[str] | None = None
    """Paths of what was replaced by ``***`` or a pseudonym because it is secret or personal; None when nothing was."""
    lossy: list[str] | None = None
    """Why payload or raw is not exactly what crossed the wire; None when it is."""
    schema_version: int = SCHEMA_VERSION
    """Of this document."""


class Transaction(_Stored):
    """One charging transaction."""

    id: PydanticObjectId = Field(alias="_id")
    """Derived from what began it, so that both ends of a connection write the same document."""
    transaction_id: TransactionId | None = None
    """An integer in OCPP 1.6, a string in 2.0.1 and 2.1; None until the CSMS gave one. Not unique."""
    station_id: str
    """Identity of the charging station."""
    connector_id: int | None = None
    """From 1, as the station numbers them; None when it was never said."""
    id_tag: str | None = None
    """The idTag (1.6) or idToken (2.x) that started it: personal data."""
    start_timestamp: Moment | None = None
    """When it started, by the station's clock."""
    stop_timestamp: Moment | None = None
    """When it stopped, by the station's clock."""
    meter_start: Number | None = None
    """Energy register at the start, Wh."""
    meter_stop: Number | None = None
    """Energy register at the stop, Wh."""
    energy_consumed: Number | None = None
    """Energy delivered so far, Wh: from meter_start and meter_stop, or from samples; None when unknown."""
    reason: str | None = None
    """Why it stopped, in the station's word ("Local", "EVDisconnected", ...)."""
    status: TransactionStatus = "active"
    """active, completed (its stop is known) or failed (it ended without a stop of its own)."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"; None when nobody said."""
    created_at: Moment | None = None
    """When this document was first written."""
    updated_at: Moment | None = None
    """When this document was last written."""
    evse_id: int | None = None
    """From 1 (OCPP 2.x); None in 1.6."""
    meter_first: Number | None = None
    """First sample of the energy register, Wh."""
    meter_latest: Number | None = None
    """Latest sample of the energy register, Wh."""
    meter_latest_at: Moment | None = None
    """Time of the latest sample."""
    charging_state: str | None = None
    """Charging, EVConnected, SuspendedEV, SuspendedEVSE or Idle (OCPP 2.x)."""
    stop_id_tag: str | None = None
    """The idTag or idToken that stopped it: personal data."""
    id_token_type: str | None = None
    """Kind of id_tag (OCPP 2.x): Central, ISO14443, eMAID, ..."""
    authorization_status: str | None = None
    """The CSMS's answer on id_tag: Accepted, Blocked, Expired, Invalid, ConcurrentTx, ..."""
    parent_id_tag: str | None = None
    """parentIdTag (1.6) or groupIdToken (2.x)."""
    reservation_id: int | None = None
    """The reservation it used up."""
    remote_start_id: int | None = None
    """The remote start that asked for it (OCPP 2.x)."""
    offline: bool | None = None
    """Whether any of it happened while the station was offline (OCPP 2.x)."""
    first_seq_no: int | None = None
    """Lowest seqNo seen (OCPP 2.x)."""
    last_seq_no: int | None = None
    """Highest seqNo seen (OCPP 2.x)."""
    missing_seq_nos: list[int] = Field(default_factory=list)
    """seqNos between these that were not seen (OCPP 2.x); at most about a thousand are listed."""
    seq_nos: list[int] = Field(default_factory=list)
    """All seqNos seen (OCPP 2.x)."""
    trigger_reason: str | None = None
    """triggerReason of the latest event (OCPP 2.x)."""
    total_cost: Number | None = None
    """Running or final cost, in the tariff's currency (OCPP 2.x)."""
    failure: str | None = None
    """Why it failed, in one line; None unless it failed."""
    start_timestamp_text: str | None = None
    """The start time as the station wrote it."""
    stop_timestamp_text: str | None = None
    """The stop time as the station wrote it."""
    start_received_at: Moment | None = None
    """When its start was recorded."""
    stop_received_at: Moment | None = None
    """When its stop was recorded."""
    session_ids: list[str] = Field(default_factory=list)
    """The sessions it was told in."""
    evidence: list[str] = Field(default_factory=list)
    """_id of every message it is made of, as 24 hexadecimal digits."""
    noted: list[str] = Field(default_factory=list)
    """Anomalies that do not follow from the other fields."""
    stop_refs: list[str] = Field(default_factory=list)
    """Which StopTransaction messages ended it (OCPP 1.6)."""
    anomalies: list[str] = Field(default_factory=list)
    """What was odd about it, in plain words ("stop without start")."""
    clocks: dict[str, str] = Field(default_factory=dict)
    """For each group of fields, the event that set it: a late event moves nothing backwards."""
    revision: str | None = None
    """Names this state of the document, so that two writers notice each other."""
    schema_version: int = SCHEMA_VERSION
    """Of this document."""


class Connector(_Stored):
    """One connector of a station, or in OCPP 2.x one EVSE's. What people added to it themselves is kept."""

    model_config = ConfigDict(extra="allow")

    connector_id: int | None = None
    """From 1; 0 is the whole station in OCPP 1.6."""
    evse_id: int | None = None
    """From 1 (OCPP 2.x); None in 1.6."""
    status: str | None = None
    """In the station's word: Available, Preparing, Charging, Occupied, Faulted, ..."""
    current_transaction_id: TransactionId | None = None
    """transaction_id of the transaction that is active on it."""
    error_code: str | None = None
    """errorCode (OCPP 1.6)."""
    info: str | None = None
    """Free text of the station (OCPP 1.6)."""
    vendor_id: str | None = None
    """Whose vendor_error_code it is (OCPP 1.6)."""
    vendor_error_code: str | None = None
    """The vendor's own error code (OCPP 1.6)."""
    status_timestamp: Moment | None = None
    """Time of the status, by the station's clock."""
    availability: str | None = None
    """Operative or Inoperative, as the CSMS last set it."""
    reservation_id: int | None = None
    """The reservation that holds it."""
    clocks: dict[str, str] = Field(default_factory=dict)
    """For each group of fields, the event that set it."""


class Station(_Stored):
    """One charging station: what a person configured, what it says of itself, and how it is now."""

    id: str = Field(alias="_id")
    """The same as station_id."""
    station_id: str
    """Identity of the charging station. Unique."""
    name: str | None = None
    """For people. Configured, never recorded."""
    tags: list[str] = Field(default_factory=list)
    """For people. Configured, never recorded."""
    enabled: bool = True
    """Configured; recording sets it only when it creates the document."""
    auto_start: bool = False
    """Configured; recording sets it only when it creates the document."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1": of its latest session."""
    connection_status: ConnectionStatus = "disconnected"
    """As last recorded. Once lease_expires_at has passed, "connected" is no longer true."""
    connected_at: Moment | None = None
    """When it last connected; stays after it disconnected."""
    last_heartbeat: Moment | None = None
    """When its latest Heartbeat was recorded."""
    last_error: str | None = None
    """Why its connection failed or was lost; None since it connected."""
    connectors: list[Connector] = Field(default_factory=list)
    """By EVSE, then by connector."""
    created_at: Moment | None = None
    """When this document was first written."""
    updated_at: Moment | None = None
    """When this document was last written."""
    status: str | None = None
    """Status of the whole station (connector 0 in OCPP 1.6)."""
    error_code: str | None = None
    """errorCode of the whole station (connector 0 in OCPP 1.6)."""
    vendor: str | None = None
    """From BootNotification."""
    model: str | None = None
    """From BootNotification."""
    serial_number: str | None = None
    """From BootNotification: of the charge point."""
    box_serial_number: str | None = None
    """From BootNotification: chargeBoxSerialNumber (OCPP 1.6)."""
    firmware_version: str | None = None
    """From BootNotification."""
    iccid: str | None = None
    """From BootNotification: of the modem's SIM card."""
    imsi: str | None = None
    """From BootNotification: of the modem's SIM card."""
    meter_type: str | None = None
    """From BootNotification (OCPP 1.6)."""
    meter_serial_number: str | None = None
    """From BootNotification (OCPP 1.6)."""
    boot_reason: str | None = None
    """From BootNotification (OCPP 2.x)."""
    boot_status: str | None = None
    """The CSMS's answer to it: Accepted, Pending or Rejected."""
    heartbeat_interval: int | None = None
    """Seconds, from the same answer."""
    last_boot: Moment | None = None
    """When its latest BootNotification was recorded."""
    last_seen: Moment | None = None
    """When its latest frame was recorded."""
    disconnected_at: Moment | None = None
    """When it last disconnected."""
    session_id: str | None = None
    """Its latest session: _id in sessions, as 24 hexadecimal digits."""
    firmware_status: str | None = None
    """From FirmwareStatusNotification."""
    diagnostics_status: str | None = None
    """From DiagnosticsStatusNotification (OCPP 1.6)."""
    log_status: str | None = None
    """From LogStatusNotification."""
    availability: str | None = None
    """Operative or Inoperative: of the whole station, as the CSMS last set it."""
    last_security_event: str | None = None
    """Type of the latest SecurityEventNotification."""
    last_security_event_at: Moment | None = None
    """Its time, by the station's clock."""
    recorder: str | None = None
    """The process that records it, as host:pid:nonce."""
    lease_expires_at: Moment | None = None
    """Until when that process vouches for connection_status; None when it need not."""
    clocks: dict[str, str] = Field(default_factory=dict)
    """For each group of fields, the event that set it."""
    revision: str | None = None
    """Names this state of the document, so that two writers notice each other."""
    schema_version: int = SCHEMA_VERSION
    """Of this document."""


class Session(_Stored):
    """One WebSocket connection of a station, from open to close."""

    id: PydanticObjectId = Field(alias="_id")
    """session_id, as an ObjectId."""
    session_id: str
    """24 hexadecimal digits that rise with time."""
    station_id: str
    """Identity of the charging station."""
    role: Origin | None = None
    """Which end of the connection recorded it."""
    status: Literal["open", "closed"] = "open"
    """As last recorded. Once lease_expires_at has passed, "open" is no longer true."""
    source: Literal["websocket", "manual", "import"] = "websocket"
    """Where its frames came from; websocket is whatever a ChargePoint has for its connection."""
    opened_at: Moment | None = None
    """When the connection was first seen."""
    connected_at: Moment | None = None
    """When its first frame crossed."""
    closed_at: Moment | None = None
    """When it ended."""
    close_code: int | None = None
    """RFC 6455, section 7.4."""
    close_reason: str | None = None
    """The peer's text with it."""
    error: str | None = None
    """Why it ended or what failed, in one line; None after an orderly close."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"."""
    subprotocol: str | None = None
    """As negotiated: "ocpp1.6", ..."""
    remote_address: str | None = None
    """Of the other end, where it is known."""
    messages_sent: int = 0
    """As seen from the process that recorded it."""
    messages_received: int = 0
    """As seen from the process that recorded it."""
    last_sequence: int | None = None
    """Highest sequence of its messages."""
    last_message_at: Moment | None = None
    """When its latest message was recorded."""
    reconnect_attempts: int = 0
    """Earlier sessions of this station in the same process."""
    recorder: str | None = None
    """The process that recorded it, as host:pid:nonce."""
    lease_expires_at: Moment | None = None
    """Until when that process vouches for status; None when it need not."""
    created_at: Moment | None = None
    """When this document was first written."""
    updated_at: Moment | None = None
    """When this document was last written."""
    clocks: dict[str, str] = Field(default_factory=dict)
    """For each group of fields, the event that set it."""
    revision: str | None = None
    """Names this state of the document, so that two writers notice each other."""
    schema_version: int = SCHEMA_VERSION
    """Of this document."""


class MeterMetadata(_Stored):
    """What was measured where."""

    station_id: str
    """Identity of the charging station."""
    connector_id: int | None = None
    """From 1; 0 is the main meter in OCPP 1.6."""
    transaction_id: TransactionId | None = None
    """The transaction it belongs to, as the station names it."""
    measurand: str
    """As in OCPP: "Energy.Active.Import.Register", "Power.Active.Import", ..."""
    evse_id: int | None = None
    """From 1 (OCPP 2.x); 0 is the main meter."""
    phase: str | None = None
    """L1, L1-N, L1-L2, ...; None is all of them."""


class MeterValue(_Stored):
    """One sampled value (OCPP 1.6 edition 2, section 7.43; OCPP 2.0.1 part 2, SampledValueType)."""

    id: PydanticObjectId = Field(alias="_id")
    """Derived from the message and the place in it, so that both ends of a connection write the same document."""
    timestamp: Moment | None = None
    """When it was sampled, by the station's clock; when it was recorded, if the station did not say."""
    metadata: MeterMetadata
    """What was measured where."""
    value: Number | None = None
    """In ``unit``; None when the text is no number, as with signed data."""
    unit: str | None = None
    """Normalised: Wh, W, A, V, varh, var, VAh, VA, Celsius, Percent, ..."""
    context: str | None = None
    """Sample.Periodic, Transaction.Begin, ..."""
    format: str | None = None
    """Raw or SignedData (OCPP 1.6)."""
    location: str | None = None
    """Outlet, Inlet, Body, Cable, EV."""
    original_value: str | None = None
    """The value as the station wrote it."""
    original_unit: str | None = None
    """The unit as the station wrote it."""
    multiplier: int | None = None
    """Power of ten, as sent (OCPP 2.x)."""
    signed: Json = None
    """signedMeterValue, untouched (OCPP 2.x)."""
    transaction_ref: str | None = None
    """The transaction it belongs to: _id in transactions, as 24 hexadecimal digits."""
    message_ref: str | None = None
    """The message it came in: _id in ocpp_messages, as 24 hexadecimal digits."""
    session_id: str | None = None
    """_id in sessions, as 24 hexadecimal digits."""
    received_at: Moment | None = None
    """When it was recorded."""
    timestamp_text: str | None = None
    """The time as the station wrote it."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"; None when nobody said."""
    created_at: Moment | None = None
    """When this document was written."""
    schema_version: int = SCHEMA_VERSION
    """Of this document."""


class Gap(_Stored):
    """Frames of one session that were captured and lost, written down once MongoDB took writes again."""

    station_id: str
    session_id: str
    """The session that they crossed: 24 hexadecimal digits."""
    reason: str
    """Why they were lost: ``buffer full``, ``shutdown``, ``internal error``."""
    frames: int
    """How many are missing."""
    first_sequence: int
    """The lowest sequence number among them."""
    last_sequence: int
    """The highest sequence number among them; of those between, some may be stored."""
    first_at: datetime | None = None
    """When the first of them was captured."""
    last_at: datetime | None = None
    """When the last of them was captured."""
    recorder: str | None = None
    """The process that lost them, as host:pid:nonce."""
    created_at: datetime
    """When this was written."""


MODELS: Mapping[Collection, type[BaseModel]] = MappingProxyType(
    {
        "messages": Message,
        "transactions": Transaction,
        "stations": Station,
        "sessions": Session,
        "meter_values": MeterValue,
    }
)


if TYPE_CHECKING:
    # What ``bind`` makes, for the type checker. A stored document always has its id, so the models are stricter
    # than Beanie's Document.
    class MessageDocument(Message, Document):  # type: ignore[misc]
        """A message, bound to a collection."""

    class TransactionDocument(Transaction, Document):  # type: ignore[misc]
        """A transaction, bound to a collection."""

    class StationDocument(Station, Document):  # type: ignore[misc]
        """A station, bound to a collection."""

    class SessionDocument(Session, Document):  # type: ignore[misc]
        """A session, bound to a collection."""

    class MeterValueDocument(MeterValue, Document):  # type: ignore[misc]
        """A meter value, bound to a collection."""


class CollectionNames(Protocol):
    """The settings that name the collections."""

    @property
    def messages_collection(self) -> str: ...  # noqa: D102 - the names say it
    @property
    def transactions_collection(self) -> str: ...  # noqa: D102
    @property
    def stations_collection(self) -> str: ...  # noqa: D102
    @property
    def sessions_collection(self) -> str: ...  # noqa: D102
    @property
    def meter_values_collection(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Documents:
    """The document classes of one plugin: models that are Beanie documents of its own collections."""

    messages: type[MessageDocument]
    transactions: type[TransactionDocument]
    stations: type[StationDocument]
    sessions: type[SessionDocument]
    meter_values: type[MeterValueDocument]

    async def init(self, database: Any) -> None:
        """Bind the classes to a database that the installed Beanie reads, or of the mock, for the loop that runs now.

        Indexes are left alone: who may read may not always make them.

        Raises:
            StoreUnavailableError: MongoDB did not answer, or refused.
        """
        classes = [self.messages, self.transactions, self.stations, self.sessions, self.meter_values]
        with translated("opening the database", database):
            await init_beanie(database=readable(database), document_models=[*classes], skip_indexes=True)

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turn the driver's errors into this package's; ``what`` reads as after "while"."""
        with translated(what, collection_of(self.messages).database):
            yield


def bind(names: CollectionNames) -> Documents:
    """Make the document classes of one plugin; they can be used after ``init``."""
    return Documents(
        messages=cast("type[MessageDocument]", _bound(Message, names.messages_collection)),
        transactions=cast("type[TransactionDocument]", _bound(Transaction, names.transactions_collection)),
        stations=cast("type[StationDocument]", _bound(Station, names.stations_collection)),
        sessions=cast("type[SessionDocument]", _bound(Session, names.sessions_collection)),
        meter_values=cast("type[MeterValueDocument]", _bound(MeterValue, names.meter_values_collection)),
    )


def _bound(model: type[ModelT], name: str) -> type[ModelT]:
    """Make a Beanie document of a model, for one collection.

    Beanie puts every model of a document's module into a registry of the whole process, by bare name, where ours
    would displace a "Station" of the host's own. So the classes say that they are of a module that is none.
    """
    body = {
        "__module__": f"{__name__}.{name}",
        "__doc__": model.__doc__,
        "model_config": ConfigDict(use_attribute_docstrings=False),
    }
    document: Any = new_class(model.__name__, (model, Document), exec_body=lambda namespace: namespace.update(body))
    document.Settings = type("Settings", (), {"name": name})
    return cast("type[ModelT]", document)
