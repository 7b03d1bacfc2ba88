"""``ocpp-mongo import`` of logs, as processes: what is stored, what is said, what a dry run says without a server."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from test_cli import NOBODY, run

pytestmark = pytest.mark.programs

Plain = Database[dict[str, Any]]
LOG = """\
INFO:websockets.server:server listening on 127.0.0.1:9000
INFO:ocpp:CP001: receive message [2,"1","BootNotification",{"chargePointVendor":"v","chargePointModel":"m"}]
INFO:ocpp:CP001: send [3,"1",{"currentTime":"2026-03-01T12:00:00Z","interval":10,"status":"Accepted"}]
WARNING:app:cannot reach mongodb://anna:hunter22@db/x
INFO:ocpp:CP 2: receive message [2,"1","StartTransaction",
{"connectorId":1,"idTag":"TAG","meterStart":0,"timestamp":"2026-03-01T12:00:00Z"}]
INFO:ocpp:CP 2: send [3,"1",{"transactionId":7,"idTagInfo":{"status":"Accepted"}}]
INFO:ocpp:CP 2: receive message [2,"2","StopTransaction",{"transactionId":7,"meterStop":12300,"timestamp":"2026-03-01T13:00:00Z"}]
INFO:ocpp:CP 2: send [3,"2",{}]
WARNING:ocpp:Received a CALLError: <CallError>'
"""
RAW = [
    '[2,"1","BootNotification",{"chargePointVendor":"v","chargePointModel":"m"}]',
    '[3,"1",{"currentTime":"2026-03-01T12:00:00Z","interval":10,"status":"Accepted"}]',
    '[2,"1","StartTransaction",\n{"connectorId":1,"idTag":"TAG","meterStart":0,"timestamp":"2026-03-01T12:00:00Z"}]',
    '[3,"1",{"transactionId":7,"idTagInfo":{"status":"Accepted"}}]',
    '[2,"2","StopTransaction",{"transactionId":7,"meterStop":12300,"timestamp":"2026-03-01T13:00:00Z"}]',
    '[3,"2",{}]',
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text(LOG, "utf-8", newline="")
    return path


def test_a_log_is_stored_once_however_often_it_is_imported_and_however_it_is_packed(
    log: Path, mongo_uri: str, database_name: str, plain: Plain
) -> None:
    packed = log.with_name("app.log.2.gz")
    packed.write_bytes(gzip.compress(LOG.encode()))
    wide = log.with_name("app.log.3")
    wide.write_bytes(LOG.encode("utf-16"))
    to = ("--uri", mongo_uri, "--database", database_name)
    first = run("import", log, *to)
    assert first.returncode == 0, first.stderr
    assert "6 frame(s) read, 6 new, 0 already there, 3 other line(s)" in first.stdout
    assert f"{log}, line 1: no frame: INFO:websockets.server:server listening" in first.stderr
    assert f"{log}, line 4: no frame: WARNING:app:cannot reach mongodb://" in first.stderr
    assert "1 more line(s) without a frame, 1 of them of the ocpp library itself" in first.stderr
    assert "hunter22" not in first.stderr + first.stdout
    again = run("import", packed, wide, *to)
    assert "all files: 12 frame(s) read, 0 new, 12 already there" in again.stdout
    messages = list(plain.ocpp_messages.find().sort("station_id", -1))
    assert sorted(message["raw"] for message in messages) == sorted(RAW)
    assert {message["protocol_version"] for message in messages} == {"1.6"}
    assert {message["timestamp"] for message in messages} == {None}
    assert {(session["role"], session["source"]) for session in plain.sessions.find()} == {("csms", "import")}
    [transaction] = plain.transactions.find()
    assert (transaction["station_id"], transaction["energy_consumed"]) == ("CP 2", 12300)


def test_a_dry_run_says_what_there_is_and_needs_no_server(log: Path) -> None:
    done = run("import", log, "--dry-run", "--uri", NOBODY)
    assert done.returncode == 0, done.stderr
    assert f"{log}: a log of the ocpp library, 6 frame(s), 3 other line(s)" in done.stdout
    assert "the frames have no time" in done.stdout
    shown = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "station 'CP001', OCPP 1.6, seen from the csms",
        "received BootNotification 1",
        "sent answer to BootNotification 1",
        "station 'CP 2', OCPP 1.6, seen from the csms",
        "sent answer to StopTransaction 1",
    ):
        assert line in shown
    assert "line 1: no frame" in done.stderr
    assert "nothing was written" in done.stderr


def test_frames_that_two_handlers_wrote_are_stored_once_and_counted(
    tmp_path: Path, mongo_uri: str, database_name: str, plain: Plain
) -> None:
    path = tmp_path / "twice.log"
    beat = 'CP1: receive message [2,"1","Heartbeat",{}]'
    at = "2026-03-01 12:00:00 INFO "
    lines = [f"INFO:ocpp:{beat}", f"{at}{beat}", f"INFO:ocpp:{beat}", f"{at}{beat}", f"{at}{beat}", "hello"]
    path.write_text("\n".join(lines), "utf-8")
    done = run("import", path, "--dry-run")
    assert "a log of the ocpp library, 3 frame(s), 2 written twice by two handlers, 1 other line(s)" in done.stdout
    done = run("import", path, "--uri", mongo_uri, "--database", database_name)
    assert "3 frame(s) read, 3 new, 0 already there, 2 written twice by two handlers, 1 other line(s)" in done.stdout
    assert "without a frame" not in done.stderr
    assert plain.ocpp_messages.count_documents({}) == 3


def test_what_one_knows_of_a_log_is_said(tmp_path: Path) -> None:
    path = tmp_path / "odd.log"
    path.write_text('2026-03-01 12:00:00,5 >>x<< CP1: send [2,"1","DataTransfer",{}]\n', "utf-8")
    options = ("--prefix", r".*>>x<< ", "--side", "station", "--protocol-version", "ocpp2.0.1", "--timezone", "+02:00")
    done = run("import", path, "--dry-run", *options)
    assert "station 'CP1', OCPP 2.0.1, seen from the station" in done.stdout
    assert "from 2026-03-01T10:00:00.500000+00:00 to" in done.stdout
    summer = path.with_name("summer.log")
    summer.write_text('2026-07-01 12:00:00 CP1: send [2,"1","DataTransfer",{}]\n', "utf-8")
    assert "from 2026-07-01T10:00:00+00:00" in run("import", summer, "--dry-run", "--timezone", "Europe/Paris").stdout
    local = run("import", summer, "--dry-run", "--timezone", "local", TZ="America/New_York")
    assert "from 2026-07-01T16:00:00+00:00" in local.stdout
    said = f"{summer}: its times name no zone and are taken as UTC; --timezone local if a program of this machine wrote"
    silent = run("import", summer, "--dry-run")
    assert "from 2026-07-01T12:00:00+00:00" in silent.stdout
    assert said in silent.stderr
    assert said not in local.stderr + run("import", summer, "--dry-run", "--timezone", "UTC").stderr
    summer.write_text('2026-07-01T12:00:00Z CP1: send [2,"1","DataTransfer",{}]\n', "utf-8")
    assert said not in run("import", summer, "--dry-run").stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--timezone", "Mars/Olympus"), "--timezone Mars/Olympus is not known here: take UTC, local"),
        (("--timezone", "../../etc/passwd"), "--timezone ../../etc/passwd is not known here"),
        (("--timezone", "+99:00"), "--timezone +99:00 is not known here"),
        (("--prefix", "("), "--prefix is no regular expression"),
        (("--protocol-version", "3"), "--protocol-version takes 1.6, 2.0.1, 2.1, not 3"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(log: Path, options: tuple[str, str], words: str) -> None:
    for more in (("--dry-run",), ()):
        done = run("import", log, *options, *more, "--uri", NOBODY)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_file_without_a_frame_is_named_with_what_was_looked_for(tmp_path: Path, log: Path) -> None:
    empty, damaged = tmp_path / "none.log", tmp_path / "torn.gz"
    empty.write_text("hello\n" * 20, "utf-8")
    binary = tmp_path / "core"
    binary.write_bytes(bytes(range(256)) * 9)
    damaged.write_bytes(gzip.compress(LOG.encode())[:60])
    done = run("import", empty, binary, damaged, "--dry-run")
    assert done.returncode == 1
    assert f"{empty}: no line is a frame, neither JSON Lines nor a line of the ocpp library" in done.stderr
    assert f"{binary} is not a text file in UTF-8" in done.stderr
    assert len(done.stderr.splitlines()) == 4
    assert f"{damaged} is gzip data that is damaged" in done.stderr
    forced = run("import", empty, "--dry-run", "--format", "log")
    assert f"{empty} holds no frame of the ocpp library's log (20 line(s))" in forced.stderr
    as_lines = run("import", log, "--dry-run", "--format", "jsonl")
    assert (as_lines.returncode, "it is not JSON" in as_lines.stderr) == (1, True)


def test_a_dry_run_of_json_lines_keeps_its_rule_about_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = '{"station":"CP1","direction":"received","ts":"2026-03-01T12:00:00Z","raw":"[2,\\"1\\",\\"Heartbeat\\",{}]"}'
    path.write_text(f"{good}\nx\n", "utf-8")
    done = run("import", path, "--dry-run")
    assert done.returncode == 1
    assert f"{path}: JSON Lines, 1 frame(s), 1 bad line(s)" in done.stdout
    assert "line 2: it is not JSON" in done.stderr
    path.write_text('{"direction":"sent","raw":"[]"}\n', "utf-8")
    done = run("import", path, "--dry-run")
    assert f'{path}, line 1: "station" is missing' in done.stderr
    assert f"{path} holds no frame in the interchange format (1 line(s))" in done.stderr
