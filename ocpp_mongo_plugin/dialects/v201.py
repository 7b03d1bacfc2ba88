"""OCPP 2.0.1: what its messages mean.

The tables at the end are the rules: action to reader, and who sends what.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ocpp_mongo_plugin.dialects.v16 import ENERGY
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
    TransactionEvent,
)
from ocpp_mongo_plugin.fields import (
    boolean,
    decimal,
    mapping,
    moment,
    number,
    sequence,
    small_integer,
    text,
    written,
)
from ocpp_mongo_plugin.units import normalise

_MOST_MULTIPLIER = 30
_EVENTS: dict[str | None, Literal["Started", "Updated", "Ended"]] = {
    "Started": "Started",
    "Updated": "Updated",
    "Ended": "Ended",
}


def _boot(payload: Any) -> Iterator[Fact]:
    station = mapping(payload, "chargingStation")
    modem = mapping(station, "modem")
    yield Booted(
        vendor=text(station, "vendorName"),
        model=text(station, "model"),
        serial_number=text(station, "serialNumber"),
        firmware_version=text(station, "firmwareVersion"),
        iccid=text(modem, "iccid"),
        imsi=text(modem, "imsi"),
        boot_reason=text(payload, "reason"),
    )


def _boot_answer(_call: Any, payload: Any) -> Iterator[Fact]:
    yield BootAnswered(text(payload, "status"), small_integer(payload, "interval"))


def _heartbeat(_payload: Any) -> Iterator[Fact]:
    yield HeartbeatSeen()


def _status(payload: Any) -> Iterator[Fact]:
    yield StatusReported(
        connector_id=small_integer(payload, "connectorId"),
        status=text(payload, "connectorStatus"),
        at=moment(payload, "timestamp"),
        evse_id=small_integer(payload, "evseId"),
    )


def _notify_event(payload: Any) -> Iterator[Fact]:
    """AvailabilityState of a connector, EVSE or the station (part 2, section 3.1 and use case N07)."""
    for event in sequence(payload, "eventData"):
        component = mapping(event, "component")
        if text(mapping(event, "variable"), "name") != "AvailabilityState":
            continue
        evse = mapping(component, "evse")
        named = text(component, "name")
        yield StatusReported(
            connector_id=small_integer(evse, "connectorId") if named == "Connector" else None,
            status=text(event, "actualValue"),
            at=moment(event, "timestamp"),
            evse_id=small_integer(evse, "id") if named in ("Connector", "EVSE") else None,
        )


def _transaction_event(payload: Any) -> Iterator[Fact]:
    info, evse, token = (mapping(payload, name) for name in ("transactionInfo", "evse", "idToken"))
    event, transaction_id = _EVENTS.get(text(payload, "eventType")), text(info, "transactionId")
    if event is None or transaction_id is None:
        return
    yield TransactionEvent(
        event=event,
        transaction_id=transaction_id,
        seq_no=small_integer(payload, "seqNo"),
        at=moment(payload, "timestamp"),
        trigger_reason=text(payload, "triggerReason"),
        offline=boolean(payload, "offline"),
        evse_id=small_integer(evse, "id"),
        connector_id=small_integer(evse, "connectorId"),
        id_token=text(token, "idToken"),
        id_token_type=text(token, "type"),
        charging_state=text(info, "chargingState"),
        stopped_reason=text(info, "stoppedReason"),
        remote_start_id=small_integer(info, "remoteStartId"),
        reservation_id=small_integer(payload, "reservationId"),
        samples=tuple(_samples(payload)),
    )


def _transaction_event_answer(call: Any, payload: Any) -> Iterator[Fact]:
    transaction_id = text(mapping(call, "transactionInfo"), "transactionId")
    token = mapping(payload, "idTokenInfo")
    cost = number(payload, "totalCost")
    if transaction_id is None or (not token and cost is None):
        return
    group = text(mapping(token, "groupIdToken"), "idToken")
    yield TransactionAuthorized(transaction_id, text(token, "status"), group, cost)


def _cost_answer(call: Any, _payload: Any) -> Iterator[Fact]:
    transaction_id, cost = text(call, "transactionId"), number(call, "totalCost")
    if transaction_id is not None and cost is not None:
        yield TransactionAuthorized(transaction_id, total_cost=cost)


def _meter_values(payload: Any) -> Iterator[Fact]:
    yield Metered(samples=tuple(_samples(payload)), evse_id=small_integer(payload, "evseId"))


def _samples(payload: Any) -> Iterator[Sample]:
    for meter_value in sequence(payload, "meterValue"):
        at = moment(meter_value, "timestamp")
        for sampled in sequence(meter_value, "sampledValue"):
            if isinstance(sampled, dict):
                yield _sample(sampled, at)


def _sample(sampled: Any, at: Moment) -> Sample:
    raw = sampled.get("value")
    measure = mapping(sampled, "unitOfMeasure")
    multiplier = small_integer(measure, "multiplier") or 0
    if abs(multiplier) > _MOST_MULTIPLIER:
        multiplier = 0
    measurand = text(sampled, "measurand") or ENERGY
    value, unit = normalise(decimal(raw), text(measure, "unit"), measurand, multiplier)
    return Sample(
        measurand=measurand,
        value=value,
        unit=unit,
        at=at,
        original_value=raw if isinstance(raw, str) else written(raw),
        original_unit=text(measure, "unit"),
        multiplier=multiplier,
        phase=text(sampled, "phase"),
        context=text(sampled, "context"),
        location=text(sampled, "location"),
        signed=sampled.get("signedMeterValue"),
    )


def _firmware(payload: Any) -> Iterator[Fact]:
    status = text(payload, "status")
    if status is not None:
        yield StationNoted("firmware_status", status, Moment())


def _log(payload: Any) -> Iterator[Fact]:
    status = text(payload, "status")
    if status is not None:
        yield StationNoted("log_status", status, Moment())


def _security_event(payload: Any) -> Iterator[Fact]:
    kind = text(payload, "type")
    if kind is not None:
        yield StationNoted("last_security_event", kind, moment(payload, "timestamp"))


def _availability_answer(call: Any, payload: Any) -> Iterator[Fact]:
    availability, evse = text(call, "operationalStatus"), mapping(call, "evse")
    if text(payload, "status") == "Accepted" and availability is not None:
        yield AvailabilityChanged(availability, small_integer(evse, "connectorId"), small_integer(evse, "id"))


def _reserve_answer(call: Any, payload: Any) -> Iterator[Fact]:
    reservation = small_integer(call, "id")
    if text(payload, "status") == "Accepted" and reservation is not None:
        yield ReservationChanged(reservation, active=True, evse_id=small_integer(call, "evseId"))


def _cancel_answer(call: Any, payload: Any) -> Iterator[Fact]:
    reservation = small_integer(call, "reservationId")
    if text(payload, "status") == "Accepted" and reservation is not None:
        yield ReservationChanged(reservation, active=False)


def _reservation_update(payload: Any) -> Iterator[Fact]:
    reservation = small_integer(payload, "reservationId")
    if reservation is not None:  # Expired or Removed: it is over either way
        yield ReservationChanged(reservation, active=False)


CALLS = {
    "BootNotification": _boot,
    "Heartbeat": _heartbeat,
    "StatusNotification": _status,
    "NotifyEvent": _notify_event,
    "TransactionEvent": _transaction_event,
    "MeterValues": _meter_values,
    "FirmwareStatusNotification": _firmware,
    "LogStatusNotification": _log,
    "SecurityEventNotification": _security_event,
    "ReservationStatusUpdate": _reservation_update,
}
ANSWERS = {
    "BootNotification": _boot_answer,
    "TransactionEvent": _transaction_event_answer,
    "CostUpdated": _cost_answer,
    "ChangeAvailability": _availability_answer,
    "ReserveNow": _reserve_answer,
    "CancelReservation": _cancel_answer,
}
REFUSALS: dict[str, Any] = {}

ONLY = frozenset({"TransactionEvent", "NotifyEvent", "NotifyReport", "GetVariables", "SetVariables"})
"""What tells this version and later ones from 1.6 where nobody said which it is."""

FROM_STATION = frozenset(CALLS) | {
    "Authorize",
    "ClearedChargingLimit",
    "DataTransfer",
    "Get15118EVCertificate",
    "GetCertificateStatus",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyMonitoringReport",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "SignCertificate",
}
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
        "DataTransfer",
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
