"""Transcripts: frames as they crossed a wire, and the documents they must give.

``S`` stands before what the station wrote, ``C`` before what the CSMS wrote. Data first: a bug report is one more
entry of ``TRANSCRIPTS``. What is expected is a part of each transaction, in order of first mention.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

T0 = "2026-03-01T10:00:00Z"
T1 = "2026-03-01T11:00:00Z"
T2 = "2026-03-01T12:00:00Z"
T3 = "2026-03-01T13:00:00Z"


@dataclass(frozen=True)
class Transcript:
    name: str
    frames: list[str]
    transactions: list[dict[str, Any]]
    version: str = "1.6"
    connectors: dict[int, dict[str, Any]] = field(default_factory=dict)
    values: int | None = None


def call(side: str, message_id: Any, action: str, payload: Any) -> str:
    return side + json.dumps([2, message_id, action, payload])


def answer(side: str, message_id: Any, payload: Any) -> str:
    return side + json.dumps([3, message_id, payload])


def start(message_id: Any, *, connector: int = 1, tag: str = "A", meter: Any = 1000, at: str = T0, **more: Any) -> str:
    payload = {"connectorId": connector, "idTag": tag, "meterStart": meter, "timestamp": at, **more}
    return call("S", message_id, "StartTransaction", payload)


def started(message_id: Any, transaction: Any, status: str = "Accepted") -> str:
    return answer("C", message_id, {"transactionId": transaction, "idTagInfo": {"status": status}})


def stop(message_id: Any, transaction: Any, *, meter: Any = 3000, at: str = T1, **more: Any) -> str:
    return call(
        "S", message_id, "StopTransaction", {"transactionId": transaction, "meterStop": meter, "timestamp": at, **more}
    )


def metered(message_id: Any, value: Any, *, connector: int = 1, at: str = T1, unit: str = "Wh", **more: Any) -> str:
    sample = {"value": value, "unit": unit, "measurand": "Energy.Active.Import.Register"}
    meter_value = [{"timestamp": at, "sampledValue": [sample]}]
    return call("S", message_id, "MeterValues", {"connectorId": connector, "meterValue": meter_value, **more})


def status(message_id: Any, name: str, connector: int = 1) -> str:
    payload = {"connectorId": connector, "errorCode": "NoError", "status": name}
    return call("S", message_id, "StatusNotification", payload)


def event(kind: str, seq_no: int | None, *, transaction: str = "tx", wh: Any = None, at: str = T0, **more: Any) -> str:
    info = {"transactionId": transaction, **more.pop("info", {})}
    payload = {"eventType": kind, "timestamp": at, "triggerReason": "Authorized", "transactionInfo": info, **more}
    if seq_no is not None:
        payload["seqNo"] = seq_no
    if wh is not None:
        sample = {"value": wh, "measurand": "Energy.Active.Import.Register"}
        payload["meterValue"] = [{"timestamp": at, "sampledValue": [sample]}]
    return call("S", f"{transaction}-{kind}-{seq_no}", "TransactionEvent", payload)


EVSE = {"evse": {"id": 1, "connectorId": 2}}
TOKEN = {"idToken": {"idToken": "B", "type": "ISO14443"}}

TRANSCRIPTS = [
    Transcript(
        "an ordinary transaction",
        [
            start("1"),
            started("1", 7),
            metered("2", "2.5", unit="kWh", transactionId=7),
            stop("3", 7, reason="Remote", idTag="A"),
            answer("C", "3", {"idTagInfo": {"status": "Accepted"}}),
        ],
        [
            {
                "transaction_id": 7,
                "connector_id": 1,
                "id_tag": "A",
                "meter_start": 1000,
                "meter_stop": 3000,
                "energy_consumed": 2000,
                "meter_latest": 2500,
                "reason": "Remote",
                "status": "completed",
                "protocol_version": "1.6",
                "anomalies": [],
            }
        ],
        connectors={1: {"current_transaction_id": None}},
        values=1,
    ),
    Transcript(
        "energy so far while it is active, and what the connector says",
        [status("0", "Charging"), start("1"), started("1", 7), metered("2", "1800", transactionId=7)],
        [{"status": "active", "energy_consumed": 800, "meter_stop": None}],
        connectors={1: {"status": "Charging", "current_transaction_id": 7}},
    ),
    Transcript(
        "the CSMS answers every start with 1",
        [
            start("1"),
            started("1", 1),
            stop("2", 1),
            start("3", meter=3000, at=T2),
            started("3", 1),
            stop("4", 1, meter=3500, at=T3),
        ],
        [{"transaction_id": 1, "energy_consumed": 2000}, {"transaction_id": 1, "energy_consumed": 500}],
    ),
    Transcript(
        "two connectors with the same id, stopped by their id tags",
        [
            start("1", connector=1, tag="A", meter=1000),
            started("1", 5),
            start("2", connector=2, tag="B", meter=9000),
            started("2", 5),
            stop("3", 5, meter=9100, idTag="B"),
            stop("4", 5, meter=1200, idTag="A", at=T2),
        ],
        [
            {"id_tag": "A", "energy_consumed": 200, "status": "completed"},
            {"id_tag": "B", "energy_consumed": 100, "anomalies": ["transaction id reused while active"]},
        ],
    ),
    Transcript(
        "two connectors with the same id, stopped by their meters",
        [
            start("1", connector=1, meter=1000),
            started("1", 5),
            start("2", connector=2, meter=9000),
            started("2", 5),
            stop("3", 5, meter=1200),
            stop("4", 5, meter=9100, at=T2),
        ],
        [{"connector_id": 1, "energy_consumed": 200}, {"connector_id": 2, "energy_consumed": 100}],
    ),
    Transcript(
        "a refused start with id 0 is no charging",
        [start("1"), started("1", 0, "Invalid")],
        [{"transaction_id": 0, "status": "failed", "failure": "start refused: Invalid", "energy_consumed": None}],
        connectors={1: {"current_transaction_id": None}},
    ),
    Transcript(
        "a start that is answered with an error",
        [start("1"), 'C[4,"1","InternalError","",{}]'],
        [{"transaction_id": None, "status": "failed", "failure": "start answered with an error: InternalError"}],
    ),
    Transcript(
        "a negative id that the CSMS really gives",
        [start("1"), started("1", -16), stop("2", -16)],
        [{"transaction_id": -16, "status": "completed", "energy_consumed": 2000}],
    ),
    Transcript(
        "an id at the edge of 64 bits stays a number",
        [start("1"), started("1", 2**63 - 1), stop("2", 2**63 - 1)],
        [{"transaction_id": 2**63 - 1, "status": "completed"}],
    ),
    Transcript(
        "an id over 64 bits is kept as text",
        [start("1"), started("1", 2**63), stop("2", 2**63)],
        [{"transaction_id": str(2**63), "status": "completed", "energy_consumed": 2000}],
    ),
    Transcript(
        "a start repeated with the same message id",
        [start("1"), start("1"), started("1", 7), stop("2", 7)],
        [{"transaction_id": 7, "status": "completed", "anomalies": []}],
    ),
    Transcript(
        "a start repeated with another message id, answered with the same id",
        [start("1"), started("1", 7), start("2"), started("2", 7), stop("3", 7)],
        [{"transaction_id": 7, "status": "completed", "anomalies": ["start repeated with another message id"]}],
    ),
    Transcript(
        "a stop before the start's answer",
        [start("1"), stop("2", 99), started("1", 7)],
        [{"transaction_id": 7, "status": "completed", "anomalies": ["stop before the start's answer"]}],
    ),
    Transcript(
        "a stop without any start",
        [stop("2", 7)],
        [
            {
                "transaction_id": 7,
                "status": "completed",
                "meter_stop": 3000,
                "energy_consumed": None,
                "anomalies": ["start not seen", "stop without start"],
            }
        ],
    ),
    Transcript(
        "a stop that is repeated",
        [start("1"), started("1", 7), stop("2", 7), stop("2", 7), stop("3", 7)],
        [{"status": "completed", "energy_consumed": 2000, "anomalies": []}],
    ),
    Transcript(
        "a second stop that says something else",
        [start("1"), started("1", 7), stop("2", 7), stop("3", 7, meter=9999, at=T2)],
        [{"status": "completed", "energy_consumed": 2000, "anomalies": ["stopped twice"]}],
    ),
    Transcript(
        "a stop with -1 for the only running transaction",
        [start("1"), started("1", 7), stop("2", -1)],
        [{"transaction_id": 7, "status": "completed", "anomalies": ["stop names transaction -1"]}],
    ),
    Transcript(
        "a start on a connector that still charges, and the late stop of the first",
        [
            start("1"),
            started("1", 7),
            start("2", meter=5000, at=T2),
            started("2", 8),
            stop("3", 7, meter=4000),
        ],
        [
            {"transaction_id": 7, "status": "completed", "energy_consumed": 3000},
            {"transaction_id": 8, "status": "active"},
        ],
        connectors={1: {"current_transaction_id": 8}},
    ),
    Transcript(
        "a start on a connector that still charges",
        [start("1"), started("1", 7), start("2", meter=5000, at=T2), started("2", 8)],
        [
            {
                "transaction_id": 7,
                "status": "failed",
                "failure": "superseded by a start on the same connector",
                "anomalies": ["superseded: no stop was seen"],
            },
            {"transaction_id": 8, "status": "active"},
        ],
    ),
    Transcript(
        "meter values after the stop",
        [start("1"), started("1", 7), stop("2", 7), metered("3", "3001", at=T2, transactionId=7)],
        [{"status": "completed", "energy_consumed": 2000, "meter_latest": 3001}],
        values=1,
    ),
    Transcript(
        "meter values without a transaction id count for what is active on the connector",
        [start("1"), started("1", 7), metered("2", "1500"), metered("3", "77", connector=0)],
        [{"status": "active", "energy_consumed": 500}],
        values=2,
    ),
    Transcript(
        "a transaction whose start was not recorded",
        [metered("1", "500", transactionId=7), metered("2", "900", transactionId=7, at=T2), stop("3", 7, meter=1000)],
        [{"transaction_id": 7, "status": "completed", "energy_consumed": 500, "anomalies": ["start not seen"]}],
    ),
    Transcript(
        "a stop that comes before its own start, offline",
        [stop("1", 7, at=T1), start("2", at=T0), started("2", 7)],
        [{"transaction_id": 7, "status": "completed", "energy_consumed": 2000, "anomalies": ["stop without start"]}],
    ),
    Transcript(
        "a meter stop of -1 leaves the samples",
        [start("1"), started("1", 7), metered("2", "1700", transactionId=7), stop("3", 7, meter=-1)],
        [{"meter_stop": None, "energy_consumed": 700, "anomalies": ["meterStop -1"]}],
    ),
    Transcript(
        "a meter that goes backwards",
        [start("1", meter=5000), started("1", 7), stop("2", 7, meter=100)],
        [{"energy_consumed": None, "anomalies": ["meter went backwards"]}],
    ),
    Transcript(
        "a lifetime register at the start, a session register in the samples",
        [
            start("1", meter=500_000),
            started("1", 7),
            metered("2", "0", transactionId=7),
            metered("3", "2e+03", transactionId=7, at=T2),
            stop("4", 7, meter=2000, at=T3),
        ],
        [{"energy_consumed": 2000, "anomalies": ["meter went backwards"]}],
    ),
    Transcript(
        "samples that are no numbers are kept, and count for nothing",
        [
            start("1"),
            started("1", 7),
            metered("2", "", transactionId=7),
            metered("3", [], transactionId=7),
            metered("4", "NaN", transactionId=7),
        ],
        [{"energy_consumed": None, "meter_latest": None}],
        values=3,
    ),
    Transcript(
        "a station without a clock says 1970 each time",
        [
            start("1", at="1970-01-01T00:00:00Z"),
            started("1", 7),
            stop("2", 7, at="1970-01-01T00:00:00Z"),
            start("3", at="1970-01-01T00:00:00Z"),
            started("3", 8),
        ],
        [{"transaction_id": 7, "status": "completed"}, {"transaction_id": 8, "status": "active"}],
    ),
    Transcript(
        "times that are none",
        [start("1", at="yesterday"), started("1", 7), stop("2", 7, at="")],
        [
            {
                "status": "completed",
                "start_timestamp_text": "yesterday",
                "anomalies": ["start time not understood", "stop time not understood"],
            }
        ],
    ),
    Transcript(
        "message ids that are numbers, and the same in both directions at once",
        [
            start(1),
            call("C", 1, "TriggerMessage", {"requestedMessage": "Heartbeat"}),
            started(1, 7),
            answer("S", 1, {"status": "Accepted"}),
            stop(2, 7),
        ],
        [{"transaction_id": 7, "status": "completed", "energy_consumed": 2000}],
    ),
    Transcript(
        "message ids that start again after a reboot",
        [
            start("1"),
            started("1", 7),
            stop("2", 7),
            call("S", "1", "BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"}),
            start("2", meter=3000, at=T2),
            started("2", 8),
        ],
        [{"transaction_id": 7, "status": "completed"}, {"transaction_id": 8, "status": "active"}],
    ),
    Transcript(
        "an ordinary transaction of 2.0.1",
        [
            event("Started", 0, wh=1000, **EVSE, **TOKEN),
            answer("C", "tx-Started-0", {"idTokenInfo": {"status": "Accepted"}}),
            event("Updated", 1, wh=1500, at=T1, info={"chargingState": "Charging"}),
            event("Ended", 2, wh=4000, at=T2, info={"stoppedReason": "EVDisconnected"}),
        ],
        [
            {
                "transaction_id": "tx",
                "connector_id": 2,
                "evse_id": 1,
                "id_tag": "B",
                "meter_start": 1000,
                "meter_stop": 4000,
                "energy_consumed": 3000,
                "reason": "EVDisconnected",
                "status": "completed",
                "authorization_status": "Accepted",
                "charging_state": "Charging",
                "first_seq_no": 0,
                "last_seq_no": 2,
                "missing_seq_nos": [],
                "anomalies": [],
            }
        ],
        version="2.0.1",
        connectors={2: {"current_transaction_id": None}},
    ),
    Transcript(
        "offline events of 2.1 in any order",
        [
            event("Ended", 3, wh=4000, at=T3, offline=True),
            event("Updated", 1, wh=1500, at=T1, offline=True),
            event("Started", 0, wh=1000, offline=True, **EVSE, **TOKEN),
        ],
        [
            {
                "status": "completed",
                "energy_consumed": 3000,
                "connector_id": 2,
                "id_tag": "B",
                "offline": True,
                "missing_seq_nos": [2],
                "anomalies": ["seqNo 2 missing"],
            }
        ],
        version="2.1",
    ),
    Transcript(
        "a connector that the event does not name",
        [event("Started", 0, wh=10, evse={"id": 1}), event("Ended", 1, wh=30, at=T1)],
        [{"evse_id": 1, "connector_id": None, "energy_consumed": 20, "status": "completed"}],
        version="2.0.1",
    ),
    Transcript(
        "multipliers and units of 2.x",
        [
            event(
                "Started",
                0,
                **EVSE,
                meterValue=[{"timestamp": T0, "sampledValue": [{"value": 1, "unitOfMeasure": {"unit": "kWh"}}]}],
            ),
            event(
                "Ended",
                1,
                at=T1,
                meterValue=[{"timestamp": T1, "sampledValue": [{"value": 25, "unitOfMeasure": {"multiplier": 2}}]}],
            ),
        ],
        [{"meter_start": 1000, "meter_stop": 2500, "energy_consumed": 1500}],
        version="2.1",
    ),
]
