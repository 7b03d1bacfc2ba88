"""F7 and F25 in full depth: a system call that fails, or is the last one, swept over a whole run. By hand only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from children import environment
from judge import judge
from oracle import read

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]
HERE = Path(__file__).parent
CHILD = HERE / "child.py"

RECORD = """
import asyncio, sys
from ocpp_mongo_plugin import MongoPlugin
async def main():
    async with MongoPlugin() as plugin:
        for number in range(60):
            plugin.record("CP1", "received", '[2,"%s-%d","Heartbeat",{}]' % (sys.argv[1], number), "1.6")
        await plugin.flush(30)
    stats = plugin.stats
    assert stats.captured == stats.stored + stats.waiting + stats.dead_lettered + sum(stats.lost.values())
    assert stats.stored == 60, stats
asyncio.run(main())
"""


def run(command: list[str], inject: str, env: dict[str, str], log: Path) -> subprocess.CompletedProcess[str]:
    strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(log),
        "-e",
        f"trace={inject.partition(':')[0]}",
        "-e",
        f"inject={inject}",
    ]
    return subprocess.run(
        [*strace, sys.executable, *command], env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync", "flock", "unlinkat", "rename", "mkdir"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_f7_a_disk_error_at_any_call_costs_no_frame_and_is_not_felt(
    mongo_uri: str,
    fresh_database: str,
    looking: Any,
    tmp_path: Path,
    measured: Callable[[str], None],
    call: str,
    error: str,
):
    database = looking(mongo_uri, fresh_database)
    env = environment(mongo_uri, fresh_database, tmp_path / "journal", fsync_interval=0.01)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    log, runs, met = tmp_path / "strace", 0, 0
    failures: list[str] = []
    for when in [*range(1, 12), *range(12, 64, 5), "1+"]:
        done = run(["-c", RECORD, f"{when}"], f"{call}:error={error}:when={when}", env, log)
        runs += 1
        hit = "(INJECTED)" in log.read_text()
        met += hit
        count = database.ocpp_messages.count_documents({"message_id": {"$regex": f"^{str(when).replace('+', '[+]')}-"}})
        if done.returncode or count != 60 or "Traceback" in done.stderr:
            failures.append(f"{call} {error} at {when}: code {done.returncode}, {count} stored: {done.stderr[-300:]}")
        if not hit:
            break
    measured(f"F7 {call} fails with {error}: {runs} runs of 60 frames, met in {met}, {len(failures)} not whole")
    assert met
    assert not failures


# What a replay does to the world; the driver's sends are among them.
TOUCHING = ("openat", "unlinkat", "unlink", "rename", "flock", "rmdir", "sendto", "close")


@pytest.mark.parametrize("call", TOUCHING)
def test_f25_a_replay_that_is_killed_at_any_call_is_done_by_the_next(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Callable[[str], None], call: str
):
    database = looking(mongo_uri, fresh_database)
    env = environment(mongo_uri, fresh_database, tmp_path / "journal", sync_interval=0.2)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    oracle, log, kills, when = tmp_path / "oracle", tmp_path / "strace", 0, 1
    failures: list[str] = []
    first = {"openat": 400, "close": 300}.get(call, 1)  # before that only the interpreter starts
    when = first
    while True:
        record = [sys.executable, str(CHILD), "fast", str(oracle), f"w{when}-", "--frames", "200", "--ending", "exit"]
        away = environment("mongodb://127.0.0.1:1/", fresh_database, tmp_path / "away")
        subprocess.run(record, env=away, check=False, capture_output=True, timeout=60)
        _hand_over(tmp_path / "away", tmp_path / "journal", mongo_uri, fresh_database)
        killed = run(["-c", RECORD, f"x{when}"], f"{call}:signal=KILL:when={when}", env, log)
        hit = "(INJECTED)" in log.read_text() or killed.returncode == -9
        kills += killed.returncode != 0
        after = subprocess.run(
            [sys.executable, "-c", REPLAY], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        verdict = judge(database, read(oracle))
        own = list(database.ocpp_messages.find({"message_id": {"$regex": "^x"}}, {"message_id": 1}))
        twice = len(own) - len({m["message_id"] for m in own})
        if after.returncode or verdict.lost or verdict.doubled or verdict.gaps or twice:
            failures.append(f"{call} at {when}: {verdict}, {twice} twice, {after.stderr[-300:]}")
        if not hit or when > 3000:
            break
        when += 1 if when < first + 12 else 7 if when < first + 120 else 50
    measured(f"F25 {call}: killed at {kills} instants of a replay, up to call {when}; {len(failures)} not whole")
    assert kills
    assert not failures


REPLAY = """
import asyncio
from ocpp_mongo_plugin import MongoPlugin
async def main():
    async with MongoPlugin() as plugin:
        await plugin.flush(30)
        while plugin.is_recovering:
            await asyncio.sleep(0.01)
asyncio.run(main())
"""


def _hand_over(source: Path, target: Path, uri: str, database: str) -> None:
    """Put journals that were kept for a server that is nowhere under those for the real one."""
    from ocpp_mongo_plugin import MongoPlugin  # noqa: PLC0415

    there = target / MongoPlugin(uri, database, durability="journal", journal_directory=target)._target().directory
    there.mkdir(parents=True, exist_ok=True)
    for of_target in source.iterdir():
        for directory in of_target.iterdir():
            directory.rename(there / directory.name)
