"""The traffic that is measured: charging sessions as real ones are, calls and their answers.

Of each 40 calls of a station 24 are MeterValues with six sampled values, 10 are Heartbeats, and 6 are the rest of a
charging session: Authorize, StatusNotification, StartTransaction, StopTransaction. Every fourth station speaks OCPP
2.0.1, where TransactionEvent says the same. Texts are written as the ``ocpp`` library writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CALLS_OF_A_SESSION = 40
AUTHORIZE, START = 1, 2
"""Steps of a session: the one that means nothing beyond the message log, and the one that begins the transaction."""
_SPEAKS_201 = 3
_MEASURED = (
    ("Energy.Active.Import.Register", "Wh", 1_204_311.0, 61.6),
    ("Power.Active.Import", "W", 7_382.0, 1.1),
    ("Current.Import", "A", 32.04, 0.01),
    ("Voltage", "V", 230.4, 0.02),
    ("SoC", "Percent", 21.0, 0.1),
)
# OCPP 2.0.1 has no temperature.
_SIXTH_16, _SIXTH_201 = ("Temperature", "Celsius", 36.5, 0.05), ("Frequency", "Hertz", 50.0, 0.001)


class Text(NamedTuple):
    """One text of the mix, and which end writes it."""

    station_id: str
    version: str
    is_answer: bool
    text: str


def texts(stations: int = 40, *, sessions: int | None = None, first: int = 0) -> Iterator[Text]:
    """Yield calls and answers of so many stations, in turn, without end or for so many charging sessions each."""
    number = first
    while sessions is None or number < first + sessions:
        for step in range(CALLS_OF_A_SESSION):
            for station in range(stations):
                yield from exchange(station, number, step)
        number += 1


def take(count: int, stations: int = 40, *, first: int = 0) -> list[Text]:
    """Return so many texts."""
    source = texts(stations, first=first)
    return [next(source) for _ in range(count)]


def exchange(station: int, session: int, step: int) -> tuple[Text, Text]:
    """Return a call and its answer: that step of that charging session of a station."""
    station_id, is_201 = identity(station), station % 4 == _SPEAKS_201
    at = moment(session, step).isoformat(timespec="milliseconds")[:-6] + "Z"
    message_id = f"{session:08x}-{step:04x}-4d5c-9e1b-{station_id}"
    version = "2.0.1" if is_201 else "1.6"
    action, call, answer = (_v201 if is_201 else _v16)(station_id, session, step, at)
    return (
        Text(station_id, version, is_answer=False, text=_written([2, message_id, action, call])),
        Text(station_id, version, is_answer=True, text=_written([3, message_id, answer])),
    )


def identity(station: int) -> str:
    """Return the identity of a station."""
    return f"CP{station:05}"


def moment(session: int, step: int) -> datetime:
    """Return when that step of that session is, by the station's clock."""
    return NOON + timedelta(hours=session, seconds=step * 15)


def _written(message: list[Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


_HEARTBEATS = frozenset(range(6, 36, 3))


def _v16(station_id: str, session: int, step: int, at: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    transaction, tag = session * 1000 + 17, f"TAG{station_id[2:]}{session % 100:02}"
    status = {"connectorId": 1, "errorCode": "NoError", "timestamp": at}
    match step:
        case 0:
            return "StatusNotification", {**status, "status": "Preparing"}, {}
        case 1:
            return "Authorize", {"idTag": tag}, {"idTagInfo": {"status": "Accepted"}}
        case 2:
            call = {"connectorId": 1, "idTag": tag, "meterStart": 1_204_250, "timestamp": at}
            return "StartTransaction", call, {"transactionId": transaction, "idTagInfo": {"status": "Accepted"}}
        case 3:
            return "StatusNotification", {**status, "status": "Charging"}, {}
        case 38:
            stop = {"transactionId": transaction, "idTag": tag, "meterStop": 1_206_700, "timestamp": at}
            return "StopTransaction", {**stop, "reason": "Local"}, {"idTagInfo": {"status": "Accepted"}}
        case 39:
            return "StatusNotification", {**status, "status": "Available"}, {}
    if step in _HEARTBEATS:
        return "Heartbeat", {}, {"currentTime": at}
    sampled = [
        {"value": f"{base + step * rise:.2f}", "context": "Sample.Periodic", "measurand": name, "unit": unit}
        for name, unit, base, rise in (*_MEASURED, _SIXTH_16)
    ]
    values = [{"timestamp": at, "sampledValue": sampled}]
    return "MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": values}, {}


def _v201(station_id: str, session: int, step: int, at: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    token = {"idToken": f"TAG{station_id[2:]}{session % 100:02}", "type": "ISO14443"}
    event: dict[str, Any] = {
        "eventType": "Updated",
        "timestamp": at,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": step,
        "transactionInfo": {"transactionId": f"{station_id}-{session:06}", "chargingState": "Charging"},
    }
    status = {"timestamp": at, "evseId": 1, "connectorId": 1}
    match step:
        case 0 | 39:
            occupied = "Occupied" if step == 0 else "Available"
            return "StatusNotification", {**status, "connectorStatus": occupied}, {}
        case 1:
            return "Authorize", {"idToken": token}, {"idTokenInfo": {"status": "Accepted"}}
        case 2:
            begin = {"eventType": "Started", "triggerReason": "Authorized", "evse": {"id": 1, "connectorId": 1}}
            return "TransactionEvent", {**event, **begin, "idToken": token}, {"idTokenInfo": {"status": "Accepted"}}
        case 3:
            return "TransactionEvent", {**event, "triggerReason": "ChargingStateChanged"}, {}
        case 38:
            info = {**event["transactionInfo"], "stoppedReason": "Local"}
            return "TransactionEvent", {**event, "eventType": "Ended", "transactionInfo": info}, {}
    if step in _HEARTBEATS:
        event["triggerReason"] = "MeterValueClock"
        return "Heartbeat", {}, {"currentTime": at}
    sampled = [
        {"value": round(base + step * rise, 2), "context": "Sample.Periodic", "measurand": name, **_unit_201(unit)}
        for name, unit, base, rise in (*_MEASURED, _SIXTH_201)
    ]
    return "TransactionEvent", {**event, "meterValue": [{"timestamp": at, "sampledValue": sampled}]}, {}


def _unit_201(unit: str) -> dict[str, Any]:
    return {"unitOfMeasure": {"unit": unit}}
