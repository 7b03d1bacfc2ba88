"""The demo as a person runs it, without a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from waiting import wait_until

from ocpp_mongo_plugin.embedded import EmbeddedMongod

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

COLLECTIONS = ("ocpp_messages", "transactions", "stations", "sessions", "meter_values")


def demo(*arguments: str, tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "ocpp_mongo_plugin.cli", "demo", "--seconds", "3", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), **environment},
    )


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def servers_of(directory: Path) -> list[int]:
    """Return the mongods whose data lie in a directory of this test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if arguments[0].endswith("mongod") and any(str(directory) in argument for argument in arguments):
            found.append(int(entry.name))
    return [pid for pid in found if is_alive(pid)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
class TestDemo:
    def test_it_shows_all_collections_and_leaves_nothing(self, tmp_path: Path) -> None:
        with demo(tmp_path=tmp_path) as process:
            output, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        for collection in COLLECTIONS:
            assert re.search(rf"{collection}\s+[1-9]", output), collection
        assert "4 transactions, 4 completed" in output
        assert servers_of(tmp_path) == []
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupt_cleans_up(self, tmp_path: Path) -> None:
        with demo("--seconds", "60", tmp_path=tmp_path) as process:
            assert process.stdout is not None
            for printed in process.stdout:
                if "charge" in printed:
                    break
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert servers_of(tmp_path) == []
        assert list(tmp_path.iterdir()) == []

    def test_keep_leaves_the_database_running_and_says_where(self, tmp_path: Path) -> None:
        with demo("--keep", tmp_path=tmp_path) as process:
            output, errors = process.communicate(timeout=90)
        pids = servers_of(tmp_path)
        try:
            assert process.returncode == 0, errors
            assert len(pids) == 1
            assert f"kill {pids[0]}" in output
            uri = re.search(r"mongodb://127\.0\.0\.1:\d+/", output)
            assert uri is not None
            with MongoClient[dict[str, Any]](uri.group()) as client:
                assert client.ocpp_demo.transactions.count_documents({"status": "completed"}) == 4
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: servers_of(tmp_path) == [])

    def test_the_server_of_the_environment_is_used(self, mongo_uri: str, tmp_path: Path) -> None:
        with EmbeddedMongod() as server, demo(tmp_path=tmp_path, OCPP_MONGO_URI=server.uri) as process:
            output, errors = process.communicate(timeout=90)
            assert process.returncode == 0, errors
        assert "4 completed" in output
        assert list(tmp_path.iterdir()) == []
