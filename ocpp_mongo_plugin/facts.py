"""What can happen, in words that no OCPP version owns: one frozen value per thing.

Dialects make facts of messages; projections make changes of facts. A fact carries only what the message says; who
said it and when it was recorded stand beside it (``Source`` in ``projections``). Energies are Wh, times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

TransactionId: TypeAlias = int | str
"""An integer in OCPP 1.6, a string in 2.0.1 and 2.1: kept as it came."""


class Moment(NamedTuple):
    """A time as the station wrote it, and what it means.

    A named tuple, like ``Sample``: many are made of one message, and it is the cheapest frozen value.
    """

    text: str | None = None
    """The text on the wire."""
    at: datetime | None = None
    """UTC; None when the text is no time. A text without a zone is taken as UTC."""


class Sample(NamedTuple):
    """One sampled value (OCPP 1.6 edition 2, section 7.43; OCPP 2.0.1 part 2, SampledValueType)."""

    measurand: str
    value: int | float | None
    """In ``unit``; None when the text is no number, as with signed data."""
    unit: str | None
    """Normalised: Wh, W, A, V, varh, var, VAh, VA, Celsius, Percent, ..."""
    at: Moment
    original_value: str
    """The text (or JSON) of the value on the wire."""
    original_unit: str | None = None
    multiplier: int = 0
    """Power of ten, as sent (OCPP 2.x unitOfMeasure)."""
    phase: str | None = None
    context: str | None = None
    format: str | None = None
    location: str | None = None
    signed: Any = None
    """OCPP 2.x signedMeterValue, untouched."""


@dataclass(frozen=True, slots=True)
class Booted:
    """BootNotification was sent."""

    vendor: str | None = None
    model: str | None = None
    serial_number: str | None = None
    box_serial_number: str | None = None
    firmware_version: str | None = None
    iccid: str | None = None
    imsi: str | None = None
    meter_type: str | None = None
    meter_serial_number: str | None = None
    boot_reason: str | None = None


@dataclass(frozen=True, slots=True)
class BootAnswered:
    """BootNotification was answered: Accepted, Pending or Rejected."""

    status: str | None
    heartbeat_interval: int | None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    """Heartbeat was sent."""


@dataclass(frozen=True, slots=True)
class StatusReported:
    """A connector (or, with connector 0 in 1.6, the whole station) said how it is."""

    connector_id: int | None
    status: str | None
    at: Moment
    evse_id: int | None = None
    error_code: str | None = None
    info: str | None = None
    vendor_id: str | None = None
    vendor_error_code: str | None = None


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """ChangeAvailability was accepted. Without connector and EVSE it is the whole station's."""

    availability: str
    """Operative or Inoperative."""
    connector_id: int | None = None
    evse_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReservationChanged:
    """A reservation was made (accepted), or ended, on a connector or EVSE."""

    reservation_id: int
    active: bool
    connector_id: int | None = None
    evse_id: int | None = None


@dataclass(frozen=True, slots=True)
class StationNoted:
    """One more thing about the whole station: firmware, diagnostics or log status, a security event.

    ``field`` is the field of the station document.
    """

    field: Literal["firmware_status", "diagnostics_status", "log_status", "last_security_event"]
    value: str
    at: Moment


@dataclass(frozen=True, slots=True)
class TransactionStarted:
    """StartTransaction.req (OCPP 1.6 edition 2, section 6.45): the station charges and has no id for it yet."""

    connector_id: int | None
    id_tag: str | None
    meter_start: int | float | None
    """Wh."""
    at: Moment
    reservation_id: int | None = None


@dataclass(frozen=True, slots=True)
class TransactionIdentified:
    """StartTransaction.conf (OCPP 1.6 edition 2, section 6.46): the CSMS gave the started transaction its id."""

    started: TransactionStarted
    """What the call said."""
    transaction_id: int | None
    authorization_status: str | None
    parent_id_tag: str | None = None


@dataclass(frozen=True, slots=True)
class TransactionRefused:
    """StartTransaction was answered with an error: it has no id and will get none."""

    started: TransactionStarted
    error: str


@dataclass(frozen=True, slots=True)
class TransactionStopped:
    """StopTransaction.req (OCPP 1.6 edition 2, section 6.49)."""

    transaction_id: int | None
    meter_stop: int | float | None
    """Wh."""
    at: Moment
    reason: str | None
    id_tag: str | None = None
    samples: tuple[Sample, ...] = ()
    """transactionData."""


@dataclass(frozen=True, slots=True)
class Metered:
    """MeterValues: samples outside of TransactionEvent and StopTransaction."""

    samples: tuple[Sample, ...]
    connector_id: int | None = None
    evse_id: int | None = None
    transaction_id: int | None = None


@dataclass(frozen=True, slots=True)
class TransactionEvent:
    """TransactionEvent (OCPP 2.0.1 part 2, use cases E01 to E15). Any of them may be lost, late or repeated."""

    event: Literal["Started", "Updated", "Ended"]
    transaction_id: str
    seq_no: int | None
    at: Moment
    trigger_reason: str | None = None
    offline: bool | None = None
    evse_id: int | None = None
    connector_id: int | None = None
    id_token: str | None = None
    id_token_type: str | None = None
    charging_state: str | None = None
    stopped_reason: str | None = None
    remote_start_id: int | None = None
    reservation_id: int | None = None
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class TransactionAuthorized:
    """The CSMS answered TransactionEvent with idTokenInfo, or StopTransaction with idTagInfo."""

    transaction_id: TransactionId
    authorization_status: str | None = None
    parent_id_tag: str | None = None
    total_cost: float | None = None
    """In the currency of the tariff; the running or final cost (OCPP 2.0.1 part 2, use case I02, I03)."""


Fact: TypeAlias = (
    Booted
    | BootAnswered
    | HeartbeatSeen
    | StatusReported
    | AvailabilityChanged
    | ReservationChanged
    | StationNoted
    | TransactionStarted
    | TransactionIdentified
    | TransactionRefused
    | TransactionStopped
    | Metered
    | TransactionEvent
    | TransactionAuthorized
)


@dataclass(frozen=True, slots=True)
class TransactionEdit:
    """A program's own word about a transaction, through the repository; it takes its place among the frames."""

    operation: Literal["create", "update", "complete", "fail", "rename", "delete"]
    station_id: str
    transaction_id: TransactionId
    fields: Mapping[str, Any]
    """Fields of the transaction document; for ``rename``, the new ``transaction_id``."""
    at: datetime
    """UTC."""
