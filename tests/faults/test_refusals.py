"""F14 to F17: MongoDB answers, and says no."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from children import child, environment
from host import Host
from judge import judge, unaccounted
from oracle import read
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from waiting import wait_until

FAILURES: dict[str, tuple[int, dict[str, Any]]] = {
    "10107 NotWritablePrimary": (3, {"errorCode": 10107}),
    "11601 Interrupted": (3, {"errorCode": 11601}),
    "91 ShutdownInProgress": (3, {"errorCode": 91}),
    "closeConnection": (3, {"closeConnection": True}),
    "blockConnection": (2, {"blockConnection": True, "blockTimeMS": 1500}),
    "write concern error 64": (2, {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}),
    "13 Unauthorized": (1, {"errorCode": 13}),
    "14031 OutOfDiskSpace": (1, {"errorCode": 14031}),
    "262 ExceededTimeLimit": (3, {"errorCode": 262}),
}

# An insert is tried once more at once when the connection broke or the server is no primary: two failures, one retry.
TRIED_TWICE = {"10107 NotWritablePrimary", "91 ShutdownInProgress", "closeConnection", "blockConnection"}

ALWAYS = -1

# Without the driver's own retries each failure is the sink's to judge. A server that says 91 is looked at again only
# with the next heartbeat, ten seconds later by default; where the driver streams heartbeats, later still.
BARE = "&retryWrites=false&heartbeatFrequencyMS=500&serverMonitoringMode=poll"


@pytest.mark.parametrize("command", ["insert", "update"])
@pytest.mark.parametrize("name", FAILURES)
def test_f14_a_command_that_fails_for_a_while_costs_nothing(
    trying_mongod: Any, fail: Any, looking: Any, measured: Any, name: str, command: str
):
    database = looking(trying_mongod.uri)
    database.client.drop_database(database.name)
    times, failure = FAILURES[name]
    with Host(trying_mongod.uri + BARE, rate=400, operation_timeout=1) as host:
        host.stores_a_fresh_frame(database)
        before, errors = times_entered(database), set()
        # What calls for a pause fails until told otherwise: only the pause keeps the sink from meeting it again.
        fail(ALWAYS if times == 1 else times, failCommands=[command], **failure)

        def is_used_up() -> bool:
            errors.add(host.plugin.stats.last_error)
            return times_entered(database) >= before + times

        wait_until(is_used_up, 30)
        host.captures(400)
        met = times_entered(database) - before
        fail(0)
        fresh = host.stores_a_fresh_frame(database)
        host.pause()
        host.drained()
        retries = host.plugin.stats.retries
    verdict = judge(database, host.captured)
    seen = " or ".join(sorted(error for error in errors if error))
    measured(f"F14 {command}, {name} x {times} (seen as {seen}): {verdict}; fresh frame after {fresh:.1f} s")
    assert verdict.whole, verdict
    assert met == times
    assert retries >= (times // 2 if command == "insert" and name in TRIED_TWICE else times)
    assert not host.plugin.stats.lost
    assert not host.plugin.stats.dead_lettered
    assert host.closed_whole
    counted = Counter({d["session_id"]: d["messages_sent"] + d["messages_received"] for d in database.sessions.find()})
    assert counted == Counter(d["session_id"] for d in database.ocpp_messages.find())


def times_entered(database: Any) -> int:
    found = database.client.admin.command({"getParameter": 1, "failpoint.failCommand": 1})
    return found["failpoint.failCommand"]["timesEntered"]


ROOT, OLD, NEW = "root", "old", "new"
RIGHTS = ["find", "insert", "update", "remove"]


@pytest.fixture
def guarded(own_mongod: Any) -> Any:
    """A server that asks for a password, and a client that may do anything."""
    server = own_mongod(auth=True)
    with MongoClient[dict[str, Any]](server.uri) as first:
        first.admin.command("createUser", ROOT, pwd=ROOT, roles=[ROOT])
    with MongoClient[dict[str, Any]](server.uri, username=ROOT, password=ROOT) as client:
        resource = {"db": "faults", "collection": ""}
        client.admin.command(
            "createRole", "plainRecorder", privileges=[{"resource": resource, "actions": RIGHTS}], roles=[]
        )
        client.admin.command("createUser", "recorder", pwd=OLD, roles=[{"role": "readWrite", "db": "faults"}])
        yield server, client


def recorder_uri(server: Any) -> str:
    return server.uri.replace("mongodb://", "mongodb://recorder:old@") + "?authSource=admin"


def rotate(server: Any, client: Any) -> None:
    client.admin.command("updateUser", "recorder", pwd=NEW)
    server.restart()  # connections outlive a password


def rotate_back(server: Any, client: Any) -> None:
    client.admin.command("updateUser", "recorder", pwd=OLD)


def revoke(server: Any, client: Any) -> None:
    client.admin.command("revokeRolesFromUser", "recorder", roles=[{"role": "readWrite", "db": "faults"}])


def grant(server: Any, client: Any) -> None:
    client.admin.command("grantRolesToUser", "recorder", roles=[{"role": "readWrite", "db": "faults"}])


@pytest.mark.parametrize(("lose", "repair"), [(rotate, rotate_back), (revoke, grant)])
def test_f15_a_lost_right_is_a_pause_and_no_loss(guarded: Any, measured: Any, lose: Any, repair: Any):
    server, client = guarded
    with Host(recorder_uri(server), rate=400, operation_timeout=3) as host:
        host.stores_a_fresh_frame(client.faults)
        lose(server, client)
        host.begin()
        wait_until(lambda: host.plugin.stats.waiting > 1000)
        error, felt, p99 = host.plugin.stats.last_error, host.feelings(), host.felt()[1]
        repair(server, client)
        fresh = host.stores_a_fresh_frame(client.faults)
        host.pause()
        host.drained()
    verdict = judge(client.faults, host.captured)
    measured(f"F15 {lose.__name__} (seen as {error}): {verdict}; fresh frame {fresh:.1f} s after repair; {felt}")
    assert verdict.whole, verdict
    assert not host.plugin.stats.lost
    assert p99 < 1


def test_f15_a_user_who_may_not_make_indexes_records_all_the_same(
    guarded: Any, measured: Any, caplog: pytest.LogCaptureFixture
):
    server, client = guarded
    client.admin.command("updateUser", "recorder", roles=["plainRecorder"])
    with caplog.at_level(logging.WARNING, "ocpp_mongo_plugin"), Host(recorder_uri(server)) as host:
        host.captures(400)
        fresh = host.stores_a_fresh_frame(client.faults)
        host.pause()
        host.drained()
    verdict = judge(client.faults, host.captured)
    said = [record.getMessage() for record in caplog.records]
    measured(f"F15 no createIndex: {verdict}; fresh frame after {fresh:.1f} s; {len(said)} warning(s)")
    assert verdict.whole, verdict
    assert len([line for line in said if "index" in line]) == len(said) == 1


def test_f16_no_index_of_the_user_is_touched_and_two_may_start_at_once(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Any
):
    database = looking(mongo_uri, fresh_database)
    database.ocpp_messages.create_index([("raw", "hashed")], name="message_id_1")  # the name of one of ours
    database.ocpp_messages.create_index("timestamp", name="timestamp_1", sparse=True)  # the keys and name of one
    database.ocpp_messages.create_index("action", name="mine")
    database.transactions.create_index("status", name="of my own")
    theirs = {name: database[name].index_information() for name in ("ocpp_messages", "transactions")}
    env = environment(mongo_uri, fresh_database, tmp_path / "journal")
    oracles = [tmp_path / "one", tmp_path / "two"]
    options = ("--rate", 5000, "--frames", 2000)
    with child("fast", oracles[0], "a", *options, env=env) as a, child("fast", oracles[1], "b", *options, env=env) as b:
        codes = [a.wait(30), b.wait(30)]
    verdict = judge(database, [entry for oracle in oracles for entry in read(oracle)])
    made = sum(len(database[name].index_information()) for name in database.list_collection_names())
    measured(f"F16 conflicting indexes, two at once: codes {codes}, {verdict}; {made} indexes in all")
    assert codes == [0, 0]
    assert verdict.whole, verdict
    for name, indexes in theirs.items():
        assert indexes.items() <= database[name].index_information().items()


def test_f17_a_dropped_collection_and_a_validator_are_accounted_for(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Any
):
    database = looking(mongo_uri, fresh_database)
    with Host(mongo_uri, fresh_database, rate=1000) as host:
        host.stores_a_fresh_frame(database)
        host.pause()
        host.drained()
        before = host.plugin.stats.stored
        database.drop_collection("ocpp_messages")
        dropped = len(host.captured)
        host.go_on()
        host.captures(1000)
        host.stores_a_fresh_frame(database)
        refuse = {"validator": {"station_id": {"$ne": "h1"}}, "validationLevel": "strict"}
        database.command("collMod", "ocpp_messages", **refuse)
        refusing = len(host.captured)
        host.captures(1000)
        wait_until(lambda: host.plugin.stats.dead_lettered > 100)
        host.pause()
        host.drained()
        stats = host.plugin.stats
    entries = host.captured[dropped:]
    verdict = judge(database, entries)
    refused = len([entry for entry in host.captured[refusing:] if entry.station == "h1"])
    measured(f"F17 dropped after {before} stored, validator then: {verdict}; stats.dead_lettered {stats.dead_lettered}")
    assert before == dropped
    assert (verdict.lost, verdict.doubled, verdict.phantoms, verdict.misordered) == (0, 0, 0, 0)
    assert unaccounted(stats) == 0
    assert not stats.lost
    assert stats.dead_lettered == verdict.dead
    # Frames that waited when the validator came are refused as well.
    assert refused <= verdict.dead <= refused + 300
    letters = list(database.dead_letters.find({"kind": "message"}))
    assert {letter["station_id"] for letter in letters} == {"h1"}
    assert all("121" in letter["reason"] for letter in letters)


def test_f14_the_fail_point_can_fail(trying_mongod: Any, fail: Any):
    """What the tests above rest on: the point fails a command of the plugin's name, and of no other."""
    fail(1, failCommands=["insert"], errorCode=14031)
    with MongoClient[dict[str, Any]](trying_mongod.uri) as other:
        other.faults.probe.insert_one({})
    with (
        MongoClient[dict[str, Any]](trying_mongod.uri, appname="ocpp-mongo-plugin") as ours,
        pytest.raises(OperationFailure) as caught,
    ):
        ours.faults.probe.insert_one({})
    assert caught.value.code == 14031
