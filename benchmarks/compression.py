"""``python -m benchmarks.compression``: what the block compressors save, and what they cost.

Hides how documents are made: the mix is recorded once, with random message ids as the ``ocpp`` library gives them and
readings that waver, since what repeats compresses too well. What was stored is then inserted, ready-made, into fresh
collections that the plugin created with each compressor in turn. Promises that every compressor gets the same
documents, in the same batches and with the same indexes, and that sizes are what is in use after a checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern
from pymongo.database import Database

from benchmarks.alone import leave_settings, processor_seconds
from benchmarks.mix import Text, texts
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedMongod
from ocpp_mongo_plugin.settings import read_settings
from ocpp_mongo_plugin.store import Store, recorder_name

COMPRESSORS = ("zstd", "snappy", "zlib", "none")
REFERENCE = "snappy"
"""What the server takes where nobody chooses."""
BATCH = 1000
_WAITING = 20_000
_PATIENCE = 600.0
_MIB = 1024 * 1024
_READING = re.compile(r'("value":"?)([0-9.]+)')

Raw = Database[RawBSONDocument]
Batches = dict[str, list[list[RawBSONDocument]]]


@dataclass(frozen=True, slots=True)
class Repetition:
    """One compressor, once: sizes in bytes, times in seconds."""

    compressor: str
    documents: int
    seconds: float
    server_seconds: float
    """Processor time of mongod."""
    data: int
    storage: int
    indexes: int
    collections: dict[str, tuple[int, int, int]]
    """Data, storage and indexes of each collection."""


def less_regular(source: Iterator[Text], seed: int = 1) -> Iterator[Text]:
    """Yield the texts with a UUID for each call and its answer, which follows it, and readings within two percent."""
    chance = random.Random(seed)  # noqa: S311 - the same every time

    def wavering(found: re.Match[str]) -> str:
        return f"{found[1]}{float(found[2]) * chance.uniform(0.98, 1.02):.2f}"

    for call in source:
        answer = next(source)
        regular = call.text.split('"', 2)[1]
        unique = str(UUID(int=chance.getrandbits(128), version=4))
        yield call._replace(text=_READING.sub(wavering, call.text.replace(regular, unique, 1)))
        yield answer._replace(text=answer.text.replace(regular, unique, 1))


async def record(uri: str, database: str, count: int) -> None:
    """Record so many frames of the mix."""
    source = less_regular(texts())
    async with MongoPlugin(uri, database, durability="memory") as plugin:
        for number in range(count):
            text = next(source)
            plugin.record(text.station_id, "sent" if text.is_answer else "received", text.text, text.version)
            if number % _WAITING == _WAITING - 1:
                await plugin.flush(_PATIENCE)
        await plugin.flush(_PATIENCE)
        if plugin.stats.stored != count:
            raise SystemExit(f"{count} frames were recorded, {plugin.stats.stored} are stored")


def batches(database: Raw) -> Batches:
    """Return what is stored, in the order in which it was."""
    found: Batches = {}
    for name in read_settings({}).collections().values():
        documents = list(database[name].find().sort("$natural", 1))
        found[name] = [documents[at : at + BATCH] for at in range(0, len(documents), BATCH)]
    return found


def repetition(server: EmbeddedMongod, client: MongoClient[Any], stored: Batches, compressor: str) -> Repetition:
    """Insert everything into collections of this compressor, and measure them."""
    name = f"with_{compressor}"
    client.drop_database(name)
    database = client[name]
    with closing(Store(database, read_settings({"compression": compressor}), recorder_name())) as store:
        problems = store.prepare()
    if problems:
        raise SystemExit(problems[0])
    before, begun = processor_seconds(server.pid), time.perf_counter()
    for one, parts in stored.items():
        collection = database.get_collection(one, write_concern=WriteConcern("majority", j=True))
        for part in parts:
            collection.insert_many(part, ordered=False)
    seconds = time.perf_counter() - begun
    client.admin.command("fsync")  # a checkpoint: sizes are those of the files
    sizes = {one: measured(database, one, compressor) for one in stored}
    totals = [sum(size[part] for size in sizes.values()) for part in range(3)]
    client.drop_database(name)
    documents = sum(len(part) for parts in stored.values() for part in parts)
    server_seconds = processor_seconds(server.pid) - before
    return Repetition(compressor, documents, seconds, server_seconds, totals[0], totals[1], totals[2], sizes)


def measured(database: Database[Any], collection: str, compressor: str) -> tuple[int, int, int]:
    """Return the size of a collection's data, and what its data and indexes take of their files."""
    found = database.command("collStats", collection)
    if f"block_compressor={compressor}," not in found["wiredTiger"]["creationString"]:
        raise SystemExit(f"{collection} is not compressed with {compressor}")
    # What earlier checkpoints left free in a file is filled before the file grows: it depends on when they were.
    free = sum(one["block-manager"]["file bytes available for reuse"] for one in found["indexDetails"].values())
    return found["size"], found["storageSize"] - found["freeStorageSize"], found["totalIndexSize"] - free


def main() -> int:
    """Measure, and print a line for each repetition and a table of medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--compressors", nargs="+", choices=COMPRESSORS, default=COMPRESSORS)
    options = parser.parse_args()
    leave_settings()
    found: list[Repetition] = []
    with EmbeddedMongod() as server, MongoClient[Any](server.uri, document_class=RawBSONDocument) as raw:
        asyncio.run(record(server.uri, "recorded", options.messages))
        stored = batches(raw["recorded"])
        raw.drop_database("recorded")
        with MongoClient[Any](server.uri) as client:
            for turn in range(options.repetitions):
                order = options.compressors if turn % 2 == 0 else options.compressors[::-1]
                for compressor in order:
                    one = repetition(server, client, stored, compressor)
                    found.append(one)
                    sys.stdout.write(
                        f"{turn + 1}. {compressor:<7} {one.documents / one.seconds:9,.0f} documents/s, mongod "
                        f"{one.server_seconds:6.1f} s of processor, storage {one.storage / _MIB:8.1f} MiB, indexes "
                        f"{one.indexes / _MIB:8.1f} MiB\n"
                    )
                    sys.stdout.flush()
    summarise(found, options.messages)
    return 0


def summarise(found: list[Repetition], messages: int) -> None:
    """Print medians, and those of ratios to the server's default compressor, taken turn by turn."""
    write = sys.stdout.write
    by_name: dict[str, list[Repetition]] = {}
    for one in found:
        by_name.setdefault(one.compressor, []).append(one)
    write(f"\n{messages:,} messages, {found[0].documents:,} documents, {found[0].data / _MIB:,.1f} MiB of BSON\n")
    for name, ones in by_name.items():
        pairs = list(zip(ones, by_name.get(REFERENCE, []), strict=False))
        write(
            f"{name}: {statistics.median(one.documents / one.seconds for one in ones):,.0f} documents/s"
            f"{_ratio([other.seconds / one.seconds for one, other in pairs])}; mongod "
            f"{statistics.median(one.server_seconds for one in ones):.1f} s of processor"
            f"{_ratio([one.server_seconds / other.server_seconds for one, other in pairs])}; "
            f"storage {statistics.median(one.storage for one in ones) / _MIB:,.1f} MiB, "
            f"indexes {statistics.median(one.indexes for one in ones) / _MIB:,.1f} MiB\n"
        )
        for collection, (data, storage, indexes) in ones[-1].collections.items():
            sizes = f"data {data / _MIB:.1f}, storage {storage / _MIB:.1f}, indexes {indexes / _MIB:.1f}"
            write(f"   {collection}: {sizes}\n")


def _ratio(ratios: list[float]) -> str:
    if not ratios:
        return ""
    return f", {statistics.median(ratios):.2f} of {REFERENCE} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
