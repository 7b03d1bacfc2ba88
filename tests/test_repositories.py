"""The repositories: what they find, what they refuse, what they ask to be changed; and what driver errors become.

Documents are put in directly, so that only reading is tested here, on mongomock-motor and on a real MongoDB alike.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from bson.errors import InvalidDocument
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WriteError,
)

from ocpp_mongo_plugin import documents
from ocpp_mongo_plugin.documents import MODELS, Documents, Message, Transaction
from ocpp_mongo_plugin.driver_errors import ErrorClass, classify, classify_write, describe, hosts_of, translated
from ocpp_mongo_plugin.errors import (
    AccessDeniedError,
    ArgumentError,
    NotFoundError,
    OcppMongoError,
    StoreUnavailableError,
)
from ocpp_mongo_plugin.facts import TransactionEdit
from ocpp_mongo_plugin.repositories import Messages, MeterValues, Pair, Sessions, Stations, Transactions

UTC = timezone.utc
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = "0000000000000000000000aa"
NAMES = SimpleNamespace(**{f"{n}_collection": n if n != "messages" else "ocpp_messages" for n in MODELS})


@dataclass
class Shelf:
    """Reads a database that is filled by hand; keeps what it is asked to change."""

    bound: Documents
    database: Any
    edits: list[TransactionEdit] = field(default_factory=list)

    async def documents(self) -> Documents:
        return self.bound

    def id_tag(self, id_tag: str) -> str:
        return id_tag

    async def edit(self, edit: TransactionEdit) -> None:
        self.edits.append(edit)

    async def put(self, collection: str, *rows: dict[str, Any]) -> list[Any]:
        result = await self.database[collection].insert_many([dict(row) for row in rows])
        return list(result.inserted_ids)


@pytest.fixture
async def shelf(handle: Any) -> Shelf:
    bound = documents.bind(NAMES)
    await bound.init(handle)
    return Shelf(bound, handle)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def message(sequence: int, **values: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(f"{sequence:024x}"),
        "station_id": "CP1",
        "direction": "received",
        "message_type": "Call",
        "action": "Heartbeat",
        "message_id": str(sequence),
        "correlation_id": f"{sequence:024x}",
        "session_id": SESSION,
        "sequence": sequence,
        "timestamp": minutes(sequence),
        "raw": f'[2,"{sequence}","Heartbeat",{{}}]',
    } | values


def transaction(number: int, **values: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(f"{number:024x}"),
        "transaction_id": number,
        "station_id": "CP1",
        "connector_id": 1,
        "id_tag": "TAG",
        "start_timestamp": minutes(number),
        "meter_start": 0,
        "status": "active",
    } | values


# -- messages ---------------------------------------------------------------------------------------------------


MESSAGES = [
    message(0, action="BootNotification", raw='[2,"0","BootNotification",{"chargePointVendor":"A.C*(M)E"}]'),
    message(1, message_type="CallResult", direction="sent", action="BootNotification", correlation_id=f"{0:024x}"),
    message(2),
    message(3, station_id="CP2", session_id="0000000000000000000000bb"),
    message(4, message_type="Malformed", action=None, correlation_id=None, raw="AT+CSQ"),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"newest_first": False}, [0, 1, 2, 3, 4]),
        ({"station_id": "CP2"}, [3]),
        ({"station_id": None}, [4, 3, 2, 1, 0]),
        ({"direction": "sent"}, [1]),
        ({"message_type": "Malformed"}, [4]),
        ({"action": "BootNotification"}, [1, 0]),
        ({"message_id": "2"}, [2]),
        ({"correlation_id": f"{0:024x}"}, [1, 0]),
        ({"session_id": SESSION}, [4, 2, 1, 0]),
        ({"start": minutes(1), "end": minutes(2.5)}, [2, 1]),
        ({"start": minutes(3).replace(tzinfo=None)}, [4, 3]),
        ({"text": "a.c*(m)e"}, [0]),
        ({"text": "+csq"}, [4]),
        ({"text": "A.C.(M)E"}, []),
        ({"station_id": "CP1", "action": "Heartbeat", "text": "[2,"}, [2]),
        ({"limit": 2}, [4, 3]),
        ({"limit": 2, "skip": 3}, [1, 0]),
        ({"skip": 9}, []),
        ({"limit": None}, [4, 3, 2, 1, 0]),
        ({"station_id": "$ne"}, []),
    ],
)
async def test_messages_are_found(shelf, filters, expected):
    await shelf.put("ocpp_messages", *MESSAGES)

    found = await Messages(shelf).find(**filters)

    assert [read.sequence for read in found] == expected
    if not {"limit", "skip", "newest_first"} & set(filters):
        assert await Messages(shelf).count(**filters) == len(expected)


async def test_messages_of_one_time_come_in_a_stable_order_and_page_through_all(shelf):
    rows = [message(n, timestamp=NOON if n < 9 else None, session_id=f"{n:024x}") for n in (5, 2, 9, 7, 0, 11, 3)]
    await shelf.put("ocpp_messages", *rows)

    pages = [await Messages(shelf).find(limit=2, skip=skip) for skip in range(0, 8, 2)]

    assert [read.sequence for page in pages for read in page] == [7, 5, 3, 2, 0, 11, 9]


async def test_a_call_and_its_answer_are_a_pair(shelf):
    await shelf.put("ocpp_messages", *MESSAGES)
    messages = Messages(shelf)
    [answer] = await messages.find(message_type="CallResult")

    pair = await messages.pair(answer)

    assert (pair.call.sequence, pair.answer.sequence) == (0, 1)
    assert await messages.pair(pair.call) == await messages.pair(f"{0:024x}") == pair
    assert (await messages.pair(f"{2:024x}")).answer is None
    with pytest.raises(FrozenInstanceError):
        pair.call = None
    with pytest.raises(NotFoundError):
        await messages.pair("f" * 24)


async def test_old_messages_are_deleted_and_those_without_a_time_stay(shelf):
    now = datetime.now(UTC)
    times = (now - timedelta(days=40), now - timedelta(days=20), None)
    await shelf.put("ocpp_messages", *[message(n, timestamp=time) for n, time in enumerate(times)])

    assert await Messages(shelf).delete_older_than(timedelta(days=30)) == 1
    assert await Messages(shelf).delete_older_than(now - timedelta(days=10)) == 1
    assert [read.sequence for read in await Messages(shelf).find()] == [2]


# -- transactions -----------------------------------------------------------------------------------------------


TRANSACTIONS = [
    transaction(1, status="completed", energy_consumed=3000, id_tag="BOB"),
    transaction(2, status="completed", energy_consumed=1500.5),
    transaction(3, status="failed"),
    transaction(4, connector_id=2),
    transaction(5, station_id="CP2", transaction_id="5", evse_id=2, energy_consumed=10),
    transaction(6, station_id="CP2", transaction_id=5, status="completed"),
]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t.active(), [5, 4]),
        (lambda t: t.active("CP1"), [4]),
        (lambda t: t.by_station("CP1"), [4, 3, 2, 1]),
        (lambda t: t.by_station("CP1", limit=2, skip=1), [3, 2]),
        (lambda t: t.by_station(""), []),
        (lambda t: t.by_id_tag("BOB"), [1]),
        (lambda t: t.by_id_tag("TAG", limit=1), [6]),
        (lambda t: t.by_date_range("CP1", minutes(2), minutes(3.5)), [3, 2]),
        (lambda t: t.by_date_range(None, minutes(4), None, limit=2), [6, 5]),
        (lambda t: t.by_date_range(None, None, minutes(1.5)), [1]),
    ],
)
async def test_transactions_are_found(shelf, call, expected):
    await shelf.put("transactions", *TRANSACTIONS)

    found = await call(Transactions(shelf))

    assert [int(str(read.id), 16) for read in found] == expected


async def test_an_integer_and_a_text_are_two_ids(shelf):
    await shelf.put("transactions", *TRANSACTIONS)

    text, integer = [await Transactions(shelf).get(id_, "CP2") for id_ in ("5", 5)]

    assert (text.status, integer.status) == ("active", "completed")
    assert (type(text.transaction_id), type(integer.transaction_id)) == (str, int)


async def test_a_repeated_id_means_the_active_transaction_else_the_latest(shelf):
    rows = [transaction(n, transaction_id=1, status="completed") for n in (1, 3, 2)]
    await shelf.put("transactions", *rows)
    latest = await Transactions(shelf).get(1, "CP1")
    await shelf.put("transactions", transaction(0, transaction_id=1))
    active = await Transactions(shelf).get(1, "CP1")

    assert (latest.start_timestamp, active.start_timestamp) == (minutes(3), minutes(0))


async def test_one_transaction_is_active_on_a_connector(shelf):
    await shelf.put("transactions", *TRANSACTIONS)
    transactions = Transactions(shelf)

    assert (await transactions.active_on_connector("CP1", 2)).transaction_id == 4
    assert await transactions.active_on_connector("CP1", 1) is None
    assert (await transactions.active_on_connector("CP2", 1, evse_id=2)).transaction_id == "5"
    assert await transactions.active_on_connector("CP2", 1, evse_id=1) is None


async def test_transactions_are_summed_up(shelf):
    await shelf.put("transactions", *TRANSACTIONS)

    of_all, of_one = await Transactions(shelf).stats(), await Transactions(shelf).stats("CP1")

    assert (of_all.total, of_all.active, of_all.completed, of_all.failed) == (6, 2, 3, 1)
    assert (of_one.total, of_one.active, of_one.completed, of_one.failed) == (4, 1, 2, 1)
    assert (of_all.total_energy_wh, of_one.total_energy_wh) == (4510.5, 4500.5)
    assert of_all.average_energy_wh == of_one.average_energy_wh == 2250.25  # the third completed one has no energy


async def test_nothing_is_summed_up_to_nothing(shelf):
    stats = await Transactions(shelf).stats("CP9")

    assert (stats.total, stats.total_energy_wh, stats.average_energy_wh) == (0, 0, 0)


async def test_transactions_are_counted(shelf):
    await shelf.put("transactions", *TRANSACTIONS)
    transactions = Transactions(shelf)

    assert await transactions.count() == 6
    assert await transactions.count(station_id="CP1", status="completed") == 2
    assert await transactions.count(id_tag="BOB") == 1


async def test_old_transactions_are_deleted_and_active_ones_stay(shelf):
    old = datetime.now(UTC) - timedelta(days=100)
    ages = {"start_timestamp": old, "start_received_at": old}
    await shelf.put(
        "transactions",
        transaction(1, status="completed", **ages),
        transaction(2, status="failed", **ages),
        transaction(3, **ages),
        transaction(4, status="completed", start_timestamp=datetime.now(UTC)),
    )

    assert await Transactions(shelf).delete_older_than(timedelta(days=90)) == 2
    assert {read.transaction_id for read in await Transactions(shelf).by_station("CP1")} == {3, 4}


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.get(9, "CP1"),
        lambda t: t.get(1, "CP9"),
        lambda t: t.update(9, "CP1", reason="Local"),
        lambda t: t.complete(9, "CP1", 10, "Local"),
        lambda t: t.mark_failed(9, "CP1", "gone"),
        lambda t: t.update_transaction_id(9, "CP1", 10),
        lambda t: t.delete(9, "CP1"),
    ],
)
async def test_what_is_not_there_is_neither_found_nor_changed(shelf, call):
    await shelf.put("transactions", transaction(1))

    with pytest.raises(NotFoundError):
        await call(Transactions(shelf))

    assert shelf.edits == []


@pytest.mark.parametrize(
    ("call", "operation", "values"),
    [
        (
            lambda t: t.update(1, "CP1", reason="Remote", meter_stop=12.5),
            "update",
            {"reason": "Remote", "meter_stop": 12.5},
        ),
        (
            lambda t: t.complete(1, "CP1", 4200, "Remote", stop_timestamp=minutes(9).replace(tzinfo=None)),
            "complete",
            {"meter_stop": 4200, "reason": "Remote", "stop_timestamp": minutes(9)},
        ),
        (lambda t: t.mark_failed(1, "CP1", "cable cut"), "fail", {"failure": "cable cut", "reason": "cable cut"}),
        (lambda t: t.delete(1, "CP1"), "delete", {}),
    ],
)
async def test_a_change_is_put_among_the_frames(shelf, call, operation, values):
    await shelf.put("transactions", transaction(1))

    await call(Transactions(shelf))

    [edit] = shelf.edits
    assert (edit.operation, edit.station_id, edit.transaction_id) == (operation, "CP1", 1)
    assert edit.fields == values
    assert edit.at.tzinfo is UTC


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.update(1, "CP1", colour="red"),
        lambda t: t.update(1, "CP1", energy_consumed=5),
        lambda t: t.update(1, "CP1", _id=5),
        lambda t: t.update(1, "CP1", meter_stop="12"),
        lambda t: t.update(1, "CP1", connector_id=True),
        lambda t: t.update(1, "CP1", id_tag={"$gt": ""}),
        lambda t: t.update(1, "CP1", status="paused"),
        lambda t: t.create(True, "CP1"),
        lambda t: t.create(1.5, "CP1"),
        lambda t: t.create(1, None),
        lambda t: t.get({"$gt": 0}, "CP1"),
        lambda t: t.get(1, {"$gt": ""}),
        lambda t: t.by_id_tag({"$ne": None}),
        lambda t: t.by_station("CP1", limit=0),
        lambda t: t.by_station("CP1", limit=True),
        lambda t: t.by_station("CP1", skip=-1),
        lambda t: t.by_date_range("CP1", minutes(2), minutes(1)),
        lambda t: t.by_date_range("CP1", "2026-03-01", None),
        lambda t: t.active_on_connector("CP1", "1"),
        lambda t: t.count(status="paused"),
        lambda t: t.delete_older_than(timedelta(days=-1)),
        lambda t: t.delete_older_than(90),
        lambda t: t.update_transaction_id(1, "CP1", 2.0),
    ],
)
async def test_a_wrong_argument_of_a_transaction_is_refused_and_changes_nothing(shelf, call):
    await shelf.put("transactions", transaction(1))

    with pytest.raises(ArgumentError):
        await call(Transactions(shelf))

    assert shelf.edits == []
    assert await Transactions(shelf).count() == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("station_id", {"$gt": ""}),
        ("station_id", 1),
        ("direction", "up"),
        ("message_type", "call"),
        ("action", {"$regex": ".*"}),
        ("message_id", 5),
        ("start", "yesterday"),
        ("end", 5),
        ("text", ["x"]),
        ("limit", 0),
        ("limit", "10"),
        ("skip", -1),
    ],
)
async def test_a_wrong_argument_is_named(shelf, name, value):
    with pytest.raises(ArgumentError, match=name):
        await Messages(shelf).find(**{name: value})


# -- stations, sessions, meter values ---------------------------------------------------------------------------


def station(station_id: str, **values: Any) -> dict[str, Any]:
    return {"_id": station_id, "station_id": station_id} | values


async def test_stations_are_found(shelf):
    late, soon = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=5)
    await shelf.put(
        "stations",
        station("C", connection_status="connected", lease_expires_at=late, tags=["lab", "x"], enabled=False),
        station("A", connection_status="connected", lease_expires_at=soon, protocol_version="1.6", enabled=True),
        station("B", connection_status="connected", protocol_version="2.0.1", auto_start=True, enabled=True),
        station("D", connection_status="disconnected", tags=["lab"], protocol_version="1.6", enabled=False),
    )
    stations = Stations(shelf)

    def ids(found: list[Any]) -> str:
        return "".join(read.station_id for read in found)

    assert (await stations.get("A")).protocol_version == "1.6"
    assert ids(await stations.all()) == "ABCD"
    assert ids(await stations.all(limit=2, skip=1)) == "BC"
    assert ids(await stations.connected()) == "AB"
    assert ids(await stations.by_tag("lab")) == "CD"
    assert ids(await stations.by_version("ocpp1.6")) == ids(await stations.by_version("1.6")) == "AD"
    assert ids(await stations.enabled()) == "AB"
    assert ids(await stations.enabled(auto_start=True)) == "B"
    with pytest.raises(NotFoundError):
        await stations.get("Z")


async def test_a_station_can_be_configured_before_it_was_ever_seen(shelf):
    created = await Stations(shelf).configure("CP/9", name="Depot", tags=["lab"], auto_start=True)
    [stored] = await shelf.database["stations"].find({}).to_list(None)

    assert (created.name, created.tags, created.enabled, created.auto_start) == ("Depot", ["lab"], True, True)
    assert (stored["_id"], stored["station_id"], stored["connectors"]) == ("CP/9", "CP/9", [])
    assert documents.Station.model_validate(stored).created_at == created.created_at


async def test_configuring_leaves_what_was_recorded_and_what_is_not_given(shelf):
    await shelf.put("stations", station("A", vendor="ACME", name="Depot", tags=["lab"], revision="r7", enabled=True))

    changed = await Stations(shelf).configure("A", tags=["yard"], enabled=False)

    assert (changed.vendor, changed.name, changed.tags, changed.enabled) == ("ACME", "Depot", ["yard"], False)
    assert changed.revision == "r7"


@pytest.mark.parametrize("values", [{"tags": "lab"}, {"tags": [1]}, {"enabled": 1}, {"name": {"$set": 1}}])
async def test_a_wrong_configuration_is_refused(shelf, values):
    with pytest.raises(ArgumentError):
        await Stations(shelf).configure("A", **values)

    assert await Stations(shelf).all() == []


async def test_a_document_that_is_not_as_stored_here_is_named_without_its_content(shelf):
    await shelf.put("stations", station("A", connectors="a secret"))

    with pytest.raises(OcppMongoError, match="connectors") as caught:
        await Stations(shelf).get("A")

    assert "a secret" not in str(caught.value)


def session(number: int, **values: Any) -> dict[str, Any]:
    key = f"{number:024x}"
    return {
        "_id": ObjectId(key),
        "session_id": key,
        "station_id": "A",
        "status": "closed",
        "opened_at": minutes(number),
    } | values


async def test_sessions_are_found(shelf):
    await shelf.put("sessions", session(1), session(2, station_id="B"), session(3, status="open"))
    sessions = Sessions(shelf)

    def numbers(found: list[Any]) -> list[int]:
        return [int(read.session_id, 16) for read in found]

    assert (await sessions.get(f"{2:024x}")).station_id == "B"
    assert numbers(await sessions.by_station("A")) == [3, 1]
    assert numbers(await sessions.by_station("A", limit=1, skip=1)) == [1]
    assert numbers(await sessions.open()) == [3]
    assert numbers(await sessions.open("B")) == []
    assert numbers(await sessions.find(start=minutes(2))) == [3, 2]
    assert numbers(await sessions.find(station_id="B", end=minutes(2.5))) == [2]
    for unknown in (f"{9:024x}", "S1"):
        with pytest.raises(NotFoundError, match=unknown):
            await sessions.get(unknown)


def sample(number: int, **metadata: Any) -> dict[str, Any]:
    owner = metadata.pop("transaction_ref", None)
    return {
        "_id": ObjectId(f"{number:024x}"),
        "timestamp": minutes(number),
        "metadata": {"station_id": "A", "connector_id": 1, "transaction_id": 7, "measurand": "Voltage"} | metadata,
        "value": number,
        "unit": "V",
        "transaction_ref": owner,
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {1, 2, 3, 4}),
        ({"station_id": "B"}, {2}),
        ({"transaction_id": 7}, {1, 2, 3}),
        ({"transaction_id": "7"}, {4}),
        ({"connector_id": 2}, {3}),
        ({"measurand": "Current.Import"}, {1}),
        ({"station_id": "A", "start": minutes(2), "end": minutes(3.5)}, {3}),
    ],
)
async def test_meter_values_are_found(shelf, filters, expected):
    rows = [sample(1, measurand="Current.Import"), sample(2, station_id="B")]
    await shelf.put("meter_values", *rows, sample(3, connector_id=2), sample(4, transaction_id="7"))

    found = await MeterValues(shelf).find(**filters)

    assert {read.value for read in found} == expected


async def test_the_curve_of_a_transaction_is_its_own_values_oldest_first(shelf):
    [key] = await shelf.put("transactions", transaction(7))
    values = [sample(n, transaction_ref=str(key) if n != 3 else None) for n in (4, 1, 3, 2)]
    await shelf.put("meter_values", *values)

    curve = await MeterValues(shelf).by_transaction(await Transactions(shelf).get(7, "CP1"))

    assert [read.value for read in curve] == [1, 2, 4]


async def test_a_message_is_read_by_its_key(shelf):
    await shelf.put("ocpp_messages", *MESSAGES)
    messages = Messages(shelf)

    assert (await messages.get(f"{2:024x}")).sequence == (await messages.get(ObjectId(f"{2:024x}"))).sequence == 2
    with pytest.raises(NotFoundError):
        await messages.get("f" * 24)
    with pytest.raises(ArgumentError):
        await messages.get({"$gt": ""})


async def test_a_message_without_a_correlation_id_has_no_answer(shelf):
    await shelf.put("ocpp_messages", *MESSAGES)
    [malformed] = await Messages(shelf).find(message_type="Malformed")

    assert await Messages(shelf).pair(malformed) == Pair(malformed, None)


async def test_a_nul_can_be_searched_for(shelf):
    await shelf.put("ocpp_messages", message(1, raw="AT\0+CSQ"), message(2))

    assert [read.sequence for read in await Messages(shelf).find(text="t\0+")] == [1]


@pytest.mark.parametrize(
    "call",
    [
        lambda shelf: Messages(shelf).find(text="x" * 5_000),
        lambda shelf: Messages(shelf).find(start=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        lambda shelf: Messages(shelf).delete_older_than(timedelta.max),
        lambda shelf: Stations(shelf).enabled(auto_start="no"),
    ],
)
async def test_an_extreme_argument_is_refused(shelf, call):
    with pytest.raises(ArgumentError):
        await call(shelf)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 30])
async def test_pages_of_every_size_are_slices_of_one_order(shelf, size, newest_first):
    ticks = [3, 1, 1, 2, None, 3, 3, 1, None, 2, 4, 1, None]
    rows = [message(n, timestamp=None if t is None else minutes(t)) for n, t in enumerate(ticks)]
    await shelf.put("ocpp_messages", *rows)
    # The oldest first: without a time, then by time, then by _id.
    order = sorted(range(len(ticks)), key=lambda n: (ticks[n] is not None, ticks[n] or 0, n), reverse=newest_first)

    pages = [
        await Messages(shelf).find(limit=size, skip=skip, newest_first=newest_first)
        for skip in range(0, len(ticks) + size, size)
    ]

    assert [read.sequence for page in pages for read in page] == order
    rest = await Messages(shelf).find(limit=None, skip=size, newest_first=newest_first)
    assert [read.sequence for read in rest] == order[size:]


async def test_the_age_of_a_transaction_is_that_of_its_record(shelf):
    now, old = datetime.now(UTC), datetime.now(UTC) - timedelta(days=100)
    of_1970 = datetime(1970, 1, 1, tzinfo=UTC)
    await shelf.put(
        "transactions",
        transaction(1, status="completed", start_timestamp=of_1970, start_received_at=now),
        transaction(2, status="completed", start_timestamp=now, start_received_at=old),
        transaction(3, status="completed", start_timestamp=old),
        transaction(4, status="failed", start_timestamp=None, stop_received_at=old),
    )

    assert await Transactions(shelf).delete_older_than(timedelta(days=90)) == 3
    assert (await Transactions(shelf).get(1, "CP1")).start_timestamp == of_1970


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ([], True),
        ([transaction(7)], False),
        ([transaction(7, transaction_id=None)], False),
        ([transaction(7, transaction_id=None, connector_id=2)], True),
        ([transaction(7, status="completed")], True),
    ],
)
async def test_creating_leaves_the_start_of_what_was_recorded(shelf, known, told):
    for row in known:
        await shelf.put("transactions", row)
    with suppress(NotFoundError):  # nothing is written here
        await Transactions(shelf).create(7, "CP1", connector_id=1)

    assert ("start_timestamp" in shelf.edits[0].fields) is told


async def test_a_session_whose_recorder_died_is_not_open(shelf):
    late, soon = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=5)
    await shelf.put(
        "sessions",
        session(1, status="open", lease_expires_at=late),
        session(2, status="open", lease_expires_at=soon),
        session(3, status="open", lease_expires_at=None),
    )

    assert [int(read.session_id, 16) for read in await Sessions(shelf).open()] == [3, 2]


async def test_the_latest_value_of_a_measurand(shelf):
    await shelf.put("meter_values", sample(1), sample(3), sample(2), sample(4, station_id="B"))

    assert (await MeterValues(shelf).latest("A", "Voltage")).value == 3
    assert await MeterValues(shelf).latest("A", "SoC") is None


# -- what the driver refuses ------------------------------------------------------------------------------------


@pytest.mark.mongod
@pytest.mark.parametrize(
    "call",
    [
        lambda shelf: Messages(shelf).find(action="\ud800"),
        lambda shelf: Transactions(shelf).get(1 << 70, "CP1"),
        lambda shelf: Messages(shelf).find(skip=1 << 70),
    ],
)
@pytest.mark.parametrize("handle", ["mongod"], indirect=True)
async def test_what_bson_cannot_hold_is_a_wrong_argument(shelf, call):
    with pytest.raises(ArgumentError):
        await call(shelf)


def bulk(*codes: int, concern: int | None = None, **entry: Any) -> BulkWriteError:
    errors = [{"index": n, "code": code, "errmsg": "", **entry} for n, code in enumerate(codes)]
    return BulkWriteError({"writeErrors": errors, "writeConcernErrors": [{"code": concern}] if concern else []})


OURS, FOREIGN = {"keyPattern": {"_id": 1}}, {"keyPattern": {"vin": 1}}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (bulk(11000, 11000, **OURS), ErrorClass.DUPLICATE),
        (bulk(11000, **FOREIGN), ErrorClass.POISON),
        (bulk(11000, concern=64, **OURS), ErrorClass.RETRY),
        (bulk(concern=91), ErrorClass.RETRY),
        (bulk(concern=100), ErrorClass.RETRY),
        (bulk(121, 10107), ErrorClass.RETRY),
        (bulk(121, 11000, **OURS), ErrorClass.POISON),
        (bulk(424242), ErrorClass.POISON),
        (DuplicateKeyError("E11000 Duplicate Key Error", 11000), ErrorClass.DUPLICATE),  # as mongomock has it
        (DuplicateKeyError("E11000 ... collection: a.b index: _id_ dup key: ...", 11000), ErrorClass.DUPLICATE),
        (DuplicateKeyError("E11000 ... collection: a.b index: vin_1 dup key: ...", 11000), ErrorClass.POISON),
        (DuplicateKeyError("", 11000, FOREIGN), ErrorClass.POISON),
        *((WriteError("", code), ErrorClass.POISON) for code in (2, 52, 53, 121, 424242)),
        *((OperationFailure("", code), ErrorClass.POISON) for code in (15, 10334)),
        *((OverflowError(), ErrorClass.POISON), (InvalidDocument(""), ErrorClass.POISON)),
        *(
            (OperationFailure("", code), ErrorClass.RETRY)
            for code in (10107, 13435, 11600, 11601, 11602, 189, 91, 262, 50)
        ),
        *((kind(""), ErrorClass.RETRY) for kind in (AutoReconnect, NetworkTimeout, NotPrimaryError)),
        (ServerSelectionTimeoutError(""), ErrorClass.RETRY),
        (ExecutionTimeout("", 50), ErrorClass.RETRY),
        (WriteConcernError("", 64), ErrorClass.RETRY),
        (OperationFailure("", 424242, {"errorLabels": ["RetryableWriteError"]}), ErrorClass.RETRY),
        (OperationFailure("", 14031), ErrorClass.SICK),
        (OperationFailure("", 424242), ErrorClass.SICK),
        *((OperationFailure("", code), ErrorClass.CONFIGURATION) for code in (13, 18, 8000, 73, 85, 86)),
        (ConfigurationError(""), ErrorClass.CONFIGURATION),
    ],
    ids=lambda value: describe(value) if isinstance(value, Exception) else value.name,
)
def test_every_error_has_its_class(error, expected):
    assert classify(error) is expected


def test_an_unknown_code_of_one_document_is_that_documents_fault():
    assert classify_write({"index": 3, "code": 424242}) is ErrorClass.POISON


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OperationFailure("secret", 13, {"codeName": "Unauthorized", "code": 13}),
            "OperationFailure 13 (Unauthorized)",
        ),
        (OperationFailure("secret", 13, {"codeName": "a secret", "code": 13}), "OperationFailure 13"),
        (bulk(121, 121, 11000, concern=64), "BulkWriteError (writes refused: 11000 x1, 121 x2; write concern: 64 x1)"),
        (AutoReconnect("mongodb://u:secret@h"), "AutoReconnect"),
        (ValueError("secret"), "ValueError"),
    ],
    ids=["named", "odd name", "bulk", "network", "other"],
)
def test_an_error_is_told_by_class_and_code_alone(error, expected):
    assert describe(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationFailure("secret", 18), AccessDeniedError),
        (AutoReconnect("secret"), StoreUnavailableError),
        (OperationFailure("secret", 14031), StoreUnavailableError),
        (OperationFailure("secret", 121), OcppMongoError),
        (bulk(121, op={"idTag": "secret"}), OcppMongoError),
        (InvalidDocument("secret"), OcppMongoError),
        (OverflowError("secret"), ArgumentError),
    ],
    ids=["access", "network", "sick", "refused", "bulk", "bson", "overflow"],
)
def test_the_drivers_errors_become_ours_and_quote_nothing(error, expected):
    with pytest.raises(OcppMongoError) as caught, translated("reading messages"):
        raise error

    assert type(caught.value) is expected
    assert "reading messages" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ("h:1: [Errno 111] Connection refused (configured timeouts: secret)", "connection refused"),
        ("h:1: [Errno -2] Name or service not known, secret", "there is no such host"),
        ("No servers found yet, secret", "ServerSelectionTimeoutError"),
    ],
)
def test_why_no_server_is_reached_is_said_without_the_drivers_words(told: str, cause: str):
    with pytest.raises(StoreUnavailableError, match=f"while connecting: {cause}$"), translated("connecting"):
        raise ServerSelectionTimeoutError(told)


def test_an_error_of_the_caller_passes_as_it_is():
    error = KeyError("x")
    with pytest.raises(KeyError) as caught, translated("reading messages"):
        raise error
    assert caught.value is error


def test_hosts_are_named_without_credentials(mock_database):
    client: MongoClient[Any] = MongoClient("mongodb://u:secret@a.example:1,b.example/", connect=False)

    found = [hosts_of(handle) for handle in (client, client["x"], mock_database, None)]
    client.close()

    both = "a.example:1, b.example:27017"
    assert found == [both, both, None, None]


@pytest.mark.parametrize("kind", ["motor", "pymongo"])
def test_hosts_of_asynchronous_clients_are_named_too(client_of, kind):
    client = client_of(kind, "mongodb://u:secret@c.example/?connect=false")

    assert [hosts_of(handle) for handle in (client, client["x"])] == ["c.example:27017"] * 2


class Reason(str, Enum):
    local = "Local"


async def test_enumerations_of_texts_are_texts(shelf):
    await shelf.put("transactions", transaction(1))

    await Transactions(shelf).update(1, "CP1", reason=Reason.local)

    assert shelf.edits[0].fields["reason"] == "Local"


def test_what_is_read_has_the_types_that_can_be_imported(shelf):
    assert issubclass(shelf.bound.messages, Message)
    assert issubclass(shelf.bound.transactions, Transaction)
