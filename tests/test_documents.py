"""What is stored: every field is described, times are UTC, and no two plugins share a document class."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from beanie.odm.registry import DocsRegistry
from bson import DBRef, ObjectId
from pydantic import BaseModel, ValidationError

from ocpp_mongo_plugin import changes, documents, ledger, transactions
from ocpp_mongo_plugin.documents import (
    MODELS,
    Connector,
    Message,
    MeterMetadata,
    MeterValue,
    Session,
    Station,
    Transaction,
)
from ocpp_mongo_plugin.errors import StoreUnavailableError
from ocpp_mongo_plugin.facts import Booted
from ocpp_mongo_plugin.indexes import INDEXES

KEY = "65a000000000000000000001"
UTC = timezone.utc
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# The seed's fields, and the type of document each stands in.
SEED = {
    "messages": "station_id direction message_type action message_id protocol_version payload timestamp"
    " correlation_id error_code error_description created_at",
    "transactions": "transaction_id station_id connector_id id_tag start_timestamp stop_timestamp meter_start"
    " meter_stop energy_consumed reason status protocol_version created_at updated_at",
    "stations": "station_id name tags enabled auto_start protocol_version connection_status connected_at"
    " last_heartbeat last_error connectors created_at updated_at",
}

# The seed's indexes, key by key.
SEED_INDEXES = {
    "messages": ["station_id timestamp", "message_id", "correlation_id", "action timestamp", "timestamp"],
    "transactions": ["transaction_id", "station_id start_timestamp", "status", "id_tag"],
    "stations": ["station_id", "connection_status", "enabled auto_start", "tags", "protocol_version"],
}


def names(prefix: str = "") -> Any:
    default = {"messages": "ocpp_messages"}
    return SimpleNamespace(**{f"{name}_collection": prefix + default.get(name, name) for name in MODELS})


@pytest.fixture
def database(handle: Any) -> Any:
    return handle


def message(**values: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "station_id": "CP1",
        "direction": "sent",
        "message_type": "Call",
        "session_id": KEY,
        "sequence": 0,
    } | values


@pytest.mark.parametrize("collection", SEED)
def test_every_field_of_the_seed_is_there_under_its_name(collection):
    assert set(SEED[collection].split()) <= set(MODELS[collection].model_fields)


@pytest.mark.parametrize("collection", SEED_INDEXES)
def test_every_index_of_the_seed_is_there_with_exactly_its_keys(collection):
    keys = [" ".join(index.document["key"]) for index in INDEXES[collection]]
    assert set(SEED_INDEXES[collection]) <= set(keys)


def test_only_station_id_is_unique():
    unique = [index.document["name"] for found in INDEXES.values() for index in found if index.document.get("unique")]
    assert unique == ["station_id_1"]


@pytest.mark.parametrize("collection", MODELS)
async def test_the_indexes_can_be_made_twice(database, collection):
    for _ in range(2):
        await database[collection].create_indexes(list(INDEXES[collection]))

    stored = await database[collection].index_information()

    assert {index.document["name"] for index in INDEXES[collection]} | {"_id_"} == set(stored)


def test_every_indexed_field_is_a_field():
    known = {*MeterMetadata.model_fields}
    for collection, indexes in INDEXES.items():
        for path in {path for index in indexes for path in index.document["key"]}:
            first, _, inner = path.partition(".")
            assert first in MODELS[collection].model_fields
            assert not inner or inner in known


@pytest.mark.parametrize("model", [*MODELS.values(), Connector, MeterMetadata])
def test_every_field_is_described(model: type[BaseModel]):
    assert [name for name, field in model.model_fields.items() if not (field.description or "").strip()] == []


@pytest.mark.parametrize(
    ("empty", "model", "key"),
    [
        (transactions.EMPTY, Transaction, {"_id": KEY, "station_id": "CP1"}),
        (ledger.EMPTY_STATION, Station, {"_id": "CP1", "station_id": "CP1"}),
        (ledger.EMPTY_SESSION, Session, {"_id": KEY, "session_id": KEY, "station_id": "CP1"}),
        (changes.EMPTY_CONNECTOR, Connector, {}),
    ],
)
def test_a_new_document_of_the_core_is_that_of_its_model(empty, model, key):
    assert model.model_validate({**empty, **key}) == model.model_validate(key)


def test_a_connector_of_the_core_has_the_fields_of_its_model():
    assert {*changes.EMPTY_CONNECTOR, "clocks"} == set(Connector.model_fields)


def test_what_boot_notification_says_has_a_place():
    assert {field.name for field in fields(Booted)} <= set(Station.model_fields)


def test_a_text_over_16_mib_has_a_place():
    assert Message.model_validate(message(raw="", raw_zlib=b"x")).raw_zlib == b"x"


def test_what_a_person_added_to_a_connector_is_kept():
    station = Station.model_validate(
        {"_id": "CP1", "station_id": "CP1", "connectors": [{"connector_id": 1, "cable": "Type 2"}]}
    )

    assert station.connectors[0].model_dump()["cable"] == "Type 2"


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="colour"):
        Message.model_validate(message(colour="red"))


@pytest.mark.parametrize("given", [1, -16, 0, 2**62, "1", "", "a/b"])
def test_a_transaction_id_stays_as_it_came(given):
    read = Transaction.model_validate({"_id": KEY, "station_id": "CP1", "transaction_id": given}).transaction_id

    assert (type(read), read) == (type(given), given)


@pytest.mark.parametrize("given", [True, 1.0, [1]])
def test_a_transaction_id_is_an_integer_or_a_text(given):
    with pytest.raises(ValidationError):
        Transaction.model_validate({"_id": KEY, "station_id": "CP1", "transaction_id": given})


@pytest.mark.parametrize("given", [0, 12.5, -3, 10**15])
def test_a_number_stays_an_int_or_a_float(given):
    read = MeterValue.model_validate(
        {"_id": KEY, "metadata": {"station_id": "CP1", "measurand": "Voltage"}, "value": given}
    ).value

    assert (type(read), read) == (type(given), given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (datetime(2026, 3, 1, 12), NOON),  # noqa: DTZ001 - as a driver gives it
        (NOON, NOON),
        (datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (datetime(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
    ],
)
def test_times_are_utc_and_say_so(given, expected):
    read = Message.model_validate(message(timestamp=given)).timestamp

    assert read == expected
    assert read.tzinfo is UTC


def test_a_time_that_has_no_utc_is_refused_like_any_other_bad_value():
    with pytest.raises(ValidationError, match="between the years"):
        Message.model_validate(message(timestamp=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))))


def test_what_the_driver_takes_for_a_reference_is_json_again():
    payload = {"data": [DBRef("users", 3, "other", extra=DBRef("x", 1))]}

    read = Message.model_validate(message(payload=payload)).payload

    assert read == {"data": [{"$ref": "users", "$id": 3, "$db": "other", "extra": {"$ref": "x", "$id": 1}}]}


async def test_documents_are_read_with_unnamed_fields_left_out(database):
    bound = documents.bind(names())
    await bound.init(database)
    await database.ocpp_messages.insert_one(message(timestamp=NOON, foreign=1, payload={"$x.y": {"": None}}))

    [read] = await bound.messages.find({}).to_list()

    assert isinstance(read, Message)
    assert (read.timestamp, read.payload, read.outcome) == (NOON, {"$x.y": {"": None}}, None)


async def test_two_plugins_keep_to_their_own_collections(database):
    first, second = documents.bind(names("a_")), documents.bind(names("b_"))
    await first.init(database)
    await second.init(database)
    await database.a_stations.insert_one({"_id": "CP1", "station_id": "CP1"})

    assert [len(await own.stations.find({}).to_list()) for own in (first, second)] == [1, 0]


async def test_the_host_programs_own_documents_are_not_displaced(mock_database):
    before = dict(DocsRegistry._registry)

    await documents.bind(names()).init(mock_database)

    assert DocsRegistry._registry == before


async def test_binding_again_on_another_loop_reads_on(mock_database):
    bound = documents.bind(names())
    await mock_database.stations.insert_one({"_id": "CP1", "station_id": "CP1"})

    async def read() -> int:
        await bound.init(mock_database)
        return len(await bound.stations.find({}).to_list())

    assert await asyncio.to_thread(lambda: asyncio.run(read())) == 1


async def test_an_unreachable_server_is_named_without_its_password(reading_client):
    client = reading_client("mongodb://user:hunter2@127.0.0.1:1/", serverSelectionTimeoutMS=20)

    with pytest.raises(StoreUnavailableError) as caught:
        await documents.bind(names()).init(client["ocpp"])

    assert "127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_optimised_interpreter_keeps_the_descriptions():
    program = "from ocpp_mongo_plugin.documents import Message; print(Message.model_fields['raw'].description)"

    told = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout.startswith("The text on the wire")
