"""Starts child.py, kills it, and has what it left stored."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from oracle import read
from waiting import wait_until

CHILD = Path(__file__).with_name("child.py")


def environment(uri: str, database: str, journal: Path | None = None, **settings: Any) -> dict[str, str]:
    """Return the environment of a child; memory mode without a journal directory."""
    given = {"URI": uri, "DATABASE": database, **{name.upper(): str(value) for name, value in settings.items()}}
    given["DURABILITY"] = "memory" if journal is None else given.get("DURABILITY", "journal")
    if journal is not None:
        given["JOURNAL_DIRECTORY"] = str(journal)
    return {**os.environ, **{f"OCPP_MONGO_{name}": value for name, value in given.items()}}


@contextmanager
def child(*arguments: Any, env: dict[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A running child.py; killed at the end, if it still runs."""
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    process = subprocess.Popen(command, env=env, text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with process:  # close its pipes
            process.wait()


def lines(path: Path) -> int:
    """Return how many lines the oracle has."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return 0


def kill_at_random(
    oracle: Path, tag: str, instants: random.Random, env: dict[str, str], *, mode: str = "fast", rate: int = 8000
) -> None:
    """Run a child and kill it: nine times of ten while it captures, else at any time since its start."""
    already = oracle.stat().st_size if oracle.exists() else 0
    with child(mode, oracle, tag, "--rate", rate, env=env) as process:
        if instants.random() < 0.9:
            wait_until(lambda: process.poll() is not None or (oracle.exists() and oracle.stat().st_size > already), 30)
            time.sleep(instants.uniform(0, 0.4))  # the instant is the experiment
        else:
            time.sleep(instants.uniform(0.2, 0.8))
        assert process.poll() is None, "the child ended by itself"
        process.kill()


def store_what_was_left(oracle: Path, database: Any, env: dict[str, str], bound: float = 60) -> float:
    """Start a program of the same settings and wait until MongoDB holds as much as was captured; return seconds."""
    expected = len(read(oracle))
    begun = time.monotonic()
    with child("idle", oracle, "idle", env=env, stdout=subprocess.PIPE) as process, suppress(AssertionError):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # What is missing after the bound is for the judge to count.
        wait_until(lambda: database.ocpp_messages.count_documents({}) >= expected, bound)
    return time.monotonic() - begun
