"""F18: a clock that jumps changes times, and no order."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from children import child, environment, lines
from judge import judge
from oracle import read
from waiting import wait_until

FAKETIME = Path(str(files("libfaketime"))) / "vendor/libfaketime/src/libfaketime.so.1"


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime comes without its library on this platform")
@pytest.mark.parametrize("mode", ["fast", "ocpp"])
def test_f18_a_clock_that_jumps_an_hour_either_way_changes_no_order(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Callable[[str], None], mode: str
):
    oracle, clock = tmp_path / "oracle", tmp_path / "clock"
    clock.write_text("+0")
    env = environment(mongo_uri, fresh_database, tmp_path / "journal", sync_interval=0.2)
    env |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # Without a cache every wait for the interpreter reads the file, one thread after the other: minutes.
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    frames = 3000
    command = (mode, oracle, "t", "--rate", 500, "--frames", frames, "--ending", "close")
    with child(*command, env=env, stdout=subprocess.PIPE) as process:
        for share, offset in ((0.2, "+1h"), (0.5, "-1h"), (0.8, "+0")):
            wait_until(lambda share=share: lines(oracle) >= share * frames or process.poll() is not None, 60)
            clock.write_text(offset)
        assert process.wait(60) == 0
    database = looking(mongo_uri, fresh_database)
    verdict = judge(database, read(oracle))
    times = [m["timestamp"] for m in database.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)])]
    back = sum(later < earlier for earlier, later in pairwise(times))
    measured(
        f"F18 {mode}, clock +1 h, -2 h, +1 h while running: {verdict}; the time of capture steps back {back} times"
    )
    assert verdict.whole
    assert (max(times) - min(times)).total_seconds() > 7000
    assert {session["status"] for session in database.sessions.find()} == {"closed"}
