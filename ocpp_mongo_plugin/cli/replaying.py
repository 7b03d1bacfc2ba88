"""``ocpp-mongo journal replay``: what dead processes left on disk, brought to MongoDB.

Hides who may read what. Promises that nothing is stored twice, whoever replays how often; that what a living process
owns is left to it; and that files which were named stay where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson.objectid import ObjectId

from ocpp_mongo_plugin.cli.importing import FLUSH_SECONDS
from ocpp_mongo_plugin.cli.journals import (
    Owned,
    Segment,
    owned_in,
    quarantined_in,
    read_segments,
    segments_of,
    targets_in,
)
from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, readable, say
from ocpp_mongo_plugin.cli.traffic import Moving, moving
from ocpp_mongo_plugin.destination import journal_root, target_of
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import ArgumentError, StoreUnavailableError
from ocpp_mongo_plugin.frames import Frame, SessionChange, message_key
from ocpp_mongo_plugin.journal import LOCK, Target, UnfinishedSessions, lock_of_dead
from ocpp_mongo_plugin.plugin import MongoPlugin
from ocpp_mongo_plugin.recording import Item
from ocpp_mongo_plugin.segments import Header, Record, item_of, scan
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.sink import Statistics

_CHUNK = 1_000
_LOOK_AGAIN = 0.05


def visitor(settings: Settings, **given: Any) -> MongoPlugin:
    """Return a plugin that only takes what it is handed, and answers for no connection of others meanwhile."""
    own: dict[str, Any] = {"durability": "memory", "sync_interval": 3600, "call_timeout": 86_400, **given}
    return MongoPlugin(settings.uri.get_secret_value(), settings.database, record_all=False, **own)


def replay(
    paths: Sequence[Path], *, uri: str | None, database: str | None, directory: Path | None, dry_run: bool
) -> int:
    """Store what dead processes left for this server and database, or what the given files hold.

    Return 0 when all of it is stored.

    Raises:
        ArgumentError: a path is wrong, or belongs to a living process.
        StoreUnavailableError: MongoDB does not take it; it stays where it is.
    """
    settings = settings_of(uri, database, journals=directory)
    if paths:
        return _replay_files(paths, settings, dry_run=dry_run, database_is_said=database is not None)
    return _replay_left(settings, dry_run=dry_run)


# -- what waits on this disk --------------------------------------------------------------------------------------


def _left(settings: Settings) -> list[Owned]:
    """Return the journals of dead processes for the server and database of these settings."""
    parent = journal_root(settings) / target_of(settings).directory
    return [owned for owned in owned_in(parent) if not owned.alive and owned.holds_something]


def _replay_left(settings: Settings, *, dry_run: bool) -> int:
    left = _left(settings)
    parent = journal_root(settings) / target_of(settings).directory
    where = f"{shown(settings)}, database {settings.database}"
    elsewhere = sum(
        not owned.alive and owned.holds_something
        for target in targets_in(journal_root(settings))
        if target != parent
        for owned in owned_in(target)
    )
    if not left:
        out.print(f"{where}: no dead process left anything under {journal_root(settings)}")
        _say_elsewhere(elsewhere)
        return 0
    frames = sum(owned.frames for owned in left)
    if dry_run:
        for owned in left:
            out.print(f"{owned.directory}: {owned.frames:,} frame(s)")
        out.print(f"{where}: {frames:,} frame(s) of {len(left)} journal(s) would be stored")
        _say_elsewhere(elsewhere)
        return 0
    aside = len(quarantined_in(parent))
    with connected(settings), naming(settings), moving() as progress:
        progress.begin("replaying", frames)
        stats = asyncio.run(_adopt(settings, progress))
    after = _left(settings)
    out.print(f"{stats.recovered:,} frame(s) of {len(left) - len(after)} journal(s) are stored in {where}")
    _say_elsewhere(elsewhere)
    quarantined = len(quarantined_in(parent)) - aside
    if stats.damaged or quarantined > 0:
        say(f"{stats.damaged} stretch(es) could not be read; ocpp-mongo journal verify {parent}")
    if after:
        say(f"{len(after)} journal(s) could not be replayed: ocpp-mongo journal verify {parent}")
    elif stats.recovered < frames:
        say(f"{frames - stats.recovered:,} frame(s) were replayed by another process, left out, or became dead letters")
    return int(bool(after or stats.damaged or quarantined > 0))


async def _adopt(settings: Settings, progress: Moving) -> Statistics:
    """Have a plugin of our own adopt what is left, as every start does, and wait until it has."""
    loop = asyncio.get_running_loop()
    async with visitor(settings, durability="journal", journal_directory=journal_root(settings)) as plugin:
        await plugin.flush(FLUSH_SECONDS)  # by then it has looked for journals
        done, since = 0, loop.time()
        while plugin.is_recovering:
            await asyncio.sleep(_LOOK_AGAIN)
            now = plugin.stats.recovered
            if now != done:
                progress.advance(now - done)
                done, since = now, loop.time()
            elif loop.time() - since > FLUSH_SECONDS:
                told = plugin.stats.last_error or "no error"
                raise StoreUnavailableError(f"nothing was stored for {FLUSH_SECONDS:g} s ({told}); what is left stays")
        return plugin.stats


def _say_elsewhere(journals: int) -> None:
    if journals:
        out.print(f"{journals} journal(s) are for other servers or databases, and stay; ocpp-mongo journal ls")


# -- files that were named ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Result:
    new: int = 0
    already: int = 0
    refused: int = 0
    left_out: int = 0


def _replay_files(paths: Sequence[Path], settings: Settings, *, dry_run: bool, database_is_said: bool) -> int:
    with ExitStack() as locks:
        files = segments_of(paths)
        for parent in sorted({path.parent for path in files}):
            _lock(parent, locks)
        found = read_segments(files)
        _check_targets(found, settings, database_is_said=database_is_said)
        sound = _say_damage(found)
        frames = sum(segment.frames for segment in found)
        where = f"{shown(settings)}, database {settings.database}"
        if dry_run:
            for segment in found:
                out.print(f"{segment.path}: {segment.frames:,} frame(s)")
            out.print(f"{where}: {frames:,} frame(s) of {len(found)} segment(s) would be stored")
            return int(not sound)
        with connected(settings) as plain, naming(settings), moving() as progress:
            progress.begin("replaying", frames)
            result = asyncio.run(_submit([s.path for s in found if s.trouble is None], settings, plain, progress))
    out.print(
        f"{frames:,} frame(s) read out of {len(found)} segment(s), {result.new:,} new, "
        f"{result.already:,} already there, stored in {where}"
    )
    out.print("the files stay where they are")
    if result.left_out:
        say(f"{result.left_out:,} frame(s) were left out by exclude_actions")
    if result.refused:
        say(f"{result.refused:,} frame(s) were refused by MongoDB: ocpp-mongo dead ls")
    return int(not sound or bool(result.refused))


def _lock(directory: Path, locks: ExitStack) -> None:
    """Keep others from adopting a directory while we read it. Raises ArgumentError when its process lives."""
    if not (directory / LOCK).is_file():
        return
    lock_file = lock_of_dead(directory)
    if lock_file is None:
        raise ArgumentError(f"{directory} belongs to a process that lives, and stores it itself; nothing was replayed")
    locks.callback(os.close, lock_file)


def _check_targets(found: Sequence[Segment], settings: Settings, *, database_is_said: bool) -> None:
    """Refuse, unless the person says the database, what was recorded for one of another name."""
    target = target_of(settings)
    for segment in found:
        header = segment.header
        if header is None:
            continue
        if header.database != target.database and not database_is_said:
            raise ArgumentError(
                f"{segment.path} was recorded for database {readable(header.database)}, not {target.database}; "
                "name the database that it belongs in: --database NAME"
            )
        if Target(header.server, header.database) != target:
            told = readable(f"{header.server}, database {header.database}")
            say(f"{segment.path} was recorded for {told}; it goes where you say")


def _say_damage(found: Sequence[Segment]) -> bool:
    for segment in found:
        if segment.trouble is not None:
            say(f"{segment.path} is left out: {segment.trouble}")
        elif segment.damaged:
            say(f"{segment.path}: {len(segment.damaged)} stretch(es) cannot be read: ocpp-mongo journal verify")
    return all(segment.is_sound for segment in found)


async def _submit(paths: Sequence[Path], settings: Settings, plain: Plain, progress: Moving) -> _Result:
    result = _Result()
    async with visitor(settings) as plugin:
        await plugin.flush(FLUSH_SECONDS)
        items = _items(paths, plain, settings)
        while chunk := list(itertools.islice(items, _CHUNK)):
            frames = [item for item in chunk if isinstance(item, Frame)]
            known = stored_keys(plain, settings, frames)
            result.already += len(known)
            await submit(plugin, chunk)
            result.new += len(stored_keys(plain, settings, frames)) - len(known)
            progress.advance(len(frames))
        result.left_out = plugin.stats.left_out
        result.refused = plugin.stats.dead_lettered + plugin.stats.dropped_messages
    return result


async def submit(plugin: MongoPlugin, items: Sequence[Item]) -> None:
    """Hand over what was captured elsewhere, and wait until it is stored or refused.

    Raises:
        StoreUnavailableError: MongoDB did not take it in time.
    """
    for item in items:
        while not plugin.has_room():
            await plugin.flush(FLUSH_SECONDS)
        if not plugin.submit(item):
            raise StoreUnavailableError("the buffer has no room for another frame; give buffer_bytes more")
    await plugin.flush(FLUSH_SECONDS)


def stored_keys(plain: Plain, settings: Settings, frames: Sequence[Frame]) -> set[str]:
    """Return the keys of those messages that the database has."""
    keys = {message_key(frame.session_id, frame.sequence) for frame in frames}
    query = {"_id": {"$in": [ObjectId(key) for key in keys]}}
    with translated("looking for what is stored already"):
        return {str(found["_id"]) for found in plain[settings.messages_collection].find(query, {"_id": 1})}


def _items(paths: Sequence[Path], plain: Plain, settings: Settings) -> Iterator[Item]:
    """Read the segments of each directory as one who adopts it does.

    What nobody said of a session, that it was opened and is over, is added only where the database knows nothing of
    it: a segment alone, or a copy, does not show how the session went on.
    """
    sessions = plain[settings.sessions_collection]
    for _, group in itertools.groupby(paths, key=lambda path: path.parent):
        unfinished = UnfinishedSessions()
        known: dict[str, bool] = {}

        def is_known(session_id: str, known: dict[str, bool] = known) -> bool:
            if session_id not in known:
                with translated("looking for sessions"):
                    known[session_id] = sessions.find_one({"_id": ObjectId(session_id)}, {"_id": 1}) is not None
            return known[session_id]

        for path in group:
            for item in _items_of(path, unfinished):
                *added, own = unfinished.taken(item)
                # Asked before any of it is stored.
                session_id = own.session.session_id if isinstance(own, SessionChange) else _session_of(own)
                if session_id is None or not is_known(session_id):
                    yield from added
                yield own
        for closing in unfinished.closings():
            if isinstance(closing, SessionChange) and not is_known(closing.session.session_id):
                yield closing


def _items_of(path: Path, unfinished: UnfinishedSessions) -> Iterator[Item]:
    with contextlib.suppress(FileNotFoundError):
        for one in scan(path.read_bytes()):
            item = item_of(one.document) if isinstance(one, Record) else None
            if isinstance(item, Header):
                unfinished.recorder = item.recorder
            elif item is not None:
                yield item


def _session_of(item: Item) -> str | None:
    return item.session_id if isinstance(item, Frame) else None
