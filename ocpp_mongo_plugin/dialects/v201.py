"""What OCPP 2.0.1 messages mean.

Hides the field names of 2.0.1, and that a connector's state comes by two ways. Promises facts for every
action that changes a transaction, a meter value, a connector or a station; the tables at the end are the
rules. Use cases (E01, ...) are those of OCPP 2.0.1 edition 3, part 2. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from ocpp_mongo_plugin import facts
from ocpp_mongo_plugin.fields import boolean, integer, mapping, moment, number, objects, shown, text
from ocpp_mongo_plugin.frames import Message
from ocpp_mongo_plugin.units import ENERGY_REGISTER, normalise

Json: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = tuple[facts.Fact, ...]

_NO_TIME = facts.Moment()


class _Place(NamedTuple):
    """An EVSEType."""

    evse_id: int | None
    connector_id: int | None


def _place(evse: Any) -> _Place:
    evse = mapping(evse)
    return _Place(integer(evse.get("id")), integer(evse.get("connectorId")))


def _booted(call: Json) -> Facts:
    station = mapping(call.get("chargingStation"))
    modem = mapping(station.get("modem"))
    return (
        facts.Booted(
            vendor=text(station.get("vendorName")),
            model=text(station.get("model")),
            serial_number=text(station.get("serialNumber")),
            firmware_version=text(station.get("firmwareVersion")),
            iccid=text(modem.get("iccid")),
            imsi=text(modem.get("imsi")),
            boot_reason=text(call.get("reason")),
        ),
    )


def _boot_answered(_call: Json, answer: Json) -> Facts:
    return (facts.BootAnswered(text(answer.get("status")), integer(answer.get("interval"))),)


def _heartbeat(_call: Json) -> Facts:
    return (facts.HeartbeatSeen(),)


def _status(call: Json) -> Facts:
    return (
        facts.StatusReported(
            connector_id=integer(call.get("connectorId")),
            status=text(call.get("connectorStatus")),
            at=moment(call.get("timestamp")),
            evse_id=integer(call.get("evseId")),
        ),
    )


def _events(call: Json) -> Facts:
    """Read AvailabilityState, which may be reported instead of StatusNotification (G01.FR.01, N07)."""
    return tuple(fact for event in objects(call.get("eventData")) if (fact := _availability_state(event)))


def _availability_state(event: Json) -> facts.StatusReported | None:
    component, variable = mapping(event.get("component")), mapping(event.get("variable"))
    # Names of components and variables are not case-sensitive (part 1, section 4.1).
    part, status = (text(component.get("name")) or "").lower(), text(event.get("actualValue"))
    if (text(variable.get("name")) or "").lower() != "availabilitystate" or status is None:
        return None
    place = _place(component.get("evse"))
    if part == "chargingstation":
        place = _Place(None, None)
    elif part not in ("connector", "evse"):
        return None
    return facts.StatusReported(
        connector_id=place.connector_id,
        status=status,
        at=moment(event.get("timestamp")),
        evse_id=place.evse_id,
        error_code=text(event.get("techCode")),
        info=text(event.get("techInfo")),
    )


_EVENTS: dict[str, Literal["Started", "Updated", "Ended"]] = {
    "started": "Started",
    "updated": "Updated",
    "ended": "Ended",
}


def _transaction_event(call: Json) -> Facts:
    """Read TransactionEvent (E01 to E15). An event type that is none begins and ends nothing: Updated.

    A reservation that it names ends with it (TransactionEventRequest, reservationId).
    """
    info, token = mapping(call.get("transactionInfo")), mapping(call.get("idToken"))
    transaction_id, samples = text(info.get("transactionId")), _samples(call.get("meterValue"))
    place, reservation = _place(call.get("evse")), integer(call.get("reservationId"))
    if transaction_id is None:
        return (facts.Metered(samples, place.connector_id, place.evse_id),) if samples else ()
    event = facts.TransactionEvent(
        event=_EVENTS.get((text(call.get("eventType")) or "").lower(), "Updated"),
        transaction_id=transaction_id,
        seq_no=integer(call.get("seqNo")),
        at=moment(call.get("timestamp")),
        trigger_reason=text(call.get("triggerReason")),
        offline=boolean(call.get("offline")),
        evse_id=place.evse_id,
        connector_id=place.connector_id,
        id_token=text(token.get("idToken")),
        id_token_type=text(token.get("type")),
        charging_state=text(info.get("chargingState")),
        stopped_reason=text(info.get("stoppedReason")),
        remote_start_id=integer(info.get("remoteStartId")),
        reservation_id=reservation,
        samples=samples,
    )
    if reservation is None:
        return (event,)
    ended = facts.ReservationChanged(reservation, active=False, connector_id=place.connector_id, evse_id=place.evse_id)
    return (event, ended)


def _event_answered(call: Json, answer: Json) -> Facts:
    token = mapping(answer.get("idTokenInfo"))
    group = mapping(token.get("groupIdToken"))
    return authorized(
        mapping(call.get("transactionInfo")).get("transactionId"),
        status=text(token.get("status")),
        parent=text(group.get("idToken")),
        cost=answer.get("totalCost"),
    )


def _cost_updated(call: Json, _answer: Json) -> Facts:
    """The cost counts once the station has taken it (I02)."""
    return authorized(call.get("transactionId"), cost=call.get("totalCost"))


def authorized(transaction_id: Any, *, status: str | None = None, parent: str | None = None, cost: Any = None) -> Facts:
    """Return what is said of a transaction's authorization and cost, if anything is."""
    identity, total = text(transaction_id), number(cost)
    if identity is None or (status is None and parent is None and total is None):
        return ()
    return (facts.TransactionAuthorized(identity, status, parent, total),)


def _metered(call: Json) -> Facts:
    """Read MeterValues: an EVSE's, outside of transactions (J01). EVSE 0 is the main power meter."""
    return (facts.Metered(_samples(call.get("meterValue")), evse_id=integer(call.get("evseId"))),)


def _samples(meter_values: Any) -> tuple[facts.Sample, ...]:
    return tuple(
        _sample(sampled, at)
        for meter_value in objects(meter_values)
        for at in (moment(meter_value.get("timestamp")),)
        for sampled in objects(meter_value.get("sampledValue"))
    )


def _sample(sampled: Json, at: facts.Moment) -> facts.Sample:
    """Read one SampledValueType."""
    get = sampled.get
    measurand = text(get("measurand")) or ENERGY_REGISTER
    measure, written = mapping(get("unitOfMeasure")), get("value")
    original_unit, multiplier = text(measure.get("unit")), integer(measure.get("multiplier")) or 0
    value, unit = normalise(written, original_unit, multiplier, measurand)
    return facts.Sample(
        measurand=measurand,
        value=value,
        unit=unit,
        at=at,
        original_value=shown(written) if "value" in sampled else "",
        original_unit=original_unit,
        multiplier=multiplier,
        phase=text(get("phase")),
        context=text(get("context")),
        location=text(get("location")),
        signed=get("signedMeterValue"),
    )


def _noted(field: Literal["firmware_status", "log_status"]) -> Callable[[Json], Facts]:
    def noted(call: Json) -> Facts:
        status = text(call.get("status"))
        return () if status is None else (facts.StationNoted(field, status, _NO_TIME),)

    return noted


def _security_event(call: Json) -> Facts:
    kind = text(call.get("type"))
    return () if kind is None else (facts.StationNoted("last_security_event", kind, moment(call.get("timestamp"))),)


def _availability(call: Json, answer: Json) -> Facts:
    """Without evse it is the whole station's (G03, G04). Scheduled is not yet: a status report will tell."""
    kind, place = call.get("operationalStatus"), _place(call.get("evse"))
    if answer.get("status") != "Accepted" or kind not in ("Operative", "Inoperative"):
        return ()
    return (facts.AvailabilityChanged(kind, place.connector_id or None, place.evse_id or None),)


def _reserved(call: Json, answer: Json) -> Facts:
    """Without evseId any EVSE is reserved (H01)."""
    reservation = integer(call.get("id"))
    if answer.get("status") != "Accepted" or reservation is None:
        return ()
    return (facts.ReservationChanged(reservation, active=True, evse_id=integer(call.get("evseId"))),)


def _reservation_cancelled(call: Json, answer: Json) -> Facts:
    reservation = integer(call.get("reservationId"))
    if answer.get("status") != "Accepted" or reservation is None:
        return ()
    return (facts.ReservationChanged(reservation, active=False),)


def _reservation_ended(call: Json) -> Facts:
    """Each reservationUpdateStatus says that it is over: Expired, Removed, in 2.1 NoTransaction (H04)."""
    reservation = integer(call.get("reservationId"))
    return () if reservation is None else (facts.ReservationChanged(reservation, active=False),)


CALLS: dict[str, Callable[[Json], Facts]] = {
    "BootNotification": _booted,
    "FirmwareStatusNotification": _noted("firmware_status"),
    "Heartbeat": _heartbeat,
    "LogStatusNotification": _noted("log_status"),
    "MeterValues": _metered,
    "NotifyEvent": _events,
    "ReservationStatusUpdate": _reservation_ended,
    "SecurityEventNotification": _security_event,
    "StatusNotification": _status,
    "TransactionEvent": _transaction_event,
}
"""What a call means, by action."""

ANSWERS: dict[str, Callable[[Json, Json], Facts]] = {
    "BootNotification": _boot_answered,
    "CancelReservation": _reservation_cancelled,
    "ChangeAvailability": _availability,
    "CostUpdated": _cost_updated,
    "ReserveNow": _reserved,
    "TransactionEvent": _event_answered,
}
"""What a CallResult means, by the action of its call."""

REFUSALS: dict[str, Callable[[Json, Message], Facts]] = {}
"""What a CallError means, by the action of its call: nothing, a station's transaction needs no consent."""

FROM_STATION = frozenset(
    {
        "Authorize",
        "BootNotification",
        "ClearedChargingLimit",
        "FirmwareStatusNotification",
        "Get15118EVCertificate",
        "GetCertificateStatus",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "NotifyChargingLimit",
        "NotifyCustomerInformation",
        "NotifyDisplayMessages",
        "NotifyEVChargingNeeds",
        "NotifyEVChargingSchedule",
        "NotifyEvent",
        "NotifyMonitoringReport",
        "NotifyReport",
        "PublishFirmwareStatusNotification",
        "ReportChargingProfiles",
        "ReservationStatusUpdate",
        "SecurityEventNotification",
        "SignCertificate",
        "StatusNotification",
        "TransactionEvent",
    }
)
"""The calls that a station sends (part 2, messages)."""

FROM_CSMS = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ClearCache",
        "ClearChargingProfile",
        "ClearDisplayMessage",
        "ClearVariableMonitoring",
        "CostUpdated",
        "CustomerInformation",
        "DeleteCertificate",
        "GetBaseReport",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "GetDisplayMessages",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "GetMonitoringReport",
        "GetReport",
        "GetTransactionStatus",
        "GetVariables",
        "InstallCertificate",
        "PublishFirmware",
        "RequestStartTransaction",
        "RequestStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SetDisplayMessage",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetNetworkProfile",
        "SetVariableMonitoring",
        "SetVariables",
        "TriggerMessage",
        "UnlockConnector",
        "UnpublishFirmware",
        "UpdateFirmware",
    }
)
"""The calls that a CSMS sends (part 2, messages)."""
