"""``python -m benchmarks.replica_set``: several recording processes at once on a replica set of three members.

Hides the set, the processes and how they begin together. Each records its share of the mix by ``plugin.record``, with
stations of its own and a journal, as fast as it can, and is through when a flush says that all of it is stored.
Promises that what is stored is compared with what was recorded, station by station and number by number; exit code 1
where something is missing. All of it, three mongods and every process, is carried by this one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.alone import leave_settings, processor_seconds
from benchmarks.mix import texts
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedReplicaSet
from ocpp_mongo_plugin.settings import read_settings
from ocpp_mongo_plugin.store import Store, recorder_name

MEMBERS = 3
STATIONS = 40
_PATIENCE = 600.0
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Run:
    """So many processes, once."""

    processes: int
    frames: int
    documents: int
    seconds: float
    recorders_seconds: float
    """Processor time of the recording processes, from when they began."""
    members_seconds: float
    """Processor time of the members."""
    wrong: tuple[str, ...]


# -- a recording process ----------------------------------------------------------------------------------------


async def record(tag: str, frames: int) -> None:
    """Record so many frames when a line comes in, and say what became of them."""
    ours = [text._replace(station_id=f"{tag}{text.station_id}") for text in islice(texts(STATIONS), frames)]
    async with MongoPlugin(durability="journal") as plugin:
        await plugin.flush(_PATIENCE)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        began = time.process_time()
        for text in ours:
            plugin.record(text.station_id, "sent" if text.is_answer else "received", text.text, text.version)
        await plugin.flush(_PATIENCE)
        stats = plugin.stats
        told = {
            "captured": stats.captured,
            "stored": stats.stored,
            "lost": sum(stats.lost.values()) + stats.dead_lettered,
            "processor": time.process_time() - began,
            "stations": Counter(text.station_id for text in ours),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


# -- all of them ------------------------------------------------------------------------------------------------


def run(members: EmbeddedReplicaSet, client: MongoClient[Any], processes: int, frames: int) -> Run:
    """Record so many frames in all by so many processes, into a fresh database."""
    database = client[f"by_{processes}"]
    client.drop_database(database.name)
    with closing(Store(database, read_settings({}), recorder_name())) as store:
        store.prepare()  # making indexes is not what is measured
    share = frames // processes
    with TemporaryDirectory(prefix="ocpp-mongo-bench-") as journals, ExitStack() as stack:
        own = {"URI": members.uri, "DATABASE": database.name, "JOURNAL_DIRECTORY": journals}
        environment = {**os.environ, **{f"OCPP_MONGO_{name}": value for name, value in own.items()}}
        children = [stack.enter_context(_child(f"P{number}-", share, environment)) for number in range(processes)]
        for child in children:
            _line(child)
        before, begun = _members_seconds(members), time.perf_counter()
        for child in children:
            assert child.stdin is not None  # noqa: S101 - for the type checker
            child.stdin.write("go\n")
            child.stdin.flush()
        told = [json.loads(_line(child)) for child in children]
        seconds = time.perf_counter() - begun
    found = Run(
        processes,
        share * processes,
        sum(database[name].count_documents({}) for name in read_settings({}).collections().values()),
        seconds,
        sum(one["processor"] for one in told),
        _members_seconds(members) - before,
        tuple(wrong(database, told)),
    )
    client.drop_database(database.name)
    return found


def wrong(database: Database[Any], told: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what is not as it should be: a sentence for each station and each process."""
    for number, one in enumerate(told):
        recorded = sum(one["stations"].values())
        if (one["captured"], one["stored"], one["lost"]) != (recorded, recorded, 0):
            yield f"process {number}: {recorded} recorded, {one['captured']} captured, {one['stored']} stored"
    numbers = {"first": {"$min": "$sequence"}, "last": {"$max": "$sequence"}, "distinct": {"$addToSet": "$sequence"}}
    group = {"_id": "$station_id", **numbers, "frames": {"$sum": 1}, "sessions": {"$addToSet": "$session_id"}}
    stored = {row["_id"]: row for row in database.ocpp_messages.aggregate([{"$group": group}], allowDiskUse=True)}
    expected = {station: frames for one in told for station, frames in one["stations"].items()}
    for station, frames in expected.items():
        row = stored.pop(station, None)
        if row is None:
            yield f"station {station}: {frames} frames recorded, none stored"
        elif (row["frames"], len(row["sessions"])) != (frames, 1):
            yield f"station {station}: {frames} frames recorded, {row['frames']} in {len(row['sessions'])} session(s)"
        elif (row["first"], row["last"], len(row["distinct"])) != (0, frames - 1, frames):
            yield f"station {station}: its {frames} frames are not numbered from 0 without a gap"
    for station in stored:
        yield f"station {station}: nobody recorded it"


@contextmanager
def _child(tag: str, frames: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A recording process; killed at the end, if it still runs."""
    command = [sys.executable, "-m", "benchmarks.replica_set", "--record", tag, "--frames", str(frames)]
    process = subprocess.Popen(
        command, env=environment, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
        process.wait(_PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
        with process:  # close its pipes
            process.wait()


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None  # noqa: S101 - for the type checker
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"a recording process ended with code {child.wait()}")
    return line


def _members_seconds(members: EmbeddedReplicaSet) -> float:
    return sum(processor_seconds(member.pid) for member in members.members)


def main() -> int:
    """Measure, and print a line for each run and the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replica_set", description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--frames", type=int, default=60_000, help="in all, shared among the processes")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--record", metavar="TAG", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.record:
        asyncio.run(record(options.record, options.frames))
        return 0
    leave_settings()
    runs: list[Run] = []
    with EmbeddedReplicaSet(members=MEMBERS) as members, MongoClient[Any](members.uri, w="majority") as client:
        for turn in range(options.repetitions):
            for processes in options.processes if turn % 2 == 0 else options.processes[::-1]:
                runs.append(run(members, client, processes, options.frames))
                sys.stdout.write(f"{turn + 1}. {told(runs[-1:])}\n")
                sys.stdout.flush()
    for processes in options.processes:
        sys.stdout.write(f"median: {told([one for one in runs if one.processes == processes])}\n")
    return int(any(one.wrong for one in runs))


def told(runs: Sequence[Run]) -> str:
    """Return runs of so many processes in one line: medians, and the range of the rates."""
    rates = sorted(one.frames / one.seconds for one in runs)
    documents = statistics.median(one.documents / one.seconds for one in runs)
    recorders = statistics.median(one.recorders_seconds / one.frames for one in runs) * 1000
    mongods = statistics.median(one.members_seconds / one.frames for one in runs) * 1000
    cores = statistics.median((one.recorders_seconds + one.members_seconds) / one.seconds for one in runs)
    errors = [sentence for one in runs for sentence in one.wrong]
    rate = (
        f"{statistics.median(rates):,.0f} frames/s ({rates[0]:,.0f} to {rates[-1]:,.0f}), {documents:,.0f} documents/s"
    )
    processor = (
        f"processor a frame: {recorders:.2f} ms recording, {mongods:.2f} ms in the mongods, {cores:.1f} cores busy"
    )
    verdict = f"{len(errors)} WRONG, such as {errors[0]}" if errors else "lost 0, all sessions whole"
    return f"{runs[0].processes} process(es): {rate}; {processor}; {verdict}"


if __name__ == "__main__":
    raise SystemExit(main())
