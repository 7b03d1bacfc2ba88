"""The Beanie documents of the five collections, and their indexes.

Hides Beanie: its state is per class and process, so each plugin gets classes of its own, built from the plain models
here. The models are for types and validation; every stored document validates as its model. Fields of the original
system keep their names; times are UTC, energies Wh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from beanie import Document as BeanieDocument
from beanie import PydanticObjectId, init_beanie
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pymongo import ASCENDING, IndexModel

from ocpp_mongo_plugin.settings import Settings


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


Time = Annotated[datetime, AfterValidator(_utc)]
Number = int | float


class _Model(BaseModel):
    # What the models do not name must not be stored: drift is noticed.
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Message(_Model):
    """One frame, decoded: a document of ``ocpp_messages``."""

    id: PydanticObjectId = Field(
        alias="_id", description="Derived from session and sequence; rises with time"
    )
    station_id: str = Field(description="Identity of the charging station")
    direction: Literal["sent", "received", "unknown"] = Field(
        description="Seen from the process that recorded it"
    )
    message_type: Literal["Call", "CallResult", "CallError", "CallResultError", "Send", "Malformed"] = Field(
        description="OCPP-J message type; Malformed is what could not be understood"
    )
    action: str | None = Field(None, description="OCPP action; on an answer, that of its call")
    message_id: str | None = Field(None, description="Message id on the wire; repeats, so never a key")
    protocol_version: str | None = Field(None, description="1.6, 2.0.1 or 2.1")
    payload: Any = Field(None, description="JSON as it came, keys untouched; read-only data")
    timestamp: Time | None = Field(
        None, description="When it was recorded, UTC; null for imports without a time"
    )
    correlation_id: str | None = Field(
        None, description="The same on a call and its answer, and on nothing else"
    )
    error_code: str | None = Field(None, description="Of a CallError")
    error_description: str | None = Field(None, description="Of a CallError; of Malformed, why")
    created_at: Time = Field(description="When the document was made, UTC")
    origin: Literal["station", "csms"] | None = Field(
        None, description="Who wrote it; null while nobody can tell"
    )
    session_id: str = Field(description="The WebSocket connection it crossed")
    sequence: int = Field(description="Place within the session, from 0, gap-free")
    raw: str = Field(description="The exact text on the wire")
    raw_zlib: bytes | None = Field(
        None, description="The text, compressed, where the document would be over 16 MiB"
    )
    latency_ms: float | None = Field(None, description="Of an answer: milliseconds since its call")
    outcome: Literal["answered", "error", "timeout", "unanswered"] | None = Field(
        None, description="Of a call: what became of it; null while it waits"
    )
    delivered: bool = Field(True, description="False when sending it failed")
    error_details: Any = Field(None, description="Of a CallError")
    lossy: list[str] | None = Field(None, description="Where the payload differs from raw, and why")
    schema_version: int = Field(1, description="Of this document's form")


class Transaction(_Model):
    """One charging transaction: a document of ``transactions``."""

    id: PydanticObjectId = Field(
        alias="_id", description="Derived from what began it; the same from either end"
    )
    transaction_id: int | str | None = Field(
        None, description="An int in OCPP 1.6, a string in 2.x, as it came"
    )
    station_id: str = Field(description="Identity of the charging station")
    connector_id: int | None = Field(None, description="Connector number")
    id_tag: str | None = Field(None, description="Who started it: idTag, or idToken of 2.x")
    start_timestamp: Time | None = Field(None, description="When charging started, UTC")
    stop_timestamp: Time | None = Field(None, description="When it stopped, UTC")
    meter_start: Number | None = Field(None, description="Meter at the start, Wh")
    meter_stop: Number | None = Field(None, description="Meter at the stop, Wh")
    energy_consumed: Number | None = Field(None, description="Wh, so far or in all; null while unknown")
    reason: str | None = Field(None, description="Why it stopped: Local, Remote, ...")
    status: Literal["active", "completed", "failed"] = Field("active", description="Where it stands")
    protocol_version: str | None = Field(None, description="1.6, 2.0.1 or 2.1")
    created_at: Time = Field(description="When the document was made, UTC")
    updated_at: Time = Field(description="When it last changed, UTC")
    evse_id: int | None = Field(None, description="EVSE number, OCPP 2.x")
    meter_first: Number | None = Field(None, description="First sample of the energy register, Wh")
    meter_latest: Number | None = Field(None, description="Latest sample of the energy register, Wh")
    meter_latest_at: Time | None = Field(None, description="When that was sampled, UTC")
    charging_state: str | None = Field(None, description="OCPP 2.x: Charging, SuspendedEV, ...")
    trigger_reason: str | None = Field(None, description="OCPP 2.x: of the latest event")
    stop_id_tag: str | None = Field(None, description="Who stopped it")
    id_token_type: str | None = Field(None, description="OCPP 2.x: type of the token that started it")
    authorization_status: str | None = Field(None, description="What the CSMS said of the id tag")
    parent_id_tag: str | None = Field(None, description="parentIdTag, or groupIdToken of 2.x")
    reservation_id: int | None = Field(None, description="Reservation that it uses up")
    remote_start_id: int | None = Field(None, description="OCPP 2.x: of the request that started it")
    offline: bool | None = Field(None, description="OCPP 2.x: whether any event happened while offline")
    first_seq_no: int | None = Field(None, description="OCPP 2.x: lowest seqNo seen")
    last_seq_no: int | None = Field(None, description="OCPP 2.x: highest seqNo seen")
    missing_seq_nos: list[int] = Field(
        default_factory=list, description="OCPP 2.x: seqNos between them not seen"
    )
    seq_nos: list[int] = Field(default_factory=list, description="OCPP 2.x: seqNos seen")
    total_cost: float | None = Field(
        None, description="OCPP 2.x: running or final cost, in the tariff's currency"
    )
    failure: str | None = Field(None, description="Why it failed")
    start_timestamp_text: str | None = Field(None, description="The start time as the station wrote it")
    stop_timestamp_text: str | None = Field(None, description="The stop time as the station wrote it")
    start_received_at: Time | None = Field(None, description="When the start was recorded, UTC")
    stop_received_at: Time | None = Field(None, description="When the stop was recorded, UTC")
    session_ids: list[str] = Field(default_factory=list, description="Sessions it was seen in")
    evidence: list[str] = Field(default_factory=list, description="_ids of the messages it is made of")
    anomalies: list[str] = Field(default_factory=list, description="What is odd about it, in plain words")
    noted: list[str] = Field(
        default_factory=list, description="The anomalies that do not follow from other fields"
    )
    clocks: dict[str, str] = Field(
        default_factory=dict, description="Which event each group of fields comes from"
    )
    revision: str | None = Field(None, description="Name of this version of the document")
    schema_version: int = Field(1, description="Of this document's form")


class Connector(_Model):
    """One connector of a station."""

    connector_id: int | None = Field(None, description="Connector number")
    evse_id: int | None = Field(None, description="EVSE number, OCPP 2.x")
    status: str | None = Field(None, description="Available, Charging, Occupied, ...")
    current_transaction_id: int | str | None = Field(None, description="Of the transaction active on it")
    error_code: str | None = Field(None, description="OCPP 1.6: NoError, ...")
    info: str | None = Field(None, description="OCPP 1.6: free text of the status")
    vendor_id: str | None = Field(None, description="OCPP 1.6: vendor of the vendor error code")
    vendor_error_code: str | None = Field(None, description="OCPP 1.6")
    status_timestamp: Time | None = Field(None, description="When the station says the status began, UTC")
    availability: str | None = Field(None, description="Operative or Inoperative, as the CSMS set it")
    reservation_id: int | None = Field(None, description="Reservation that holds it")
    clocks: dict[str, str] = Field(
        default_factory=dict, description="Which event each group of fields comes from"
    )


class Station(_Model):
    """One charging station with its connectors: a document of ``stations``."""

    id: str = Field(alias="_id", description="The station_id")
    station_id: str = Field(description="Identity of the charging station")
    name: str | None = Field(None, description="A person's name for it; never written by recording")
    tags: list[str] = Field(default_factory=list, description="A person's tags; never written by recording")
    enabled: bool = Field(True, description="A person's choice; never written by recording")
    auto_start: bool = Field(False, description="A person's choice; never written by recording")
    protocol_version: str | None = Field(None, description="1.6, 2.0.1 or 2.1")
    connection_status: Literal["connecting", "connected", "disconnected"] = Field(
        "disconnected", description="Of its latest session"
    )
    connected_at: Time | None = Field(
        None, description="When it last connected, UTC; kept after it disconnected"
    )
    disconnected_at: Time | None = Field(None, description="When it disconnected, UTC; null while connected")
    last_heartbeat: Time | None = Field(None, description="When its latest Heartbeat was recorded, UTC")
    last_error: str | None = Field(None, description="Latest connection error; cleared when it connects")
    last_seen: Time | None = Field(None, description="When its latest frame was recorded, UTC")
    session_id: str | None = Field(None, description="Its latest session")
    recorder: str | None = Field(None, description="The recording process, as host:pid:nonce")
    lease_expires_at: Time | None = Field(None, description="When that process is taken for dead, UTC")
    status: str | None = Field(None, description="Of the whole station: connector 0 of OCPP 1.6")
    error_code: str | None = Field(None, description="Of the whole station: connector 0 of OCPP 1.6")
    availability: str | None = Field(None, description="Operative or Inoperative, as the CSMS set it")
    vendor: str | None = Field(None, description="From BootNotification")
    model: str | None = Field(None, description="From BootNotification")
    serial_number: str | None = Field(None, description="From BootNotification")
    box_serial_number: str | None = Field(None, description="OCPP 1.6: chargeBoxSerialNumber")
    firmware_version: str | None = Field(None, description="From BootNotification")
    iccid: str | None = Field(None, description="Of its SIM card")
    imsi: str | None = Field(None, description="Of its SIM card")
    meter_type: str | None = Field(None, description="OCPP 1.6: from BootNotification")
    meter_serial_number: str | None = Field(None, description="OCPP 1.6: from BootNotification")
    boot_reason: str | None = Field(None, description="OCPP 2.x: PowerUp, ...")
    boot_status: str | None = Field(None, description="Accepted, Pending or Rejected")
    heartbeat_interval: int | None = Field(None, description="Seconds, as the CSMS asked")
    last_boot: Time | None = Field(None, description="When its latest BootNotification was recorded, UTC")
    firmware_status: str | None = Field(None, description="From FirmwareStatusNotification")
    diagnostics_status: str | None = Field(None, description="OCPP 1.6: from DiagnosticsStatusNotification")
    log_status: str | None = Field(None, description="From LogStatusNotification")
    last_security_event: str | None = Field(None, description="Type of its latest SecurityEventNotification")
    last_security_event_at: Time | None = Field(None, description="When that happened, UTC")
    connectors: list[Connector] = Field(default_factory=list, description="By EVSE and connector number")
    created_at: Time = Field(description="When the document was made, UTC")
    updated_at: Time = Field(description="When it last changed, UTC")
    clocks: dict[str, str] = Field(
        default_factory=dict, description="Which event each group of fields comes from"
    )
    revision: str | None = Field(None, description="Name of this version of the document")
    schema_version: int = Field(1, description="Of this document's form")


class Session(_Model):
    """One WebSocket connection of a station: a document of ``sessions``."""

    id: PydanticObjectId = Field(alias="_id", description="The session_id")
    session_id: str = Field(description="24 hexadecimal digits that rise with time")
    station_id: str = Field(description="Identity of the charging station")
    role: Literal["station", "csms"] | None = Field(None, description="Which end the recording process is")
    status: Literal["open", "closed"] = Field("open", description="Whether it goes on")
    source: Literal["websocket", "manual", "import"] = Field(
        "websocket", description="Where its frames come from"
    )
    opened_at: Time | None = Field(None, description="UTC")
    connected_at: Time | None = Field(None, description="When it was known to be open, UTC")
    closed_at: Time | None = Field(None, description="UTC; null while it is open")
    close_code: int | None = Field(None, description="RFC 6455, section 7.4")
    close_reason: str | None = Field(None, description="As the closing end gave it")
    error: str | None = Field(None, description="Why it failed; null after an orderly close")
    protocol_version: str | None = Field(None, description="1.6, 2.0.1 or 2.1")
    subprotocol: str | None = Field(None, description="WebSocket subprotocol, as agreed")
    remote_address: str | None = Field(None, description="Of the other end, where known")
    messages_sent: int | None = Field(None, description="Frames sent")
    messages_received: int | None = Field(None, description="Frames received")
    last_sequence: int | None = Field(None, description="Sequence number of the latest frame")
    last_message_at: Time | None = Field(None, description="When the latest frame was recorded, UTC")
    reconnect_attempts: int | None = Field(
        None, description="Earlier sessions of the station in that process"
    )
    recorder: str | None = Field(None, description="The recording process, as host:pid:nonce")
    lease_expires_at: Time | None = Field(None, description="When that process is taken for dead, UTC")
    created_at: Time = Field(description="When the document was made, UTC")
    updated_at: Time = Field(description="When it last changed, UTC")
    clocks: dict[str, str] = Field(
        default_factory=dict, description="Which event each group of fields comes from"
    )
    revision: str | None = Field(None, description="Name of this version of the document")
    schema_version: int = Field(1, description="Of this document's form")


class MeterMetadata(_Model):
    """What a sampled value belongs to."""

    station_id: str = Field(description="Identity of the charging station")
    connector_id: int | None = Field(None, description="Connector number")
    transaction_id: int | str | None = Field(None, description="As the message said; null where it did not")
    measurand: str = Field(description="Energy.Active.Import.Register where the message did not say")
    evse_id: int | None = Field(None, description="EVSE number, OCPP 2.x")
    phase: str | None = Field(None, description="L1, L1-N, ...")


class MeterValue(_Model):
    """One sampled value: a document of ``meter_values``."""

    id: PydanticObjectId = Field(
        alias="_id", description="Derived from the message; the same from either end"
    )
    timestamp: Time | None = Field(
        None, description="When it was sampled, UTC; when recorded, if that is unreadable"
    )
    metadata: MeterMetadata = Field(description="What it belongs to")
    value: Number | None = Field(None, description="In unit; null where the text is no number")
    unit: str | None = Field(
        None, description="Normalised: Wh, W, A, V, varh, var, VAh, VA, Celsius, Hz, Percent"
    )
    context: str | None = Field(None, description="Sample.Periodic, Transaction.Begin, ...")
    format: str | None = Field(None, description="OCPP 1.6: Raw or SignedData")
    location: str | None = Field(None, description="Outlet, Inlet, EV, ...")
    original_value: str = Field(description="The text on the wire")
    original_unit: str | None = Field(None, description="The unit on the wire")
    multiplier: int = Field(0, description="OCPP 2.x: power of ten on the wire")
    signed: Any = Field(None, description="OCPP 2.x: signedMeterValue, untouched")
    transaction_ref: str | None = Field(None, description="_id of the transaction it counts for")
    message_ref: str = Field(description="_id of the message it came in")
    session_id: str = Field(description="The session it came in")
    received_at: Time | None = Field(None, description="When it was recorded, UTC")
    timestamp_text: str | None = Field(None, description="The time as the station wrote it")
    protocol_version: str | None = Field(None, description="1.6, 2.0.1 or 2.1")
    created_at: Time = Field(description="When the document was made, UTC")
    schema_version: int = Field(1, description="Of this document's form")


MODELS: dict[str, type[_Model]] = {
    "messages": Message,
    "transactions": Transaction,
    "stations": Station,
    "sessions": Session,
    "meter_values": MeterValue,
}


def _index(*fields: str, unique: bool = False) -> IndexModel:
    return IndexModel([(name, ASCENDING) for name in fields], name="_".join(fields), unique=unique)


INDEXES: dict[str, list[IndexModel]] = {
    "messages": [
        _index("station_id", "timestamp"),
        _index("message_id"),
        _index("correlation_id"),
        _index("action", "timestamp"),
        _index("timestamp"),
        _index("session_id", "sequence"),
    ],
    "transactions": [
        # Not unique: programs answer every start with 1, and counters restart.
        _index("transaction_id", "station_id"),
        _index("station_id", "start_timestamp"),
        _index("status"),
        _index("id_tag"),
    ],
    "stations": [
        _index("station_id", unique=True),
        _index("connection_status"),
        _index("enabled", "auto_start"),
        _index("tags"),
        _index("protocol_version"),
    ],
    "sessions": [
        _index("station_id", "opened_at"),
        _index("status"),
    ],
    "meter_values": [
        _index("metadata.station_id", "timestamp"),
        _index("metadata.transaction_id", "metadata.station_id", "timestamp"),
        _index("metadata.measurand", "timestamp"),
        _index("transaction_ref", "timestamp"),
    ],
}
"""The indexes of each collection."""


@dataclass(frozen=True, slots=True)
class Documents:
    """The five document classes of one plugin, on one loop."""

    message: Any
    transaction: Any
    station: Any
    session: Any
    meter_value: Any

    async def init(self, database: Any) -> None:
        """Bind them to a Motor or mongomock-motor database. Makes no index: the store does."""
        classes = [self.message, self.transaction, self.station, self.session, self.meter_value]
        await init_beanie(database=database, document_models=classes, skip_indexes=True)


def bind(settings: Settings) -> Documents:
    """Build document classes for one plugin: binding a shared class would rebind it for the whole process."""
    names = settings.collections()
    classes = {key: _document(model, names[key]) for key, model in MODELS.items()}
    return Documents(*classes.values())


def _document(model: type[_Model], collection: str) -> Any:
    class Bound(model, BeanieDocument):  # type: ignore[valid-type, misc]
        class Settings:
            name = collection

    Bound.__name__ = Bound.__qualname__ = model.__name__
    return Bound
