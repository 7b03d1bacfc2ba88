"""Which of MongoDB's drivers reads and which writes: by a URI, or through a database handle that a program passes in.

Hides the two generations of Beanie, of which 1.30 reads through Motor and 2 through PyMongo's async client, and what
mongomock-motor lacks for the latter. Promises a synchronous database to write to, which works on any thread and needs
no loop of the host's, and one that the installed Beanie reads; that what is opened here is closed here; and that a
handle which cannot do both is refused at once, in one sentence that says what to pass instead.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database

from ocpp_mongo_plugin.driver_errors import hosts_of
from ocpp_mongo_plugin.driver_log import kept_out_of_log
from ocpp_mongo_plugin.errors import SettingError

if TYPE_CHECKING:
    from beanie import Document
    from pymongo.asynchronous.collection import AsyncCollection

Writing: TypeAlias = "tuple[Database[Any], Callable[[], None] | None]"
"""A synchronous database, and what closes its client where that is ours."""

_CLOSING = 2.0
"""Seconds that closing a client may take, which tells the server which sessions are over."""
_MOST_WAITS = 10
"""More than there are in any of PyMongo's tasks at its end."""
_BY_URI = "give the uri and the name of the database instead"
_DRIVER = str(Path(pymongo.__file__).parent)
_NOT_FOR_TWINS = frozenset({"connect", "document_class", "event_listeners", "type_registry", "tz_aware"})


@functools.cache
def reads_with_motor() -> bool:
    """Whether the installed Beanie is of the generation that needs Motor.

    Beanie is imported to find out: it takes as long as all else, and a program that is only recorded never needs it.
    """
    import beanie  # noqa: PLC0415

    return not hasattr(beanie.Document, "get_pymongo_collection")


class _Reading(NamedTuple):
    """A client that reads, its loop, and the generator that closes it."""

    loop: asyncio.AbstractEventLoop
    client: Any
    life: AsyncGenerator[None]


class ByUri:
    """MongoDB by its connection string: each thread and each loop has a client of its own."""

    def __init__(self, host: str | list[str] | None, name: str, **options: Any) -> None:
        """Open clients of ``host``, a URI as a rule, with ``options``, and of those the database ``name``."""
        self._host, self._name, self._options = host, name, options
        self._opened: dict[object, _Reading] = {}

    def writing(self) -> Writing:
        """Open the database that the calling thread writes to."""
        client: pymongo.MongoClient[Any]
        with kept_out_of_log() as opening:
            client = pymongo.MongoClient(self._host, event_listeners=[opening.listener], **self._options)
            opening.learn(client)
        return client[self._name], client.close

    async def reading(self, at_end: Callable[[], object] = lambda: None) -> Any:
        """Open a database that the installed Beanie reads on the running loop; it is closed with that, or before.

        ``at_end`` is called when it is closed.
        """
        for key, one in list(self._opened.items()):
            if one.loop.is_closed():
                self._opened.pop(key, None)
                _begin_closing(one)
        client: Any
        with kept_out_of_log() as opening:
            if reads_with_motor():
                from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - Beanie 2 comes without it

                client = AsyncIOMotorClient(self._host, event_listeners=[opening.listener], **self._options)
            else:
                client = pymongo.AsyncMongoClient(self._host, event_listeners=[opening.listener], **self._options)
                await client.aconnect()  # a URI of mongodb+srv makes its topology only now
            opening.learn(client)
        key = object()
        life = self._live(client, key, at_end)
        await anext(life)
        self._opened[key] = _Reading(asyncio.get_running_loop(), client, life)
        return client[self._name]

    async def _live(self, client: Any, key: object, at_end: Callable[[], object]) -> AsyncGenerator[None]:
        """Close a client when its loop ends: ``asyncio.run`` closes the generators that began on its loop."""
        try:
            yield
        finally:
            self._opened.pop(key, None)
            at_end()
            await _closed(client)

    async def part_with(self, database: Any) -> None:
        """Close at once what ``reading`` has opened on the running loop as this database."""
        for key, one in list(self._opened.items()):
            if one.client is database.client:
                self._opened.pop(key, None)
                await _ended(one.life)

    async def close(self) -> None:
        """Close what ``reading`` opened, each client on its own loop, within a bound."""
        closings = [asyncio.wrap_future(_begin_closing(one)) for one in self._taken()]
        if closings:
            await asyncio.wait(closings, timeout=_CLOSING)

    def close_now(self) -> None:
        """Do what ``close`` does where nothing can be awaited, from any thread."""
        own = asyncio._get_running_loop()  # noqa: SLF001 - public, but for its name
        # What is closed on the caller's own loop is so as soon as the caller lets that go on.
        closings = [(one.loop, _begin_closing(one)) for one in self._taken()]
        concurrent.futures.wait([closing for loop, closing in closings if loop is not own], timeout=_CLOSING)

    def _taken(self) -> list[_Reading]:
        """Return what is open, for this caller alone."""
        taken = []
        with contextlib.suppress(KeyError):
            while True:
                taken.append(self._opened.popitem()[1])
        return taken

    def forked(self) -> list[object]:
        """In a child process: forget the clients, and return them, since they must live on but not be closed."""
        opened, self._opened = self._opened, {}
        return list(opened.values())


class ByHandle:
    """MongoDB through a database that the program opened, and closes."""

    def __init__(self, handle: Any) -> None:
        """Take a database of Motor, of PyMongo's async client, or of mongomock-motor.

        Raises:
            SettingError: it is none, or not one that the installed Beanie can read through.
        """
        refusal = _refusal(handle)
        if refusal is not None:
            raise SettingError(refusal)
        self.name: str = handle.name
        self.hosts = hosts_of(handle)
        """As :func:`~ocpp_mongo_plugin.driver_errors.hosts_of` has them: None in memory."""
        self.writing = writer_of(handle)
        """Opens the database that the calling thread writes to."""
        self.handle = handle
        """As it was given."""

    async def reading(self, at_end: Callable[[], object] = lambda: None) -> Any:  # noqa: ARG002 - it never ends
        """Return the database that the installed Beanie reads."""
        return self.handle

    async def part_with(self, database: Any) -> None:
        """Leave the handle as it is."""

    async def close(self) -> None:
        """Leave the handle as it is."""

    def close_now(self) -> None:
        """Leave the handle as it is."""

    def forked(self) -> list[object]:
        """In a child process: nothing was opened for reading."""
        return []


def writer_of(handle: Any) -> Callable[[], Writing]:
    """Return what opens the synchronous database of a handle, whichever Beanie is installed.

    A handle of PyMongo's async client works on the loop that it belongs to, which may stall or be gone. So a client of
    our own writes, with the same options. Those of Motor and mongomock-motor have a synchronous database inside.

    Raises:
        SettingError: there can be no such client.
    """
    if _is_async_pymongo(handle):
        return ByUri(name=handle.name, **_twin_options(handle.client)).writing
    return lambda: (cast("Database[Any]", handle.delegate), None)


def readable(database: Any) -> Any:
    """Return a database as the installed Beanie reads it: itself, but for mongomock-motor's under Beanie 2."""
    return _Imitation(database) if not reads_with_motor() and _is_mock(database) else database


def collection_of(document: type[Document]) -> AsyncCollection[dict[str, Any]]:
    """Return the collection of a document class that is bound.

    Of Motor or of PyMongo: what awaits one document, a count, or ``find(...).to_list()`` is the same in both.
    """
    kind: Any = document
    return cast(
        "AsyncCollection[dict[str, Any]]",
        kind.get_motor_collection() if reads_with_motor() else kind.get_pymongo_collection(),
    )


# -- how a client that reads is closed --------------------------------------------------------------------------


def _begin_closing(one: _Reading) -> concurrent.futures.Future[None]:
    """Begin to close a client on its own loop, from any thread; return what tells when that is over."""
    loop = one.loop
    if loop.is_running():
        closing = _ended(one.life)
        try:
            return asyncio.run_coroutine_threadsafe(closing, loop)
        except RuntimeError:  # it was closed just now
            closing.close()
    done: concurrent.futures.Future[None] = concurrent.futures.Future()
    if not loop.is_closed() and any(not _is_of_driver(task) for task in asyncio.all_tasks(loop)):
        # What the program left there goes on when the program lets it, and on the thread that it lets it.
        with contextlib.suppress(RuntimeError):  # it was closed just now
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(_ended(one.life)))
        done.set_result(None)
        return done

    def work() -> None:
        with contextlib.suppress(Exception):
            _close_idle(one)
        done.set_result(None)

    try:
        threading.Thread(target=work, name="ocpp-mongo-close", daemon=True).start()
    except RuntimeError:  # the interpreter ends
        done.set_result(None)
    return done


def _close_idle(one: _Reading) -> None:
    """Close a client whose loop does not run, on a thread that has no other loop."""
    if one.loop.is_closed():
        _drop(one)
        return
    closing = _ended(one.life)
    try:
        one.loop.run_until_complete(closing)
    finally:
        closing.close()  # where the program closed the loop, or let it run, in this moment


def _drop(one: _Reading) -> None:
    """Let go of a client whose loop was closed under it, so that nothing of PyMongo's can be awaited any more."""
    if reads_with_motor():
        asyncio.run(_closed(one.client))
        return
    tasks = [task for task in asyncio.all_tasks(one.loop) if _is_of_driver(task)]
    for task in tasks:
        # Else asyncio says of each that it was destroyed but is pending.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio.gather does
        _no_longer_woken(task)
    one.client._closed = True  # noqa: SLF001 - else it warns that it is not
    asyncio.run(_unwound([task.get_coro() for task in tasks]))


def _no_longer_woken(task: asyncio.Task[Any]) -> None:
    """Have what it waits for forget it."""
    # Where the garbage collector parts with the client first, PyMongo cancels the task, which asks that to wake it.
    waited_for: Any = getattr(task, "_fut_waiter", None)
    for callback, _ in getattr(waited_for, "_callbacks", None) or ():
        waited_for.remove_done_callback(callback)


async def _unwound(coroutines: list[Any]) -> None:
    """End them here, in silence: what PyMongo's do at their end asks for a loop that runs, and for time to wait."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for coroutine in coroutines:
        for _ in range(_MOST_WAITS):
            with contextlib.suppress(Exception):  # such as that it waits for something in its turn
                coroutine.close()
            if coroutine.cr_frame is None:
                break


def _is_of_driver(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_DRIVER)


async def _ended(life: AsyncGenerator[None]) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(life.aclose(), _CLOSING)


async def _closed(client: Any) -> None:
    # Its loop may have ended in another way, and its tasks and sockets with it. To wait for a server that does not
    # answer must leave time to end the tasks.
    with contextlib.suppress(Exception), pymongo.timeout(_CLOSING / 2):
        closing = client.close()
        if closing is not None:  # Motor's closes at once
            await closing


# -- handles ----------------------------------------------------------------------------------------------------


def _is_async_pymongo(handle: object) -> bool:
    # Not isinstance, which asks the object: a MagicMock with a spec says yes.
    return issubclass(type(handle), AsyncDatabase)


def _is_mock(handle: object) -> bool:
    inside = _inside(handle)
    return inside.__name__ == "Database" and inside.__module__.startswith("mongomock.")


def _inside(handle: Any) -> type:
    """Return the class of the synchronous database inside a handle of Motor or mongomock-motor."""
    # Clients, databases and collections of PyMongo and of mongomock answer to any attribute: what counts is who has it.
    has_one = inspect.getattr_static(handle, "delegate", None) is not None
    return type(handle.delegate) if has_one else type(None)


def _refusal(handle: Any) -> str | None:
    """Return why a handle will not do, and what will; None where it will."""
    is_motor, is_async = issubclass(_inside(handle), Database), _is_async_pymongo(handle)
    if _is_mock(handle) or (is_motor if reads_with_motor() else is_async):
        return None
    right = "a database of Motor" if reads_with_motor() else "a database of pymongo.AsyncMongoClient"
    change = ""
    if is_motor:
        name, change = "Motor", ', or stay with Motor by pip install "ocpp-mongo-plugin[motor]"'
    elif is_async:
        name, change = "PyMongo's async client", ', or move to Beanie 2 by pip install --upgrade "beanie>=2"'
    elif issubclass(type(handle), Database):
        name, change = "PyMongo's synchronous client", f", or {_BY_URI}"
    else:
        kind = type(handle).__name__
        hint = "; pass client['name'], the database, instead of the client" if kind.endswith("Client") else ""
        if issubclass(type(handle), pymongo.MongoClient):
            hint = f"; {_BY_URI}"
        return f"database takes a name, {right}, or one of mongomock-motor, not {kind}{hint}"
    why = f"which the installed Beanie {version('beanie')} cannot read through"
    return f"database is a handle of {name}, {why}; pass {right}{change}"


def _twin_options(client: pymongo.AsyncMongoClient[Any]) -> dict[str, Any]:
    """Return the arguments of a synchronous client that reaches the same servers in the same way.

    The host's listeners are not told of what we do. How documents are read is up to the store.

    Raises:
        SettingError: there can be none.
    """
    given = getattr(client, "_init_kwargs", None)
    if not isinstance(given, dict):
        raise SettingError(
            f"database is a handle of which PyMongo {pymongo.version} does not say how it was opened; {_BY_URI}"
        )
    if given.get("auto_encryption_opts") is not None:
        raise SettingError(
            "database is a handle with automatic encryption, which a second client cannot share; "
            f"pass one of a client without auto_encryption_opts, or {_BY_URI}"
        )
    return {name: value for name, value in given.items() if name.lower() not in _NOT_FOR_TWINS}


# -- what Beanie 2 needs of mongomock-motor ---------------------------------------------------------------------


class _Imitation:
    """A database of mongomock-motor, which imitates Motor, as Beanie 2 asks PyMongo's async client."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __getitem__(self, name: str) -> _ImitatedCollection:
        return _ImitatedCollection(self._database[name], self)

    async def list_collection_names(self, **_: Any) -> list[str]:
        """Return the names; the mock knows no rights to list only some of them."""
        return cast("list[str]", await self._database.list_collection_names())


class _ImitatedCollection:
    """A collection of mongomock-motor, of which Beanie 2 awaits ``aggregate``."""

    def __init__(self, collection: Any, database: _Imitation) -> None:
        self._collection, self.database = collection, database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def aggregate(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the cursor."""
        return self._collection.aggregate(*arguments, **keywords)
