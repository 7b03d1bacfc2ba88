"""The driver follows the installed Beanie and the handle; one of the wrong kind gets one clear sentence."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import beanie
import mongomock
import pytest
from bson.son import SON
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.encryption_options import AutoEncryptionOpts
from pymongo.errors import ConfigurationError, InvalidOperation
from pymongo.monitoring import CommandListener
from waiting import wait_until, wait_until_async

from ocpp_mongo_plugin import MongoPlugin, SettingError
from ocpp_mongo_plugin.driver_log import kept_out_of_log
from ocpp_mongo_plugin.drivers import ByHandle, ByUri, reads_with_motor, writer_of

RIGHT, WRONG = ("motor", "pymongo") if reads_with_motor() else ("pymongo", "motor")
NEEDED = {"motor": "a database of Motor", "pymongo": "a database of pymongo.AsyncMongoClient"}[RIGHT]
needs_async = pytest.mark.skipif(reads_with_motor(), reason="this Beanie reads through Motor")


def refusal(database: Any) -> str:
    with pytest.raises(SettingError) as caught:
        MongoPlugin(database=database)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert NEEDED in sentence
    return sentence


def test_a_handle_that_this_beanie_cannot_read_through_is_refused_at_once(client_of: Callable[..., Any]):
    sentence = refusal(client_of(WRONG, "mongodb://u:secret@127.0.0.1:1/")["lab"])
    named, way = ("Motor", "ocpp-mongo-plugin[motor]") if WRONG == "motor" else ("PyMongo's async client", "beanie>=2")
    assert f"database is a handle of {named}, which the installed Beanie {beanie.__version__} cannot" in sentence
    assert f'pip install {"" if WRONG == "motor" else "--upgrade "}"{way}"' in sentence
    assert "secret" not in sentence


def test_a_synchronous_handle_is_refused():
    with MongoClient[Any]("mongodb://127.0.0.1:1/", connect=False) as client:
        sentence = refusal(client["lab"])
        assert "PyMongo's synchronous client" in sentence
        assert sentence.endswith("or give the uri and the name of the database instead")
    assert "not Database" in refusal(mongomock.MongoClient()["lab"])


@pytest.mark.parametrize("kind", ["motor", "pymongo"])
def test_a_client_is_no_database(client_of: Callable[..., Any], kind: str):
    assert "pass client['name'], the database, instead of the client" in refusal(client_of(kind, "mongodb://h/"))


def test_a_synchronous_client_is_no_database_either():
    with MongoClient[Any]("mongodb://127.0.0.1:1/", connect=False) as client:
        sentence = refusal(client)
        assert "not MongoClient; give the uri and the name of the database instead" in sentence
    assert "not MongoClient; pass client['name']" in refusal(mongomock.MongoClient())


def test_a_handle_in_the_place_of_the_uri_is_told_where_it_goes(mock_database: Any):
    with pytest.raises(SettingError, match=r"the first argument is the URI, not .*; pass a handle as database="):
        MongoPlugin(mock_database)


@pytest.mark.parametrize("kind", ["motor", "pymongo"])
def test_a_collection_is_no_database(client_of: Callable[..., Any], kind: str):
    collection = client_of(kind, "mongodb://h/")["lab"]["messages"]
    assert f"not {type(collection).__name__}" in refusal(collection)


@pytest.mark.parametrize("thing", [MagicMock(), MagicMock(spec=AsyncDatabase), object(), 5])
def test_what_is_no_handle_is_refused(thing: object):
    assert f"database takes a name, {NEEDED}, or one of mongomock-motor, not {type(thing).__name__}" in refusal(thing)


# -- the client that writes for a handle of PyMongo's async client ----------------------------------------------


@contextmanager
def written_by(client: Any) -> Iterator[MongoClient[Any]]:
    database, close = writer_of(client["lab"])()
    assert database.name == "lab"
    try:
        yield database.client
    finally:
        close()


async def test_the_twin_reaches_the_same_servers_in_the_same_way(client_of: Callable[..., Any]):
    uri = "mongodb://u:p%40w@a.example:1,b.example/?replicaSet=r&authSource=x&tls=true&compressors=zlib"
    given = client_of("pymongo", uri, appname="mine", serverSelectionTimeoutMS=77, tz_aware=False, connect=False)
    with written_by(given) as twin:
        assert twin.topology_description.server_descriptions().keys() == {("a.example", 1), ("b.example", 27017)}
    assert twin.options.replica_set_name == given.options.replica_set_name == "r"
    assert twin.options.server_selection_timeout == given.options.server_selection_timeout == 0.077
    ours, theirs = twin.options.pool_options, given.options.pool_options
    assert ours.appname == theirs.appname == "mine"
    assert ours._credentials[1:4] == theirs._credentials[1:4] == ("x", "u", "p@w")
    assert ours._compression_settings.compressors == theirs._compression_settings.compressors == ["zlib"]
    assert ours._ssl_context is not None


async def test_the_twin_tells_the_hosts_listeners_nothing(client_of: Callable[..., Any]):
    class Listener(CommandListener):
        started = succeeded = failed = print

    given = client_of("pymongo", "mongodb://127.0.0.1:1/", event_listeners=[Listener()], document_class=SON)
    with written_by(given) as twin, kept_out_of_log() as opening:
        assert twin.options.event_listeners == [opening.listener]
    assert twin.codec_options.document_class is dict


async def test_a_handle_that_has_no_twin_is_refused(client_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    client = client_of("pymongo", "mongodb://127.0.0.1:1/")
    encrypted = AutoEncryptionOpts.__new__(AutoEncryptionOpts)
    monkeypatch.setitem(client._init_kwargs, "auto_encryption_opts", encrypted)
    with pytest.raises(SettingError, match="automatic encryption"):
        writer_of(client["lab"])
    monkeypatch.delattr(client, "_init_kwargs")
    with pytest.raises(SettingError, match="give the uri and the name"):
        writer_of(client["lab"])


@needs_async
async def test_frames_are_stored_while_the_loop_of_the_handle_stalls_or_is_closed(
    plain: Any, client_of: Callable[..., Any], mongo_uri: str
):
    before = set(threading.enumerate())
    plugin = MongoPlugin(database=client_of("pymongo", mongo_uri)[plain.name])
    await plugin.start()
    plugin.record("CP1", "sent", "[]")
    wait_until(lambda: plain["ocpp_messages"].count_documents({}) == 1)  # the loop, this test's, waits with it
    assert len(await plugin.messages.find()) == 1
    plugin.record("CP1", "sent", "[]")
    # The loop that closes it is another one, which the handle has nothing to do with.
    assert await asyncio.to_thread(lambda: asyncio.run(plugin.close()))
    assert plain["ocpp_messages"].count_documents({}) == 2
    wait_until(lambda: set(threading.enumerate()) - before <= {*_pool(before)})


def _pool(before: set[threading.Thread]) -> set[threading.Thread]:
    """The threads of to_thread, which belong to the loop."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")} - before


FORGETFUL = """
import asyncio, sys
from pymongo import AsyncMongoClient
from ocpp_mongo_plugin import MongoPlugin

async def main():
    plugin = MongoPlugin(database=AsyncMongoClient(sys.argv[1])[sys.argv[2]])
    await plugin.start()
    plugin.record("CP1", "sent", "[]")

asyncio.run(main())
"""


@needs_async
@pytest.mark.programs
def test_a_program_that_ends_without_closing_us_still_stores_what_waits(plain: Any, mongo_uri: str):
    command = [sys.executable, "-c", FORGETFUL, mongo_uri, plain.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert plain["ocpp_messages"].count_documents({}) == 1


# -- the clients that read by a URI -----------------------------------------------------------------------------


@pytest.mark.mongod
def test_clients_that_read_on_several_loops_are_all_closed(mongo_uri: str, database_name: str):
    """That they are is judged by PyMongo, whose clients warn when they are forgotten, and by the sockets' own warnings."""
    program = f"""
import asyncio, gc, threading
from ocpp_mongo_plugin import MongoPlugin

plugin = MongoPlugin({mongo_uri!r}, {database_name!r})
look = lambda: plugin.messages.find()
asyncio.run(plugin.start())
asyncio.run(look())  # on a loop that is over when we close
loop = asyncio.new_event_loop()
other = threading.Thread(target=loop.run_forever)
other.start()
asyncio.run_coroutine_threadsafe(look(), loop).result()  # on one that goes on

async def last():
    await look()
    await plugin.close()

asyncio.run(last())
loop.call_soon_threadsafe(loop.stop)
other.join()
loop.close()
del plugin, look
gc.collect()
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.mongod
@pytest.mark.parametrize(
    "close", ["asyncio.run(plugin.close())", "plugin.close_now()", ""], ids=["await", "now", "exit"]
)
@pytest.mark.parametrize("end", ["", "loop.close()"], ids=["idle", "closed"])
def test_a_client_of_a_loop_that_does_not_run_is_let_go_of(mongo_uri: str, database_name: str, close: str, end: str):
    """In a program of its own, since asyncio tells of tasks that are left when they are collected, or at the end."""
    program = f"""
import asyncio, gc, threading
from ocpp_mongo_plugin import MongoPlugin

plugin = MongoPlugin({mongo_uri!r}, {database_name!r})
plugin.start_now()
loop = asyncio.new_event_loop()
loop.run_until_complete(plugin.messages.find())
{end}
{close}
if {close!r}:
    assert not asyncio.all_tasks(loop) or loop.is_closed()
    for one in [one for one in threading.enumerate() if one.name.startswith("ocpp-mongo")]:
        one.join(5)
        assert not one.is_alive(), one.name
    loop.close()
    del plugin
    gc.collect()
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_program_left_on_an_idle_loop_goes_on_when_the_program_lets_it(mongo_uri: str, database_name: str):
    loop, ran_on = asyncio.new_event_loop(), []
    plugin = MongoPlugin(mongo_uri, database_name)
    plugin.start_now()

    async def work() -> None:
        await asyncio.sleep(0)
        ran_on.append(threading.current_thread())

    loop.run_until_complete(plugin.messages.find())
    task = loop.create_task(work())
    assert asyncio.run(plugin.close()) is True
    assert not ran_on
    loop.run_until_complete(task)
    assert ran_on == [threading.current_thread()]
    loop.run_until_complete(wait_until_async(lambda: len(asyncio.all_tasks()) == 1))  # that of this wait
    loop.close()


@pytest.mark.filterwarnings("ignore:.*unclosed")  # of a loop that was closed under its sockets: that says so itself
def test_a_loop_that_is_over_is_not_kept(mongo_uri: str, database_name: str):
    loops = []
    plugin = MongoPlugin(mongo_uri, database_name)
    plugin.start_now()

    async def look() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await plugin.messages.find()

    def look_and_close() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(look())
        loop.close()

    def are_gone() -> bool:
        gc.collect()
        return [loop() for loop in loops] == [None] * 4

    try:
        look_and_close()
        for _ in range(3):
            asyncio.run(look())
        assert not plugin._driver._opened
        wait_until(are_gone)  # the client of the loop that was closed under it is let go of by a thread
    finally:
        assert plugin.close_now() is True


@needs_async
@pytest.mark.filterwarnings("ignore:.*unclosed")
def test_a_client_of_a_loop_that_was_closed_goes_in_silence_piece_by_piece(
    mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: said.append(repr(one.exc_value)))
    loop = asyncio.new_event_loop()
    plugin = MongoPlugin(mongo_uri, database_name)
    plugin.start_now()
    loop.run_until_complete(plugin.messages.find())
    loop.close()
    # The collector may part with the client before its tasks, as it does where these are of an older generation.
    tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
    assert tasks
    held = [one for one in gc.get_objects() if type(one).__name__ == "AsyncPeriodicExecutor" and one._task in tasks]
    assert held
    client = weakref.ref(next(iter(plugin._driver._opened.values())).client)
    assert plugin.close_now() is True
    wait_until(lambda: gc.collect() is not None and client() is None)
    held.clear()
    tasks.clear()
    gc.collect()
    assert said == []


async def test_the_log_has_nothing_of_the_clients_that_read(
    mongo_uri: str, plain: Any, caplog: pytest.LogCaptureFixture, logged_of_clients: Callable[[], list[str]]
):
    caplog.set_level(logging.DEBUG)
    async with MongoPlugin(mongo_uri, plain.name) as plugin:
        plugin.record("CP1", "sent", "[]")
        assert len(await plugin.messages.find()) == 1
        assert await asyncio.to_thread(lambda: asyncio.run(plugin.messages.count())) == 1
    assert logged_of_clients() == []
    plain.client.admin.command("ping")
    assert [record for record in caplog.records if record.name == "pymongo.command"] != []


async def test_a_client_that_writes_for_long_stays_out_of_the_log_however_many_come_and_go(
    mongo_uri: str, caplog: pytest.LogCaptureFixture, logged_of_clients: Callable[[], list[str]]
):
    writing, close = ByUri(mongo_uri, "lab").writing()
    for _ in range(60):
        ByUri("mongodb://127.0.0.1:1/", "lab", connect=False).writing()[1]()
    caplog.set_level(logging.DEBUG)
    writing.command("ping")
    close()
    assert logged_of_clients() == []


async def test_a_uri_that_cannot_be_used_is_the_drivers_error():
    with pytest.raises(ConfigurationError):
        ByUri("mongodb://127.0.0.1:1/?tls=true&tlsInsecure=true&tlsAllowInvalidCertificates=true", "lab").writing()


def test_a_handle_of_the_mock_is_written_through_the_database_inside(mock_database: Any):
    handle = ByHandle(mock_database)
    database, close = handle.writing()
    assert (database, close) == (mock_database.delegate, None)
    assert (handle.name, handle.hosts) == (mock_database.name, None)


async def test_what_a_child_process_must_not_close_is_handed_over(mongo_uri: str, database_name: str):
    reader = ByUri(mongo_uri, database_name)
    database = await reader.reading()
    await database.command("ping")
    (kept,) = reader.forked()
    await reader.close()
    assert (await database.command("ping"))["ok"] == 1
    await kept.life.aclose()
    with pytest.raises(InvalidOperation):
        await database.command("ping")


async def test_closing_leaves_the_handle_open(mongo_uri: str, database_name: str, reading_client: Callable[..., Any]):
    database = reading_client(mongo_uri)[database_name]
    async with MongoPlugin(database=database) as plugin:
        plugin.record("CP1", "sent", "[]")
        await wait_until_async(plugin.messages.find)
    assert await database["ocpp_messages"].count_documents({}) == 1
