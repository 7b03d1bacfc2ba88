"""The benchmarks of docs/scaling.md: they run, and the one that compares what is stored sees each kind of error."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compression import less_regular
from benchmarks.mix import texts
from benchmarks.replica_set import wrong

ROOT = Path(__file__).parent.parent
TOLD = [{"captured": 3, "stored": 3, "lost": 0, "stations": {"P0-CP1": 3}}]


def stored(*numbers: int, station: str = "P0-CP1", session: str = "a") -> list[dict[str, Any]]:
    return [{"station_id": station, "session_id": session, "sequence": number} for number in numbers]


@pytest.mark.mongod
@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (stored(0, 1, 2), None),
        ([], "3 frames recorded, none stored"),
        (stored(0, 1), "3 frames recorded, 2 in 1 session(s)"),
        (stored(0, 1) + stored(2, session="b"), "3 frames recorded, 3 in 2 session(s)"),
        (stored(0, 1, 3), "not numbered from 0 without a gap"),
        (stored(0, 1, 1), "not numbered from 0 without a gap"),
        (stored(0, 1, 2) + stored(0, station="X"), "station X: nobody recorded it"),
    ],
)
def test_what_is_not_whole_is_seen(plain: Any, documents: list[dict[str, Any]], words: str | None):
    if documents:
        plain.ocpp_messages.insert_many(documents)
    found = list(wrong(plain, TOLD))
    assert (len(found), words is None or words in found[0]) == (int(words is not None), True)


@pytest.mark.mongod
def test_a_process_that_lost_a_frame_is_seen(plain: Any):
    plain.ocpp_messages.insert_many(stored(0, 1, 2))
    (said,) = wrong(plain, [{**TOLD[0], "stored": 2}])
    assert said == "process 0: 3 recorded, 3 captured, 2 stored"


def test_texts_are_made_less_regular_and_are_the_same_each_time():
    plain, first, second = (
        list(islice(source, 400)) for source in (texts(), less_regular(texts()), less_regular(texts()))
    )
    assert first == second
    assert [text.station_id for text in first] == [text.station_id for text in plain]
    ids = [text.text.split('"')[1] for text in first]
    assert ids[0::2] == ids[1::2]
    assert len(set(ids)) == 200
    assert all(ours.text != theirs.text for ours, theirs in zip(first, plain, strict=True))


@pytest.mark.mongod
@pytest.mark.programs
@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("compression", "--messages 400 --repetitions 1 --compressors zstd none", "400 messages, "),
        ("retention", "--messages 200 --repetitions 1", "drop: "),
        ("replica_set", "--processes 2 --frames 400 --repetitions 1", "lost 0, all sessions whole"),
    ],
)
def test_they_run(module: str, arguments: str, words: str):
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
