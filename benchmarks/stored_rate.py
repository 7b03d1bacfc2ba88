"""How fast frames get into MongoDB, against the fastest way to insert the very same documents.

Hides repetitions and references. A repetition records frames into a fresh database, from the first call of ``record``
to the end of ``flush``. The reference inserts what such a repetition stored, ready-made, by ``insert_many`` of 1,000,
unordered, into fresh collections with the same options, indexes and write concern. The other reference is what one
would write first: a Beanie ``insert`` per document, by the driver of the installed Beanie.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from benchmarks.lines import Result, number
from benchmarks.mix import AUTHORIZE, Text, exchange, take
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, record, recording, usual_settings
from benchmarks.turns import settle, spread, turns
from ocpp_mongo_plugin.documents import bind
from ocpp_mongo_plugin.drivers import ByUri
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_BATCH = 1000
_MICRO = 1e6

Stored = dict[str, list[dict[str, Any]]]


class _Taken:
    """Seconds of wall clock and of this process's CPU, for so many documents and frames."""

    def __init__(self, documents: int, frames: int = 0) -> None:
        self.documents, self.frames = documents, frames
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def end(self) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    @property
    def rate(self) -> float:
        return self.documents / self.wall


def authorizations(frames: int, stations: int = 40) -> list[Text]:
    """Return calls and answers that leave documents in the message log alone."""
    exchanges = (exchange(at % stations, at // stations, AUTHORIZE) for at in range(frames // 2))
    return [text for both in exchanges for text in both]


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the rates of messages alone, and of all that follows from them."""
    seconds = scale.pick(6.0, 30.0, 300.0)
    frames = scale.pick(5000, 30_000, 30_000)
    with EmbeddedMongod() as server, connected(server.uri) as client:
        repetitions = _Repetitions(server.uri, client)
        repetitions.run(authorizations(frames), ("ocpp_messages",), scale.pick(3, 5, 10), seconds)
        yield repetitions.against_ready_made("stored-messages")
        repetitions = _Repetitions(server.uri, client, with_beanie=scale.pick(300, 1000, 1000))
        repetitions.run(take(frames), tuple(usual_settings().collections().values()), scale.pick(3, 5, 10), seconds)
        yield repetitions.against_ready_made("stored-all")
        yield repetitions.against_beanie("stored-beanie")


class _Repetitions:
    """Recorded, ready-made and, where asked, one by one, in turn."""

    def __init__(self, uri: str, client: MongoClient[dict[str, Any]], with_beanie: int = 0) -> None:
        self._uri, self._client = uri, client
        self._with_beanie = with_beanie
        self._taken: dict[str, list[_Taken]] = {"recorded": [], "ready-made": [], "beanie": []}
        self._wrong: str | None = None

    def run(self, frames: list[Text], collections: Sequence[str], most: int, seconds: float) -> None:
        """Repeat as often as time allows; the first one only makes the documents."""
        with database(self._client) as first:
            asyncio.run(self._recorded(frames, first, collections))
            stored = {name: list(self._client[first][name].find()) for name in collections}
            for order in turns("recorded", "ready-made", "beanie", most=most, least=2, seconds=seconds):
                for side in order:
                    with database(self._client) as name:
                        if side == "recorded":
                            taken = asyncio.run(self._recorded(frames, name, collections))
                        elif side == "ready-made":
                            taken = self._ready_made(stored, self._client[first], self._client[name])
                        elif self._with_beanie:
                            taken = asyncio.run(self._one_by_one(stored, first, name))
                        else:
                            continue
                    self._taken[side].append(taken)

    async def _recorded(self, frames: list[Text], name: str, collections: Sequence[str]) -> _Taken:
        async with recording(self._uri, name, durability="memory") as plugin:
            settle()
            taken = _Taken(0, len(frames))
            record(plugin, frames)
            await plugin.flush(PATIENCE)
            taken.end()
            self._wrong = self._wrong or lost_of(plugin, len(frames))
        found = {one: self._client[name][one].count_documents({}) for one in collections}
        if found["ocpp_messages"] != len(frames):
            self._wrong = f"{len(frames):,} frames were recorded, {found['ocpp_messages']:,} messages are stored"
        taken.documents = sum(found.values())
        return taken

    def _ready_made(self, stored: Stored, source: Database[dict[str, Any]], target: Database[dict[str, Any]]) -> _Taken:
        _prepare(stored, source, target)
        concern = WriteConcern("majority", j=True)
        settle()
        taken = _Taken(sum(map(len, stored.values())))
        for name, documents in stored.items():
            collection = target.get_collection(name, write_concern=concern)
            for at in range(0, len(documents), _BATCH):
                collection.insert_many(documents[at : at + _BATCH], ordered=False)
        taken.end()
        return taken

    async def _one_by_one(self, stored: Stored, source: str, name: str) -> _Taken:
        """Insert messages and meter values, in the proportion in which they are stored."""
        _prepare(stored, self._client[source], self._client[name])
        share = self._with_beanie / (len(stored["ocpp_messages"]) + len(stored["meter_values"]))
        documents = bind(usual_settings())
        driver = ByUri(self._uri, name, tz_aware=True)
        try:
            await documents.init(await driver.reading())
            todo: list[tuple[Any, dict[str, Any]]] = []
            for model, collection in ((documents.messages, "ocpp_messages"), (documents.meter_values, "meter_values")):
                few = stored[collection][: int(len(stored[collection]) * share)]
                todo += [(model, document) for document in few]
            settle()
            taken = _Taken(len(todo))
            for model, document in todo:
                await model(**document).insert()
            taken.end()
        finally:
            await driver.close()
        return taken

    def against_ready_made(self, line: str) -> Result:
        """Return the rate of recording, of that of insert_many."""
        recorded, ready = self._taken["recorded"], self._taken["ready-made"]
        ratios = spread([one.rate / other.rate for one, other in zip(recorded, ready, strict=True)])
        frames = recorded[0].frames
        cpu = spread([one.cpu / one.frames for one in recorded]).median * _MICRO
        cpu_ready = spread([one.cpu / frames for one in ready]).median * _MICRO
        return Result(
            line,
            ratios.median,
            f"{number(_rate(recorded))} documents a second ({number(frames / _wall(recorded))} frames), CPU "
            f"{number(cpu)} us a frame; ready-made {number(_rate(ready))}, {number(cpu_ready)} us a frame",
            f"{ratios}, {frames:,} frames, {recorded[0].documents:,} documents each, fresh collections; memory mode",
            self._wrong,
        )

    def against_beanie(self, line: str) -> Result:
        """Return the rate of recording, of that of single inserts."""
        recorded, single = self._taken["recorded"], self._taken["beanie"]
        ratios = spread([one.rate / other.rate for one, other in zip(recorded, single, strict=True)])
        return Result(
            line,
            ratios.median,
            f"{number(_rate(recorded))} documents a second; one by one {number(_rate(single))}",
            f"{ratios}, {single[0].documents:,} messages and meter values one by one, default write concern",
        )


def _rate(taken: list[_Taken]) -> float:
    return spread([one.rate for one in taken]).median


def _wall(taken: list[_Taken]) -> float:
    return spread([one.wall for one in taken]).median


def _prepare(stored: Stored, source: Database[dict[str, Any]], target: Database[dict[str, Any]]) -> None:
    """Make the collections as the plugin made them: the same options and indexes."""
    for name in stored:
        collection = target.create_collection(name, **source[name].options())
        for index in source[name].list_indexes():
            keys = [(field, direction) for field, direction in index["key"].items()]
            options = {key: value for key, value in index.items() if key not in ("v", "key", "ns")}
            if index["name"] != "_id_":
                collection.create_index(keys, **options)
