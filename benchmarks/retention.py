"""``python -m benchmarks.retention``: what it costs to delete the messages of a day, and what to drop their collection.

Hides how messages are made, as in ``benchmarks.compression``. Promises that both begin with the same collection, with
all indexes and after a checkpoint, and that what is left of its files is measured after another one.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern

from benchmarks.alone import leave_settings, processor_seconds
from benchmarks.compression import BATCH, record
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import read_settings
from ocpp_mongo_plugin.store import Store, recorder_name

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of wall clock and of mongod's processor."""

    wall: float
    processor: float


class Measuring:
    """A block that is measured."""

    def __init__(self, server: EmbeddedMongod) -> None:
        self._server = server

    def __enter__(self) -> Measuring:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._processor, self._wall = processor_seconds(self._server.pid), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._wall
        self.taken = Taken(wall, processor_seconds(self._server.pid) - self._processor)


def main() -> int:
    """Measure, and print a line for each repetition and the medians for a million messages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    leave_settings()
    found: dict[str, list[Taken]] = {"insert": [], "delete": [], "drop": []}
    with EmbeddedMongod() as server, MongoClient[Any](server.uri) as client:
        asyncio.run(record(server.uri, "recorded", options.messages))
        with MongoClient[Any](server.uri, document_class=RawBSONDocument) as raw:
            messages = list(raw["recorded"].ocpp_messages.find().sort("$natural", 1))
        client.drop_database("recorded")
        for turn in range(options.repetitions):
            for way in ("delete", "drop") if turn % 2 == 0 else ("drop", "delete"):
                said = repetition(server, client, messages, way, found)
                sys.stdout.write(f"{turn + 1}. {said}\n")
                sys.stdout.flush()
    for what, taken in found.items():
        wall = statistics.median(one.wall for one in taken) * _MILLION / options.messages
        processor = statistics.median(one.processor for one in taken) * _MILLION / options.messages
        each = f"{wall:.1f} s, {processor:.1f} s of mongod's processor, for a million messages"
        least = statistics.median(one.wall for one in taken) * 1000
        sys.stdout.write(f"{what}: {f'{least:.0f} ms for all of them' if what == 'drop' else each}\n")
    return 0


def repetition(
    server: EmbeddedMongod,
    client: MongoClient[Any],
    messages: list[RawBSONDocument],
    way: str,
    found: dict[str, list[Taken]],
) -> str:
    """Insert all messages and get rid of them again; return what became of the files."""
    database = client["aged"]
    with closing(Store(database, read_settings({}), recorder_name())) as store:
        store.prepare()
    collection = database.get_collection("ocpp_messages", write_concern=WriteConcern("majority", j=True))
    with Measuring(server) as inserting:
        for at in range(0, len(messages), BATCH):
            collection.insert_many(messages[at : at + BATCH], ordered=False)
    client.admin.command("fsync")
    before = database.command("collStats", "ocpp_messages")
    with Measuring(server) as leaving:
        if way == "drop":
            collection.drop()
        else:
            collection.delete_many({"timestamp": {"$type": "date"}})
    found["insert"].append(inserting.taken)
    found[way].append(leaving.taken)
    client.admin.command("fsync")
    size = before["storageSize"] + before["totalIndexSize"]
    after = database.command("collStats", "ocpp_messages") if way == "delete" else {}
    left = after.get("storageSize", 0) + after.get("totalIndexSize", 0)
    client.drop_database("aged")
    gone, came = leaving.taken, inserting.taken
    return (
        f"{way}: {gone.wall:.2f} s, mongod {gone.processor:.2f} s (inserted in {came.wall:.2f} s, mongod "
        f"{came.processor:.2f} s); files of {size:,} bytes, {left:,} after"
    )


if __name__ == "__main__":
    raise SystemExit(main())
