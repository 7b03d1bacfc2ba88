"""``ocpp-mongo doctor``: whether recording would work here, and what to do where it would not.

Hides how a server and this disk are asked. Promises to change nothing: the write that is tried updates a document
that does not exist, which needs the right and the write concern of a real one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from bson.objectid import ObjectId
from pymongo import WriteConcern
from pymongo.errors import OperationFailure, WriteConcernError, WTimeoutError
from rich.text import Text

from ocpp_mongo_plugin.cli.figures import gaps
from ocpp_mongo_plugin.cli.journals import owned_in, quarantined_in
from ocpp_mongo_plugin.cli.letters import files_of
from ocpp_mongo_plugin.cli.roles import RECORDING, collections_of
from ocpp_mongo_plugin.cli.schema import compressors, schema_of
from ocpp_mongo_plugin.cli.server import Plain, connected, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, print_json
from ocpp_mongo_plugin.destination import journal_root, target_of
from ocpp_mongo_plugin.driver_errors import describe, translated
from ocpp_mongo_plugin.errors import OcppMongoError
from ocpp_mongo_plugin.settings import Settings, unknown_variables
from ocpp_mongo_plugin.sink import Health

Level = Literal["OK", "WARN", "FAIL"]

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}
_INDEXES = ("createIndex", "listIndexes")
_CLOCK_SECONDS = 5.0


class Finding(NamedTuple):
    """What one look gave."""

    name: str
    level: Level
    text: str


def show(*, uri: str | None, database: str | None, as_json: bool) -> int:
    """Print what is found; return 1 when something fails."""
    settings = settings_of(uri, database)
    findings = list(examine(settings))
    failed = any(finding.level == "FAIL" for finding in findings)
    health = _health(findings)
    if as_json:
        found = [finding._asdict() for finding in findings]
        about = {"server": shown(settings), "database": settings.database, "ok": not failed}
        print_json({**about, "health": health._asdict(), "findings": found})
        return int(failed)
    out.print(f"{shown(settings)}, database {settings.database}")
    for finding in findings:
        line = Text.assemble((f"{finding.level:<4}", _COLOURS[finding.level]), f"  {finding.name}: {finding.text}")
        out.print(line)
    out.print(f"health: {health}")
    return int(failed)


def _health(findings: Sequence[Finding]) -> Health:
    """Return in one value, as a plugin says it of itself, what the gravest finding means for recording here."""
    for level, state in (("FAIL", "down"), ("WARN", "degraded")):
        gravest = next((finding for finding in findings if finding.level == level), None)
        if gravest is not None:
            return Health(cast("Any", state), f"{gravest.name}: {gravest.text}")
    return Health("ok", "frames would be stored")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one after the other; what depends on something that failed is left out."""
    for sentence in unknown_variables():
        yield Finding("environment", "WARN", sentence)
    try:
        with connected(settings) as database:
            yield Finding("server", "OK", "it answers")
            looks = (_version, _clock, _topology, _write_concern, _rights, _schema, _compression, _dead_letters, _gaps)
            for look in looks:
                yield from _looked(look, database, settings)
    except OcppMongoError as error:
        yield Finding("server", "FAIL", str(error))
    yield from _on_disk(settings)


def _looked(look: Callable[[Plain, Settings], Iterator[Finding]], database: Plain, settings: Settings) -> list[Finding]:
    name = look.__name__.strip("_").replace("_", " ")
    try:
        with translated("looking"):
            return list(look(database, settings))
    except OcppMongoError as error:
        return [Finding(name, "FAIL", str(error))]


def _version(database: Plain, _settings: Settings) -> Iterator[Finding]:
    info = database.client.server_info()
    yield Finding("version", "OK", f"MongoDB {info['version']}")


def _clock(database: Plain, _settings: Settings) -> Iterator[Finding]:
    hello = database.client.admin.command("hello")
    apart = abs(hello["localTime"].timestamp() - time.time()) if "localTime" in hello else 0.0
    if apart > _CLOCK_SECONDS:
        yield Finding("clock", "WARN", f"the server's clock and this machine's are {apart:.0f} s apart")


def _topology(database: Plain, _settings: Settings) -> Iterator[Finding]:
    hello = database.client.admin.command("hello")
    if hello.get("msg") == "isdbgrid":
        yield Finding("topology", "OK", "sharded cluster")
    elif "setName" in hello:
        members = len(hello.get("hosts", []))
        yield Finding("topology", "OK", f"replica set {hello['setName']} of {members} data-bearing member(s)")
    else:
        yield Finding("topology", "OK", "standalone server: what it holds is only on its own disk")


def _write_concern(database: Plain, settings: Settings) -> Iterator[Finding]:
    concern = WriteConcern("majority", j=True, wtimeout=int(min(settings.operation_timeout, 5) * 1000))
    collection = database.get_collection(settings.dead_letters_collection, write_concern=concern)
    started = time.perf_counter()
    try:
        collection.update_one({"_id": ObjectId()}, {"$set": {"kind": "message"}})
    except (WriteConcernError, WTimeoutError) as error:
        yield Finding(
            "write concern",
            "FAIL",
            f"no majority of the members acknowledges a journalled write ({describe(error)})",
        )
        return
    took = (time.perf_counter() - started) * 1000
    yield Finding(
        "write concern", "OK", f"majority, journalled: acknowledged in {took:.1f} ms (by an update of nothing)"
    )


def _rights(database: Plain, settings: Settings) -> Iterator[Finding]:
    try:
        status = database.client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    except (OperationFailure, KeyError):
        yield Finding("rights", "WARN", "the server does not tell what this user may do")
        return
    users = status.get("authenticatedUsers", [])
    if not users:
        try:
            database.list_collection_names()
        except OperationFailure:
            yield Finding("rights", "FAIL", "the server asks for a login, and the URI names no user")
        else:
            yield Finding("rights", "OK", "no user is logged in, and the server lets us write")
        return
    privileges = status.get("authenticatedUserPrivileges", [])
    user = f"user {users[0].get('user')} of {users[0].get('db')}"
    data = _lacking(privileges, settings, RECORDING, collections_of(settings))
    indexes = _lacking(privileges, settings, _INDEXES, list(settings.collections().values()))
    if data:
        yield Finding("rights", "FAIL", f"{user} may not {'; '.join(data)}; grant it what ocpp-mongo roles prints")
    elif not indexes:
        yield Finding("rights", "OK", f"{user} may read, write and create indexes")
    elif schema_of(database, settings).absent_indexes:
        yield Finding("rights", "WARN", f"{user} may not {'; '.join(indexes)}; have another user run ocpp-mongo init")
    else:
        yield Finding("rights", "OK", f"{user} may read and write, and all indexes are there")


def _lacking(
    privileges: list[dict[str, Any]], settings: Settings, actions: tuple[str, ...], collections: list[str]
) -> list[str]:
    lacking = []
    for action in actions:
        refused = [c for c in collections if not _may(privileges, action, settings.database, c)]
        if refused:
            where = "any collection" if refused == collections else ", ".join(refused)
            lacking.append(f"{action} in {where}")
    return lacking


def _may(privileges: list[dict[str, Any]], action: str, database: str, collection: str) -> bool:
    """Whether a privilege allows an action (MongoDB manual, "Resource Document")."""
    for privilege in privileges:
        resource = privilege.get("resource", {})
        # An empty name stands for every one.
        covers = resource.get("anyResource") or (
            resource.get("db") in ("", database) and resource.get("collection") in ("", collection)
        )
        if covers and action in privilege.get("actions", []):
            return True
    return False


def _schema(database: Plain, settings: Settings) -> Iterator[Finding]:
    schema = schema_of(database, settings)
    hint = "recording makes them at its start, or run ocpp-mongo init"
    # The others are made when there is something to write into them.
    absent = [name for name in schema.absent_collections if name in settings.collections().values()]
    if absent:
        names = ", ".join(absent)
        yield Finding("collections", "WARN", f"not there yet: {names}; {hint}")
    else:
        yield Finding("collections", "OK", f"all {len(settings.collections())} are there")
    missing = [index for index in schema.absent_indexes if index.collection not in schema.absent_collections]
    if missing:
        names = "; ".join(str(index) for index in missing)
        yield Finding("indexes", "WARN", f"missing: {names}; {hint}")
    elif not schema.absent_indexes:
        yield Finding("indexes", "OK", f"all {len(schema.indexes)} are there")


def _compression(database: Plain, settings: Settings) -> Iterator[Finding]:
    chosen, by_compressor = compressors(database), dict[str, list[str]]()
    for name in collections_of(settings):
        if name in chosen:
            by_compressor.setdefault(chosen[name] or "the server's default", []).append(name)
    if by_compressor:
        told = "; ".join(f"{compressor}: {', '.join(names)}" for compressor, names in by_compressor.items())
        yield Finding("compression", "OK", told)


def _dead_letters(database: Plain, settings: Settings) -> Iterator[Finding]:
    count = database[settings.dead_letters_collection].estimated_document_count()
    if count:
        told = f"{count:,} in {settings.dead_letters_collection}; ocpp-mongo dead ls says why, ocpp-mongo dead retry"
        yield Finding("dead letters", "WARN", f"{told} stores them again")
    else:
        yield Finding("dead letters", "OK", "none")


def _gaps(database: Plain, settings: Settings) -> Iterator[Finding]:
    found = gaps(database, settings.gaps_collection, {})
    if not found["frames"]:
        yield Finding("gaps", "OK", "none: no frame was lost")
        return
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in found["by_reason"].items())
    last = f", last at {found['last_at']}" if found["last_at"] else ""
    yield Finding("gaps", "WARN", f"{found['frames']:,} frame(s) are missing ({reasons}){last}; ocpp-mongo stats")


def _on_disk(settings: Settings) -> Iterator[Finding]:
    """Look at what this machine keeps for that server and database."""
    root = journal_root(settings)
    parent = root / target_of(settings).directory
    if settings.durability != "memory":
        yield _directory(root)
    left = [owned for owned in owned_in(parent) if not owned.alive and owned.holds_something]
    if left:
        frames = sum(owned.frames for owned in left)
        told = f"{len(left)} of dead processes, {frames:,} frame(s); the next start of a recorder stores them, or"
        yield Finding("journals", "WARN", f"{told} ocpp-mongo journal replay")
    aside = quarantined_in(parent)
    if aside:
        told = f"{len(aside)} damaged segment(s) in {aside[0].parent}; ocpp-mongo journal verify says where"
        yield Finding("quarantine", "WARN", f"{told}; what can be read is stored, so remove them when you have looked")
    letters = sum(1 for _ in files_of(settings).read())
    if letters:
        yield Finding(
            "dead letters on disk", "WARN", f"{letters:,} in {files_of(settings).directory}; ocpp-mongo dead ls"
        )


def _directory(root: Path) -> Finding:
    """Say whether a journal can be kept, without making anything."""
    there = root
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Finding("journal directory", "WARN", f"{there} is no directory; set OCPP_MONGO_JOURNAL_DIRECTORY")
    if not os.access(there, os.W_OK | os.X_OK):
        told = f"{there} cannot be written, so frames wait in memory alone; set OCPP_MONGO_JOURNAL_DIRECTORY"
        return Finding("journal directory", "WARN", told)
    return Finding("journal directory", "OK", f"{root} can be written")
