"""``ocpp-mongo estimate``: what recorded traffic takes on disk, and what it will take.

Hides how MongoDB tells sizes, also where they are spread over shards. Promises to measure rather than to guess: what is
in the database, or a file of traffic that is recorded into a database of its own on the same server, which is dropped
again. Sizes are those of one member of a replica set, without oplog and journal.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo.errors import OperationFailure, PyMongoError
from rich.filesize import decimal
from rich.table import Table

from ocpp_mongo_plugin.cli.importing import import_all
from ocpp_mongo_plugin.cli.roles import collections_of
from ocpp_mongo_plugin.cli.schema import compressor_in
from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, print_json, say
from ocpp_mongo_plugin.cli.traffic import Moving, Reading, moving
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import ArgumentError, NotFoundError
from ocpp_mongo_plugin.interchange import LogReading
from ocpp_mongo_plugin.settings import Settings

MILLION = 1_000_000
FEW_MESSAGES = 20_000
"""Below this, files that hold little and are rounded up to blocks weigh too much."""

_DAY = 86_400
_DAYS = {"day": 1, "month": 30, "year": 365}
_LONGEST_NAME = 63
_CHECKPOINT_SECONDS = 65
"""MongoDB makes a checkpoint each minute; until then files are not as large as what they hold."""
_SHORTEST_SPAN = 1.0
_ANY_ZONE = Reading(log=LogReading(zone=timezone.utc))
"""Sizes do not depend on the zone of a log's times, so nothing need be said of it."""
_EPOCH = datetime(1, 1, 1, tzinfo=timezone.utc)

Figures = dict[str, Any]


@dataclass(slots=True)
class Size:
    """What one collection takes, in bytes; ``storage`` and ``indexes`` are what is in use of its files."""

    documents: int = 0
    data: int = 0
    storage: int = 0
    free: int = 0
    """Of all its files, what MongoDB fills before they grow."""
    indexes: dict[str, int] = field(default_factory=dict)
    compressor: str | None = None

    @property
    def on_disk(self) -> int:
        """Data and indexes, Bytes in use."""
        return self.storage + sum(self.indexes.values())

    def add(self, stats: Figures) -> None:
        """Count in the ``storageStats`` of one shard, or of the only server."""
        free = int(stats.get("freeStorageSize", 0))
        self.documents += int(stats.get("count", 0))
        self.data += int(stats.get("size", 0))
        self.storage += int(stats.get("storageSize", 0)) - free
        self.free += free
        details = stats.get("indexDetails", {})
        for name, size in stats.get("indexSizes", {}).items():
            unused = int(details.get(name, {}).get("block-manager", {}).get("file bytes available for reuse", 0))
            self.indexes[name] = self.indexes.get(name, 0) + int(size) - unused
            self.free += unused
        self.compressor = compressor_in(stats.get("wiredTiger", {}).get("creationString")) or self.compressor

    def as_json(self) -> Figures:
        """Return it as ``--json`` prints it."""
        return {
            "documents": self.documents,
            "average_document_bytes": round(self.data / self.documents) if self.documents else None,
            "data_bytes": self.data,
            "storage_bytes": self.storage,
            "indexes_bytes": self.indexes,
            "free_bytes": self.free,
            "compressor": self.compressor,
        }


def show(*, uri: str | None, database: str | None, files: Sequence[Path], rate: float | None, as_json: bool) -> int:
    """Print the estimate; return the exit code.

    Raises:
        NotFoundError: there is nothing to estimate from.
        ArgumentError: the rate is none, or no file could be read.
    """
    if rate is not None and not math.isfinite(rate):
        raise ArgumentError(f"--rate takes frames a second, not {rate}")
    settings = settings_of(uri, database)
    with connected(settings) as opened, naming(settings), translated("measuring"):
        if files:
            figures = _of_files(files, opened, settings, rate)
        else:
            figures = estimate(opened, settings, rate)
            if not figures["messages"]:
                raise NotFoundError(
                    f"database {settings.database} holds no messages to estimate from; "
                    "give --from FILE, a file of recorded traffic"
                )
    if as_json:
        print_json(figures)
    else:
        _print(figures)
    if figures["messages"] < FEW_MESSAGES:
        say(f"from {figures['messages']:,} messages an estimate is rough; {FEW_MESSAGES:,} or more make it a good one")
    return 0


def estimate(database: Plain, settings: Settings, rate: float | None) -> Figures:
    """Return the figures of a database, as ``--json`` prints them. Raises the driver's errors.

    Args:
        database: where frames were recorded.
        settings: the names of its collections.
        rate: frames a second; None for that of the data.
    """
    sizes = _sizes(database, collections_of(settings))
    # Stations are as many as there are, however long they talk; the others are for exceptions.
    growing = {name for kind, name in settings.collections().items() if kind != "stations"}
    messages = sizes[settings.messages_collection].documents if settings.messages_collection in sizes else 0
    first, last = _span(database, settings.messages_collection)
    seconds = (last - first).total_seconds() if first is not None and last is not None else 0.0
    seen = messages / seconds if seconds >= _SHORTEST_SPAN else None
    a_million = {
        name: round(size.on_disk * MILLION / messages) for name, size in sizes.items() if name in growing and messages
    }
    frames = seen if rate is None else rate
    a_day = None if frames is None else sum(a_million.values()) * frames * _DAY / MILLION
    return {
        "server": shown(settings),
        "members": len(database.client.admin.command("hello").get("hosts", [])) or 1,
        "database": settings.database,
        "files": [],
        "messages": messages,
        "first": None if first is None else first.isoformat(),
        "last": None if last is None else last.isoformat(),
        "collections": {
            name: {**size.as_json(), "bytes_per_million_messages": a_million.get(name)} for name, size in sizes.items()
        },
        "bytes_per_million_messages": sum(a_million.values()),
        "frames_per_second": None if frames is None else round(frames, 3),
        "frames_per_second_seen": None if seen is None else round(seen, 3),
        **{f"bytes_per_{period}": None if a_day is None else round(a_day * days) for period, days in _DAYS.items()},
    }


def _sizes(database: Plain, names: Sequence[str]) -> dict[str, Size]:
    existing, sizes = set(database.list_collection_names()), dict[str, Size]()
    for name in names:
        if name in existing:
            sizes[name] = Size()
            for shard in database[name].aggregate([{"$collStats": {"storageStats": {}}}]):
                sizes[name].add(shard["storageStats"])
    return sizes


def _span(database: Plain, collection: str) -> tuple[datetime | None, datetime | None]:
    """Return when the first and the last message were recorded; what was imported may have no time."""
    found = [
        database[collection].find_one({"timestamp": {"$gt": _EPOCH}}, {"timestamp": 1}, sort=[("timestamp", way)])
        for way in (1, -1)
    ]
    first, last = (None if one is None else one["timestamp"] for one in found)
    return first, last


# -- a file ---------------------------------------------------------------------------------------------------


def _of_files(files: Sequence[Path], database: Plain, settings: Settings, rate: float | None) -> Figures:
    """Record files into a database of their own on the same server, measure that, and drop it."""
    ending = f"_estimate_{uuid4().hex[:8]}"
    own = settings.model_copy(update={"database": settings.database[: _LONGEST_NAME - len(ending)] + ending})
    opened = database.client[own.database]
    try:
        with moving(tell=say) as progress:
            total = asyncio.run(import_all(files, own, opened, progress, _ANY_ZONE))
            if not total.frames:
                raise ArgumentError("no frame could be read: nothing can be estimated")
            settle(opened, progress)
        figures = estimate(opened, own, rate)
    finally:
        try:
            database.client.drop_database(own.database)
        except PyMongoError:
            say(f"the database {own.database} could not be dropped; drop it yourself")
    return {**figures, "database": None, "files": [str(path) for path in files]}


def settle(database: Plain, progress: Moving, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until files are as large as what they hold: with a checkpoint of our own, or else with the server's next."""
    try:
        database.client.admin.command("fsync")
    except OperationFailure:
        say("this user may not ask for a checkpoint (fsync); waiting a minute for the server's own")
    else:
        return
    progress.begin("waiting for a checkpoint", _CHECKPOINT_SECONDS)
    for _ in range(_CHECKPOINT_SECONDS):
        sleep(1)
        progress.advance(1)


# -- what a person reads ----------------------------------------------------------------------------------------


def _print(figures: Figures) -> None:
    source = f"database {figures['database']}" if figures["database"] else ", ".join(figures["files"])
    out.print(f"{figures['server']}, {source}")
    for name, one in figures["collections"].items():
        average, a_million = one["average_document_bytes"], one["bytes_per_million_messages"]
        each = "" if average is None else f" of {average:,} bytes"
        out.print(f"{name}: {one['documents']:,} documents{each}, {decimal(one['data_bytes'])} in all; on disk:")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column(justify="right")
        by = f", compressed with {one['compressor']}" if one["compressor"] else ""
        table.add_row(f"  documents{by}", decimal(one["storage_bytes"]))
        for index, size in one["indexes_bytes"].items():
            table.add_row(f"  index {index}", decimal(size))
        if a_million is not None:
            table.add_row("  for a million messages", decimal(a_million))
        out.print(table)
    where = f" on each of {figures['members']} members" if figures["members"] > 1 else ""
    out.print(f"a million messages and what follows from them: {decimal(figures['bytes_per_million_messages'])}{where}")
    _print_rate(figures)


def _print_rate(figures: Figures) -> None:
    frames, seen = figures["frames_per_second"], figures["frames_per_second_seen"]
    if frames is None:
        say("the messages say nothing of how many come in a second; give --rate")
        return
    how = f"as seen from {figures['first']} to {figures['last']}" if frames == seen else "as given"
    periods = ", ".join(f"{decimal(figures[f'bytes_per_{period}'])} a {period}" for period in _DAYS)
    out.print(f"at {frames:,g} frames a second ({how}): {periods} (30 and 365 days)")
