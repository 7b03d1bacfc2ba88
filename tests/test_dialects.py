"""What messages mean: frames as they cross the wire, and the facts they must give, for each OCPP version."""

from __future__ import annotations

import importlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.v16.enums import Action as Action16
from ocpp.v21.enums import Action as Action21
from ocpp.v201.enums import Action as Action201

from ocpp_mongo_plugin.dialects import origin_of, understand
from ocpp_mongo_plugin.facts import (
    AvailabilityChanged,
    BootAnswered,
    Booted,
    HeartbeatSeen,
    Metered,
    Moment,
    ReservationChanged,
    Sample,
    StationNoted,
    StatusReported,
    TransactionAuthorized,
    TransactionEvent,
    TransactionIdentified,
    TransactionRefused,
    TransactionStarted,
    TransactionStopped,
)
from ocpp_mongo_plugin.frames import Message, decode

DATA = Path(__file__).parent / "data"
NOON = "2024-03-01T12:00:00Z"
AT = Moment(NOON, datetime(2024, 3, 1, 12, tzinfo=timezone.utc))
ENERGY = "Energy.Active.Import.Register"


def call(action, payload):
    return json.dumps([2, "1", action, payload])


def facts_of(version, called, answered=None, origin=None):
    asked = decode(called)
    if answered is None:
        return understand(asked, None, version, origin)
    return understand(decode(answered), asked, version, origin)


def result(payload):
    return json.dumps([3, "1", payload])


def energy(value, written, unit="Wh", original_unit=None, at=AT, **more):
    return Sample(ENERGY, value, unit, at, written, original_unit, **more)


# -- OCPP 1.6 -------------------------------------------------------------------------------------------------

START_16 = {"connectorId": 1, "idTag": "TAG", "meterStart": 100, "timestamp": NOON}
STARTED_16 = TransactionStarted(1, "TAG", 100, AT)

CALLS_16 = {
    "boot": (
        call(
            "BootNotification",
            {
                "chargePointVendor": "V",
                "chargePointModel": "M",
                "chargePointSerialNumber": "S",
                "chargeBoxSerialNumber": "B",
                "firmwareVersion": "1.2",
                "iccid": "I",
                "imsi": "J",
                "meterType": "T",
                "meterSerialNumber": "N",
            },
        ),
        [Booted("V", "M", "S", "B", "1.2", "I", "J", "T", "N")],
    ),
    "boot with a number for a serial": (
        call("BootNotification", {"chargePointVendor": "", "chargePointModel": "M", "chargePointSerialNumber": 7}),
        [Booted("", "M", "7")],
    ),
    "heartbeat": (call("Heartbeat", {}), [HeartbeatSeen()]),
    "status": (
        call(
            "StatusNotification",
            {
                "connectorId": 1,
                "errorCode": "OtherError",
                "status": "Faulted",
                "info": "hot",
                "timestamp": NOON,
                "vendorId": "v",
                "vendorErrorCode": "E1",
            },
        ),
        [StatusReported(1, "Faulted", AT, None, "OtherError", "hot", "v", "E1")],
    ),
    "status of the whole station": (
        call("StatusNotification", {"connectorId": 0, "errorCode": "NoError", "status": "Available"}),
        [StatusReported(0, "Available", Moment(), None, "NoError")],
    ),
    "status without a connector": (
        call("StatusNotification", {"status": "Available"}),
        [StatusReported(None, "Available", Moment())],
    ),
    "start": (call("StartTransaction", START_16), [STARTED_16]),
    "start on a reservation": (
        call("StartTransaction", {**START_16, "reservationId": 5}),
        [
            TransactionStarted(1, "TAG", 100, AT, reservation_id=5),
            ReservationChanged(5, active=False, connector_id=1),
        ],
    ),
    "start with texts for numbers": (
        call("StartTransaction", {"connectorId": "1", "idTag": 42, "meterStart": "100.0", "timestamp": "2024-03-01"}),
        [TransactionStarted(1, "42", 100, Moment("2024-03-01"))],
    ),
    "start with nothing": (call("StartTransaction", {}), [TransactionStarted(None, None, None, Moment())]),
    "start that is no object": (
        call("StartTransaction", ["x"]),
        [TransactionStarted(None, None, None, Moment())],
    ),
    "start in the year 1": (
        call("StartTransaction", {**START_16, "timestamp": "0001-01-01T00:00:00+02:00"}),
        [TransactionStarted(1, "TAG", 100, Moment("0001-01-01T00:00:00+02:00"))],
    ),
    "stop": (
        call(
            "StopTransaction",
            {"transactionId": 7, "meterStop": 900, "timestamp": NOON, "reason": "Local", "idTag": "TAG"},
        ),
        [TransactionStopped(7, 900, AT, "Local", "TAG")],
    ),
    "stop with the id of a rejected start, below zero": (
        call("StopTransaction", {"transactionId": -1, "meterStop": -1, "timestamp": NOON}),
        [TransactionStopped(-1, -1, AT, None)],
    ),
    "stop with an id above 64 bits": (
        call("StopTransaction", {"transactionId": 2**63, "meterStop": 2**63, "timestamp": NOON}),
        [TransactionStopped(2**63, None, AT, None)],
    ),
    "stop with an id as text": (
        call("StopTransaction", {"transactionId": "1234", "meterStop": "2e+01", "timestamp": NOON}),
        [TransactionStopped(1234, 20, AT, None)],
    ),
    "stop with samples": (
        call(
            "StopTransaction",
            {
                "transactionId": 7,
                "meterStop": 900,
                "timestamp": NOON,
                "transactionData": [
                    {
                        "timestamp": NOON,
                        "sampledValue": [{"value": "3051.11", "unit": "kWh", "context": "Transaction.Begin"}],
                    },
                    {"timestamp": NOON, "sampledValue": [{"value": "900", "context": "Transaction.End"}]},
                ],
            },
        ),
        [
            TransactionStopped(
                7,
                900,
                AT,
                None,
                samples=(
                    energy(3051110, "3051.11", original_unit="kWh", context="Transaction.Begin"),
                    energy(900, "900", context="Transaction.End"),
                ),
            )
        ],
    ),
    "meter values": (
        call(
            "MeterValues",
            {
                "connectorId": 1,
                "transactionId": 7,
                "meterValue": [
                    {
                        "timestamp": NOON,
                        "sampledValue": [
                            {
                                "value": "6.00",
                                "measurand": "Current.Import",
                                "unit": "A",
                                "phase": "L1",
                                "context": "Sample.Periodic",
                                "format": "Raw",
                                "location": "Outlet",
                            },
                            {"value": "49.94", "measurand": "Frequency"},
                        ],
                    }
                ],
            },
        ),
        [
            Metered(
                (
                    Sample(
                        "Current.Import",
                        6,
                        "A",
                        AT,
                        "6.00",
                        "A",
                        phase="L1",
                        context="Sample.Periodic",
                        format="Raw",
                        location="Outlet",
                    ),
                    Sample("Frequency", 49.94, "Hz", AT, "49.94"),
                ),
                connector_id=1,
                transaction_id=7,
            )
        ],
    ),
    "meter values of the main meter, outside of a transaction": (
        call("MeterValues", {"connectorId": 0, "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": "1"}]}]}),
        [Metered((energy(1, "1"),), connector_id=0)],
    ),
    "values that are no numbers, and neighbours that are no objects": (
        call(
            "MeterValues",
            {
                "connectorId": 1,
                "meterValue": [
                    None,
                    {
                        "timestamp": NOON,
                        "sampledValue": [
                            {"value": ""},
                            "x",
                            {"value": []},
                            {"value": 12.5},
                            {"value": 5},
                            {"value": None},
                            {},
                            {"value": "2e+01"},
                            {"value": "AAEC", "format": "SignedData"},
                            {"value": "77", "format": "SignedData"},
                            {"value": "-3"},
                            {"value": "nan"},
                        ],
                    },
                    [],
                ],
            },
        ),
        [
            Metered(
                (
                    energy(None, ""),
                    energy(None, "[]"),
                    energy(12.5, "12.5"),
                    energy(5, "5"),
                    energy(None, "null"),
                    energy(None, ""),
                    energy(20, "2e+01"),
                    energy(None, "AAEC", format="SignedData"),
                    energy(None, "77", format="SignedData"),
                    energy(-3, "-3"),
                    energy(None, "nan"),
                ),
                connector_id=1,
            )
        ],
    ),
    "one object where arrays belong": (
        call("MeterValues", {"connectorId": 1, "meterValue": {"timestamp": NOON, "sampledValue": {"value": "1"}}}),
        [Metered((energy(1, "1"),), connector_id=1)],
    ),
    "meter values without any": (call("MeterValues", {"connectorId": 1}), [Metered((), connector_id=1)]),
    "firmware": (
        call("FirmwareStatusNotification", {"status": "Installed"}),
        [StationNoted("firmware_status", "Installed", Moment())],
    ),
    "signed firmware": (
        call("SignedFirmwareStatusNotification", {"status": "SignatureVerified", "requestId": 1}),
        [StationNoted("firmware_status", "SignatureVerified", Moment())],
    ),
    "diagnostics": (
        call("DiagnosticsStatusNotification", {"status": "Uploaded"}),
        [StationNoted("diagnostics_status", "Uploaded", Moment())],
    ),
    "log": (
        call("LogStatusNotification", {"status": "Uploading"}),
        [StationNoted("log_status", "Uploading", Moment())],
    ),
    "log without a status": (call("LogStatusNotification", {}), []),
    "security event": (
        call("SecurityEventNotification", {"type": "SettingSystemTime", "timestamp": NOON}),
        [StationNoted("last_security_event", "SettingSystemTime", AT)],
    ),
    "an action that says nothing of these": (call("Authorize", {"idTag": "TAG"}), []),
    "an action that nobody knows": (call("Frobnicate", {}), []),
}

ANSWERS_16 = {
    "boot": (
        call("BootNotification", {}),
        result({"status": "Accepted", "interval": 300, "currentTime": NOON}),
        [BootAnswered("Accepted", 300)],
    ),
    "boot, interval as text": (
        call("BootNotification", {}),
        result({"status": "Pending", "interval": "300"}),
        [BootAnswered("Pending", 300)],
    ),
    "start": (
        call("StartTransaction", START_16),
        result({"transactionId": 7, "idTagInfo": {"status": "Accepted", "parentIdTag": "P"}}),
        [TransactionIdentified(STARTED_16, 7, "Accepted", "P")],
    ),
    "start rejected with 0": (
        call("StartTransaction", START_16),
        result({"transactionId": 0, "idTagInfo": {"status": "Invalid"}}),
        [TransactionIdentified(STARTED_16, 0, "Invalid")],
    ),
    "start answered with an id as text": (
        call("StartTransaction", START_16),
        result({"transactionId": "1234"}),
        [TransactionIdentified(STARTED_16, 1234, None)],
    ),
    "start answered with an id above 64 bits": (
        call("StartTransaction", START_16),
        result({"transactionId": 2**80}),
        [TransactionIdentified(STARTED_16, 2**80, None)],
    ),
    "start answered with nothing": (
        call("StartTransaction", START_16),
        result(None),
        [TransactionIdentified(STARTED_16, None, None)],
    ),
    "start answered with an error": (
        call("StartTransaction", START_16),
        '[4,"1","InternalError","database is down",{}]',
        [TransactionRefused(STARTED_16, "InternalError")],
    ),
    "start answered with an error without a code": (
        call("StartTransaction", START_16),
        '[4,"1",null]',
        [TransactionRefused(STARTED_16, "CallError")],
    ),
    "stop": (
        call("StopTransaction", {"transactionId": 7}),
        result({"idTagInfo": {"status": "Expired", "parentIdTag": "P"}}),
        [TransactionAuthorized(7, "Expired", "P")],
    ),
    "stop answered without idTagInfo": (call("StopTransaction", {"transactionId": 7}), result({}), []),
    "stop of nothing": (call("StopTransaction", {}), result({"idTagInfo": {"status": "Accepted"}}), []),
    "stop answered with an error": (call("StopTransaction", {"transactionId": 7}), '[4,"1","X","",{}]', []),
    "availability of a connector": (
        call("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}),
        result({"status": "Accepted"}),
        [AvailabilityChanged("Inoperative", connector_id=2)],
    ),
    "availability of the station": (
        call("ChangeAvailability", {"connectorId": 0, "type": "Operative"}),
        result({"status": "Accepted"}),
        [AvailabilityChanged("Operative")],
    ),
    "availability scheduled": (
        call("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}),
        result({"status": "Scheduled"}),
        [],
    ),
    "availability of a kind that is none": (
        call("ChangeAvailability", {"connectorId": 2, "type": "Sleepy"}),
        result({"status": "Accepted"}),
        [],
    ),
    "reserved": (
        call("ReserveNow", {"connectorId": 1, "reservationId": 5}),
        result({"status": "Accepted"}),
        [ReservationChanged(5, active=True, connector_id=1)],
    ),
    "not reserved": (
        call("ReserveNow", {"connectorId": 1, "reservationId": 5}),
        result({"status": "Occupied"}),
        [],
    ),
    "reservation cancelled": (
        call("CancelReservation", {"reservationId": 5}),
        result({"status": "Accepted"}),
        [ReservationChanged(5, active=False)],
    ),
    "reservation not cancelled": (
        call("CancelReservation", {"reservationId": 5}),
        result({"status": "Rejected"}),
        [],
    ),
    "heartbeat": (call("Heartbeat", {}), result({"currentTime": NOON}), []),
}

# -- OCPP 2.0.1, and 2.1 where it says the same ---------------------------------------------------------------

EVENT = {
    "eventType": "Started",
    "timestamp": NOON,
    "triggerReason": "CablePluggedIn",
    "seqNo": 0,
    "transactionInfo": {"transactionId": "T"},
}


def availability_state(component, value="Occupied", **more):
    variable = {"name": "AvailabilityState"}
    return {"timestamp": NOON, "actualValue": value, "component": component, "variable": variable, **more}


def events(*data):
    return call("NotifyEvent", {"generatedAt": NOON, "seqNo": 0, "eventData": list(data)})


CALLS_2 = {
    "boot": (
        call(
            "BootNotification",
            {
                "reason": "PowerUp",
                "chargingStation": {
                    "vendorName": "V",
                    "model": "M",
                    "serialNumber": "S",
                    "firmwareVersion": "1.2",
                    "modem": {"iccid": "I", "imsi": "J"},
                },
            },
        ),
        [Booted("V", "M", "S", None, "1.2", "I", "J", boot_reason="PowerUp")],
    ),
    "heartbeat": (call("Heartbeat", {}), [HeartbeatSeen()]),
    "status": (
        call("StatusNotification", {"timestamp": NOON, "connectorStatus": "Occupied", "evseId": 2, "connectorId": 1}),
        [StatusReported(1, "Occupied", AT, 2)],
    ),
    "availability state of a connector": (
        events(availability_state({"name": "Connector", "evse": {"id": 2, "connectorId": 1}})),
        [StatusReported(1, "Occupied", AT, 2)],
    ),
    "availability state of an EVSE, in other letters, and of the station, with a code": (
        events(
            availability_state({"name": "evse", "evse": {"id": 2}}, variable={"name": "availabilitystate"}),
            availability_state({"name": "ChargingStation"}, "Faulted", techCode="E1", techInfo="hot"),
        ),
        [
            StatusReported(None, "Occupied", AT, 2),
            StatusReported(None, "Faulted", AT, None, "E1", "hot"),
        ],
    ),
    "events that are not availability": (
        events(
            availability_state({"name": "TokenReader"}),
            {**availability_state({"name": "Connector"}), "variable": {"name": "Problem"}},
            availability_state({"name": "Connector"}, None),
            None,
        ),
        [],
    ),
    "transaction event": (
        call(
            "TransactionEvent",
            {
                **EVENT,
                "eventType": "Ended",
                "seqNo": 4,
                "offline": True,
                "evse": {"id": 2, "connectorId": 1},
                "idToken": {"idToken": "TOKEN", "type": "ISO14443"},
                "transactionInfo": {
                    "transactionId": "T",
                    "chargingState": "Idle",
                    "stoppedReason": "EVDisconnected",
                    "remoteStartId": 9,
                },
            },
        ),
        [
            TransactionEvent(
                "Ended",
                "T",
                4,
                AT,
                "CablePluggedIn",
                offline=True,
                evse_id=2,
                connector_id=1,
                id_token="TOKEN",  # noqa: S106 - an id token is no password
                id_token_type="ISO14443",  # noqa: S106
                charging_state="Idle",
                stopped_reason="EVDisconnected",
                remote_start_id=9,
            )
        ],
    ),
    "transaction event on a reservation": (
        call("TransactionEvent", {**EVENT, "reservationId": 5, "evse": {"id": 2}}),
        [
            TransactionEvent("Started", "T", 0, AT, "CablePluggedIn", evse_id=2, reservation_id=5),
            ReservationChanged(5, active=False, evse_id=2),
        ],
    ),
    "transaction event without evse and seqNo, with a number for an id": (
        call("TransactionEvent", {"eventType": "Updated", "transactionInfo": {"transactionId": 7}}),
        [TransactionEvent("Updated", "7", None, Moment())],
    ),
    "transaction event of a type that is none": (
        call("TransactionEvent", {**EVENT, "eventType": ["Started"]}),
        [TransactionEvent("Updated", "T", 0, AT, "CablePluggedIn")],
    ),
    "transaction event without an id": (
        call(
            "TransactionEvent",
            {
                "eventType": "Updated",
                "evse": {"id": 2, "connectorId": 1},
                "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": 5}]}],
            },
        ),
        [Metered((energy(5, "5"),), connector_id=1, evse_id=2)],
    ),
    "transaction event with nothing": (call("TransactionEvent", {}), []),
    "samples": (
        call(
            "TransactionEvent",
            {
                **EVENT,
                "meterValue": [
                    {
                        "timestamp": NOON,
                        "sampledValue": [
                            {"value": 0.0},
                            {
                                "value": 12.5,
                                "context": "Transaction.Begin",
                                "location": "Outlet",
                                "measurand": ENERGY,
                                "phase": "L1",
                                "unitOfMeasure": {"unit": "kWh", "multiplier": 2},
                                "signedMeterValue": {"signedMeterData": "AA==", "publicKey": ""},
                            },
                            {"value": "230.1", "measurand": "Voltage", "unitOfMeasure": {"multiplier": "0"}},
                            {"value": 2301, "measurand": "Voltage", "unitOfMeasure": {"unit": "V", "multiplier": -1}},
                            {"value": [], "unitOfMeasure": "Wh"},
                            "x",
                        ],
                    }
                ],
            },
        ),
        [
            TransactionEvent(
                "Started",
                "T",
                0,
                AT,
                "CablePluggedIn",
                samples=(
                    energy(0, "0.0"),
                    energy(
                        1250000,
                        "12.5",
                        original_unit="kWh",
                        multiplier=2,
                        phase="L1",
                        context="Transaction.Begin",
                        location="Outlet",
                        signed={"signedMeterData": "AA==", "publicKey": ""},
                    ),
                    Sample("Voltage", 230.1, "V", AT, "230.1"),
                    Sample("Voltage", 230.1, "V", AT, "2301", "V", -1),
                    energy(None, "[]"),
                ),
            )
        ],
    ),
    "meter values": (
        call("MeterValues", {"evseId": 0, "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": 5}]}]}),
        [Metered((energy(5, "5"),), evse_id=0)],
    ),
    "firmware": (
        call("FirmwareStatusNotification", {"status": "Installed"}),
        [StationNoted("firmware_status", "Installed", Moment())],
    ),
    "firmware that a local controller publishes for others": (
        call("PublishFirmwareStatusNotification", {"status": "Published"}),
        [],
    ),
    "log": (
        call("LogStatusNotification", {"status": "AcceptedCanceled"}),
        [StationNoted("log_status", "AcceptedCanceled", Moment())],
    ),
    "security event": (
        call("SecurityEventNotification", {"type": "FirmwareUpdated", "timestamp": NOON}),
        [StationNoted("last_security_event", "FirmwareUpdated", AT)],
    ),
    "reservation ended": (
        call("ReservationStatusUpdate", {"reservationId": 5, "reservationUpdateStatus": "Expired"}),
        [ReservationChanged(5, active=False)],
    ),
    "cost that nobody has taken yet": (call("CostUpdated", {"transactionId": "T", "totalCost": 1.5}), []),
}

ANSWERS_2 = {
    "boot": (
        call("BootNotification", {}),
        result({"status": "Rejected", "interval": 60}),
        [BootAnswered("Rejected", 60)],
    ),
    "event with token and cost": (
        call("TransactionEvent", EVENT),
        result(
            {
                "totalCost": 12.5,
                "idTokenInfo": {"status": "Accepted", "groupIdToken": {"idToken": "G", "type": "Central"}},
            }
        ),
        [TransactionAuthorized("T", "Accepted", "G", 12.5)],
    ),
    "event that was free": (
        call("TransactionEvent", EVENT),
        result({"totalCost": 0.0}),
        [TransactionAuthorized("T", total_cost=0)],
    ),
    "event answered with nothing": (call("TransactionEvent", EVENT), result({}), []),
    "event answered with an error": (call("TransactionEvent", EVENT), '[4,"1","InternalError","",{}]', []),
    "cost": (
        call("CostUpdated", {"transactionId": "T", "totalCost": 1.5}),
        result({}),
        [TransactionAuthorized("T", total_cost=1.5)],
    ),
    "cost refused": (
        call("CostUpdated", {"transactionId": "T", "totalCost": 1.5}),
        '[4,"1","NotSupported","",{}]',
        [],
    ),
    "availability of the station": (
        call("ChangeAvailability", {"operationalStatus": "Inoperative"}),
        result({"status": "Accepted"}),
        [AvailabilityChanged("Inoperative")],
    ),
    "availability of a connector": (
        call("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 2, "connectorId": 1}}),
        result({"status": "Accepted"}),
        [AvailabilityChanged("Operative", 1, 2)],
    ),
    "availability scheduled": (
        call("ChangeAvailability", {"operationalStatus": "Operative"}),
        result({"status": "Scheduled"}),
        [],
    ),
    "reserved": (
        call("ReserveNow", {"id": 5, "evseId": 2}),
        result({"status": "Accepted"}),
        [ReservationChanged(5, active=True, evse_id=2)],
    ),
    "reservation cancelled": (
        call("CancelReservation", {"reservationId": 5}),
        result({"status": "Accepted"}),
        [ReservationChanged(5, active=False)],
    ),
}

# -- OCPP 2.1 alone -------------------------------------------------------------------------------------------


def cost_details(**total):
    return call("TransactionEvent", {**EVENT, "costDetails": {"totalCost": {"currency": "EUR", "total": total}}})


EVENT_FACT = TransactionEvent("Started", "T", 0, AT, "CablePluggedIn")

CALLS_21 = {
    "cost that the station has calculated": (
        cost_details(exclTax=10, inclTax=12.1),
        [EVENT_FACT, TransactionAuthorized("T", total_cost=12.1)],
    ),
    "cost without its tax": (cost_details(exclTax=10), [EVENT_FACT, TransactionAuthorized("T", total_cost=10)]),
    "cost that is none": (cost_details(exclTax="much"), [EVENT_FACT]),
    "reservation that nobody came for": (
        call("ReservationStatusUpdate", {"reservationId": 5, "reservationUpdateStatus": "NoTransaction"}),
        [ReservationChanged(5, active=False)],
    ),
    "periodic event stream": ('[6,"1","NotifyPeriodicEventStream",{"id":1,"pending":0,"data":[]}]', []),
    "a transaction event that was sent to get no answer": (
        json.dumps([6, "1", "TransactionEvent", EVENT]),
        [EVENT_FACT],
    ),
    "measurands of 2.1": (
        call(
            "MeterValues",
            {
                "evseId": 1,
                "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": 80, "measurand": "Display.PresentSOC"}]}],
            },
        ),
        [Metered((Sample("Display.PresentSOC", 80, "Percent", AT, "80"),), evse_id=1)],
    ),
}


def table(*versions_and_cases):
    return [
        pytest.param(version, *case, id=f"{version}: {name}")
        for versions, cases in versions_and_cases
        for version in versions
        for name, case in cases.items()
    ]


@pytest.mark.parametrize(
    ("version", "called", "expected"),
    table((["1.6"], CALLS_16), (["2.0", "2.0.1", "2.1"], CALLS_2), (["2.1"], CALLS_21)),
)
def test_a_call_means(version, called, expected):
    assert list(facts_of(version, called)) == expected


@pytest.mark.parametrize(
    ("version", "called", "answered", "expected"),
    table((["1.6"], ANSWERS_16), (["2.0", "2.0.1", "2.1"], ANSWERS_2)),
)
def test_an_answer_means(version, called, answered, expected):
    assert list(facts_of(version, called, answered)) == expected


@pytest.mark.parametrize("version", [None, "", "1.5", "3.0", "nonsense"])
@pytest.mark.parametrize("cases", [CALLS_16, CALLS_2])
def test_without_a_version_the_action_and_its_fields_tell(version, cases):
    for called, expected in cases.values():
        assert list(facts_of(version, called)) == expected


@pytest.mark.parametrize("version", ["ocpp1.6", "OCPP1.6", " 1.6 "])
def test_a_version_may_be_named_as_its_subprotocol(version):
    assert facts_of(version, call("StartTransaction", START_16)) == (STARTED_16,)


def test_nothing_is_believed_from_the_wrong_side():
    beat, reserve = call("Heartbeat", {}), call("ReserveNow", {"connectorId": 1, "reservationId": 5})
    accepted = result({"status": "Accepted"})
    reserved = (ReservationChanged(5, active=True, connector_id=1),)
    assert facts_of("1.6", beat, origin="station") == (HeartbeatSeen(),)
    assert facts_of("1.6", beat, origin="csms") == ()
    assert facts_of("1.6", reserve, accepted, origin="station") == reserved
    assert facts_of("1.6", reserve, accepted, origin="csms") == ()


def test_what_is_no_call_and_no_answer_to_one_says_nothing():
    boot = decode(call("BootNotification", {}))
    accepted = decode(result({"status": "Accepted"}))
    assert understand(accepted, None, "1.6", None) == ()
    assert understand(accepted, accepted, "1.6", None) == ()
    assert understand(decode("AT+CSQ"), None, "1.6", None) == ()
    assert understand(decode('[5,"1","InternalError","",{}]'), boot, "2.1", None) == ()


# -- real traffic ---------------------------------------------------------------------------------------------


def traffic(name):
    """Return the facts of a file of frames, each with the action it comes from."""
    calls, found = {}, []
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        frame = json.loads(line)
        message = decode(frame["raw"])
        asked = calls.get(message.message_id) if message.is_answer else None
        calls.setdefault(message.message_id, message)
        origin = "station" if frame["direction"] == "received" else "csms"
        found += understand(message, asked, frame["protocol_version"], origin)
    return found


def kinds(facts):
    return {kind.__name__: sum(type(f) is kind for f in facts) for kind in {type(f) for f in facts}}


def test_three_real_chargers():
    facts = traffic("chargers_v16.jsonl")
    assert kinds(facts) == {
        "Booted": 3,
        "BootAnswered": 3,
        "StatusReported": 2,
        "StationNoted": 1,
        "TransactionStarted": 2,
        "TransactionIdentified": 2,
        "TransactionStopped": 2,
        "TransactionAuthorized": 2,
        "ReservationChanged": 2,
        "Metered": 3,
    }
    assert [f.transaction_id for f in facts if isinstance(f, TransactionIdentified)] == [1771262029, 1771262049]
    last = [f for f in facts if isinstance(f, TransactionStopped)][-1]
    # The meter says kWh with two digits, meterStop says Wh.
    assert (last.meter_stop, [s.value for s in last.samples]) == (3051361, [3051110, 3051360])
    samples = [s for f in facts if isinstance(f, Metered) for s in f.samples]
    assert {s.unit for s in samples} <= {"Wh", "W", "A", "V", "Celsius", "Hz", "Percent"}
    assert all(s.value is not None and s.at.at is not None for s in samples)


def test_a_run_of_the_compliance_test_tool():
    facts = traffic("octt_v201.jsonl")
    assert kinds(facts) == {"StatusReported": 1, "TransactionEvent": 2, "TransactionAuthorized": 1}
    started, updated = (f for f in facts if isinstance(f, TransactionEvent))
    assert (started.event, started.evse_id, started.connector_id, len(started.samples)) == ("Started", 1, 1, 8)
    assert (updated.event, updated.evse_id, updated.seq_no) == ("Updated", None, 1)
    assert TransactionAuthorized("e23889e3-0fc7-424a-b2e9-dce774521b83", "Accepted", "CAE8A841") in facts


# -- every action ---------------------------------------------------------------------------------------------

ACTIONS = {"1.6": Action16, "2.0.1": Action201, "2.1": Action21}
PACKAGES = {"1.6": "v16", "2.0.1": "v201", "2.1": "v21"}
BOTH_SIDES = {"DataTransfer"}


def actions_of(version):
    """Return every action that the library knows: of its enumeration, and of its schemas."""
    package = Path(importlib.import_module(f"ocpp.{PACKAGES[version]}").__file__).parent
    stems = {path.stem for path in (package / "schemas").glob("*.json")}
    requests = {stem.removesuffix("Request") for stem in stems if not stem.endswith("Response")}
    return {action.value for action in ACTIONS[version]} | requests


EVERY_ACTION = [(version, action) for version in ACTIONS for action in sorted(actions_of(version))]


@pytest.mark.parametrize("version", ACTIONS)
def test_who_sends_it_is_known_of_every_action_of_the_library(version):
    unknown = {action for action in actions_of(version) if origin_of(action, version) is None}
    assert unknown == BOTH_SIDES


@pytest.mark.parametrize("version", ACTIONS)
def test_no_version_contradicts_another_on_who_sends_an_action(version):
    for action in actions_of(version):
        assert origin_of(action, None) == origin_of(action, "9.9") == origin_of(action, version)


@pytest.mark.parametrize(
    ("action", "version", "origin"),
    [
        ("BootNotification", "1.6", "station"),
        ("RemoteStartTransaction", "1.6", "csms"),
        ("DataTransfer", "1.6", None),
        ("TransactionEvent", "2.0.1", "station"),
        ("TransactionEvent", "1.6", None),
        ("GetCertificateStatus", "2.0.1", "station"),
        ("NotifyPeriodicEventStream", "2.1", "station"),
        ("NotifyWebPaymentStarted", "2.1", "csms"),
        ("NotifyAllowedEnergyTransfer", "2.1", "csms"),
        ("VatNumberValidation", "2.1", "station"),
        ("Frobnicate", None, None),
        ("", None, None),
    ],
)
def test_who_sends(action, version, origin):
    assert origin_of(action, version) == origin


# Payloads that come close: the names of real fields with any value, so that every reader is reached.
NAMES = sorted(
    {
        name
        for cases in (CALLS_16, ANSWERS_16, CALLS_2, ANSWERS_2, CALLS_21)
        for *frames, _ in cases.values()
        for frame in frames
        for name in re.findall(r'"(\w+)":', frame)
    }
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "Accepted",
            "Operative",
            "Started",
            "kWh",
            "K",
            "",
            NOON,
            "1e999999",
            "9" * 5000,
            "Connector",
            "AvailabilityState",
        ]
    )
)
PAYLOADS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)
ANSWER = st.builds(
    Message,
    st.sampled_from(["CallResult", "CallError"]),
    st.just("1"),
    action=st.none(),
    payload=PAYLOADS,
    error_code=st.none() | st.text(max_size=5),
    error_description=st.none(),
    error_details=st.none(),
)


@given(
    asked=st.sampled_from(EVERY_ACTION),
    message_type=st.sampled_from(["Call", "Send"]),
    payload=PAYLOADS,
    answer=ANSWER,
    said=st.sampled_from(["as it is", None, "2.0", "nonsense"]),
    origin=st.sampled_from([None, "station", "csms"]),
)
def test_no_json_under_any_action_raises(asked, message_type, payload, answer, said, origin):
    version, action = asked
    message = Message(message_type, "1", action, payload)
    spoken = version if said == "as it is" else said
    assert isinstance(understand(message, None, spoken, origin), tuple)
    assert isinstance(understand(answer, message, spoken, origin), tuple)


def spoil(value, draw):
    """Return the payload with some of its parts replaced by anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(PAYLOADS)
    if isinstance(value, dict):
        return {name: spoil(part, draw) for name, part in value.items()}
    return [spoil(part, draw) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("version", "called", "expected"),
    table((["1.6"], CALLS_16), (["2.1"], CALLS_2), (["2.1"], CALLS_21)),
)
@settings(max_examples=30)
@given(data=st.data())
def test_no_spoilt_call_raises(version, called, expected, data):
    message = decode(called)
    payload = spoil(message.payload, data.draw)
    understand(Message(message.message_type, "1", message.action, payload), None, version, None)


@pytest.mark.parametrize(
    ("version", "called", "answered", "expected"), table((["1.6"], ANSWERS_16), (["2.1"], ANSWERS_2))
)
@settings(max_examples=30)
@given(data=st.data())
def test_no_spoilt_answer_raises(version, called, answered, expected, data):
    asked, answer = decode(called), decode(answered)
    asked = Message("Call", "1", asked.action, spoil(asked.payload, data.draw))
    answer = Message(answer.message_type, "1", payload=spoil(answer.payload, data.draw), error_code=answer.error_code)
    understand(answer, asked, version, None)


@pytest.mark.parametrize(("version", "action"), EVERY_ACTION)
def test_no_nesting_raises(version, action):
    deep = []
    for _ in range(5_000):
        deep = [deep]
    wild = dict.fromkeys(NAMES, deep)
    for payload in (deep, wild, {"meterValue": [{"timestamp": deep, "sampledValue": [wild]}]}):
        message = Message("Call", "1", action, payload)
        understand(message, None, version, None)
        understand(Message("CallResult", "1", payload=payload), message, version, None)
