"""Upkeep from the command line: journals of the dead, dead letters, roles, forgetting, and what is missing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from bson.objectid import ObjectId
from pymongo import MongoClient
from test_cli import IMPATIENT, NOBODY, run

from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.dead_letters import DeadLetterFiles
from ocpp_mongo_plugin.destination import target_of
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import read_settings

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

FRAMES = 40
TAG = "TAG-ANNA"
AT = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

# Records frames by hand; ends, as a killed process does, without a word, or waits for a line on stdin first.
CHILD = """
import asyncio, os, sys
from ocpp_mongo_plugin import MongoPlugin

async def main():
    plugin = MongoPlugin({uri!r}, {database!r}, record_all=False, durability="journal",
                         journal_directory={root!r}, operation_timeout=0.3)
    await plugin.start()
    for number in range({frames}):
        plugin.record("CP1", "received", '[2,"%d","Heartbeat",{{}}]' % number, "1.6")
    print("ready", flush=True)
    if {waits}:
        sys.stdin.readline()
    os._exit(9)

asyncio.run(main())
"""


class Place:
    """A database, a directory of journals, and the command line that works on both."""

    def __init__(self, uri: str, database: str, root: Path) -> None:
        self.uri, self.database, self.root = uri, database, root
        self.settings = read_settings({"uri": uri, "database": database, "journal_directory": root})
        self.parent = root / target_of(self.settings).directory

    def cli(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"OCPP_MONGO_URI": self.uri, "OCPP_MONGO_DATABASE": self.database}
        return run(*arguments, **{**own, "OCPP_MONGO_JOURNAL_DIRECTORY": str(self.root), **environment})

    def told(self, *arguments: object) -> Any:
        return json.loads(self.cli(*arguments, "--json").stdout)

    def child(self, *, uri: str | None = None, database: str | None = None, waits: bool = False) -> Any:
        text = CHILD.format(
            uri=uri or self.uri, database=database or self.database, root=str(self.root), frames=FRAMES, waits=waits
        )
        child = subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout.readline() == "ready\n"
        return child

    def left_by_a_dead_process(self, database: str | None = None) -> Path:
        """Leave the journal of a process that never reached its server, as if it had been for this one."""
        before = self.segments()
        unreached = Place(NOBODY, database or self.database, self.root.parent / "unreached")
        with unreached.child() as child:
            assert child.wait(20) == 9
        made = Place(self.uri, database or self.database, self.root)
        made.parent.mkdir(parents=True, exist_ok=True)
        (directory,) = unreached.parent.iterdir()
        directory.rename(made.parent / directory.name)
        (fresh,) = self.segments() - before
        return fresh.parent

    def segments(self) -> set[Path]:
        return set(self.root.rglob("*.journal"))


@pytest.fixture
def place(mongo_uri: str, database_name: str, tmp_path: Path) -> Place:
    return Place(mongo_uri, database_name, tmp_path / "journals")


@pytest.fixture
def living(place: Place) -> Iterator[Path]:
    """The journal of a process that lives and cannot reach its server."""
    elsewhere = Place(NOBODY, place.database, place.root)
    child = elsewhere.child(waits=True)
    yield next(iter(elsewhere.segments())).parent
    child.communicate("\n", timeout=20)
    assert child.returncode == 9


def sequences(plain: Any) -> list[int]:
    return [m["sequence"] for m in plain.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)])]


def everything(plain: Any) -> dict[str, list[Any]]:
    return {
        name: list(plain[name].find({}, {"updated_at": 0, "revision": 0}).sort("_id", 1))
        for name in ("ocpp_messages", "sessions", "stations", "transactions", "meter_values")
    }


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


# -- every command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["journal ls", "journal verify", "journal replay", "dead ls", "dead show", "dead retry", "roles", "forget"],
)
def test_every_command_has_an_example(command: str):
    assert f"Example: ocpp-mongo {command}" in run(*command.split(), "--help").stdout


@pytest.mark.parametrize("command", ["stats", "init", "doctor", "dead ls", "dead retry", "forget X --yes"])
def test_a_text_that_is_no_uri_is_said_at_once(command: str, place: Place):
    done = place.cli(*command.split(), "--uri", "foo")
    assert done.returncode == 1
    assert "is no MongoDB URI: it begins with neither mongodb:// nor mongodb+srv://" in done.stdout + done.stderr


# -- journal ------------------------------------------------------------------------------------------------------


def test_where_there_is_no_journal_all_say_so(place: Place):
    for command in ("ls", "verify"):
        done = place.cli("journal", command)
        assert (done.returncode, done.stdout) == (0, f"{place.root}: there is no journal\n")
    done = place.cli("journal", "replay")
    assert done.returncode == 0
    assert "no dead process left anything" in done.stdout
    assert not place.root.exists()


def test_ls_tells_the_living_from_the_dead(place: Place, living: Path):
    dead = place.left_by_a_dead_process()
    found = {Path(one["directory"]): one for one in place.told("journal", "ls")["journals"]}
    assert {path: one["alive"] for path, one in found.items()} == {dead: False, living: True}
    assert found[dead]["frames"] == FRAMES
    assert found[dead]["database"] == place.database
    assert found[dead]["server"] == "127.0.0.1:1"
    shown = place.cli("journal", "ls").stdout
    assert f"{dead} (dead)\n  for 127.0.0.1:1, database {place.database}" in shown
    assert f"{FRAMES} frame(s), the oldest of 20" in shown
    assert shown.endswith("1 of dead processes: 'ocpp-mongo journal replay' stores those for its server and database\n")


def test_replay_stores_what_the_dead_left_once_and_lets_it_go(place: Place, plain: Any):
    place.left_by_a_dead_process()
    rehearsed = place.cli("journal", "replay", "--dry-run")
    assert rehearsed.returncode == 0
    assert f"{FRAMES} frame(s) of 1 journal(s) would be stored" in rehearsed.stdout
    assert sequences(plain) == []
    done = place.cli("journal", "replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{FRAMES} frame(s) of 1 journal(s) are stored in" in done.stdout
    assert sequences(plain) == list(range(FRAMES))
    assert not place.segments()
    assert "no dead process left anything" in place.cli("journal", "replay").stdout


def test_two_who_replay_at_once_store_nothing_twice(place: Place, plain: Any):
    for _ in range(3):
        place.left_by_a_dead_process()
    environment = {
        **os.environ,
        "OCPP_MONGO_URI": place.uri,
        "OCPP_MONGO_DATABASE": place.database,
        "OCPP_MONGO_JOURNAL_DIRECTORY": str(place.root),
    }
    command = [sys.executable, "-m", "ocpp_mongo_plugin.cli", "journal", "replay"]
    children = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait(60) in (0, 1) for child in children] == [True, True]
    place.cli("journal", "replay")
    assert sequences(plain) == list(range(FRAMES)) * 3
    assert not place.segments()


def test_replay_leaves_what_is_for_another_database(place: Place, plain: Any):
    other = place.left_by_a_dead_process(database="another")
    done = place.cli("journal", "replay")
    assert done.returncode == 0
    assert "1 journal(s) are for other servers or databases, and stay" in done.stdout
    assert sequences(plain) == []
    assert other.exists()


def test_a_server_that_is_not_there_costs_nothing(place: Place):
    place.left_by_a_dead_process()
    before = {path: path.read_bytes() for path in place.segments()}
    parent = Place(NOBODY, place.database, place.root).parent
    place.parent.rename(parent)
    done = place.cli("journal", "replay", "--uri", NOBODY, **IMPATIENT)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert {path.read_bytes() for path in place.segments()} == set(before.values())


def test_verify_names_what_is_damaged_and_passes_over_a_torn_end(place: Place):
    (path,) = place.left_by_a_dead_process().glob("*.journal")
    with path.open("ab") as file:
        file.write(b"\x40\0\0\0\1")
    torn = place.cli("journal", "verify")
    assert torn.returncode == 0
    assert f"OK       {path}: " in torn.stdout
    assert "5 byte(s): cut off (harmless" in torn.stdout
    damage(path)
    bad = place.cli("journal", "verify")
    assert bad.returncode == 1
    assert f"DAMAGED  {path}: " in bad.stdout
    assert "the checksum does not fit" in bad.stdout
    told = place.told("journal", "verify", path.parent)
    assert (told["ok"], len(told["segments"][0]["damaged"])) == (False, 1)
    assert place.told("journal", "ls")["journals"][0]["sound"] is False


def test_what_a_living_process_is_writing_is_no_damage(place: Place, living: Path):
    (path,) = living.glob("*.journal")
    with path.open("ab") as file:
        file.write(b"\x40\0\0\0\1")
    done = place.cli("journal", "verify", living)
    assert done.returncode == 0
    assert "(it is being written)" in done.stdout


def test_a_damaged_segment_is_put_aside_and_can_be_replayed_by_name(place: Place, plain: Any):
    (path,) = place.left_by_a_dead_process().glob("*.journal")
    damage(path)
    done = place.cli("journal", "replay")
    assert done.returncode == 1
    assert "could not be read" in done.stderr
    stored = sequences(plain)
    assert len(stored) == FRAMES - 1
    (aside,) = place.segments()
    assert aside.parent.name == "quarantine"
    assert place.told("journal", "ls")["quarantined"][0]["file"] == str(aside)
    assert place.cli("journal", "verify").returncode == 1
    before = everything(plain)
    again = place.cli("journal", "replay", aside)
    assert again.returncode == 1
    assert f"0 new, {FRAMES - 1} already there" in again.stdout
    assert "the files stay where they are" in again.stdout
    assert everything(plain) == before
    assert place.segments() == {aside}


def test_a_copy_from_another_machine_is_stored_where_the_person_says(place: Place, plain: Any, tmp_path: Path):
    (path,) = place.left_by_a_dead_process(database="far_away").glob("*.journal")
    copy = path.rename(tmp_path / "copied.journal")
    refused = place.cli("journal", "replay", copy)
    assert refused.returncode == 1
    assert "was recorded for database far_away" in refused.stderr
    for new, already in ((FRAMES, 0), (0, FRAMES)):
        done = place.cli("journal", "replay", copy, "--database", place.database)
        assert done.returncode == 0
        assert f"{FRAMES} frame(s) read out of 1 segment(s), {new} new, {already} already there" in done.stdout
    assert sequences(plain) == list(range(FRAMES))
    (session,) = plain.sessions.find()
    assert session["status"] == "closed"
    assert copy.exists()


def test_what_a_living_process_owns_is_refused(place: Place, living: Path, plain: Any):
    for given in (living, next(living.glob("*.journal"))):
        done = place.cli("journal", "replay", given)
        assert done.returncode == 1
        assert done.stderr == (
            f"ocpp-mongo: {living} belongs to a process that lives, and stores it itself; nothing was replayed\n"
        )
    assert sequences(plain) == []


@pytest.mark.parametrize("command", ["verify", "replay"])
def test_a_wrong_path_is_named(place: Place, command: str, tmp_path: Path):
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no journal")):
        done = place.cli("journal", command, path)
        assert done.returncode == 1
        assert done.stderr.startswith(f"ocpp-mongo: {path} {words}")
    assert "is no directory" in place.cli("journal", command, "--directory", tmp_path / "none").stderr


def test_a_foreign_file_is_said_to_be_damaged(place: Place, tmp_path: Path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff" * 1000)
    done = place.cli("journal", "verify", path)
    assert done.returncode == 1
    assert "it does not begin as a segment does" in done.stdout


# -- dead letters -------------------------------------------------------------------------------------------------

START = '[2,"1","StartTransaction",{"connectorId":1,"idTag":"T","meterStart":10,"timestamp":"2026-03-01T12:00:00Z"}]'
STARTED = '[3,"1",{"transactionId":77,"idTagInfo":{"status":"Accepted"}}]'
STRANGE = '[2,"2","DataTransfer",{"vendorId":"\x9b2J :car: é"}]'


def forbid(plain: Any, action: str | None) -> None:
    if action is not None:
        plain.create_collection("ocpp_messages", validator={"$nor": [{"action": action, "message_type": "Call"}]})
    else:
        plain.command("collMod", "ocpp_messages", validator={})


async def recorded(place: Place, *texts: str, station: str = "CP1", **settings: Any) -> None:
    async with MongoPlugin(
        place.uri, place.database, record_all=False, durability="memory", journal_directory=place.root, **settings
    ) as plugin:
        for text in texts:
            plugin.record(station, "sent" if text.startswith("[3") else "received", text, "1.6")
        await plugin.flush()


async def test_a_dead_letter_is_listed_shown_and_stored_again(place: Place, plain: Any):
    forbid(plain, "StartTransaction")
    await recorded(place, START, STARTED)
    (letter,) = place.told("dead", "ls")["letters"]
    key = letter["key"]
    assert (letter["station_id"], letter["action"], letter["where"]) == ("CP1", "StartTransaction", ["MongoDB"])
    assert place.told("dead", "ls", "--station", "CP2") == {"total": 0, "letters": []}
    assert f"{key}  20" in place.cli("dead", "ls").stdout
    assert place.told("dead", "show", key)["raw"] == START
    assert place.cli("dead", "show", key).stdout.endswith(f"raw:\n{START}\n")
    refused = place.cli("dead", "retry")
    assert refused.returncode == 1
    assert "0 dead letter(s) stored and removed, 1 remain" in refused.stdout
    assert place.told("dead", "ls")["total"] == 1
    forbid(plain, None)
    assert "1 dead letter(s) would be retried" in place.cli("dead", "retry", "--dry-run").stdout
    done = place.cli("dead", "retry", key)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 dead letter(s) stored and removed, 0 remain" in done.stdout
    assert sequences(plain) == [0, 1]
    call = plain.ocpp_messages.find_one({"sequence": 0})
    assert (call["raw"], call["outcome"]) == (START, "answered")
    assert plain.transactions.find_one()["transaction_id"] == 77
    assert "no dead letters" in place.cli("dead", "ls").stdout
    assert "no dead letters to retry" in place.cli("dead", "retry").stdout


async def test_a_letter_on_disk_is_stored_and_removed(place: Place, plain: Any):
    forbid(plain, "DataTransfer")
    await recorded(place, STRANGE, data_transfer={"*": "keep"})
    letter = plain.dead_letters.find_one()
    plain.dead_letters.delete_one({})
    files = DeadLetterFiles(place.parent)
    assert files.write(letter)
    (listed,) = place.told("dead", "ls")["letters"]
    assert (listed["key"], listed["where"]) == (str(letter["_id"]), ["disk"])
    assert place.told("dead", "show", letter["_id"])["raw"] == STRANGE
    shown = place.cli("dead", "show", letter["_id"]).stdout
    assert "\x9b" not in shown
    assert "\\x9b2J :car: é" in shown
    assert "dead letters on disk: 1 in" in place.cli("doctor").stdout
    forbid(plain, None)
    assert place.cli("dead", "retry", OCPP_MONGO_DATA_TRANSFER='{"*":"keep"}').returncode == 0
    assert [m["raw"] for m in plain.ocpp_messages.find()] == [STRANGE]
    assert list(files.read()) == []


async def test_a_letter_on_disk_that_is_refused_again_goes_to_mongodb(place: Place, plain: Any):
    forbid(plain, "Heartbeat")
    await recorded(place, '[2,"1","Heartbeat",{}]')
    letter = plain.dead_letters.find_one()
    plain.dead_letters.delete_one({})
    files = DeadLetterFiles(place.parent)
    files.write(letter)
    assert place.cli("dead", "retry").returncode == 1
    assert place.told("dead", "ls")["letters"][0]["where"] == ["MongoDB"]


METER = (
    '[2,"5","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-03-01T12:00:00Z",'
    '"sampledValue":[{"value":"12"},{"value":"7","measurand":"Power.Active.Import"}]}]}]'
)


async def test_a_refused_meter_value_is_made_again_from_its_message(place: Place, plain: Any):
    plain.create_collection("meter_values", validator={"metadata.measurand": {"$ne": "Power.Active.Import"}})
    await recorded(place, METER)
    (letter,) = place.told("dead", "ls")["letters"]
    assert "a meter value" in place.cli("dead", "ls").stdout
    assert place.cli("dead", "retry").returncode == 1
    plain.command("collMod", "meter_values", validator={})
    done = place.cli("dead", "retry")
    assert done.returncode == 0
    assert sorted(v["value"] for v in plain.meter_values.find()) == [7, 12]
    assert plain.meter_values.find_one({"_id": ObjectId(letter["key"])})["value"] == 7
    assert plain.ocpp_messages.count_documents({}) == 1


async def test_a_meter_value_without_its_message_stays_and_says_why(place: Place, plain: Any):
    plain.create_collection("meter_values", validator={"metadata.measurand": {"$ne": "Power.Active.Import"}})
    await recorded(place, METER)
    plain.ocpp_messages.delete_many({})
    done = place.cli("dead", "retry")
    assert done.returncode == 1
    assert "is not stored in full, so the value cannot be made again" in done.stderr


def test_a_key_of_no_letter_is_named(place: Place):
    for command in ("show", "retry"):
        for key in ("nonsense", str(ObjectId())):
            done = place.cli("dead", command, key)
            assert done.returncode == 1
            assert f"there is no dead letter '{key}'; 'ocpp-mongo dead ls' says which there are" in done.stderr


# -- roles --------------------------------------------------------------------------------------------------------


def test_roles_are_for_people_and_never_hold_a_password(place: Place):
    shown = place.cli("roles", "--user", "anna").stdout
    assert shown.count("db.createRole(") == shown.count("db.createUser(") == 3
    assert shown.count("pwd: passwordPrompt()") == 3
    assert 'user: "anna", pwd: passwordPrompt()' in shown
    assert all("pwd" not in user for user in place.told("roles")["users"])


def test_roles_name_the_collections_of_the_settings():
    told = json.loads(run("roles", "--json", OCPP_MONGO_GAPS_COLLECTION="holes", OCPP_MONGO_DATABASE="lab").stdout)
    named = {p["resource"]["collection"] for p in told["roles"][0]["privileges"]}
    assert "holes" in named
    assert {p["resource"]["db"] for role in told["roles"] for p in role["privileges"]} == {"lab"}


async def test_the_printed_roles_are_enough_and_not_more(
    own_mongod: Callable[..., EmbeddedMongod], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    server = own_mongod(auth=True)
    with MongoClient[dict[str, Any]](server.uri) as local:
        local.admin.command("createUser", "root", pwd="topsecret", roles=["root"])  # noqa: S106
    told = json.loads(run("roles", "--json", "--user", "rec", "--database", "lab").stdout)
    with MongoClient[dict[str, Any]](server.uri, username="root", password="topsecret") as root:  # noqa: S106
        for command in told["roles"]:
            root.lab.command(command)
        for command in told["users"]:
            root.lab.command({**command, "pwd": "topsecret"})

    def place_of(user: str) -> Place:
        uri = server.uri.replace("mongodb://", f"mongodb://{user}:topsecret@") + "?authSource=lab"
        return Place(uri, "lab", tmp_path / "journals")

    admin, recorder, reader = place_of("rec-admin"), place_of("rec"), place_of("rec-reader")
    made = admin.cli("init")
    assert made.returncode == 0, made.stderr
    assert "8 collections made:" in made.stdout
    assert "0 indexes made" in admin.cli("init").stdout

    async with MongoPlugin(
        recorder.uri, "lab", record_all=False, journal_directory=tmp_path / "journals", sync_interval=0.05
    ) as plugin:
        for text in (START, STARTED, METER):
            plugin.record("CP1", "sent" if text.startswith("[3") else "received", text, "1.6")
        await plugin.flush()
        assert str(plugin.health).startswith("ok")
        assert (plugin.stats.stored, plugin.stats.last_error) == (3, None)
        assert (await plugin.transactions.get(77, "CP1")).connector_id == 1
        assert await plugin.gaps() == []
        await plugin.forget("T")
        plugin.end("CP1")
        await plugin.flush()
        assert plugin.stats.last_error is None
    assert [r for r in caplog.records if r.name == "ocpp_mongo_plugin"] == []

    checked = recorder.cli("doctor")
    assert checked.returncode == 0
    assert "user rec of lab may read and write, and all indexes are there" in checked.stdout
    assert "WARN" not in checked.stdout
    assert reader.cli("stats").returncode == 0
    assert (
        "FAIL  rights: user rec-reader of lab may not find in forgotten; insert in any collection"
        in reader.cli("doctor").stdout
    )
    for user, refused in ((recorder, ("delete", "drop", "index")), (reader, ("delete", "drop", "index", "insert"))):
        with MongoClient[dict[str, Any]](user.uri) as client:
            for what in refused:
                reply = client.lab.command(_attempt(what), check=False)
                assert reply["code"] == 13, (user.uri, what)
    # Without an index the user who may not make one says so, and records.
    with MongoClient[dict[str, Any]](admin.uri) as client:
        client.lab.sessions.drop_index("status_1")
    assert "WARN  rights: user rec of lab may not createIndex" in recorder.cli("doctor").stdout


def _attempt(what: str) -> dict[str, Any]:
    return {
        "delete": {"delete": "ocpp_messages", "deletes": [{"q": {}, "limit": 0}]},
        "drop": {"drop": "ocpp_messages"},
        "index": {"createIndexes": "ocpp_messages", "indexes": [{"key": {"x": 1}, "name": "x"}]},
        "insert": {"insert": "ocpp_messages", "documents": [{}]},
    }[what]


# -- forget -------------------------------------------------------------------------------------------------------

AUTHORIZE = f'[2,"9","Authorize",{{"idTag":"{TAG}"}}]'


async def test_forget_says_what_changed_and_never_the_id_tag(place: Place, plain: Any):
    await recorded(place, AUTHORIZE)
    asked = place.cli("forget", TAG)
    assert asked.returncode == 1
    assert asked.stderr == ("ocpp-mongo: to forget cannot be undone, and there is no terminal to ask at: give --yes\n")
    assert plain.ocpp_messages.find_one()["raw"] == AUTHORIZE
    done = place.cli("forget", TAG, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ocpp_messages: 1 document(s) changed" in done.stdout
    assert TAG not in done.stdout + done.stderr
    assert TAG not in str(list(plain.ocpp_messages.find()) + list(plain.forgotten.find()))
    await recorded(place, AUTHORIZE, station="CP2")
    assert TAG not in str(list(plain.ocpp_messages.find()))
    assert "the id tag is empty" in place.cli("forget", " ", "--yes").stderr


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
async def test_forget_asks_at_a_terminal(place: Place, plain: Any, answer: str, code: int):
    await recorded(place, AUTHORIZE)
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "ocpp_mongo_plugin.cli", "forget", TAG]
    command += ["--uri", place.uri, "--database", place.database]
    os.write(ours, f"{answer}\n".encode())
    try:
        done = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
            command, stdin=its, capture_output=True, text=True, timeout=30, check=False
        )
    finally:
        os.close(ours)
        os.close(its)
    assert done.returncode == code, done.stderr
    assert "This cannot be undone. [y/N]" in done.stderr
    assert TAG not in done.stdout + done.stderr
    assert (TAG in plain.ocpp_messages.find_one()["raw"]) is bool(code)


# -- what is missing ----------------------------------------------------------------------------------------------


def gap(session: str, frames: int, reason: str = "buffer full", station: str = "CP1") -> dict[str, Any]:
    told = {"first_sequence": 3, "last_sequence": 3 + frames, "first_at": AT, "last_at": AT, "created_at": AT}
    return {"station_id": station, "session_id": session, "reason": reason, "frames": frames, **told}


def test_stats_and_doctor_say_what_is_missing(place: Place, plain: Any):
    place.cli("init")
    assert "missing" not in place.cli("stats").stdout
    assert "OK    gaps: none" in place.cli("doctor").stdout
    plain.gaps.insert_many([gap("a", 5), gap("b", 1_000), gap("b", 7, "shutdown"), gap("c", 2, station="CP2")])
    found = place.told("stats")["gaps"]
    assert (found["frames"], found["by_reason"]) == (1_014, {"buffer full": 1_007, "shutdown": 7})
    assert [(s["session_id"], s["frames"]) for s in found["sessions"]] == [("b", 1_007), ("a", 5), ("c", 2)]
    assert place.told("stats", "--station", "CP2")["gaps"]["frames"] == 2
    assert "1,014 frame(s) missing, by reason:" in place.cli("stats").stdout
    checked = place.cli("doctor")
    assert checked.returncode == 0
    assert (
        "WARN  gaps: 1,014 frame(s) are missing (buffer full: 1,007, shutdown: 7), last at 2026-03-01T12:00:00+00:00"
        in checked.stdout
    )


async def test_stats_count_dead_letters_by_reason(place: Place, plain: Any):
    forbid(plain, "Heartbeat")
    await recorded(place, '[2,"1","Heartbeat",{}]')
    found = place.told("stats")["dead_letters"]
    assert (found["total"], list(found["by_reason"].values())) == (1, [1])
    assert "dead letters by reason" in place.cli("stats").stdout


def test_doctor_looks_at_this_disk_also_without_a_server(place: Place, tmp_path: Path):
    (path,) = place.left_by_a_dead_process().glob("*.journal")
    aside = place.parent / "quarantine"
    aside.mkdir()
    (aside / "x-00000001.journal").write_bytes(path.read_bytes())
    checked = place.cli("doctor").stdout
    assert f"WARN  journals: 1 of dead processes, {FRAMES} frame(s)" in checked
    assert f"WARN  quarantine: 1 damaged segment(s) in {aside}" in checked
    assert f"OK    journal directory: {place.root} can be written" in checked
    assert "environment" not in checked
    misspelt = place.cli("doctor", OCPP_MONGO_DATABSE="lab").stdout
    assert "WARN  environment: OCPP_MONGO_DATABSE is no setting" in misspelt
    taken = tmp_path / "taken"
    taken.touch()
    checked = place.cli("doctor", "--uri", NOBODY, OCPP_MONGO_JOURNAL_DIRECTORY=str(taken / "journals"), **IMPATIENT)
    assert f"WARN  journal directory: {taken} is no directory" in checked.stdout
