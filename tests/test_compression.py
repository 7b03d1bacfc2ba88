"""The collections that are created are compressed as the settings say, and recording goes on where that cannot be."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playing import frames_of
from pymongo import MongoClient
from pymongo.errors import NotPrimaryError
from test_cli import run
from test_store import Process
from transcripts import call

from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import Settings, read_settings
from ocpp_mongo_plugin.store import Store

FIVE = set(read_settings({}).collections().values())
HEARTBEAT = '[2,"1","Heartbeat",{}]'


def store(database: Any, **given: Any) -> Store:
    return Store(database, read_settings(given), "elsewhere:1:aaaaaa")


def unknown_to_the_server() -> Settings:
    return read_settings({}).model_copy(update={"compression": "brotli"})


def compressor(database: Any, collection: str) -> str:
    """Return what the storage engine says it does, rather than what it was told."""
    found = database.command("collStats", collection)["wiredTiger"]["creationString"]
    return re.findall(r"block_compressor=(\w*)", found)[0]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "ocpp_mongo_plugin"]


@pytest.mark.mongod
@pytest.mark.parametrize("given", [{}, {"compression": "snappy"}, {"compression": "zlib"}, {"compression": "none"}])
def test_new_collections_are_compressed_as_the_settings_say(plain: Any, given: dict[str, str]):
    assert store(plain, **given).prepare() == []
    assert {name: compressor(plain, name) for name in plain.list_collection_names()} == dict.fromkeys(
        FIVE, given.get("compression", "zstd")
    )


@pytest.mark.mongod
def test_a_collection_that_exists_is_left_as_it_is(plain: Any):
    plain.create_collection("ocpp_messages")
    plain.stations.insert_one({"_id": "CP9", "station_id": "CP9"})
    store(plain, compression="zlib").prepare()
    store(plain, compression="zstd").prepare()
    assert compressor(plain, "ocpp_messages") == compressor(plain, "stations") == "snappy"
    assert compressor(plain, "meter_values") == "zlib"


@pytest.mark.mongod
def test_processes_that_start_at_once_do_not_disturb_each_other(plain: Any):
    together, problems = threading.Barrier(8), []

    def begin() -> None:
        together.wait()
        try:
            problems.extend(store(plain).prepare())
        except Exception as error:  # noqa: BLE001 - the thread's, told below
            problems.append(repr(error))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert {compressor(plain, name) for name in FIVE} == {"zstd"}


@pytest.mark.mongod
def test_a_server_that_takes_no_such_option_is_said_once_and_stores(plain: Any, caplog: pytest.LogCaptureFixture):
    own = Store(plain, unknown_to_the_server(), "elsewhere:1:aaaaaa")
    assert own.prepare() == []
    (said,) = warnings(caplog)
    assert said == (
        "MongoDB would not compress ocpp_messages with brotli (OperationFailure 2 (BadValue)); "
        "collections are compressed as the server does by default"
    )
    assert {compressor(plain, name) for name in FIVE} == {"snappy"}
    assert own.prepare() == []
    assert len(warnings(caplog)) == 1


@pytest.fixture
def failing_once(own_mongod: Callable[..., EmbeddedMongod]) -> Iterator[Callable[[int], Any]]:
    """A database whose server fails the next ``create`` with this code."""
    server = own_mongod(parameters={"enableTestCommands": "1"})
    with MongoClient[dict[str, Any]](server.uri, tz_aware=True, heartbeatFrequencyMS=500) as client:

        def database(code: int) -> Any:
            told = {"failCommands": ["create"], "errorCode": code}
            client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=told)
            return client[f"lab{code}"]

        yield database


@pytest.mark.mongod
def test_however_a_service_refuses_the_option_the_collection_is_made(failing_once: Callable[[int], Any]):
    for code in (59, 72, 115, 238, 323, 8000):
        database = failing_once(code)
        assert store(database).prepare() == []
        assert {compressor(database, name) for name in FIVE} == {"snappy"}


@pytest.mark.mongod
def test_a_primary_that_steps_down_meanwhile_is_no_refusal(failing_once: Callable[[int], Any]):
    database = failing_once(189)
    with pytest.raises(NotPrimaryError):
        store(database).prepare()
    assert store(database).prepare() == []
    assert {compressor(database, name) for name in FIVE} == {"zstd"}


@pytest.mark.mongod
async def test_no_collection_is_created_where_that_is_switched_off(mongo_uri: str, database_name: str, plain: Any):
    async with MongoPlugin(mongo_uri, database_name, durability="memory", create_indexes=False) as plugin:
        plugin.record("CP1", "received", HEARTBEAT, "1.6")
        await plugin.flush()
    assert compressor(plain, "ocpp_messages") == "snappy"


def test_the_mock_gets_none_of_it(mock_database: Any):
    process = Process(mock_database.delegate)
    assert process.store.prepare() == []
    assert process.take(frames_of([call("S", "1", "Heartbeat", {})], "1.6")).stored == 1


def test_a_compressor_that_there_is_not_is_named():
    done = run("stats", OCPP_MONGO_COMPRESSION="brotli")
    assert done.returncode == 1
    assert "setting OCPP_MONGO_COMPRESSION is wrong: input should be 'zstd', 'snappy', 'zlib' or 'none'" in done.stderr


@pytest.mark.mongod
async def test_who_may_insert_creates_compressed_ones_and_who_may_not_goes_on_in_silence(
    own_mongod: Callable[..., EmbeddedMongod], caplog: pytest.LogCaptureFixture
):
    server = own_mongod(auth=True)
    with MongoClient[dict[str, Any]](server.uri) as local:
        local.admin.command("createUser", "root", pwd="topsecret", roles=["root"])  # noqa: S106
    told = json.loads(run("roles", "--json", "--user", "rec", "--database", "lab").stdout)
    names = [*FIVE, "forgotten"]
    every = [{"resource": {"db": "lab", "collection": name}, "actions": ["find", "update"]} for name in names]
    with MongoClient[dict[str, Any]](server.uri, username="root", password="topsecret") as root:  # noqa: S106
        for command in told["roles"]:
            root.lab.command(command)
        for command in told["users"]:
            root.lab.command({**command, "pwd": "topsecret"})
        root.lab.command("createRole", "poor", privileges=every, roles=[])
        root.lab.command("createUser", "poor", pwd="topsecret", roles=["poor"])  # noqa: S106

        def client(user: str) -> MongoClient[dict[str, Any]]:
            return MongoClient(server.uri, username=user, password="topsecret", authSource="lab")  # noqa: S106

        with client("poor") as poor:
            problems = store(poor.lab).prepare()
        assert all(problem.startswith("index ") for problem in problems)
        assert warnings(caplog) == []
        assert root.lab.list_collection_names() == []
        with client("rec") as recorder:
            problems = store(recorder.lab).prepare()
        assert all(problem.startswith("index ") for problem in problems)
        assert {compressor(root.lab, name) for name in FIVE} == {"zstd"}
        with client("rec-reader") as reader:
            assert store(reader.lab).prepare() != []
        root.drop_database("lab")
        refused = run("init", "--database", "lab", OCPP_MONGO_URI=_uri(server, "rec-reader"))
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1
        assert "refused the user, the password, or a right" in refused.stderr


def _uri(server: EmbeddedMongod, user: str) -> str:
    return server.uri.replace("mongodb://", f"mongodb://{user}:topsecret@") + "?authSource=lab"


@pytest.mark.mongod
@pytest.mark.programs
def test_init_and_doctor_say_how_each_collection_is_compressed(mongo_uri: str, database_name: str, plain: Any):
    own = {"OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": database_name}
    plain.create_collection("gaps")
    made = run("init", **own).stdout
    assert "7 collections made:\n  ocpp_messages, compressed with zstd\n" in made
    assert {compressor(plain, name) for name in plain.list_collection_names() if name != "gaps"} == {"zstd"}
    checked = run("doctor", **own).stdout
    five = "ocpp_messages, transactions, stations, sessions, meter_values"
    assert f"OK    compression: zstd: {five}, dead_letters, forgotten; the server's default: gaps\n" in checked
