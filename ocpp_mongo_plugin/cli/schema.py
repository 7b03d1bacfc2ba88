"""``ocpp-mongo init``: collections and indexes, what there is and what is missing.

Hides how MongoDB lists indexes. Promises to change nothing that is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from ocpp_mongo_plugin.cli.roles import collections_of
from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, say
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.indexes import INDEXES
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.store import Store, recorder_name

_NO_SUCH_COLLECTION = 26
_COMPRESSOR = re.compile(r"block_compressor=(\w*)")

Keys = tuple[tuple[str, Any], ...]


class Index(NamedTuple):
    """One index that a collection should have."""

    collection: str
    name: str
    keys: Keys
    unique: bool

    def __str__(self) -> str:
        kind = "unique " if self.unique else ""
        return f"{kind}{self.collection} ({', '.join(name for name, _ in self.keys)})"


@dataclass(slots=True)
class Schema:
    """What a database has of what it should have."""

    collections: list[str] = field(default_factory=list)
    absent_collections: list[str] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    absent_indexes: list[Index] = field(default_factory=list)


def schema_of(database: Plain, settings: Settings) -> Schema:
    """Return what this database has. Raises the driver's errors."""
    schema = Schema()
    existing = set(database.list_collection_names())
    names = {str(kind): name for kind, name in settings.collections().items()}
    for name in collections_of(settings):
        (schema.collections if name in existing else schema.absent_collections).append(name)
    for kind, models in INDEXES.items():
        name = names[kind]
        found = _indexes(database, name)
        for index in _expected(models, name):
            there = (index.keys, index.unique) in found
            (schema.indexes if there else schema.absent_indexes).append(index)
    return schema


def compressors(database: Plain) -> dict[str, str | None]:
    """Return the block compressor that was chosen for each collection at its creation; empty where one may not ask.

    None is what was the server's default then.
    """
    try:
        listed = list(database.list_collections())
    except OperationFailure:
        return {}
    engines = {one["name"]: one.get("options", {}).get("storageEngine", {}) for one in listed}
    return {name: compressor_in(engine.get("wiredTiger", {}).get("configString")) for name, engine in engines.items()}


def compressor_in(configuration: object) -> str | None:
    """Return the block compressor that WiredTiger was told; None where it was told none."""
    found = _COMPRESSOR.search(str(configuration))
    return None if found is None else found[1] or "none"


def create(*, uri: str | None, database: str | None) -> int:
    """Make what is missing and say so; return the exit code."""
    settings = settings_of(uri, database)
    with connected(settings) as opened, naming(settings), translated("creating indexes"):
        before = schema_of(opened, settings)
        with closing(Store(opened, settings, recorder_name())) as store:
            for name in before.absent_collections:
                store.create_collection(name)
            problems = store.prepare()
        after, chosen = schema_of(opened, settings), compressors(opened)
    compressed = {name: f"{name}, compressed with {compressor}" for name, compressor in chosen.items() if compressor}
    made = [compressed.get(name, name) for name in before.absent_collections if name in after.collections]
    out.print(f"{shown(settings)}, database {settings.database}")
    _list("collection", "made", made)
    _list("collection", "there", before.collections)
    _list("index", "made", [str(index) for index in before.absent_indexes if index in after.indexes])
    _list("index", "there", [str(index) for index in before.indexes])
    for problem in problems:
        say(problem)
    return 1 if problems or after.absent_indexes else 0


def _list(what: str, state: str, names: list[str]) -> None:
    plural = {"index": "indexes"}.get(what, f"{what}s")
    out.print(f"{len(names)} {what if len(names) == 1 else plural} {state}{':' if names else ''}")
    for name in names:
        out.print(f"  {name}")


def _expected(models: Sequence[IndexModel], collection: str) -> list[Index]:
    documents = [model.document for model in models]
    return [
        Index(collection, d["name"], tuple((str(k), v) for k, v in d["key"].items()), bool(d.get("unique")))
        for d in documents
    ]


def _indexes(database: Plain, collection: str) -> set[tuple[Keys, bool]]:
    try:
        found = list(database[collection].list_indexes())
    except OperationFailure as error:
        if error.code != _NO_SUCH_COLLECTION:
            raise
        return set()
    return {(tuple((str(k), v) for k, v in one["key"].items()), bool(one.get("unique"))) for one in found}
