"""Where a benchmark records to: a mongod of its own, a database for each block, or an address where nobody answers.

Hides how these are made and removed. Promises that nothing is left behind, and that each plugin has a journal of its
own, so that none adopts what another one left.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from benchmarks.mix import Text
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import HOST
from ocpp_mongo_plugin.settings import Settings, read_settings

PATIENCE = 3600.0
"""Seconds that a flush may take: slowness is measured, and is no error."""
_PATIENCE_MS = 600_000


def usual_settings() -> Settings:
    """Return the settings of a plugin that is told none; the runner has taken those of the user away."""
    return read_settings({})


@contextmanager
def nobody() -> Iterator[str]:
    """A URI where nothing listens: the port is taken, by a socket that does not."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"mongodb://{HOST}:{taken.getsockname()[1]}/"


@contextmanager
def database(client: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a fresh database, dropped at the end."""
    name = f"bench_{uuid4().hex[:12]}"
    try:
        yield name
    finally:
        client.drop_database(name)


@contextmanager
def connected(uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the server, to look at what was stored.

    It is patient: on a busy machine a server that builds indexes answers late, and is not gone.
    """
    with MongoClient[dict[str, Any]](uri, tz_aware=True, connectTimeoutMS=_PATIENCE_MS) as client:
        yield client


@asynccontextmanager
async def recording(uri: str, name: str, **settings: Any) -> AsyncIterator[MongoPlugin]:
    """A started plugin that is connected and has its indexes."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as journals:
        plugin = MongoPlugin(uri, name, journal_directory=Path(journals), **settings)
        async with plugin:
            await plugin.flush(PATIENCE)
            yield plugin
            await plugin.flush(PATIENCE)


@asynccontextmanager
async def recording_for_nobody(uri: str, **settings: Any) -> AsyncIterator[MongoPlugin]:
    """A started plugin whose frames wait: there is no server, and at the end they are dropped."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as journals:
        plugin = MongoPlugin(uri, "nobody", journal_directory=Path(journals), **settings)
        await plugin.start()
        try:
            yield plugin
        finally:
            await plugin.close(0)


def record(plugin: MongoPlugin, texts: Iterable[Text]) -> None:
    """Record texts by hand, as a CSMS sees them."""
    for text in texts:
        plugin.record(text.station_id, "sent" if text.is_answer else "received", text.text, text.version)


def lost_of(plugin: MongoPlugin, frames: int) -> str | None:
    """Return what is wrong with the account of a plugin that was flushed after so many frames; None if nothing is."""
    stats = plugin.stats
    if stats.stored == frames and stats.captured == frames and not stats.lost and not stats.dead_lettered:
        return None
    return (
        f"{frames:,} frames were offered; captured {stats.captured:,}, stored {stats.stored:,}, waiting "
        f"{stats.waiting:,}, dead letters {stats.dead_lettered:,}, lost {dict(stats.lost)}"
    )
