"""``MongoPlugin``: puts the pieces together, and their lifecycle.

Hides threads, loops and clients. Promises that entering the context is enough to record, that leaving it restores
everything and stores what waits, and that in between nothing of ours raises into the host program.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from pydantic import SecretStr

from ocpp_mongo_plugin.announcements import Announcer, Persistence, Recorder, taken_by_nobody
from ocpp_mongo_plugin.buffer import Buffer
from ocpp_mongo_plugin.capture import Capture
from ocpp_mongo_plugin.changes import Document
from ocpp_mongo_plugin.dead_letters import DeadLetterFiles
from ocpp_mongo_plugin.destination import APPLICATION, addresses_of, journal_root, target_of
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.drivers import ByHandle, ByUri, collection_of
from ocpp_mongo_plugin.errors import ArgumentError, NotStartedError, SettingError, StoreUnavailableError
from ocpp_mongo_plugin.facts import TransactionEdit
from ocpp_mongo_plugin.frames import Frame, Origin
from ocpp_mongo_plugin.hooks import Hooks, PluginManager
from ocpp_mongo_plugin.journal import AbandonedJournal, Journal, JournalError, Target, adopt
from ocpp_mongo_plugin.log import not_recorded, warn
from ocpp_mongo_plugin.recording import Item, without_credentials
from ocpp_mongo_plugin.redaction import MASK, Policy, Redactor
from ocpp_mongo_plugin.settings import (
    Settings,
    check_uri,
    read_settings,
    unknown_variables,
    unusual_collections,
)
from ocpp_mongo_plugin.sink import Health, Sink, Statistics, awaited_signal
from ocpp_mongo_plugin.store import Store, recorder_name
from ocpp_mongo_plugin.transactions import ID_TAG_FIELDS

if TYPE_CHECKING:
    # They take Beanie and every model, as long to import as all else: a program that is only recorded needs none.
    from ocpp_mongo_plugin.documents import Documents, Gap
    from ocpp_mongo_plugin.repositories import Messages, MeterValues, Sessions, Stations, Transactions


def load_readers() -> None:
    """Import what reading takes, now: a few tenths of a second, by which the first read would hold up a loop."""
    from ocpp_mongo_plugin import repositories  # noqa: F401, PLC0415 - a program that is only recorded needs none of it


class MongoPlugin:
    """Records ChargePoints of this process in MongoDB, between entering and leaving its context.

    Args:
        uri: MongoDB connection string; else ``OCPP_MONGO_URI``, else localhost.
        database: a name, or a database handle of Motor (Beanie 1), PyMongo's async client (Beanie 2) or
            mongomock-motor (then ``uri`` is not used).
        record_all: record every ChargePoint of the process; else only what ``attach`` is given.
        plugins_later: load installed plugins with the first session, or by ``load_plugins``; else here.
        settings: any field of :class:`~ocpp_mongo_plugin.settings.Settings`.

    Raises:
        SettingError: a setting, the URI or the handle is wrong. An unreachable server is no error: frames wait.
    """

    def __init__(
        self,
        uri: str | None = None,
        database: Any = None,
        *,
        record_all: bool | None = None,
        plugins_later: bool = False,
        **settings: Any,
    ) -> None:
        name = database if isinstance(database, str) else None
        handle = None if isinstance(database, str) else database
        if uri is not None and not isinstance(uri, str | SecretStr):
            kind = type(uri).__name__
            raise SettingError(f"the first argument is the URI, not {kind}; pass a handle as database=")
        if uri is not None and handle is not None:
            raise SettingError("give either a uri or a database handle, not both: a handle has its own server")
        self.settings: Settings = read_settings({"uri": uri, "database": name, "record_all": record_all, **settings})
        _tell_of_unknown_variables()
        self._driver: ByUri | ByHandle
        if handle is None:
            check_uri(self.settings)
            secret = self.settings.uri.get_secret_value()
            self._driver = ByUri(secret, self.settings.database, **self._client_options())
        else:
            self._driver = ByHandle(handle)
        self._recorder = ""
        self._persistence = Persistence()
        self._hooks = Hooks(self._persistence, load_entry_points=self.settings.load_plugins, later=plugins_later)
        # One for the host's turn, and one for the sink's thread: neither waits for the other.
        self._redactor_in_turn = Redactor(policy_of(self.settings))
        self._redactor = Redactor(policy_of(self.settings))
        self._redacting = threading.RLock()
        self._capture = Capture(
            Recorder(
                self._hooks,
                self._persistence,
                self._pace,
                self._durable,
                holds_up=self.settings.overflow == "wait" or self.settings.durability == "journal-sync",
            ),
            record_all=self.settings.record_all,
        )
        self._sink: Sink | None = None
        self._buffer: Buffer | None = None
        # Held while recording changes from off to on or back, never while anything is waited for: the first frame of a
        # child process takes it. ChargePoints are patched and restored outside, since a frame holds its session's lock.
        self._life = threading.RLock()
        self._is_child = self._is_closing = False
        self._at_end_of_worker: Any = None
        self._follows_workers = False
        self._has_uri = handle is None and self.settings.has_uri
        self.gives_way = False
        """Whether ChargePoints that another plugin records into the same collections are left to that one."""
        self._last = Statistics()
        self._documents: WeakKeyDictionary[asyncio.AbstractEventLoop, Documents] = WeakKeyDictionary()
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Future[Documents]] = {}

    def __repr__(self) -> str:
        return f"<MongoPlugin {self._where()}, database {self._target().database}: {self.health.state}>"

    # -- lifecycle ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> MongoPlugin:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to record. Does not wait for MongoDB. Starting twice changes nothing.

        Raises:
            ImportError: the ``ocpp`` library is not there, or broken.
        """
        load_readers()
        self.start_now()

    def start_now(self) -> None:
        """Do what ``start`` does, from any thread, with a loop or without one.

        While the plugin is being closed, it changes nothing.

        Raises:
            ImportError: the ``ocpp`` library is not there, or broken. Nothing is left on then.
        """
        begins = False
        try:
            with self._life:
                self._start_in_child()
                begins = self._sink is None
                if begins:
                    self._set_up()
                elif self._is_closing:
                    return
            _arrange()  # before the first frame, or two would record it
            self._capture.enable()
        except BaseException:
            if begins or self._sink is None:
                self.close_now(0)
            raise
        if self._is_closing or self._sink is None:
            # Another thread closes it, and may have looked before there was anything to stop.
            self._stop_capturing(self._sink)

    def _set_up(self) -> None:
        """Open the journal, and start what carries frames to the store; leave nothing begun where that fails.

        Each start is a recorder of its own: the directory of an earlier one may still hold what waits.
        """
        self._buffer = None
        with _arranging:
            _started_plugins.add(self)
        try:
            self._begin()
        except BaseException:
            sink, self._sink = self._sink, None
            if sink is not None:
                sink.begin_close(0)
                sink.join(0)
            elif self._buffer is not None and self._buffer.journal is not None:
                self._buffer.journal.close()
            self._buffer = None
            self._persistence.offer = taken_by_nobody
            self._hooks.stop(0)
            self._leave()
            raise

    def _begin(self) -> None:
        self._recorder = recorder_name()
        announcer = Announcer(self._hooks)
        journal = self._open_journal()
        self._buffer = Buffer(self.settings, journal, self._cleaned_in_turn, announcer.lost)
        sink = self._sink = Sink(
            self._connect,
            self.settings,
            announcer,
            recorder=self._recorder,
            where=self._where(),
            buffer=self._buffer,
            redactor=self._redactor,
            clean=partial(without_credentials, self._redactor),
            adopt=self._adopt if self.durability != "memory" else None,
            poll=self._capture.poll,
            at_end=self._hooks.stop,
        )
        self._persistence.offer = self._buffer.offer
        self._hooks.start()
        if self._sink is not sink:
            return  # a signal handler has closed it meanwhile
        sink.start()
        atexit.unregister(self.close_now)
        atexit.register(self.close_now)
        self._stay_to_the_end_of_a_worker()

    def _stay_to_the_end_of_a_worker(self) -> None:
        """Be told when a worker of multiprocessing ends: before Python 3.13 a forked one does so without atexit."""
        util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
        if util is None or process is None:
            return
        if not self._follows_workers:
            # A worker of a fork server forgets, as it begins, what was to be done at the end of the server.
            util.register_after_fork(self, _stay_in_forked_worker)
            self._follows_workers = True
        is_told = self._at_end_of_worker is not None and self._at_end_of_worker.still_active()
        if not is_told and process.parent_process() is not None:
            self._at_end_of_worker = util.Finalize(None, self.close_now, exitpriority=_LAST)

    def _open_journal(self) -> Journal | None:
        """Return the journal that these settings ask for; None for memory, or, after a warning, where it cannot be."""
        durability = self.durability
        if durability == "memory":
            return None
        try:
            journal = Journal(
                journal_root(self.settings),
                self._target(),
                self._recorder,
                most_bytes=self.settings.journal_bytes,
                fsync_interval=None if durability == "journal-sync" else self.settings.fsync_interval,
            )
            journal.open()
        except JournalError as error:
            warn("%s; frames wait in memory alone, and are lost if this process dies", error)
            return None
        return journal

    @property
    def handle(self) -> Any:
        """The database handle that was given, or None."""
        return self._driver.handle if isinstance(self._driver, ByHandle) else None

    @property
    def durability(self) -> str:
        """What the settings ask for: "memory", "journal" or "journal-sync"."""
        if self.settings.durability is not None:
            return self.settings.durability
        return "journal" if self._has_uri and not _IN_PYTEST & os.environ.keys() else "memory"

    def _adopt(self) -> Iterator[AbandonedJournal]:
        if not self._hooks.are_loaded:
            return iter(())  # a plugin that is not there yet may have something masked: the next sync looks again
        try:
            root = journal_root(self.settings)
        except JournalError:
            return iter(())
        return adopt(root, self._target())

    def _target(self) -> Target:
        if isinstance(self._driver, ByHandle):
            return Target(self._driver.hosts or "memory", self._driver.name, unusual_collections(self.settings))
        return target_of(self.settings)

    def _cleaned_in_turn(self, item: Item) -> Item | None:
        """Return the item without credentials; None where finding them would hold the host up for long."""
        if type(item) is Frame:
            if not self._redactor_in_turn.is_suspicious(item.session_id, item.text):
                return item
            if len(item.text) > _LONGEST_IN_TURN:
                return None
        with self._redacting:  # several loops of the host may record at once
            return without_credentials(self._redactor_in_turn, item)

    def _pace(self) -> Awaitable[None] | None:
        """Return what holds up the host's send or receive while frames would be lost, by the setting overflow."""
        buffer = self._buffer
        if self.settings.overflow != "wait" or buffer is None or not buffer.is_congested:
            return None
        return _until_room(buffer, self.settings.overflow_wait)

    def _durable(self) -> Awaitable[None] | None:
        """Return what waits for the disk, where the settings ask for it."""
        journal = self._buffer.journal if self._buffer is not None else None
        return None if journal is None or not journal.awaited else _until_synced(journal)

    async def close(self, timeout: float | None = None) -> bool:
        """Stop recording, store what waits, and restore everything; return whether all of it was stored.

        Args:
            timeout: seconds; ``shutdown_timeout`` when None. What is not stored by then stays in the journal for
                the next start; without a journal it is lost, and counted.
        """
        limit = self.settings.shutdown_timeout if timeout is None else timeout
        sink = self._stop()
        if sink is None:
            return True
        try:
            ended = await sink.close(limit)
        finally:
            sink.join(0)  # also when this wait was cancelled: a sink that ends must not be offered more
            if self._finish(sink):
                await self._driver.close()
        return ended and sink.has_stored_all

    def close_now(self, timeout: float | None = None) -> bool:
        """Do what ``close`` does, from any thread, with a loop or without one; the caller's thread waits for it.

        Args:
            timeout: seconds; ``shutdown_timeout`` when None. What is not stored by then stays in the journal for
                the next start; without a journal it is lost, and counted.

        Returns:
            Whether all that waited was stored. True where nothing was started, and in the child of a fork that has
            captured nothing: what waits there is its parent's.
        """
        limit = self.settings.shutdown_timeout if timeout is None else timeout
        sink = self._stop()
        if sink is None:
            return True
        sink.begin_close(limit)
        try:
            ended = sink.join(limit)
        finally:
            sink.join(0)  # also when ^C ended this wait
            if self._finish(sink):
                self._driver.close_now()
        return ended and sink.has_stored_all

    def _stop(self) -> Sink | None:
        """Capture nothing more; return what carries what waits, and is to be closed; None where nothing does."""
        with self._life:
            sink, was_child = self._sink, self._is_child
            if was_child:
                self._is_child = False
                self._persistence.offer = taken_by_nobody
            self._is_closing = sink is not None
        self._stop_capturing(sink)
        if was_child:
            self._leave()
        return sink

    def _stop_capturing(self, sink: Sink | None) -> None:
        """Take recording off the classes; leave it on where another thread has ended this one and begun the next."""
        with self._life:
            if self._sink is not sink:
                return
        self._capture.disable()
        with self._life:
            has_begun_again = self._sink is not None and self._sink is not sink and not self._is_closing
        if has_begun_again:
            self._capture.enable()

    def _finish(self, sink: Sink) -> bool:
        """Let go of a sink that has ended; return False where another thread has done so."""
        with self._life:
            if self._sink is not sink:
                return False
            self._last = sink.statistics()
            self._sink = None
            self._is_closing = False
            # Where no thread of the sink could begin, nobody has; not later, when another thread may have started anew.
            self._hooks.stop(0)
            self._leave()
        return True

    def _leave(self) -> None:
        atexit.unregister(self.close_now)
        if self._at_end_of_worker is not None:
            self._at_end_of_worker.cancel()
            self._at_end_of_worker = None
        with _arranging:
            _started_plugins.discard(self)
        _arrange()
        self._capture.let_go()
        self._documents.clear()

    def _forked(self) -> None:
        """In a child process: what waits is the parent's. The first frame of the child starts everything anew."""
        self._life, self._redacting = threading.RLock(), threading.RLock()
        self._capture.forked()  # SEAM does not know it any more while it is being closed
        self._hooks.forked()
        # Its driver must not be closed: its sockets are the parent's. So it is kept, and not used again.
        _of_parents.append((self._sink, *self._driver.forked(), *self._documents.values()))
        self._documents, self._opening = WeakKeyDictionary(), {}
        # Whoever was starting or closing it in the parent is not here to go on with that.
        self._is_child = self._is_child or (self._sink is not None and not self._is_closing)
        self._sink, self._buffer = None, None
        self._is_closing = False
        self._at_end_of_worker = None
        self._persistence.offer = self._first_offer_of_child if self._is_child else taken_by_nobody
        if not self._is_child:
            self._capture.disable()

    def _first_offer_of_child(self, item: Item) -> bool:
        try:
            self._start_in_child()
        except Exception as error:  # noqa: BLE001 - this is the host's turn
            not_recorded(error)
        buffer = self._buffer
        return buffer is not None and buffer.offer(item)

    def _start_in_child(self) -> None:
        with self._life:
            if self._is_child:
                try:
                    self._set_up()
                finally:
                    self._is_child = False
                if self._sink is not None:
                    # From Python 3.12 on no thread can begin once a process ends, which this one may do next.
                    self._sink.wait_until_open(_OPENING)

    # -- recording ---------------------------------------------------------------------------------------------

    def attach(self, charge_point: object) -> None:
        """Record this ChargePoint, also where ``record_all`` is off."""
        self._capture.attach(charge_point)

    def record(
        self,
        station_id: str,
        direction: str,
        text: str | bytes,
        protocol_version: str | None = None,
        *,
        session: str | None = None,
        timestamp: datetime | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Record one frame by hand, for programs that have no ChargePoint.

        Args:
            station_id: identity of the charging station.
            direction: "sent" or "received", seen from this process.
            text: the exact OCPP-J text.
            protocol_version: "1.6", "2.0.1" or "2.1" (or "ocpp1.6" and so on).
            session: tells connections of one station apart; None for its only one.
            timestamp: when it crossed the wire; now when None.
            origin: who wrote it, "station" or "csms"; inferred from the actions when None.

        Raises:
            ArgumentError: an argument is wrong.
            NotStartedError: the plugin is not started.
        """
        self._started()
        self._capture.record(
            station_id, direction, text, protocol_version, session=session, timestamp=timestamp, origin=origin
        )

    def end(self, station_id: str, session: str | None = None) -> None:
        """Say that the connection of frames recorded by hand is over."""
        self._capture.end(station_id, session)

    def submit(self, item: Item) -> bool:
        """Hand over what was captured elsewhere, such as by an import; False when there was no room.

        Raises:
            NotStartedError: the plugin is not started.
        """
        return self._started().buffer.offer(item)

    def has_room(self, frames: int = 1) -> bool:
        """Whether that many more frames can be submitted now without crowding out live ones."""
        return self._started().buffer.has_room(frames)

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin of yours for the hooks of :mod:`ocpp_mongo_plugin.hookspecs`.

        Raises:
            ArgumentError: it has a hook that does not exist, or with other arguments.
        """
        return self._hooks.register(plugin, name)

    def load_plugins(self) -> None:
        """Load the installed plugins, if that was put off."""
        self._hooks.load()

    @property
    def pluggy(self) -> PluginManager:
        """The plugin manager that calls the hooks."""
        return self._hooks.manager

    @property
    def hook_errors(self) -> dict[str, int]:
        """How often hooks of each plugin raised."""
        return self._hooks.hook_errors

    @property
    def hook_dropped(self) -> dict[str, int]:
        """How many calls behind the sink each plugin was too slow to take."""
        return self._hooks.hook_dropped

    @property
    def stats(self) -> Statistics:
        """What was captured, and what became of it."""
        return self._sink.statistics() if self._sink is not None else self._last

    @property
    def health(self) -> Health:
        """Whether recording works now, and if not, why."""
        if self._is_child:
            return Health("ok", "the first frame of this process starts its recording")
        return self._sink.health() if self._sink is not None else Health("down", "the plugin is not started")

    @property
    def is_recovering(self) -> bool:
        """Whether frames that a dead process left in its journal are being stored."""
        return self._sink is not None and self._sink.is_recovering

    async def forget(self, id_tag: str) -> dict[str, int]:
        """Take one person's id tag out of all that is stored, and of whatever comes again later.

        A mark is left, from which the id tag cannot be read; by it rebuilds, redeliveries and imports are redacted,
        too. Other recording processes see it with their next sync. Returns how many documents changed, by collection.

        Raises:
            StoreUnavailableError: MongoDB did not do it in time; do it again.
            ArgumentError: the id tag is empty.
            NotStartedError: the plugin is not started.
        """
        if not id_tag or not id_tag.strip():
            raise ArgumentError("id_tag is empty: name the id tag that is to be forgotten")
        sink = self._started()
        found: dict[str, int] | None = await sink.forget(id_tag, _PATIENCE)
        if found is None:
            last = self.stats.last_error
            raise StoreUnavailableError(f"MongoDB at {self._where()} did not forget it in time ({last}); do it again")
        return found

    async def gaps(self, station_id: str | None = None) -> list[Gap]:
        """Return which frames are missing, and why, the newest gap first; of a station or of all."""
        from ocpp_mongo_plugin.documents import Gap  # noqa: PLC0415 - see load_readers

        bound = await self.documents()
        query = {} if station_id is None else {"station_id": {"$eq": station_id}}
        with bound.translated("reading gaps"):
            gaps = collection_of(bound.messages).database[self.settings.gaps_collection]
            found = await gaps.find(query, {"_id": 0}).sort("created_at", -1).to_list(None)
        return [Gap.model_validate(document) for document in found]

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was captured so far, and the state of stations, is stored.

        Args:
            timeout: seconds; ``operation_timeout`` when None.

        Raises:
            StoreUnavailableError: it took longer.
            NotStartedError: the plugin is not started.
        """
        limit = self.settings.operation_timeout if timeout is None else timeout
        sink = self._started()
        self._flushed(sink, limit, await sink.flush(limit))

    def flush_now(self, timeout: float | None = None) -> None:
        """Do what ``flush`` does, from any thread, with a loop or without one; the caller's thread waits for it.

        Args:
            timeout: seconds; ``operation_timeout`` when None.

        Raises:
            StoreUnavailableError: it took longer.
            NotStartedError: the plugin is not started.
        """
        limit = self.settings.operation_timeout if timeout is None else timeout
        sink = self._started()
        self._flushed(sink, limit, sink.flush_now(limit))

    def _flushed(self, sink: Sink, limit: float, is_done: bool) -> None:
        if is_done:
            return
        last = self.stats.last_error
        why = f" ({last})" if last else ""
        raise StoreUnavailableError(
            f"MongoDB at {self._where()} did not take what waits within {limit:g} s{why}; "
            f"{self.stats.waiting} frame(s) wait in {sink.waiting_place}"
        )

    # -- reading -----------------------------------------------------------------------------------------------

    async def documents(self) -> Documents:
        """Return the document classes bound on the running loop, after a flush if that is set."""
        if self.settings.flush_before_read:
            await self.flush()
        else:
            self._started()
        loop = asyncio.get_running_loop()
        while (bound := self._documents.get(loop)) is None:
            opening = self._opening.get(loop)
            if opening is None:
                return await self._open_documents(loop)
            await asyncio.wait({opening})
            if not opening.cancelled():  # else another takes the place of whoever was at it
                return opening.result()
        return bound

    async def _open_documents(self, loop: asyncio.AbstractEventLoop) -> Documents:
        """Open a client for this loop, of which one serves all who read there, and bind the document classes to it."""
        from ocpp_mongo_plugin.documents import bind  # noqa: PLC0415 - see load_readers

        for refer in self._documents.keyrefs():  # a list of that moment: other loops come and go
            other = refer()
            if other is not None and other.is_closed():
                self._documents.pop(other, None)
        opening = self._opening[loop] = loop.create_future()
        try:
            bound = bind(self.settings)
            with translated("reading"):
                # The classes hold their client, and that its loop: they would keep the key that they are kept by.
                database = await self._driver.reading(partial(self._documents.pop, loop, None))
                try:
                    await bound.init(database)
                except BaseException:
                    await self._driver.part_with(database)
                    raise
        except Exception as error:
            opening.set_exception(error)
            opening.exception()  # it is raised here, whether or not somebody waits for it
            raise
        else:
            self._documents[loop] = bound
            opening.set_result(bound)
            return bound
        finally:
            self._opening.pop(loop, None)
            if not loop.is_closed():
                opening.cancel()  # where this was cancelled

    @cached_property
    def messages(self) -> Messages:
        """Every OCPP message, and how to ask for them."""
        from ocpp_mongo_plugin.repositories import Messages  # noqa: PLC0415 - see load_readers

        return Messages(self)

    @cached_property
    def transactions(self) -> Transactions:
        """Charging transactions, and how to ask for and edit them."""
        from ocpp_mongo_plugin.repositories import Transactions  # noqa: PLC0415 - see load_readers

        return Transactions(self)

    @cached_property
    def stations(self) -> Stations:
        """Charging stations, and how to ask for and configure them."""
        from ocpp_mongo_plugin.repositories import Stations  # noqa: PLC0415 - see load_readers

        return Stations(self)

    @cached_property
    def sessions(self) -> Sessions:
        """WebSocket connections, and how to ask for them."""
        from ocpp_mongo_plugin.repositories import Sessions  # noqa: PLC0415 - see load_readers

        return Sessions(self)

    @cached_property
    def meter_values(self) -> MeterValues:
        """Sampled values, and how to ask for them."""
        from ocpp_mongo_plugin.repositories import MeterValues  # noqa: PLC0415 - see load_readers

        return MeterValues(self)

    async def counts(self, station_id: str | None = None) -> dict[str, int]:
        """Return how many documents each collection holds, of a station or in all; dead letters too."""
        bound = await self.documents()
        query = {} if station_id is None else {"station_id": {"$eq": station_id}}
        of_values = {} if station_id is None else {"metadata.station_id": {"$eq": station_id}}
        found = {}
        with translated("counting documents"):
            for key, name in self.settings.collections().items():
                document = getattr(bound, key)
                found[name] = await document.find(of_values if key == "meter_values" else query).count()
            letters = collection_of(bound.messages).database[self.settings.dead_letters_collection]
            found[self.settings.dead_letters_collection] = await letters.count_documents(query)
        return found

    async def edit(self, edit: TransactionEdit) -> None:
        """Have a program's word about a transaction take its place among the frames."""
        self._started().buffer.offer(self._impersonal(edit))
        await self.flush()

    # -- inside ------------------------------------------------------------------------------------------------

    def _started(self) -> Sink:
        if self._is_child:
            self._start_in_child()
        if self._sink is None:
            raise NotStartedError("the plugin is not started: use 'async with MongoPlugin(...)' or await start()")
        return self._sink

    def _impersonal(self, edit: TransactionEdit) -> TransactionEdit:
        """Return the edit with its id tags as the settings have them."""
        told = {name: self.id_tag(value) for name, value in edit.fields.items() if name in ID_TAG_FIELDS and value}
        return replace(edit, fields={**edit.fields, **told}) if told else edit

    def id_tag(self, id_tag: str) -> str:
        """Return how an id tag is stored: as it is, as its pseudonym, or as ``***``, by the setting personal_data."""
        redactor, personal = self._redactor, self.settings.personal_data
        if personal == "drop" or redactor.digest(id_tag) in redactor.forgotten:
            return MASK
        return redactor.pseudonym(id_tag) if personal == "pseudonymise" else id_tag

    def shares_its_place_with(self, other: MongoPlugin) -> bool:
        """Whether both store into the same collections, as far as their URIs and handles tell."""
        return self._collections() == other._collections() and not self._servers().isdisjoint(other._servers())

    def _servers(self) -> set[object]:
        if isinstance(self._driver, ByHandle) and self._driver.hosts is None:
            return {id(self._driver.writing()[0].client)}  # in memory
        return {*addresses_of(self._target())}

    def _collections(self) -> tuple[str, tuple[str, ...]]:
        target = self._target()
        return target.database, target.collections

    def _where(self) -> str:
        return self.settings.shown_uri if isinstance(self._driver, ByUri) else "the given handle"

    def _client_options(self) -> Document:
        timeout = int(self.settings.operation_timeout * 1000)
        return {
            "timeoutMS": timeout,
            "serverSelectionTimeoutMS": timeout,
            "connectTimeoutMS": min(timeout, 5000),
            # After a server said that it goes down, the driver looks for it only with its next heartbeat.
            "heartbeatFrequencyMS": _HEARTBEAT_MS,
            "tz_aware": True,
            "appname": APPLICATION,
        }

    def _connect(self) -> Store:
        """Open the store, on the thread of the sink."""
        try:
            files = DeadLetterFiles(journal_root(self.settings) / self._target().directory)
        except JournalError:
            files = None
        database, close = self._driver.writing()
        return Store(database, self.settings, self._recorder, close=close, files=files)


_ROOM_POLL = 0.005
_LONGEST_SYNC = 5.0
"""Seconds that a send or receive is held up for a disk that does not answer."""
_HEARTBEAT_MS = 3000
_LONGEST_IN_TURN = 32 * 1024
"""Characters; a longer frame that may hold a credential waits in memory alone, since cleaning it takes milliseconds."""
_PATIENCE = 600.0
"""Seconds that a whole collection may be read for."""

_started_plugins: WeakSet[MongoPlugin] = WeakSet()
_of_parents: list[object] = []
_arranging = threading.RLock()
_said: set[str] = set()
"""Of the environment, which stays as it is."""
_IN_PYTEST = {"PYTEST_CURRENT_TEST", "PYTEST_VERSION"}
"""While a test runs; and during the session, from pytest 8.2 on."""
_OPENING = 1.0
"""Seconds that the first frame of a child is held up at most."""
_LAST = -1000
"""After whatever a worker has left to do at its end."""


def _tell_of_unknown_variables() -> None:
    """Say once of each variable that it is none of ours; a test suite's environment is its own."""
    if not _IN_PYTEST & os.environ.keys():
        for sentence in unknown_variables():
            if sentence not in _said:
                _said.add(sentence)
                warn("%s", sentence)


def _arrange() -> None:
    """Have those that give way know to whom."""
    with _arranging:
        started = list(_started_plugins)
        for plugin in started:
            if plugin.gives_way:
                others = [other for other in started if not other.gives_way and plugin.shares_its_place_with(other)]
                plugin._capture.gives_way_to = tuple(other._capture for other in others)  # noqa: SLF001 - of this module


def _stay_in_forked_worker(plugin: MongoPlugin) -> None:
    # A worker of a fork server may have started it on its way to here, by importing ocpp.
    if plugin._is_child or plugin._sink is not None:  # noqa: SLF001 - of this module
        plugin._stay_to_the_end_of_a_worker()  # noqa: SLF001 - of this module


def _after_fork() -> None:
    _arranging.release()
    for plugin in list(_started_plugins):
        plugin._forked()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_arranging.acquire, after_in_parent=_arranging.release, after_in_child=_after_fork)


async def _until_room(buffer: Buffer, most: float) -> None:
    """Wait, without blocking the loop, until a frame would fit, or for ``most`` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + most
    while buffer.is_congested and loop.time() < end:  # noqa: ASYNC110 - no event costs nothing when there is room
        await asyncio.sleep(_ROOM_POLL)
    buffer.note_wait()


async def _until_synced(journal: Journal) -> None:
    """Wait until all that was captured so far is on disk: one sync serves all who wait."""
    done, from_thread = awaited_signal()
    journal.expect_synced(from_thread)
    await asyncio.wait({done}, timeout=_LONGEST_SYNC)


def policy_of(settings: Settings) -> Policy:
    """Return what is redacted by these settings."""
    key = settings.pseudonym_key
    return Policy(
        personal=settings.personal_data,
        key=key.get_secret_value().encode() if key is not None else b"",
        secret_names=tuple(sorted(settings.secret_names)),
        data_transfer=dict(settings.data_transfer),
        unsafe_keep_credentials=settings.unsafe_keep_credentials,
    )
