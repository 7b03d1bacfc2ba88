"""The command line as processes on the real mongod: results, exit codes, one sentence for what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from ocpp_mongo_plugin.cli.server import shown
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import read_settings

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

Done: TypeAlias = "subprocess.CompletedProcess[str]"
Cli: TypeAlias = Callable[..., Done]
HEARTBEAT = '[2,"1","Heartbeat",{}]'
NOBODY = "mongodb://127.0.0.1:1/"
IMPATIENT = {"OCPP_MONGO_OPERATION_TIMEOUT": "0.3"}


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ocpp_mongo_plugin.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "80", "OCPP_MONGO_OPERATION_TIMEOUT": "5", **environment},
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def cli(mongo_uri: str, database_name: str, tmp_path: Path) -> Cli:
    own = {"OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": database_name}
    own["OCPP_MONGO_JOURNAL_DIRECTORY"] = str(tmp_path / "journals")

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **{**own, **environment})

    return call


def write(path: Path, *raws: str, station: str = "CP1") -> Path:
    lines = [
        {"station": station, "protocol_version": "1.6", "direction": "received", "ts": "2026-02-16 18:06:46", "raw": r}
        for r in raws
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def raws(plain: Database[dict[str, Any]]) -> list[str]:
    return [m["raw"] for m in plain.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)])]


def test_every_command_explains_itself_with_an_example() -> None:
    listed = run("--help")
    for command in ("run", "plugins", "demo", "import", "stats", "estimate", "init", "doctor"):
        assert command in listed.stdout
        assert f"Example: ocpp-mongo {command}" in run(command, "--help").stdout
    assert run("--version").stdout.startswith("ocpp-mongo-plugin ")


def test_wrong_usage_exits_with_2() -> None:
    assert run("import").returncode == 2
    assert run("nonsense").returncode == 2
    assert run("demo", "--seconds", "0").returncode == 2


def test_help_imports_neither_driver_nor_ocpp() -> None:
    code = (
        "import sys\nfrom ocpp_mongo_plugin.cli import main\nsys.argv = ['ocpp-mongo', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('pymongo', 'ocpp', 'beanie', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    code = "import sys\nsys.modules['typer'] = None\nfrom ocpp_mongo_plugin.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'ocpp-mongo: the command line needs: pip install "ocpp-mongo-plugin[cli]"\n'


def test_an_import_stores_every_frame_in_order_and_a_second_one_stores_no_frame(
    cli: Cli, plain: Database[dict[str, Any]]
) -> None:
    files = sorted(Path(__file__).parent.glob("data/*.jsonl"))
    expected = [json.loads(line)["raw"] for file in files for line in file.read_text("utf-8").splitlines()]
    first = cli("import", *files)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"{len(expected)} frame(s) read, {len(expected)} new, 0 already there" in first.stdout
    assert sorted(raws(plain)) == sorted(expected)
    before = list(plain.ocpp_messages.find().sort("_id", 1))
    second = cli("import", *files)
    assert f"{len(expected)} frame(s) read, 0 new, {len(expected)} already there" in second.stdout
    assert list(plain.ocpp_messages.find().sort("_id", 1)) == before


def test_frames_of_one_file_keep_their_order_and_their_text(
    cli: Cli, plain: Database[dict[str, Any]], tmp_path: Path
) -> None:
    texts = [f'[2,"{n}","Heartbeat",{{}}]' for n in range(50)] + ["AT+CSQ", '[2, "é",  "X", {"a": NaN}]', ""]
    assert cli("import", write(tmp_path / "a.jsonl", *texts)).returncode == 0
    assert raws(plain) == texts


def test_a_corrupt_line_and_a_bad_file_are_named_and_lose_nothing_else(
    cli: Cli, plain: Database[dict[str, Any]], tmp_path: Path
) -> None:
    good = write(tmp_path / "good.jsonl", HEARTBEAT)
    torn = write(tmp_path / "torn.jsonl", HEARTBEAT, station="CP2")
    with torn.open("ab") as file:
        file.write(b'{"station": "CP2", "raw\n')
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes("{é}\n".encode("latin-1"))
    done = cli("import", tmp_path / "none.jsonl", tmp_path, empty, latin, torn, good)
    assert done.returncode == 1
    errors = done.stderr.splitlines()
    assert all(line.startswith("ocpp-mongo: ") for line in errors)
    for words in (
        "none.jsonl does not exist",
        f"{tmp_path} is a directory",
        "empty.jsonl is empty",
        "latin.jsonl is not a text file in UTF-8",
        "torn.jsonl, line 2: it is not JSON",
    ):
        assert sum(words in line for line in errors) == 1, words
    assert "4 file(s) that could not be read" in done.stdout
    assert raws(plain) == [HEARTBEAT, HEARTBEAT]


def test_of_many_bad_lines_some_are_named_and_the_others_counted(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", HEARTBEAT)
    with path.open("ab") as file:
        file.write(b"x\n" * 1000)
    done = cli("import", path)
    assert len(done.stderr.splitlines()) == 11
    assert "990 more bad line(s)" in done.stderr


def test_stats_are_the_same_for_people_and_programs(cli: Cli, tmp_path: Path) -> None:
    cli("import", write(tmp_path / "a.jsonl", HEARTBEAT, '[2,"2","Heartbeat",{}]', "AT+CSQ"))
    found = json.loads(cli("stats", "--json").stdout)
    assert found["collections"]["ocpp_messages"] == 3
    assert found["messages"]["by_version"] == {"1.6": 3}
    assert found["messages"]["by_type"] == {"Call": 2, "Malformed": 1}
    assert found["messages"]["calls_by_action"] == {"Heartbeat": 2}
    assert found["transactions"]["total"] == 0
    assert found["stations"]["total"] == 1
    assert json.loads(cli("stats", "--json", "--station", "CP1").stdout)["collections"]["ocpp_messages"] == 3
    shown_to_people = cli("stats").stdout
    assert "ocpp_messages" in shown_to_people
    assert "Heartbeat" in shown_to_people
    nobody = cli("stats", "--station", "$ne")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "nothing is recorded of a station '$ne'" in nobody.stderr


def test_init_makes_what_is_missing_and_says_what_was_there(cli: Cli, plain: Database[dict[str, Any]]) -> None:
    assert "WARN" in cli("doctor").stdout
    first = cli("init")
    assert first.returncode == 0
    assert "8 collections made:" in first.stdout
    assert "0 indexes there" in first.stdout
    second = cli("init").stdout
    assert "0 collections made" in second
    assert "0 indexes made" in second
    plain.ocpp_messages.drop_index("correlation_id_1")
    assert "indexes: missing: ocpp_messages (correlation_id)" in cli("doctor").stdout
    assert "1 index made:\n  ocpp_messages (correlation_id)" in cli("init").stdout


def test_doctor_changes_nothing_and_its_json_says_what_its_lines_say(
    cli: Cli, mongo_uri: str, database_name: str
) -> None:
    done = cli("doctor", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True)
    names = [finding["name"] for finding in found["findings"]]
    assert names[:4] == ["server", "version", "topology", "write concern"]
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        assert database_name not in client.list_database_names()


@pytest.mark.parametrize("command", [("stats",), ("init",), ("doctor",), ("import", "x.jsonl")])
def test_a_server_that_is_not_there_is_one_sentence_without_the_password(command: tuple[str, ...]) -> None:
    done = run(*command, "--uri", NOBODY.replace("127", "anna:hunter22@127"), **IMPATIENT)
    assert done.returncode == 1
    assert "hunter22" not in done.stdout + done.stderr
    assert "mongodb://anna:***@127.0.0.1:1" in (done.stderr or done.stdout)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://anna:p/hunter22@db.example/x",
        "mongodb://anna:p@hunter22@db.example/x",
        "mongodb://anna:p?hunter22@db.example/x",
        "mongodb://anna:hunter22@db.example:port/x",
        "http://anna:hunter22@db.example",
        "db.example",
        "mongodb://",
    ],
)
def test_a_wrong_uri_is_one_sentence_without_the_password(uri: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", HEARTBEAT)
    for command in (("stats",), ("doctor",), ("import", path)):
        done = run(*command, "--uri", uri, **IMPATIENT)
        assert done.returncode == 1
        assert "hunter22" not in done.stdout + done.stderr
        assert "anna:p" not in done.stdout + done.stderr


def test_a_wrong_setting_is_named() -> None:
    done = run("stats", OCPP_MONGO_BATCH_SIZE="many")
    assert done.returncode == 1
    assert done.stderr.startswith("ocpp-mongo: setting OCPP_MONGO_BATCH_SIZE is wrong: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://localhost:27017", "mongodb://localhost:27017"),
        ("mongodb://u:p@a:1,b:2/db?x=y", "mongodb://u:***@a:1,b:2"),
        ("mongodb+srv://u:p@c.example/?authSource=admin", "mongodb+srv://u:***@c.example"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=p", "mongodb://h"),
        ("mongodb://u:p/q@h", "mongodb://***"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(uri: str, expected: str) -> None:
    assert shown(read_settings({"uri": uri})) == expected


def test_rights_are_read_from_the_server(own_mongod: Callable[..., EmbeddedMongod]) -> None:
    server = own_mongod(auth=True)
    with MongoClient[dict[str, Any]](server.uri) as local:
        admin = {"role": "root", "db": "admin"}
        local.admin.command("createUser", "root", pwd="topsecret", roles=[admin])  # noqa: S106
    with MongoClient[dict[str, Any]](server.uri, username="root", password="topsecret") as client:  # noqa: S106
        for user, role in (("writer", "readWrite"), ("reader", "read")):
            client.admin.command("createUser", user, pwd="topsecret", roles=[{"role": role, "db": "lab"}])  # noqa: S106

    def as_(user: str, password: str = "topsecret", command: str = "doctor") -> Done:  # noqa: S107
        uri = server.uri.replace("mongodb://", f"mongodb://{user}:{password}@") + "?authSource=admin"
        done = run(command, "--uri", uri, "--database", "lab")
        assert password not in done.stdout + done.stderr
        return done

    good = as_("writer")
    assert good.returncode == 0
    assert "user writer of admin may read, write and create indexes" in good.stdout
    poor = as_("reader")
    assert poor.returncode == 1
    assert "FAIL  rights: user reader of admin may not insert in any collection" in poor.stdout
    wrong = as_("writer", "wrongsecret", "stats")
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1
