"""The examples as programs of their own, recorded in the real mongod."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from waiting import wait_until

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

EXAMPLES = Path(__file__).parent.parent / "examples"
Plain = Database[dict[str, Any]]


def environment(uri: str, database: str) -> dict[str, str]:
    return {**os.environ, "OCPP_MONGO_URI": uri, "OCPP_MONGO_DATABASE": database, "OCPP_MONGO_LOAD_PLUGINS": "false"}


@contextmanager
def central_system(uri: str, database: str) -> Iterator[str]:
    command = [sys.executable, "-u", str(EXAMPLES / "central_system.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(uri, database)) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def station(name: str, url: str, uri: str, database: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), url]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment(uri, database), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "station_id", "version"), [("station_v16.py", "CP001", "1.6"), ("station_v201.py", "CS201", "2.0.1")]
)
def test_a_station_is_recorded_from_both_ends_and_its_transaction_is_one(
    name: str, station_id: str, version: str, mongo_uri: str, database_name: str, plain: Plain
) -> None:
    with central_system(mongo_uri, database_name) as url:
        printed = station(name, url, mongo_uri, database_name)
        assert "1500 Wh" in printed

        def both_ends() -> bool:
            ends = plain.ocpp_messages.aggregate([{"$group": {"_id": "$session_id", "count": {"$sum": 1}}}])
            counts = [end["count"] for end in ends]
            return len(counts) == 2 and counts[0] == counts[1]

        wait_until(both_ends)
    [transaction] = plain.transactions.find()
    assert (transaction["station_id"], transaction["protocol_version"]) == (station_id, version)
    assert (transaction["status"], transaction["energy_consumed"]) == ("completed", 1500)
    sides = {
        side: [m["raw"] for m in plain.ocpp_messages.find({"session_id": side}).sort("sequence", 1)]
        for side in plain.ocpp_messages.distinct("session_id")
    }
    one, other = sides.values()
    assert one == other
