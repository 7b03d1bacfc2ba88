"""What OCPP 1.6 messages mean, and those of its security extension (Security Whitepaper edition 3).

Hides the field names of 1.6. Promises facts for every action that changes a transaction, a meter value, a
connector or a station; the tables at the end are the rules. Sections are those of OCPP 1.6 edition 2. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from ocpp_mongo_plugin import facts
from ocpp_mongo_plugin.fields import identifier, integer, mapping, moment, number, objects, shown, text
from ocpp_mongo_plugin.frames import Message
from ocpp_mongo_plugin.units import ENERGY_REGISTER, normalise

Json: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = tuple[facts.Fact, ...]

_NO_TIME = facts.Moment()
_TEXTS = frozenset({str})


def _booted(call: Json) -> Facts:
    return (
        facts.Booted(
            vendor=text(call.get("chargePointVendor")),
            model=text(call.get("chargePointModel")),
            serial_number=text(call.get("chargePointSerialNumber")),
            box_serial_number=text(call.get("chargeBoxSerialNumber")),
            firmware_version=text(call.get("firmwareVersion")),
            iccid=text(call.get("iccid")),
            imsi=text(call.get("imsi")),
            meter_type=text(call.get("meterType")),
            meter_serial_number=text(call.get("meterSerialNumber")),
        ),
    )


def _boot_answered(_call: Json, answer: Json) -> Facts:
    return (facts.BootAnswered(text(answer.get("status")), integer(answer.get("interval"))),)


def _heartbeat(_call: Json) -> Facts:
    return (facts.HeartbeatSeen(),)


def _status(call: Json) -> Facts:
    """Connector 0 stays 0: the station's main controller (section 6.47)."""
    return (
        facts.StatusReported(
            connector_id=integer(call.get("connectorId")),
            status=text(call.get("status")),
            at=moment(call.get("timestamp")),
            error_code=text(call.get("errorCode")),
            info=text(call.get("info")),
            vendor_id=text(call.get("vendorId")),
            vendor_error_code=text(call.get("vendorErrorCode")),
        ),
    )


def _start(call: Json) -> facts.TransactionStarted:
    return facts.TransactionStarted(
        connector_id=integer(call.get("connectorId")),
        id_tag=text(call.get("idTag")),
        meter_start=number(call.get("meterStart")),
        at=moment(call.get("timestamp")),
        reservation_id=integer(call.get("reservationId")),
    )


def _started(call: Json) -> Facts:
    """A start that names a reservation ends it (section 4.8)."""
    start = _start(call)
    if start.reservation_id is None:
        return (start,)
    return (
        start,
        facts.ReservationChanged(start.reservation_id, active=False, connector_id=start.connector_id),
    )


def _identified(call: Json, answer: Json) -> Facts:
    tag = mapping(answer.get("idTagInfo"))
    return (
        facts.TransactionIdentified(
            started=_start(call),
            transaction_id=identifier(answer.get("transactionId")),
            authorization_status=text(tag.get("status")),
            parent_id_tag=text(tag.get("parentIdTag")),
        ),
    )


def _refused(call: Json, error: Message) -> Facts:
    return (facts.TransactionRefused(_start(call), error.error_code or "CallError"),)


def _stopped(call: Json) -> Facts:
    return (
        facts.TransactionStopped(
            transaction_id=identifier(call.get("transactionId")),
            meter_stop=number(call.get("meterStop")),
            at=moment(call.get("timestamp")),
            reason=text(call.get("reason")),
            id_tag=text(call.get("idTag")),
            samples=_samples(call.get("transactionData")),
        ),
    )


def _stop_answered(call: Json, answer: Json) -> Facts:
    transaction_id = identifier(call.get("transactionId"))
    tag = mapping(answer.get("idTagInfo"))
    status, parent = text(tag.get("status")), text(tag.get("parentIdTag"))
    if transaction_id is None or (status is None and parent is None):
        return ()
    return (facts.TransactionAuthorized(transaction_id, status, parent),)


def _metered(call: Json) -> Facts:
    return (
        facts.Metered(
            samples=_samples(call.get("meterValue")),
            connector_id=integer(call.get("connectorId")),
            transaction_id=identifier(call.get("transactionId")),
        ),
    )


def _samples(meter_values: Any) -> tuple[facts.Sample, ...]:
    return tuple(
        _sample(sampled, at)
        for meter_value in objects(meter_values)
        for at in (moment(meter_value.get("timestamp")),)
        for sampled in objects(meter_value.get("sampledValue"))
    )


def _sample(sampled: Json, at: facts.Moment) -> facts.Sample:
    """Read one SampledValue (section 7.43)."""
    get = sampled.get
    measurand, original_unit, form = get("measurand"), get("unit"), get("format")
    phase, context, location, written = get("phase"), get("context"), get("location"), get("value", "")
    if not _TEXTS.issuperset(map(type, sampled.values())):
        measurand, original_unit, form = text(measurand), text(original_unit), text(form)
        phase, context, location = text(phase), text(context), text(location)
    measurand = measurand or ENERGY_REGISTER
    value, unit = normalise(None if form == "SignedData" else written, original_unit, measurand=measurand)
    original = written if type(written) is str else shown(written)
    return facts.Sample(measurand, value, unit, at, original, original_unit, 0, phase, context, form, location)


def _noted(field: Literal["firmware_status", "diagnostics_status", "log_status"]) -> Callable[[Json], Facts]:
    def noted(call: Json) -> Facts:
        status = text(call.get("status"))
        return () if status is None else (facts.StationNoted(field, status, _NO_TIME),)

    return noted


def _security_event(call: Json) -> Facts:
    kind = text(call.get("type"))
    return () if kind is None else (facts.StationNoted("last_security_event", kind, moment(call.get("timestamp"))),)


def _availability(call: Json, answer: Json) -> Facts:
    """Scheduled means not yet: what comes of it is told by StatusNotification (section 5.2)."""
    kind = call.get("type")
    if answer.get("status") != "Accepted" or kind not in ("Operative", "Inoperative"):
        return ()
    return (facts.AvailabilityChanged(kind, connector_id=integer(call.get("connectorId")) or None),)


def _reserved(call: Json, answer: Json) -> Facts:
    reservation = integer(call.get("reservationId"))
    if answer.get("status") != "Accepted" or reservation is None:
        return ()
    return (facts.ReservationChanged(reservation, active=True, connector_id=integer(call.get("connectorId"))),)


def _reservation_cancelled(call: Json, answer: Json) -> Facts:
    """The call names no connector (section 6.11): the reservation is known by its id alone."""
    reservation = integer(call.get("reservationId"))
    if answer.get("status") != "Accepted" or reservation is None:
        return ()
    return (facts.ReservationChanged(reservation, active=False),)


CALLS: dict[str, Callable[[Json], Facts]] = {
    "BootNotification": _booted,
    "DiagnosticsStatusNotification": _noted("diagnostics_status"),
    "FirmwareStatusNotification": _noted("firmware_status"),
    "Heartbeat": _heartbeat,
    "LogStatusNotification": _noted("log_status"),
    "MeterValues": _metered,
    "SecurityEventNotification": _security_event,
    "SignedFirmwareStatusNotification": _noted("firmware_status"),
    "StartTransaction": _started,
    "StatusNotification": _status,
    "StopTransaction": _stopped,
}
"""What a call means, by action."""

ANSWERS: dict[str, Callable[[Json, Json], Facts]] = {
    "BootNotification": _boot_answered,
    "CancelReservation": _reservation_cancelled,
    "ChangeAvailability": _availability,
    "ReserveNow": _reserved,
    "StartTransaction": _identified,
    "StopTransaction": _stop_answered,
}
"""What a CallResult means, by the action of its call."""

REFUSALS: dict[str, Callable[[Json, Message], Facts]] = {
    "StartTransaction": _refused,
}
"""What a CallError means, by the action of its call."""

FROM_STATION = frozenset(
    {
        "Authorize",
        "BootNotification",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
    }
)
"""The calls that a station sends (section 4; Security Whitepaper, section 5)."""

FROM_CSMS = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
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
"""The calls that a CSMS sends (section 5; Security Whitepaper, section 5)."""
