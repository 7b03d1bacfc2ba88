"""Where changes go: the only module that writes to MongoDB.

Hides the driver: bulk inserts, compare-and-set updates, encoding, and what a server or a mock cannot do. Promises that
every write may be repeated (a document that is there already counts as written), that two processes may write one
document at once, and that one document which MongoDB refuses never costs its neighbours: it becomes a dead letter.
Whatever else goes wrong is raised as the driver raises it; the sink decides when to try again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError

from ocpp_mongo_plugin import transcription
from ocpp_mongo_plugin.changes import Amend, Document, Remove, Revision
from ocpp_mongo_plugin.dead_letters import DeadLetterFiles, frame_of, kept, letter_of_message, letter_of_value
from ocpp_mongo_plugin.driver_errors import ErrorClass, classify, classify_write, describe
from ocpp_mongo_plugin.encoding import APPEND_ONLY, REFUSED, AppendOnly, Encoded, Outgoing, Part, made, taken
from ocpp_mongo_plugin.frames import decode
from ocpp_mongo_plugin.indexes import INDEXES
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.log import warn
from ocpp_mongo_plugin.recording import ABANDONED, Loaded, Wanted
from ocpp_mongo_plugin.redaction import MASK, Redactor
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.transactions import ID_TAG_FIELDS

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

_LONGEST_FIELD = 8 * 1024
_WORTH_A_COMMAND = 250
"""Documents that are inserted ahead together."""
_REVISED_AT_ONCE = 100
_LARGEST_COMMAND = 32 * 1024 * 1024  # MongoDB takes 48 MiB
_GRACE = 0.1
_STRETCH_AHEAD = 0.0005
_REST = 0.0002
"""Seconds. In less the host, told that it may have the interpreter, would mostly not have woken up."""
_PATIENCE = 3.0
_CONFLICTS = 20
_MENTIONED = 4
_DUPLICATE_KEY, _UNAUTHORIZED, _NAMESPACE_EXISTS = 11000, 13, 48
PART_OF_ANOTHER = "part of another transaction"
_OBJECT_ID_KEYS = frozenset({"transactions", "sessions"})


class GiveWay:
    """What a thread of ours calls after each small step: it lets the host have the interpreter often enough."""

    def __init__(self, stretch: float) -> None:
        """Rest after each ``stretch`` of work, in seconds."""
        self.stretch = stretch
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Rest, if it is time."""
        if time.perf_counter() - self._since > self.stretch:
            time.sleep(_REST)
            self._since = time.perf_counter()


def recorder_name() -> str:
    """Return the name of this process among recorders: host, process id, and a nonce."""
    return f"{_host()}:{os.getpid()}:{os.urandom(3).hex()}"


_Insert: TypeAlias = Callable[[AppendOnly, Sequence[Encoded], Callable[[], None]], list[tuple[Encoded, str]]]


@dataclass(slots=True)
class Written:
    """What became of a batch."""

    stored: int = 0
    """Frames whose messages are in the store."""
    dead: list[Document] = field(default_factory=list)
    """Dead letters of frames that the store refused."""
    unkept: list[Document] = field(default_factory=list)
    """Those of messages that neither MongoDB nor the disk took."""


class Store:
    """The five collections and the dead letters of one database."""

    def __init__(
        self,
        database: Database[Any],
        settings: Settings,
        recorder: str,
        *,
        close: Callable[[], None] | None = None,
        files: DeadLetterFiles | None = None,
    ) -> None:
        """Write to ``database`` (a synchronous PyMongo or mongomock database) with majority, journalled.

        ``close`` closes its client, where that is ours; ``files`` takes the dead letters that MongoDB refuses, too.
        """
        self._files = files
        self._close = close
        self._database = database
        self._settings = settings
        self._recorder = recorder
        self._writes = 0
        self._nonce = os.urandom(6).hex()
        self._is_mock = type(database).__module__.startswith("mongomock")
        engine = {"wiredTiger": {"configString": f"block_compressor={settings.compression}"}}
        self._storage: Document = {"storageEngine": engine}
        self._collections = {str(key): self._collection(name) for key, name in settings.collections().items()}
        self._dead_letters = self._collection(settings.dead_letters_collection)
        self._gaps = self._collection(settings.gaps_collection)
        self._forgotten = self._collection(settings.forgotten_collection)
        # A mock is not made for two threads at once.
        self._ahead = None if self._is_mock else _Ahead(self._insert)

    def _collection(self, name: str) -> Collection[Any]:
        concern = WriteConcern("majority", j=True)
        if self._is_mock:
            return self._database.get_collection(name, write_concern=concern)
        options: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=timezone.utc)
        return self._database.get_collection(
            name, codec_options=options, write_concern=concern, read_preference=ReadPreference.PRIMARY
        )

    def close(self) -> None:
        """End the thread that inserts ahead, and close the client, if it is ours."""
        if self._ahead is not None:
            self._ahead.close()
        if self._close is not None:
            self._close()

    def reach(self) -> None:
        """Ask the server for a sign of life, with little patience.

        Raises:
            PyMongoError: it gave none.
        """
        if not self._is_mock:
            with pymongo.timeout(min(_PATIENCE, self._settings.operation_timeout)):
                self._database.client.admin.command("ping")

    # -- before the first write --------------------------------------------------------------------------------

    def prepare(self) -> list[str]:
        """Create the collections and indexes that are missing; return one sentence for each index that could not be.

        Raises:
            PyMongoError: the server cannot be reached.
        """
        problems = []
        for key, models in INDEXES.items():
            collection, there = self._collections[key], self._index_keys(key)
            if not there:  # what exists has an index at least, that of _id
                # Where it is refused, the first index or insert makes the collection, or says why not.
                self._refusal(partial(self.create_collection, collection.name))
            for model in models:
                if list(model.document["key"].items()) in there:
                    continue
                refusal = self._refusal(partial(collection.create_indexes, [model]))
                if refusal is not None:
                    problems.append(f"index {model.document['name']} of {collection.name}: {refusal}")
        return problems

    def create_collection(self, name: str) -> None:
        """Create a collection that is compressed as the settings say; one that exists is left as it is.

        Raises:
            PyMongoError: the server refused, or cannot be reached.
        """
        if self._is_mock:
            return
        try:
            self._create(name, self._storage)
        except OperationFailure as error:
            if not self._storage or error.code == _UNAUTHORIZED or classify(error) is ErrorClass.RETRY:
                raise
            # Other storage engines, and services that keep the choice to themselves, each refuse in their own way.
            self._create(name, {})
            self._storage = {}
            warn(
                "MongoDB would not compress %s with %s (%s); collections are compressed as the server does by default",
                name,
                self._settings.compression,
                describe(error),
            )

    def _create(self, name: str, options: Document) -> None:
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                self._database.command("create", name, **options)
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:  # another process was quicker
                raise

    def _refusal(self, command: Callable[[], object]) -> str | None:
        """Run a command; return why the server will not do it, None when it did. Raises what may pass."""
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                command()
        except OperationFailure as error:
            if classify(error) in (ErrorClass.RETRY, ErrorClass.SICK):
                raise
            return describe(error)
        return None

    def _index_keys(self, key: str) -> list[list[tuple[str, Any]]]:
        """Return the keys of the indexes that are there: who may not create any need not be told of those."""
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                return [list(index["key"].items()) for index in self._collections[key].list_indexes()]
        except OperationFailure as error:
            if classify(error) in (ErrorClass.RETRY, ErrorClass.SICK):
                raise
            return []

    # -- reading what a batch needs ----------------------------------------------------------------------------

    def load(self, wanted: Wanted) -> Loaded:
        """Return what the store knows of what is wanted."""
        loaded = Loaded()
        if wanted.stations:
            stations = sorted(wanted.stations)
            loaded.stations = self._find("stations", {"_id": {"$in": stations}})
            active = {"station_id": {"$in": stations}, "status": "active"}
            loaded.transactions = self._find("transactions", active)
        if wanted.transactions:
            keys = [ObjectId(key) for key in sorted(wanted.transactions)]
            loaded.transactions += self._find("transactions", {"_id": {"$in": keys}})
        for mention in wanted.mentions:
            if isinstance(mention.transaction_id, int) and abs(mention.transaction_id) >= 1 << 63:
                continue
            one: Document = {
                "transaction_id": {"$eq": _queryable(mention.transaction_id)},
                "station_id": {"$eq": mention.station_id},
            }
            loaded.transactions += self._find("transactions", one, newest="start_received_at")
        if wanted.sessions:
            keys = [ObjectId(key) for key in sorted(wanted.sessions)]
            loaded.sessions = self._find("sessions", {"_id": {"$in": keys}})
        for call in wanted.calls:
            one = {
                "message_id": {"$eq": _queryable(call.message_id)},
                "session_id": call.session_id,
                "message_type": "Call",
            }
            one |= {"sequence": {"$lt": call.before}}
            if call.direction is not None:
                one["direction"] = call.direction
            loaded.calls += self._find("messages", one, newest="sequence")[:1]
        return loaded

    def _find(self, key: str, query: Document, newest: str | None = None) -> list[Document]:
        # Each query has its own time: a large batch must not starve on one for all.
        with pymongo.timeout(self._settings.operation_timeout):
            cursor = self._collections[key].find(query)
            if newest is not None:
                cursor = cursor.sort(newest, -1).limit(_MENTIONED)
            return [_from_store(document) for document in cursor]

    # -- writing -----------------------------------------------------------------------------------------------

    def outgoing(self, now: datetime) -> Outgoing:
        """Return what takes up the new documents of a batch."""
        return Outgoing(now, as_mappings=self._is_mock)

    def begin(self, outgoing: Outgoing) -> None:
        """Insert what of a batch is ready, where that is worth a command, while the rest of it is being made."""
        if self._ahead is not None:
            self._ahead.begin(outgoing)

    def write(
        self, outgoing: Outgoing, ledger: Ledger, *, everything: bool, now: datetime, pause: Callable[[], None]
    ) -> Written:
        """Write a batch and what changed in the ledger: the urgent, or ``everything``.

        ``pause`` is called between slices, so that the work never holds the interpreter for long.

        Raises:
            PyMongoError: nothing is lost, write the same again.
        """
        written = Written()
        dead = self._insert_all("messages", outgoing, pause)
        written.stored = sum(len(part.documents) for part in outgoing.parts["messages"]) - len(dead)
        letters = [letter_of_message(made(one), reason, now) for one, reason in dead]
        refused = self._insert_all("meter_values", outgoing, pause)
        letters += [letter_of_value(made(one), reason, now) for one, reason in refused]
        for letter in letters:
            if self._bury(letter):
                written.dead.append(letter)
            elif letter["kind"] == "message":
                written.unkept.append(letter)
        self._amend(outgoing.amends)
        self._revise(ledger, everything=everything, now=now, pause=pause)
        for removal in ledger.removals():
            self._remove(removal)
            ledger.removed(removal)
        if self._ahead is not None:
            self._ahead.trusted = True
        return written

    def _insert_all(self, key: AppendOnly, outgoing: Outgoing, pause: Callable[[], None]) -> list[tuple[Encoded, str]]:
        """Insert what a batch has for a collection; return what was refused, and why."""
        outgoing.cut(key)
        refused: list[tuple[Encoded, str]] = []
        # In their order: when this process dies meanwhile, what is missing of a session is mostly its end.
        for part in outgoing.parts[key]:
            part.ended.wait(self._settings.operation_timeout)
            if part.refused is None:
                part.refused = self._insert(key, part.documents, pause)
            refused += part.refused
        return refused

    def _insert(
        self, key: AppendOnly, documents: Sequence[Encoded], pause: Callable[[], None]
    ) -> list[tuple[Encoded, str]]:
        """Insert documents; return those that were refused, with the reason."""
        if not documents:
            return []
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                return self._refusals(self._insert_at_once(key, documents, pause), documents)
        except (PyMongoError, BSONError) as error:
            if classify(error) is not ErrorClass.POISON:
                raise
            return self._bisect(key, documents, pause, error)

    def _insert_at_once(self, key: AppendOnly, documents: Sequence[Encoded], pause: Callable[[], None]) -> Document:
        """Insert with one command, and return what is wrong with some; a command for each 32 MiB at most.

        The driver's ``insert_many`` takes twice the time for what is BSON already, most of it in one stretch.
        """
        collection = self._collections[key]
        if self._is_mock:
            try:
                collection.insert_many([taken(one) for one in documents], ordered=False)
            except BulkWriteError as error:
                return dict(error.details or {})
            return {}
        ready, size, errors = [], 0, []
        for index, one in enumerate(documents):
            pause()
            document = taken(one)
            ready.append(document)
            size += len(document.raw)
            if size > _LARGEST_COMMAND or index == len(documents) - 1:
                first = index + 1 - len(ready)
                errors += [{**e, "index": e["index"] + first} for e in self._command_insert(collection.name, ready)]
                ready, size = [], 0
        return {"writeErrors": errors}

    def _command_insert(self, name: str, documents: list[Any]) -> list[Document]:
        concern = {"w": "majority", "j": True}
        command = {"insert": name, "ordered": False, "writeConcern": concern, "documents": documents}
        try:
            answer = self._database.command(command)
        except AutoReconnect:
            # A connection that somebody closed meanwhile, or a new primary: as with the driver's own retries, no news.
            answer = self._database.command(command)
        if answer.get("writeConcernError"):
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [answer["writeConcernError"]]})
        errors: list[Document] = answer.get("writeErrors", [])
        return errors

    def _refusals(self, details: Document, documents: Sequence[Encoded]) -> list[tuple[Encoded, str]]:
        refused = []
        for one in details.get("writeErrors", []):
            if one.get("code") == _DUPLICATE_KEY and list(one.get("keyPattern", {"_id": 1})) == ["_id"]:
                continue  # stored before: a second delivery
            if classify_write(one) in (ErrorClass.RETRY, ErrorClass.SICK, ErrorClass.CONFIGURATION):
                raise BulkWriteError(details)
            refused.append((documents[one["index"]], f"refused with code {one.get('code')}"))
        return refused

    def _bisect(
        self, key: AppendOnly, documents: Sequence[Encoded], pause: Callable[[], None], error: Exception
    ) -> list[tuple[Encoded, str]]:
        """Find the one document for which the whole batch was refused."""
        if len(documents) == 1:
            return [(documents[0], describe(error))]
        middle = len(documents) // 2
        return [*self._insert(key, documents[:middle], pause), *self._insert(key, documents[middle:], pause)]

    def _bury(self, letter: Document) -> bool:
        """Keep a dead letter; return whether MongoDB, or else the disk, took it."""
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                self._dead_letters.insert_one(letter)
        except DuplicateKeyError:
            return True
        except (PyMongoError, BSONError) as error:
            if classify(error) in (ErrorClass.RETRY, ErrorClass.SICK):
                raise
            on_disk = self._files is not None and self._files.write(letter)
            if not on_disk:
                warn("a frame that MongoDB refused could be kept nowhere: %s", describe(error))
            return on_disk
        return True

    def _amend(self, amends: Sequence[Amend]) -> None:
        if not amends:
            return
        updates = [_amendment(amend) for amend in amends]
        with pymongo.timeout(self._settings.operation_timeout):
            if self._is_mock:
                for query, update in updates:
                    self._collections["messages"].update_one(query, update)
            else:
                self._amend_at_once(updates)

    def _amend_at_once(self, updates: Sequence[tuple[Document, Document]]) -> None:
        try:
            self._collections["messages"].bulk_write([UpdateOne(*update) for update in updates], ordered=False)
        except BulkWriteError as error:
            if classify(error) is not ErrorClass.POISON:
                raise
            warn("MongoDB refused to amend messages: %s", describe(error))

    def _remove(self, removal: Remove) -> None:
        with pymongo.timeout(self._settings.operation_timeout):
            if removal.successor is not None:
                query, update = (
                    {"transaction_ref": removal.key},
                    {"$set": {"transaction_ref": removal.successor}},
                )
                self._collections["meter_values"].update_many(query, update)
            transactions, identity = self._collections["transactions"], {"_id": ObjectId(removal.key)}
            try:
                transactions.delete_one(identity)
            except OperationFailure as error:
                if error.code != _UNAUTHORIZED:
                    raise
                # A role that may only insert and update: it stays, as nobody's.
                nobody = {"transaction_id": None, "status": "failed", "anomalies": [PART_OF_ANOTHER]}
                transactions.update_one(identity, {"$set": {**nobody, "revision": self._token()}})

    # -- documents that change ---------------------------------------------------------------------------------

    def _revise(self, ledger: Ledger, *, everything: bool, now: datetime, pause: Callable[[], None]) -> None:
        """Write what changed, each document only if nobody else wrote it meanwhile; else merge again and repeat."""
        for _ in range(_CONFLICTS):
            revisions = ledger.revisions(all_of_them=everything)
            if not revisions:
                return
            for key in ("stations", "sessions", "transactions"):
                these = [r for r in revisions if r.collection == key]
                for start in range(0, len(these), _REVISED_AT_ONCE):
                    self._revise_collection(key, these[start : start + _REVISED_AT_ONCE], ledger, now, pause)
        warn("documents keep changing under ocpp-mongo-plugin; they are written with the next batch")

    def _revise_collection(
        self, key: str, revisions: list[Revision], ledger: Ledger, now: datetime, pause: Callable[[], None]
    ) -> None:
        if not revisions:
            return
        tokens = {revision.key: self._token() for revision in revisions}
        refused: dict[int, str] = {}
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                clean = self._attempt(key, revisions, tokens, now, refused, pause)
        except (PyMongoError, BSONError) as error:
            if classify(error) is not ErrorClass.POISON:
                raise
            if len(revisions) > 1:  # one document must not cost the others
                for revision in revisions:
                    self._revise_collection(key, [revision], ledger, now, pause)
                return
            refused, clean = {0: describe(error)}, False
        self._note_written(key, revisions, ledger, tokens, refused, now, clean=clean)

    def _note_written(
        self,
        key: str,
        revisions: list[Revision],
        ledger: Ledger,
        tokens: dict[str, str],
        refused: dict[int, str],
        now: datetime,
        *,
        clean: bool,
    ) -> None:
        """Tell the ledger what became of each revision."""
        current = {} if clean else self._current(key, revisions)
        for index, revision in enumerate(revisions):
            stored = current.get(revision.key)
            if index in refused:
                warn("MongoDB refused a document of %s: %s", self._collections[key].name, refused[index])
                ledger.written(revision)
            elif stored is None and not clean and key == "transactions" and "revision" in revision.document:
                # Somebody deleted it: a person, or a process that found it to be a part of another.
                ledger.written(revision)
                ledger.forget_transaction(revision.key)
            elif stored is None and not clean and "revision" in revision.document:
                del revision.document["revision"]  # deleted: it is written whole again
            elif clean or (stored is not None and stored.get("revision") == tokens[revision.key]):
                revision.document |= {"revision": tokens[revision.key], "updated_at": now}
                ledger.written(revision)
            else:
                ledger.relearn(revision.collection, revision.key, stored)

    def _attempt(
        self,
        key: str,
        revisions: list[Revision],
        tokens: dict[str, str],
        now: datetime,
        refused: dict[int, str],
        pause: Callable[[], None],
    ) -> bool:
        """Write the revisions at once; return whether every one was written for certain.

        ``refused`` takes those that MongoDB will never take, with the reason.
        """
        operations: list[tuple[Document | None, Any]] = []
        for revision in revisions:
            pause()
            fresh = {"revision": tokens[revision.key], "updated_at": now}
            identity = {"_id": _stored_key(key, revision.key)}
            if "revision" not in revision.document:
                revision.document.setdefault("created_at", now)
                whole = {**revision.document, **fresh, "schema_version": transcription.SCHEMA_VERSION, **identity}
                operations.append((None, self._fitting(whole)))
            else:
                fields = {name: revision.document.get(name) for name in revision.fields}
                query = {**identity, "revision": revision.document["revision"]}
                operations.append((query, self._fitting({**fields, **fresh})))
        collection = self._collections[key]
        if self._is_mock:
            written = [_one_by_one(collection, query, values) for query, values in operations]
            return all(written)
        writes = [
            InsertOne(values) if query is None else UpdateOne(query, {"$set": values}) for query, values in operations
        ]
        try:
            result = collection.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            if details.get("writeConcernErrors"):
                raise
            for one in details.get("writeErrors", []):
                meaning = classify_write(one)
                if meaning is ErrorClass.POISON:
                    refused[one["index"]] = f"code {one.get('code')}"
                elif meaning is not ErrorClass.DUPLICATE:
                    raise
            return False
        return result.matched_count + result.inserted_count == len(operations)

    def _fitting(self, values: Document) -> Any:
        """Return fields of a document that changes as MongoDB takes them."""
        if not self._is_mock:
            with contextlib.suppress(*REFUSED):
                data = bson.encode(values)
                if len(data) <= _LONGEST_FIELD:  # so no field is longer
                    return RawBSONDocument(data)
        return transcription.storable({name: _bounded(value) for name, value in values.items()})

    def _current(self, key: str, revisions: list[Revision]) -> dict[str, Document]:
        keys = [_stored_key(key, revision.key) for revision in revisions]
        return {d["_id"]: d for d in self._find(key, {"_id": {"$in": keys}})}

    def _token(self) -> str:
        """Return a new name of one version of one document, unlike any other writer's."""
        self._writes += 1
        return f"{self._nonce}-{self._writes:x}"

    # -- what is missing, and what was forgotten ---------------------------------------------------------------

    def insert_gaps(self, gaps: Sequence[Document]) -> bool:
        """Write down which frames are missing; a gap that is there already counts as written."""
        documents = [{**gap, "_id": ObjectId(gap["_id"])} for gap in gaps]
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                self._gaps.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if classify(error) not in (ErrorClass.DUPLICATE, ErrorClass.POISON):
                raise
        return True

    def forgotten(self) -> frozenset[str]:
        """Return the marks of the id tags that were forgotten."""
        try:
            with pymongo.timeout(self._settings.operation_timeout):
                return frozenset(document["_id"] for document in self._forgotten.find({"kind": "mark"}))
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            return frozenset()

    def key_of_marks(self) -> bytes:
        """Return the key of the marks of this database, for those who have set none; made when it is first needed."""
        with pymongo.timeout(self._settings.operation_timeout):
            found = self._forgotten.find_one({"_id": "key"})
            if found is None:
                with contextlib.suppress(DuplicateKeyError):
                    self._forgotten.insert_one({"_id": "key", "kind": "key", "key": os.urandom(32)})
                found = self._forgotten.find_one({"_id": "key"})
        return bytes(found["key"]) if found is not None else b""

    def forget(self, id_tag: str, redactor: Redactor, now: datetime) -> dict[str, int]:
        """Leave a mark of an id tag, and take it out of everything that is stored; return how many documents changed.

        Raises:
            PyMongoError: do it again; what is done already stays done.
        """
        names = {id_tag, redactor.pseudonym(id_tag)} - {MASK}
        for name in names:
            mark = {"_id": redactor.digest(name), "kind": "mark", "at": now}
            with pymongo.timeout(self._settings.operation_timeout), contextlib.suppress(DuplicateKeyError):
                self._forgotten.insert_one(mark)
        redactor.forgotten |= {redactor.digest(name) for name in names}
        spellings = {spelling for name in names for spelling in (name, *_escaped(name))}
        mention = re.compile("|".join(re.escape(spelling) for spelling in sorted(spellings)), re.IGNORECASE)
        exactly = re.compile(f"^(?:{'|'.join(re.escape(name) for name in sorted(names))})$", re.IGNORECASE)
        changed = {
            "messages": self._forget_in_messages(mention, redactor),
            "transactions": self._forget_in_transactions(exactly, now),
            "dead_letters": self._forget_in_letters(redactor),
        }
        return {self._collections[key].name if key in self._collections else key: n for key, n in changed.items()}

    def _forget_in_messages(self, mention: re.Pattern[str], redactor: Redactor) -> int:
        changed = 0
        collection = self._collections["messages"]
        compressed = {"raw_zlib": {"$exists": True}}
        for document in collection.find({"$or": [{"raw": mention}, compressed]}):
            packed = document.get("raw_zlib")
            text = zlib.decompress(packed).decode("utf-8", "surrogatepass") if packed else document["raw"]
            raw, paths = redactor.personal(document["station_id"], document["session_id"], text)
            if raw == text:
                continue
            message = decode(raw)
            values = {
                "raw": raw,
                "payload": message.payload if document.get("payload") is not None else None,
                "error_details": message.error_details,
                "error_description": message.error_description,
                "redacted": sorted({*(document.get("redacted") or ()), *paths}),
            }
            if packed:  # what was too long as it was still is
                values = {
                    "raw_zlib": zlib.compress(raw.encode("utf-8", "surrogatepass")),
                    "redacted": values["redacted"],
                }
            with pymongo.timeout(self._settings.operation_timeout):
                collection.update_one({"_id": document["_id"]}, {"$set": transcription.storable(values)})
            changed += 1
        return changed

    def _forget_in_transactions(self, exactly: re.Pattern[str], now: datetime) -> int:
        changed = 0
        for name in ID_TAG_FIELDS:
            values = {name: MASK, "updated_at": now, "revision": self._token()}
            with pymongo.timeout(self._settings.operation_timeout):
                found = self._collections["transactions"].update_many({name: exactly}, {"$set": values})
            changed += found.modified_count
        return changed

    def _forget_in_letters(self, redactor: Redactor) -> int:
        changed = 0
        for letter in list(self._dead_letters.find({"kind": "message"})):
            if (fresh := _forgetting(letter, redactor)) is not None:
                with pymongo.timeout(self._settings.operation_timeout):
                    self._dead_letters.update_one({"_id": letter["_id"]}, {"$set": {"raw": fresh["raw"]}})
                changed += 1
        for letter in list(self._files.read()) if self._files is not None else []:
            if self._files is not None and (fresh := _forgetting(letter, redactor)) is not None:
                changed += self._files.write(fresh)
        return changed

    # -- processes that died -----------------------------------------------------------------------------------

    def renew_leases(self, now: datetime, lease: timedelta, living: Sequence[tuple[str, str]] = ()) -> None:
        """Say that this process still answers for what it left open, also where another took it for dead."""
        self._reopen(now, lease, living)
        until = {"$set": {"lease_expires_at": now + lease}}
        with pymongo.timeout(self._settings.operation_timeout):
            self._collections["sessions"].update_many({"recorder": self._recorder, "status": "open"}, until)
            mine = {"recorder": self._recorder, "connection_status": {"$in": ["connecting", "connected"]}}
            self._collections["stations"].update_many(mine, until)

    def _reopen(self, now: datetime, lease: timedelta, living: Sequence[tuple[str, str]]) -> None:
        if not living:
            return
        again = {"lease_expires_at": now + lease, "updated_at": now, "revision": self._token()}
        sessions = {"_id": {"$in": [ObjectId(session_id) for session_id, _ in living]}, "error": ABANDONED}
        stations = {"_id": {"$in": [s for _, s in living]}, "recorder": self._recorder, "last_error": ABANDONED}
        with pymongo.timeout(self._settings.operation_timeout):
            is_open = {"status": "open", "closed_at": None, "error": None}
            self._collections["sessions"].update_many(sessions, {"$set": {**is_open, **again}})
            connected = {"connection_status": "connected", "disconnected_at": None, "last_error": None}
            self._collections["stations"].update_many(stations, {"$set": {**connected, **again}})

    def close_orphans(self, now: datetime) -> int:
        """Close what processes that died left open; return how many sessions."""
        sessions = self._orphans("sessions", {"status": "open"}, now)
        stations = self._orphans("stations", {"connection_status": {"$in": ["connecting", "connected"]}}, now)
        for document in sessions:
            end = min(document.get("last_message_at") or document.get("lease_expires_at") or now, now)
            values = {"status": "closed", "closed_at": end, "error": ABANDONED}
            self._overrule("sessions", document, values, now)
        for document in stations:
            values = {"connection_status": "disconnected", "disconnected_at": now, "last_error": ABANDONED}
            self._overrule("stations", document, values, now)
        return len(sessions)

    def _orphans(self, key: str, open_ones: Document, now: datetime) -> list[Document]:
        found = self._find(key, {**open_ones, "recorder": {"$nin": [self._recorder, None]}})
        return [d for d in found if _is_dead(d["recorder"], d.get("lease_expires_at"), now)]

    def _overrule(self, key: str, document: Document, values: Document, now: datetime) -> None:
        query = {"_id": _stored_key(key, document["_id"]), "revision": document.get("revision")}
        fresh = {"revision": self._token(), "updated_at": now, "lease_expires_at": None}
        with pymongo.timeout(self._settings.operation_timeout):
            self._collections[key].update_one(query, {"$set": {**values, **fresh}})


class _Ahead:
    """Inserts parts of a batch on a thread of its own: the server works while the rest is made, not afterwards.

    What fails here is inserted again with the batch, which says why; until that went well nothing is ahead.
    """

    def __init__(self, insert: _Insert) -> None:
        self._insert = insert
        self._parts: SimpleQueue[tuple[AppendOnly, Part] | None] = SimpleQueue()
        self.trusted = True
        self._give_way = GiveWay(_STRETCH_AHEAD)
        self._thread = threading.Thread(target=self._run, name="ocpp-mongo-ahead", daemon=True)
        self._thread.start()

    def begin(self, outgoing: Outgoing) -> None:
        """Take the parts that are large enough."""
        for key in APPEND_ONLY if self.trusted else ():
            if len(outgoing.ready[key]) >= _WORTH_A_COMMAND:
                part = outgoing.cut(key)
                part.ended.clear()
                self._parts.put((key, part))

    def close(self) -> None:
        """End the thread, once it is through with what it does."""
        self._parts.put(None)
        self._thread.join(_GRACE)

    def _run(self) -> None:
        while (job := self._parts.get()) is not None:
            key, part = job
            try:
                if self.trusted:
                    part.refused = self._insert(key, part.documents, self._give_way)
            except Exception:  # noqa: BLE001 - whatever it is, the batch meets it again, and says it
                self.trusted = False
            finally:
                part.ended.set()


def _forgetting(letter: Document, redactor: Redactor) -> Document | None:
    """Return a dead letter without the id tags that were forgotten; None when it has none."""
    frame = frame_of(letter)
    if frame is None:
        return None
    text, _ = redactor.personal(frame.station_id, frame.session_id, frame.text)
    return None if text == frame.text else {**letter, "raw": kept(text)}


def _escaped(text: str) -> tuple[str, ...]:
    """Return how JSON may spell a text, besides as it is."""
    plain = json.dumps(text)[1:-1]
    return (plain, plain.replace("/", "\\/"), text.replace("/", "\\/"))


def _host() -> str:
    """Return what process ids are unique in: the host, and on Linux its namespace, since containers share names."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def _is_dead(recorder: str, lease: datetime | None, now: datetime) -> bool:
    """Whether a recorder is gone: here its process tells, elsewhere its lease."""
    host, _, rest = recorder.partition(":")
    pid = rest.partition(":")[0]
    if host != _host() or not pid.isdigit():
        return lease is not None and lease < now
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _queryable(value: Any) -> Any:
    """Return the value as it was stored: a query cannot hold lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _bounded(value: Any) -> Any:
    """Return a field of a document that changes with its texts cut: in full they are in the message log."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_FIELD else f"{value[:_LONGEST_FIELD]}..."
    if isinstance(value, list):
        return [_bounded(one) for one in value]
    return {name: _bounded(one) for name, one in value.items()} if isinstance(value, dict) else value


def _stored_key(key: str, text: str) -> Any:
    return ObjectId(text) if key in _OBJECT_ID_KEYS else text


def _from_store(document: Document) -> Document:
    plain = {name: _aware(value) for name, value in document.items()}
    plain["_id"] = str(document["_id"])
    if "connectors" in plain:
        plain["connectors"] = [{n: _aware(v) for n, v in c.items()} for c in plain["connectors"] or []]
    return plain


def _aware(value: Any) -> Any:
    # The mock hands out times without a zone.
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) and value.tzinfo is None else value


def _amendment(amend: Amend) -> tuple[Document, Document]:
    query: Document = {"_id": ObjectId(amend.key)}
    if amend.unless_known:
        query["outcome"] = None
    return query, {"$set": dict(amend.values)}


def _one_by_one(collection: Collection[Any], query: Document | None, values: Document) -> bool:
    try:
        if query is None:
            collection.insert_one(values)
            return True
        return collection.update_one(query, {"$set": values}).matched_count == 1
    except DuplicateKeyError:
        return False
