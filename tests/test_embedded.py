"""The server that the demo and the tests run on: starts, goes on with its data, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout, OperationFailure
from pymongo.write_concern import WriteConcern
from waiting import wait_until

from ocpp_mongo_plugin import embedded
from ocpp_mongo_plugin.embedded import EmbeddedMongod, EmbeddedReplicaSet, MongodUnavailable, find_mongod
from ocpp_mongo_plugin.errors import ArgumentError, NotStartedError

pytestmark = pytest.mark.mongod

Factory: TypeAlias = Callable[..., EmbeddedMongod]

JOURNALED = WriteConcern(j=True)
PASSWORD = uuid4().hex


def connect(server: EmbeddedMongod, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(server.uri, serverSelectionTimeoutMS=10_000, **options)


def ping(server: EmbeddedMongod) -> bool:
    with connect(server) as client:
        return bool(client.admin.command("ping")["ok"])


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody reaps has."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return True
    return state in "ZX"


def test_a_started_server_answers_on_the_loopback_interface_only(own_mongod: Factory) -> None:
    server = own_mongod()
    assert server.running
    assert server.uri == f"mongodb://127.0.0.1:{server.port}/"
    with connect(server) as client:
        assert client.admin.command("serverStatus")["pid"] == server.pid
        assert client.admin.command("getCmdLineOpts")["parsed"]["net"]["bindIp"] == "127.0.0.1"


def test_the_cache_of_its_storage_engine_is_as_large_as_asked(own_mongod: Factory) -> None:
    server = own_mongod(cache_gb=0.25)
    with connect(server) as client:
        cache = client.admin.command("serverStatus")["wiredTiger"]["cache"]
    assert cache["maximum bytes configured"] == 256 * 1024 * 1024


def test_starting_a_running_server_changes_nothing(own_mongod: Factory) -> None:
    server = own_mongod()
    pid = server.pid
    server.start()
    assert server.pid == pid


@pytest.mark.parametrize("kill", [False, True])
def test_restart_keeps_data_and_port(kill: bool) -> None:
    with EmbeddedMongod() as server:
        uri, pid = server.uri, server.pid
        with connect(server) as client:
            client.get_database("d", write_concern=JOURNALED).c.insert_one({"_id": 1})
        server.restart(kill=kill)
        assert server.uri == uri
        assert server.pid != pid
        with connect(server) as client:
            assert client.d.c.find_one() == {"_id": 1}


def test_a_given_directory_outlives_stop_and_is_taken_up_again(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path / "new" / "data") as server, connect(server) as client:
        client.d.c.insert_one({"_id": 1})
    assert not server.running
    with EmbeddedMongod(tmp_path / "new" / "data") as server, connect(server) as client:
        assert client.d.c.find_one() == {"_id": 1}


def test_a_paused_server_keeps_silent_until_it_is_resumed(own_mongod: Factory) -> None:
    server = own_mongod()
    with connect(server, socketTimeoutMS=200, retryReads=False) as client:
        client.admin.command("ping")
        server.pause()
        with pytest.raises(NetworkTimeout):
            client.admin.command("ping")
        assert server.running
        server.resume()
        assert wait_until(lambda: ping(server))


def test_a_paused_server_can_be_stopped(own_mongod: Factory) -> None:
    server = own_mongod()
    pid = server.pid
    server.pause()
    server.stop()
    assert is_gone(pid)


def test_stop_ends_the_process_and_removes_the_temporary_directory() -> None:
    before = set(threading.enumerate())
    with EmbeddedMongod() as server:
        pid, directory = server.pid, data_directory(server)
        assert directory.is_dir()
    assert is_gone(pid)
    assert not directory.exists()
    assert not server.running
    assert "embedded-mongod" not in {thread.name for thread in set(threading.enumerate()) - before}
    server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.port)):
        pass


def test_a_replica_set_takes_writes_at_once_and_after_a_move_to_another_port(tmp_path: Path) -> None:
    ports = set()
    for number in range(2):
        with EmbeddedMongod(tmp_path, replica_set="rs0") as server, connect(server) as client:
            ports.add(server.port)
            client.d.c.insert_one({"_id": number})
            assert client.admin.command("hello")["setName"] == "rs0"
    assert len(ports) == 2


def test_auth_asks_for_a_user(own_mongod: Factory) -> None:
    server = own_mongod(auth=True)
    with connect(server) as client:
        client.admin.command("createUser", "admin", pwd=PASSWORD, roles=["root"])
    with connect(server) as client, pytest.raises(OperationFailure, match="requires authentication"):
        client.d.c.find_one()
    with connect(server, username="admin", password=PASSWORD) as client:
        assert client.d.c.find_one() is None


def test_a_set_of_three_goes_on_when_its_primary_is_killed_and_after_a_move(tmp_path: Path) -> None:
    quick = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}
    members = EmbeddedReplicaSet(tmp_path, settings=quick)
    with pytest.raises(NotStartedError, match="the embedded replica set is not started"):
        _ = members.uri
    try:
        with members, MongoClient[dict[str, Any]](members.uri, serverSelectionTimeoutMS=30_000) as client:
            written = client.db.get_collection("c", write_concern=WriteConcern("majority", j=True))
            written.insert_one({"_id": 1})
            first = members.primary()
            assert first in members.members
            first.stop(kill=True)
            assert wait_until(members.primary, 30) is not first
            written.insert_one({"_id": 2})
        assert not any(member.running for member in members.members)
        moved = EmbeddedReplicaSet(tmp_path, settings=quick)
        with moved, MongoClient[dict[str, Any]](moved.uri, serverSelectionTimeoutMS=30_000) as client:
            assert [d["_id"] for d in client.db.c.find().sort("_id", 1)] == [1, 2]
        assert moved.uri != members.uri
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_set_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    broken = EmbeddedReplicaSet(tmp_path, parameters={"noSuchParameter": "1"})
    with pytest.raises(MongodUnavailable, match="mongod ended with code"):
        broken.start()
    assert not any(member.running for member in broken.members)


def test_auth_and_a_replica_set_are_refused_together() -> None:
    with pytest.raises(ArgumentError):
        EmbeddedMongod(auth=True, replica_set="rs0")


def test_parameters_reach_the_server(own_mongod: Factory) -> None:
    server = own_mongod(parameters={"ttlMonitorSleepSecs": "7"})
    with connect(server) as client:
        assert client.admin.command("getParameter", 1, ttlMonitorSleepSecs=1)["ttlMonitorSleepSecs"] == 7


def test_the_end_of_the_starting_thread_does_not_end_the_server() -> None:
    server = EmbeddedMongod()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert ping(server)
    finally:
        server.stop()


PROGRAM = """
import sys
from pathlib import Path
from ocpp_mongo_plugin.embedded import EmbeddedMongod
server = EmbeddedMongod(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
server.start()
print(server.pid, server._directory, flush=True)
sys.stdin.read()
"""


def start_program(*arguments: str) -> tuple[subprocess.Popen[str], int, Path]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    pid, _, directory = program.stdout.readline().strip().partition(" ")
    return program, int(pid), Path(directory)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_the_server_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program, pid, _ = start_program(str(tmp_path))
    with program:
        assert not is_gone(pid)
        program.kill()
    assert wait_until(lambda: is_gone(pid))


def test_a_program_that_ends_without_stop_leaves_neither_process_nor_directory() -> None:
    program, pid, directory = start_program()
    with program:
        assert directory.is_dir()
        program.communicate()
    assert program.returncode == 0
    assert is_gone(pid)
    assert not directory.exists()


def test_a_forked_child_leaves_its_parents_server_alone(own_mongod: Factory) -> None:
    server = own_mongod()
    child = EmbeddedMongod.__new__(EmbeddedMongod)
    child.__dict__.update(server.__dict__, _owner=server._owner + 1)  # what a fork sees: the state, another pid
    child.stop()
    assert ping(server)


def test_a_port_that_is_taken_gives_a_clear_error(own_mongod: Factory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(MongodUnavailable, match=r"^mongod ended with code 48 .*Address already in use$"):
            own_mongod(port=port)


def test_a_free_port_that_is_lost_in_a_race_is_replaced(own_mongod: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], embedded._free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        server = own_mongod()
        assert server.port == free
        assert ping(server)


def test_a_data_directory_that_is_a_file_gives_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(MongodUnavailable, match=r"^mongod has no place for its data: .*file"):
        EmbeddedMongod(file).start()


def test_a_data_directory_in_use_gives_mongods_own_reason(own_mongod: Factory) -> None:
    server = own_mongod()
    with pytest.raises(MongodUnavailable, match=r"^mongod ended with code 100 at its start: DBPathInUse"):
        EmbeddedMongod(data_directory(server)).start()
    assert ping(server)


def test_an_unknown_parameter_gives_mongods_own_reason() -> None:
    with pytest.raises(MongodUnavailable, match=r"Unknown --setParameter 'nonsense'$"):
        EmbeddedMongod(parameters={"nonsense": "1"}).start()


def fake_mongod(directory: Path, script: str) -> Path:
    directory.mkdir()
    path = directory / "mongod"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_mongod_that_dies_at_its_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_mongod(tmp_path / "bin", 'if [ "$1" = --version ]; then exit 0; fi; echo cannot go on >&2; exit 3')
    monkeypatch.setenv("PATH", str(path.parent))
    with pytest.raises(MongodUnavailable, match=r"^mongod ended with code 3 at its start: cannot go on$"):
        EmbeddedMongod().start()


def test_a_mongod_that_does_not_listen_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f'if [ "$1" = --version ]; then exit 0; fi; echo $$ > {tmp_path}/pid; exec cat /dev/zero > /dev/null'
    path = fake_mongod(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(embedded, "START_SECONDS", 0.5)
    with pytest.raises(MongodUnavailable, match="did not listen within"):
        EmbeddedMongod().start()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_broken_mongod_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_mongod(tmp_path / "bin", "exit 127")
    monkeypatch.setenv("PATH", str(path.parent))
    assert find_mongod() != path


def test_the_mongod_of_the_wheel_gets_its_run_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = tmp_path / "fiftyone" / "db" / "bin"
    binaries.parent.mkdir(parents=True)
    path = fake_mongod(binaries, "exit 0")
    path.chmod(0o644)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find_mongod() == path
    assert os.access(path, os.X_OK)
    assert "fiftyone" not in sys.modules


def test_no_mongod_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "path", [])
    assert find_mongod() is None
    with pytest.raises(MongodUnavailable, match=r"ocpp-mongo-plugin\[embedded\]"):
        EmbeddedMongod().start()


def test_a_server_that_was_never_started_has_neither_process_nor_port() -> None:
    server = EmbeddedMongod()
    assert not server.running
    for read in (lambda: server.pid, lambda: server.port, lambda: server.uri, server.pause):
        with pytest.raises(NotStartedError):
            read()
    server.stop()


def data_directory(server: EmbeddedMongod) -> Path:
    with connect(server) as client:
        return Path(client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"])
