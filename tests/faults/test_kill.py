"""F8 and F9: our own process is killed, or ends in any of the ways in which programs end."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from children import child, environment, kill_at_random, lines, store_what_was_left
from judge import judge
from oracle import read
from waiting import wait_until

KILLS = 100
MEMORY_KILLS = 8
SHUTDOWN = 2.0
GRACE = 3.0
"""PyMongo's own end takes a second where a client is left open; and the machine may be busy."""


@pytest.mark.timeout(400)
def test_f8_100_kills_lose_and_double_nothing_in_journal_mode(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Any, seed: int
):
    oracle, database = tmp_path / "oracle", looking(mongo_uri, fresh_database)
    env = environment(mongo_uri, fresh_database, tmp_path / "journal")
    instants = random.Random(seed)  # noqa: S311 - repeatable on purpose
    begun = time.monotonic()
    for number in range(KILLS):
        mode = "ocpp" if number % 10 == 5 else "fast"
        kill_at_random(oracle, f"k{number}", instants, env, mode=mode)
    took = time.monotonic() - begun
    recovered = store_what_was_left(oracle, database, env)
    verdict = judge(database, read(oracle))
    measured(f"F8 {KILLS} kills, journal, in {took:.0f} s, recovery {recovered:.1f} s: {verdict}")
    assert verdict.captured >= 100_000
    assert verdict.whole, verdict


def test_f8_kills_in_memory_mode_lose_no_more_than_what_waited(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Any, seed: int
):
    oracle, database = tmp_path / "oracle", looking(mongo_uri, fresh_database)
    env = environment(mongo_uri, fresh_database)
    instants = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for number in range(MEMORY_KILLS):
        kill_at_random(oracle, f"m{number}", instants, env, mode="ocpp" if number % 4 == 1 else "fast")
    verdict = judge(database, read(oracle))
    measured(f"F8 {MEMORY_KILLS} kills, memory: {verdict}")
    assert verdict.stored > 0
    assert verdict.doubled + verdict.phantoms + verdict.gaps + verdict.misordered == 0, verdict


ENDINGS = {
    "close": ("close", None, 0),
    "asyncio.run that ends without close": ("forget", None, 0),
    "an exception in main": ("raise", None, 1),
    "^C": ("signal", signal.SIGINT, None),
    "SIGTERM with a handler": ("sigterm", signal.SIGTERM, 0),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_f9_an_orderly_end_loses_nothing_even_in_memory_mode(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Any, name: str
):
    ending, number, code = ENDINGS[name]
    env = environment(mongo_uri, fresh_database)
    took, returned = _end(tmp_path / "oracle", env, ending, number)
    verdict = judge(looking(mongo_uri, fresh_database), read(tmp_path / "oracle"))
    measured(f"F9 {name}: code {returned}, ended within {took:.2f} s, {verdict}")
    assert verdict.whole, verdict
    assert verdict.captured == 3000
    assert code is None or returned == code
    assert took < SHUTDOWN + GRACE


DEATHS = {"os._exit": ("exit", None), "SIGTERM without a handler": ("signal", signal.SIGTERM)}


@pytest.mark.parametrize("name", DEATHS)
def test_f9_a_death_without_goodbye_loses_nothing_in_journal_mode(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Any, name: str
):
    ending, number = DEATHS[name]
    database = looking(mongo_uri, fresh_database)
    env = environment(mongo_uri, fresh_database, tmp_path / "journal")
    took, returned = _end(tmp_path / "oracle", env, ending, number)
    before = database.ocpp_messages.count_documents({})
    store_what_was_left(tmp_path / "oracle", database, env)
    verdict = judge(database, read(tmp_path / "oracle"))
    measured(f"F9 {name}, journal: code {returned}, ended within {took:.2f} s with {before} stored; then {verdict}")
    assert verdict.whole, verdict
    assert verdict.captured == 3000
    assert took < SHUTDOWN + GRACE


@pytest.mark.parametrize("name", ["close", "asyncio.run that ends without close", "^C"])
def test_f9_without_mongodb_an_end_is_not_held_up_beyond_the_shutdown_timeout(tmp_path: Path, measured: Any, name: str):
    ending, number, _ = ENDINGS[name]
    env = environment("mongodb://127.0.0.1:1/", "faults", shutdown_timeout=SHUTDOWN)
    took, returned = _end(tmp_path / "oracle", env, ending, number)
    measured(f"F9 {name} without MongoDB: code {returned}, ended within {took:.2f} s (shutdown_timeout {SHUTDOWN:g})")
    assert took < SHUTDOWN + GRACE


@pytest.mark.parametrize("name", ["close", "asyncio.run that ends without close", "os._exit"])
def test_f9_what_an_end_without_mongodb_leaves_in_the_journal_is_stored_later(
    own_mongod: Any, looking: Any, tmp_path: Path, measured: Any, name: str
):
    server = own_mongod()
    env = environment(server.uri, "faults", tmp_path / "journal", shutdown_timeout=0.5)
    server.stop()
    ending, number, *_ = (ENDINGS | DEATHS)[name]
    took, _ = _end(tmp_path / "oracle", env, ending, number)
    server.start()
    database = looking(server.uri)
    seconds = store_what_was_left(tmp_path / "oracle", database, env)
    verdict = judge(database, read(tmp_path / "oracle"))
    measured(f"F9 {name} without MongoDB, journal: ended within {took:.2f} s; stored {seconds:.1f} s later: {verdict}")
    assert verdict.captured == 3000
    assert verdict.whole, verdict
    assert took < 0.5 + GRACE


def _end(oracle: Path, env: dict[str, str], ending: str, number: int | None) -> tuple[float, int]:
    """Run a child over 3,000 frames and let it end so; return how long it took from the last frame, and its code."""
    options = ("--rate", 20_000, "--frames", 3000, "--ending", ending)
    with child("fast", oracle, "e", *options, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: lines(oracle) == 3000, 30)
        begun = time.monotonic()
        if number is not None:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
        returned = process.wait(30)
        return time.monotonic() - begun, returned
