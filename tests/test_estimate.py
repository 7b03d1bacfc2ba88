"""``ocpp-mongo estimate``: what it says is what the server has, and a file that is measured leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from test_cli import HEARTBEAT, Cli, run, write

from ocpp_mongo_plugin.cli.estimating import Size, settle
from ocpp_mongo_plugin.cli.roles import role_commands
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import read_settings
from ocpp_mongo_plugin.store import Store

FRAMES = 2_000
BEGIN = datetime(2026, 3, 1, tzinfo=timezone.utc)


def traffic(path: Path, *, timed: bool = True) -> Path:
    """A file with a frame each half second."""
    lines = [
        {
            "station": "CP1",
            "protocol_version": "1.6",
            "direction": "received",
            "ts": (BEGIN + timedelta(seconds=number / 2)).isoformat() if timed else None,
            "raw": f'[2,"{number}","Heartbeat",{{}}]',
        }
        for number in range(FRAMES)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def cli(mongo_uri: str, database_name: str, tmp_path: Path) -> Cli:
    own = {"OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": database_name}
    own["OCPP_MONGO_JOURNAL_DIRECTORY"] = str(tmp_path / "journals")
    return lambda *arguments, **environment: run(*arguments, **{**own, **environment})


@pytest.mark.mongod
@pytest.mark.programs
def test_what_it_says_is_what_the_server_has(cli: Cli, plain: Any, tmp_path: Path):
    assert cli("import", traffic(tmp_path / "a.jsonl")).returncode == 0
    plain.client.admin.command("fsync")
    done = cli("estimate", "--json")
    assert done.returncode == 0
    assert "from 2,000 messages an estimate is rough" in done.stderr
    found = json.loads(done.stdout)
    assert (found["messages"], found["frames_per_second"]) == (FRAMES, pytest.approx(2, rel=0.01))
    messages, stats = found["collections"]["ocpp_messages"], plain.command("collStats", "ocpp_messages")
    assert messages["documents"] == FRAMES
    assert messages["average_document_bytes"] == pytest.approx(stats["avgObjSize"], abs=1)
    assert messages["data_bytes"] == stats["size"]
    assert messages["compressor"] == "zstd"
    assert set(messages["indexes_bytes"]) == set(stats["indexSizes"])
    on_disk = messages["storage_bytes"] + sum(messages["indexes_bytes"].values())
    assert on_disk + messages["free_bytes"] == stats["storageSize"] + stats["totalIndexSize"]
    assert messages["bytes_per_million_messages"] == pytest.approx(on_disk * 1_000_000 / FRAMES, rel=0.001)
    assert found["collections"]["stations"]["bytes_per_million_messages"] is None
    a_million = sum(one["bytes_per_million_messages"] or 0 for one in found["collections"].values())
    assert found["bytes_per_million_messages"] == a_million
    assert found["bytes_per_day"] == pytest.approx(a_million * found["frames_per_second"] * 86_400 / 1e6, rel=0.001)
    assert found["bytes_per_year"] == pytest.approx(365 * found["bytes_per_day"], rel=0.001)


@pytest.mark.mongod
@pytest.mark.programs
def test_people_are_told_the_same_and_may_name_a_rate(cli: Cli, plain: Any, tmp_path: Path):
    cli("import", traffic(tmp_path / "a.jsonl"))
    shown = cli("estimate").stdout
    for name in ("ocpp_messages", "meter_values", "index session_id_1_sequence_1", "compressed with zstd"):
        assert name in shown
    assert "frames a second (as seen from 2026-03-01T00:00:00+00:00 to 2026-03-01T00:16:39.500000+00:00): " in shown
    assert "at 250 frames a second (as given): " in cli("estimate", "--rate", "250").stdout
    given = json.loads(cli("estimate", "--rate", "250", "--json").stdout)
    assert given["bytes_per_day"] == pytest.approx(given["bytes_per_million_messages"] * 250 * 0.0864, rel=0.001)


@pytest.mark.mongod
@pytest.mark.programs
def test_where_nothing_is_recorded_one_sentence_says_what_to_do(cli: Cli, database_name: str):
    for command in ("estimate", "init", "estimate"):
        done = cli(command)
        if command == "estimate":
            assert (done.returncode, done.stdout) == (1, "")
            assert f"database {database_name} holds no messages to estimate from; give --from FILE" in done.stderr
            assert len(done.stderr.splitlines()) == 1


@pytest.mark.mongod
@pytest.mark.programs
def test_a_file_is_measured_with_these_settings_and_leaves_nothing(cli: Cli, plain: Any, tmp_path: Path):
    path = traffic(tmp_path / "a.jsonl")
    before = set(plain.client.list_database_names())
    found = json.loads(cli("estimate", "--from", path, "--json", OCPP_MONGO_COMPRESSION="zlib").stdout)
    assert (found["files"], found["database"], found["messages"]) == ([str(path)], None, FRAMES)
    assert found["frames_per_second"] == pytest.approx(2, rel=0.01)
    messages = found["collections"]["ocpp_messages"]
    assert messages["compressor"] == "zlib"
    assert messages["storage_bytes"] > 20_000  # after a checkpoint; before it, files are of one block
    assert "index timestamp_1" in cli("estimate", "--from", path).stdout
    assert set(plain.client.list_database_names()) == before
    assert plain.list_collection_names() == []


@pytest.mark.mongod
@pytest.mark.programs
def test_files_that_cannot_be_read_are_named_and_leave_nothing(cli: Cli, plain: Any, tmp_path: Path):
    before = set(plain.client.list_database_names())
    done = cli("estimate", "--from", tmp_path / "none.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.jsonl does not exist" in done.stderr
    assert "no frame could be read: nothing can be estimated" in done.stderr
    assert set(plain.client.list_database_names()) == before


@pytest.mark.mongod
@pytest.mark.programs
def test_without_times_there_is_no_rate_but_the_one_that_is_given(cli: Cli, plain: Any, tmp_path: Path):
    path = traffic(tmp_path / "a.jsonl", timed=False)
    plain.client.admin.command("ping")
    done = cli("estimate", "--from", path)
    assert done.returncode == 0
    assert "the messages say nothing of how many come in a second; give --rate" in done.stderr
    assert json.loads(cli("estimate", "--from", path, "--json").stdout)["bytes_per_day"] is None
    assert "at 3 frames a second (as given)" in cli("estimate", "--from", path, "--rate", 3).stdout


def test_a_rate_that_is_none_is_named():
    assert run("estimate", "--rate", "0").returncode == 2
    done = run("estimate", "--rate", "inf")
    assert done.returncode == 1
    assert done.stderr == "ocpp-mongo: --rate takes frames a second, not inf\n"


@pytest.mark.mongod
@pytest.mark.programs
def test_who_reads_may_estimate_and_others_are_told_that_they_lack_a_right(
    own_mongod: Callable[..., EmbeddedMongod], tmp_path: Path
):
    server = own_mongod(auth=True)
    with MongoClient[dict[str, Any]](server.uri) as local:
        local.admin.command("createUser", "root", pwd="topsecret", roles=["root"])  # noqa: S106
    with MongoClient[dict[str, Any]](server.uri, username="root", password="topsecret") as root:  # noqa: S106
        for command in role_commands(read_settings({"database": "lab"})):
            root.lab.command(command)
            root.lab.command("createUser", command["createRole"], pwd="topsecret", roles=[command["createRole"]])  # noqa: S106

    def as_(user: str, *arguments: object) -> Any:
        login = "admin" if user == "root" else "lab"
        uri = server.uri.replace("mongodb://", f"mongodb://{user}:topsecret@") + f"?authSource={login}"
        return run(*arguments, "--uri", uri, "--database", "lab")

    path = write(tmp_path / "a.jsonl", HEARTBEAT)
    assert as_("root", "import", path).returncode == 0
    assert as_("ocppReader", "estimate").returncode == 0
    for done in (as_("ocppRecorder", "estimate"), as_("ocppReader", "estimate", "--from", path)):
        assert done.returncode == 1
        assert "a right" in done.stderr


@pytest.mark.mongod
def test_what_was_deleted_takes_no_room(plain: Any):
    Store(plain, read_settings({}), "h:1:a").prepare()
    noise = [{"_id": number, "raw": f"{number * 7919 % 100_003:060x}" * 10} for number in range(20_000)]
    plain.ocpp_messages.insert_many(noise)
    plain.client.admin.command("fsync")
    whole = Size()
    whole.add(plain.command("collStats", "ocpp_messages"))
    plain.ocpp_messages.delete_many({"_id": {"$gte": 2_000}})
    plain.client.admin.command("fsync")
    rest = Size()
    rest.add(plain.command("collStats", "ocpp_messages"))
    assert rest.documents == 2_000
    assert rest.storage < whole.storage / 2
    assert rest.free > 0


def test_shards_are_counted_together():
    size = Size()
    for shard in (
        {"count": 3, "size": 300, "storageSize": 100, "freeStorageSize": 10, "indexSizes": {"_id_": 50}},
        {"count": 1, "size": 100, "storageSize": 60, "indexSizes": {"_id_": 20, "a_1": 5}},
    ):
        size.add(shard)
    assert (size.documents, size.data, size.storage, size.free) == (4, 400, 150, 10)
    assert size.indexes == {"_id_": 70, "a_1": 5}
    assert size.on_disk == 225


def test_who_may_not_ask_for_a_checkpoint_waits_for_the_servers_own(capsys: pytest.CaptureFixture[str]):
    class Refusing:
        client = admin = property(lambda self: self)

        def command(self, _name: str) -> None:
            raise OperationFailure("not authorized", 13)

    class Progress:
        def begin(self, what: str, total: int) -> None:
            slept.append(-total)

        def advance(self, amount: int) -> None:
            slept.append(amount)

    slept: list[float] = []
    settle(Refusing(), Progress(), sleep=lambda _seconds: None)
    assert sum(slept) == 0
    assert min(slept) <= -60
