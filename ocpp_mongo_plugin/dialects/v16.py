"""OCPP 1.6 edition 2, with the security extensions: what its messages mean.

The tables at the end are the rules: action to reader, and who sends what.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ocpp_mongo_plugin.facts import (
    AvailabilityChanged,
    BootAnswered,
    Booted,
    Fact,
    HeartbeatSeen,
    Metered,
    Moment,
    ReservationChanged,
    Sample,
    StationNoted,
    StatusReported,
    TransactionAuthorized,
    TransactionIdentified,
    TransactionRefused,
    TransactionStarted,
    TransactionStopped,
)
from ocpp_mongo_plugin.fields import (
    decimal,
    integer,
    mapping,
    moment,
    number,
    sequence,
    small_integer,
    text,
    written,
)
from ocpp_mongo_plugin.units import normalise

ENERGY = "Energy.Active.Import.Register"


def _boot(payload: Any) -> Iterator[Fact]:
    yield Booted(
        vendor=text(payload, "chargePointVendor"),
        model=text(payload, "chargePointModel"),
        serial_number=text(payload, "chargePointSerialNumber"),
        box_serial_number=text(payload, "chargeBoxSerialNumber"),
        firmware_version=text(payload, "firmwareVersion"),
        iccid=text(payload, "iccid"),
        imsi=text(payload, "imsi"),
        meter_type=text(payload, "meterType"),
        meter_serial_number=text(payload, "meterSerialNumber"),
    )


def _boot_answer(_call: Any, payload: Any) -> Iterator[Fact]:
    yield BootAnswered(text(payload, "status"), small_integer(payload, "interval"))


def _heartbeat(_payload: Any) -> Iterator[Fact]:
    yield HeartbeatSeen()


def _status(payload: Any) -> Iterator[Fact]:
    yield StatusReported(
        connector_id=small_integer(payload, "connectorId"),
        status=text(payload, "status"),
        at=moment(payload, "timestamp"),
        error_code=text(payload, "errorCode"),
        info=text(payload, "info"),
        vendor_id=text(payload, "vendorId"),
        vendor_error_code=text(payload, "vendorErrorCode"),
    )


def _start(payload: Any) -> Iterator[Fact]:
    yield _started(payload)


def _started(payload: Any) -> TransactionStarted:
    return TransactionStarted(
        connector_id=small_integer(payload, "connectorId"),
        id_tag=text(payload, "idTag"),
        meter_start=number(payload, "meterStart"),
        at=moment(payload, "timestamp"),
        reservation_id=small_integer(payload, "reservationId"),
    )


def _start_answer(call: Any, payload: Any) -> Iterator[Fact]:
    tag = mapping(payload, "idTagInfo")
    yield TransactionIdentified(
        started=_started(call),
        transaction_id=integer(payload, "transactionId"),
        authorization_status=text(tag, "status"),
        parent_id_tag=text(tag, "parentIdTag"),
    )


def _start_refused(call: Any, code: str) -> Iterator[Fact]:
    yield TransactionRefused(_started(call), code)


def _stop(payload: Any) -> Iterator[Fact]:
    yield TransactionStopped(
        transaction_id=integer(payload, "transactionId"),
        meter_stop=number(payload, "meterStop"),
        at=moment(payload, "timestamp"),
        reason=text(payload, "reason"),
        id_tag=text(payload, "idTag"),
        samples=tuple(_samples(payload, "transactionData")),
    )


def _stop_answer(call: Any, payload: Any) -> Iterator[Fact]:
    transaction_id, tag = integer(call, "transactionId"), mapping(payload, "idTagInfo")
    if transaction_id is not None and text(tag, "status") is not None:
        yield TransactionAuthorized(transaction_id, text(tag, "status"), text(tag, "parentIdTag"))


def _meter_values(payload: Any) -> Iterator[Fact]:
    yield Metered(
        samples=tuple(_samples(payload, "meterValue")),
        connector_id=small_integer(payload, "connectorId"),
        transaction_id=integer(payload, "transactionId"),
    )


def _samples(payload: Any, name: str) -> Iterator[Sample]:
    for meter_value in sequence(payload, name):
        at = moment(meter_value, "timestamp")
        for sampled in sequence(meter_value, "sampledValue"):
            if isinstance(sampled, dict):
                yield _sample(sampled, at)


def _sample(sampled: Any, at: Moment) -> Sample:
    raw = sampled.get("value")
    measurand = text(sampled, "measurand") or ENERGY
    signed = text(sampled, "format") == "SignedData"
    value, unit = normalise(None if signed else decimal(raw), text(sampled, "unit"), measurand)
    return Sample(
        measurand=measurand,
        value=value,
        unit=unit,
        at=at,
        original_value=raw if isinstance(raw, str) else written(raw),
        original_unit=text(sampled, "unit"),
        phase=text(sampled, "phase"),
        context=text(sampled, "context"),
        format=text(sampled, "format"),
        location=text(sampled, "location"),
    )


def _firmware(payload: Any) -> Iterator[Fact]:
    status = text(payload, "status")
    if status is not None:
        yield StationNoted("firmware_status", status, Moment())


def _diagnostics(payload: Any) -> Iterator[Fact]:
    status = text(payload, "status")
    if status is not None:
        yield StationNoted("diagnostics_status", status, Moment())


def _log(payload: Any) -> Iterator[Fact]:
    status = text(payload, "status")
    if status is not None:
        yield StationNoted("log_status", status, Moment())


def _security_event(payload: Any) -> Iterator[Fact]:
    kind = text(payload, "type")
    if kind is not None:
        yield StationNoted("last_security_event", kind, moment(payload, "timestamp"))


def _availability_answer(call: Any, payload: Any) -> Iterator[Fact]:
    availability = text(call, "type")
    if text(payload, "status") == "Accepted" and availability is not None:
        yield AvailabilityChanged(availability, connector_id=small_integer(call, "connectorId"))


def _reserve_answer(call: Any, payload: Any) -> Iterator[Fact]:
    reservation = small_integer(call, "reservationId")
    if text(payload, "status") == "Accepted" and reservation is not None:
        yield ReservationChanged(reservation, active=True, connector_id=small_integer(call, "connectorId"))


def _cancel_answer(call: Any, payload: Any) -> Iterator[Fact]:
    reservation = small_integer(call, "reservationId")
    if text(payload, "status") == "Accepted" and reservation is not None:
        yield ReservationChanged(reservation, active=False)


CALLS = {
    "BootNotification": _boot,
    "Heartbeat": _heartbeat,
    "StatusNotification": _status,
    "StartTransaction": _start,
    "StopTransaction": _stop,
    "MeterValues": _meter_values,
    "FirmwareStatusNotification": _firmware,
    "SignedFirmwareStatusNotification": _firmware,
    "DiagnosticsStatusNotification": _diagnostics,
    "LogStatusNotification": _log,
    "SecurityEventNotification": _security_event,
}
ANSWERS = {
    "BootNotification": _boot_answer,
    "StartTransaction": _start_answer,
    "StopTransaction": _stop_answer,
    "ChangeAvailability": _availability_answer,
    "ReserveNow": _reserve_answer,
    "CancelReservation": _cancel_answer,
}
REFUSALS = {"StartTransaction": _start_refused}

ONLY = frozenset({"StartTransaction", "StopTransaction", "RemoteStartTransaction", "RemoteStopTransaction"})
"""What tells this version from later ones where nobody said which it is."""

FROM_STATION = frozenset(CALLS) | {"Authorize", "SignCertificate", "DataTransfer"}
FROM_CSMS = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
        "DataTransfer",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "InstallCertificate",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SignedUpdateFirmware",
        "TriggerMessage",
        "UnlockConnector",
        "UpdateFirmware",
    }
)
