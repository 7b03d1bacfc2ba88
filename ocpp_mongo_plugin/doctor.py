"""Looks at a MongoDB server as recording needs it: for ``ocpp-mongo doctor`` and ``init``.

Hides what to ask a server and how to judge the answer. Promises one sentence for each check, to change nothing
(``look``) or only to add (``prepare``), and never to show a password.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pymongo
from bson.objectid import ObjectId
from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from ocpp_mongo_plugin.documents import INDEXES
from ocpp_mongo_plugin.driver_errors import describe, translated
from ocpp_mongo_plugin.errors import OcppMongoError
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.store import Store

_OLDEST = (4, 4)
_NEEDED = frozenset({"find", "insert", "update", "remove", "createIndex"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Literal["ok", "warn", "fail"]
    text: str


def connect(settings: Settings) -> pymongo.MongoClient[Any]:
    """Return a client whose server answers.

    Raises:
        StoreUnavailableError: it cannot be reached.
        AccessDeniedError: it refuses the user name or password.
    """
    timeout = int(settings.operation_timeout * 1000)
    with translated(f"connecting to {settings.shown_uri}"):
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(
            settings.uri.get_secret_value(), timeoutMS=timeout, serverSelectionTimeoutMS=timeout, tz_aware=True
        )
        try:
            client[settings.database].command("ping")
            # ping needs no rights: ask for something that shows a wrong password, too
            client[settings.database].list_collection_names()
        except PyMongoError:
            client.close()
            raise
    return client


def look(settings: Settings) -> Iterator[Check]:
    """Yield one check after the other; after a failed connection there is nothing more to look at."""
    try:
        client = connect(settings)
    except OcppMongoError as error:
        yield Check("server", "fail", str(error))
        return
    with client:
        for step in (_server, _topology, _write_concern, _indexes, _rights):
            try:
                yield step(client, settings)
            except PyMongoError as error:
                yield Check(step.__name__.strip("_").replace("_", " "), "fail", f"asking failed: {describe(error)}")


def prepare(settings: Settings) -> Iterator[str]:
    """Create the collections and indexes that are missing; yield one sentence for each.

    Raises:
        OcppMongoError: the server cannot be reached, or refuses.
    """
    with connect(settings) as client, translated("creating collections and indexes"):
        database = client[settings.database]
        there = set(database.list_collection_names())
        for name in (*settings.collections().values(), settings.dead_letters_collection):
            if name in there:
                yield f"collection {name} was there"
            else:
                database.create_collection(name)
                yield f"collection {name} created"
        missing = _missing(client, settings)
        problems = Store(database, settings, "init").prepare()
        still = _missing(client, settings)
        yield from (f"index {name} created" for name in missing if name not in still)
        yield f"{sum(map(len, INDEXES.values())) - len(missing)} indexes were there"
        if problems:
            raise OcppMongoError("; ".join(problems))


def _server(client: pymongo.MongoClient[Any], settings: Settings) -> Check:
    version = client.server_info()["version"]
    parts = tuple(int(part) for part in version.split(".")[:2])
    shown = f"MongoDB {version} at {settings.shown_uri}"
    if parts < _OLDEST:
        return Check("server", "warn", f"{shown}: older than {'.'.join(map(str, _OLDEST))}, which is not tested")
    return Check("server", "ok", shown)


def _topology(client: pymongo.MongoClient[Any], _settings: Settings) -> Check:
    hello = client.admin.command("hello")
    if hello.get("msg") == "isdbgrid":
        return Check("topology", "ok", "sharded cluster")
    if "setName" in hello:
        return Check("topology", "ok", f"replica set {hello['setName']} with {len(hello.get('hosts', []))} member(s)")
    return Check("topology", "warn", "standalone server: it works, but one disk holds everything")


def _write_concern(client: pymongo.MongoClient[Any], settings: Settings) -> Check:
    concern = WriteConcern("majority", j=True)
    letters = client[settings.database].get_collection(settings.dead_letters_collection, write_concern=concern)
    begun = time.monotonic()
    letters.delete_one({"_id": ObjectId()})
    took = (time.monotonic() - begun) * 1000
    return Check("write concern", "ok", f"majority, journalled: acknowledged in {took:.1f} ms")


def _indexes(client: pymongo.MongoClient[Any], settings: Settings) -> Check:
    missing = _missing(client, settings)
    if missing:
        return Check("indexes", "warn", f"missing: {', '.join(missing)}; 'ocpp-mongo init' creates them")
    return Check("indexes", "ok", f"all {sum(map(len, INDEXES.values()))} are there")


def _rights(client: pymongo.MongoClient[Any], settings: Settings) -> Check:
    status = client[settings.database].command("connectionStatus", showPrivileges=True)["authInfo"]
    if not status["authenticatedUsers"]:
        return Check("rights", "warn", "no user is logged in: the server has no access control, or trusts this machine")
    here = {settings.database, ""}
    privileges = status["authenticatedUserPrivileges"]
    allowed = {a for p in privileges if p["resource"].get("db", "") in here for a in p["actions"]}
    lacking = sorted(_NEEDED - allowed)
    if lacking:
        return Check("rights", "fail", f"the user may not {', '.join(lacking)} on {settings.database}")
    return Check("rights", "ok", f"the user may do what recording needs on {settings.database}")


def _missing(client: pymongo.MongoClient[Any], settings: Settings) -> list[str]:
    missing = []
    for key, name in settings.collections().items():
        there = {tuple(index["key"].items()) for index in client[settings.database][name].list_indexes()}
        wanted = {model.document["name"]: tuple(model.document["key"].items()) for model in INDEXES[key]}
        missing += [f"{name}.{label}" for label, fields in wanted.items() if fields not in there]
    return missing
