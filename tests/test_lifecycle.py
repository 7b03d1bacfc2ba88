"""Starting, closing and forking at once, and where one of them fails half way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ocpp.charge_point
import pytest
from ocpp.v16 import ChargePoint
from waiting import wait_until, wait_until_async
from wire import join

from ocpp_mongo_plugin import MongoPlugin, NotStartedError, StoreUnavailableError, hookimpl
from ocpp_mongo_plugin.destination import target_of
from ocpp_mongo_plugin.driver_log import kept_out_of_log
from ocpp_mongo_plugin.seam import SEAM
from ocpp_mongo_plugin.settings import read_settings

NOBODY = "mongodb://127.0.0.1:1/"
TEXT = '[2,"1","Heartbeat",{}]'


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = dict(vars(ocpp.charge_point.ChargePoint))
    yield
    assert SEAM.captures == ()
    assert dict(vars(ocpp.charge_point.ChargePoint)) == before


def once(work: Callable[[], object], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what does ``work`` before the first call of ``real``."""
    left = [work]

    def function(*arguments: Any, **keywords: Any) -> Any:
        if left:
            left.pop()()
        return real(*arguments, **keywords)

    return function


class Slow:
    """A plugin of somebody whose hook does not return for a while."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    @hookimpl
    def ocpp_session_opened(self, session: object) -> None:
        self.reached.set()
        self.go_on.wait(30)


# -- what fails half way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["memory", "journal"])
def test_where_no_thread_can_begin_the_program_goes_on_and_the_account_is_whole(
    mock_database: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    durability: str,
):
    plugin = MongoPlugin(database=mock_database, durability=durability, journal_directory=tmp_path)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        plugin.start_now()
        plugin.record("CP1", "sent", TEXT)
        assert plugin.health == ("down", "the thread that stores has ended (can't start new thread)")
        with pytest.raises(StoreUnavailableError):
            plugin.flush_now(0.01)
        assert plugin.close_now() is False
    stats = plugin.stats
    assert (stats.captured, stats.stored) == (1, 0)
    assert (stats.lost, stats.waiting) == (({"shutdown": 1}, 0) if durability == "memory" else ({}, 1))
    assert "stores nothing in this process: can't start new thread" in caplog.text
    plugin.start_now()
    plugin.record("CP1", "sent", TEXT)
    if durability == "journal":
        wait_until(lambda: plugin.stats.recovered == 1)
    assert plugin.close_now() is True
    assert plugin.stats.stored == 1


def test_what_fails_within_a_start_leaves_nothing_begun(
    mock_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plugin = MongoPlugin(database=mock_database, durability="journal", journal_directory=tmp_path)

    def fail() -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(plugin._hooks, "start", fail)
        with pytest.raises(MemoryError):
            plugin.start_now()
    with pytest.raises(NotStartedError):
        plugin.record("CP1", "sent", TEXT)
    assert not list(tmp_path.rglob("*.journal"))
    plugin.start_now()
    plugin.record("CP1", "sent", TEXT)
    assert plugin.close_now() is True
    assert plugin.stats.stored == 1


def test_a_close_that_is_interrupted_ends_it_all_the_same(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plugin._sink, "join", once(interrupt, plugin._sink.join))
    with pytest.raises(KeyboardInterrupt):
        plugin.close_now()
    assert SEAM.captures == ()
    plugin.start_now()
    asyncio.run(ChargePoint("CP1", join()[0])._send(TEXT))
    assert plugin.close_now() is True
    assert plugin.stats.stored == 1


@pytest.mark.filterwarnings("ignore:.*socket.socket")  # of PyMongo, whose client is closed while it connects
async def test_a_first_read_that_fails_leaves_no_client_open():
    async with MongoPlugin(
        NOBODY, durability="memory", flush_before_read=False, operation_timeout=0.2, shutdown_timeout=0.1
    ) as plugin:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await plugin.messages.find()
        reading = asyncio.ensure_future(plugin.messages.find())
        await wait_until_async(lambda: plugin._driver._opened)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert not plugin._driver._opened
    gc.collect()  # here, where its warning is expected


async def test_first_reads_at_once_share_one_client(mongo_uri: str, database_name: str):
    async with MongoPlugin(mongo_uri, database_name, durability="memory") as plugin:
        first, *others = [asyncio.ensure_future(plugin.messages.find()) for _ in range(8)]
        await wait_until_async(lambda: plugin._opening)
        first.cancel()  # another one opens it then
        assert await asyncio.gather(*others) == [[]] * 7
        assert first.cancelled()
        assert len(plugin._driver._opened) == 1


@pytest.mark.filterwarnings("ignore:.*socket.socket")
async def test_first_reads_at_once_fail_with_the_one_that_opens():
    async with MongoPlugin(
        NOBODY, durability="memory", flush_before_read=False, operation_timeout=0.2, shutdown_timeout=0.1
    ) as plugin:
        tried = []
        reading = plugin._driver.reading
        plugin._driver.reading = lambda *end: tried.append(end) or reading(*end)
        ends = await asyncio.gather(*(plugin.messages.find() for _ in range(8)), return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailableError}
        assert len(tried) == 1
        assert (plugin._driver._opened, plugin._opening) == ({}, {})
    gc.collect()


# -- at once --------------------------------------------------------------------------------------------------------


def test_a_closer_that_comes_late_leaves_the_next_recording_on(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()

    def close_and_start() -> None:
        def work() -> None:
            plugin.close_now()
            plugin.start_now()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)

    monkeypatch.setattr(plugin._capture, "disable", once(close_and_start, plugin._capture.disable))
    plugin.close_now()
    assert plugin.health.state == "ok"
    asyncio.run(ChargePoint("CP1", join()[0])._send(TEXT))
    assert plugin.close_now() is True
    assert plugin.stats.stored == 1


def test_who_closes_while_another_does_waits_for_its_sessions(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    plugin, said = MongoPlugin(database=mock_database), []
    plugin.start_now()
    asyncio.run(ChargePoint("CP1", join()[0])._send(TEXT))
    second = once(lambda: said.append(plugin.close_now()), plugin._capture.disable)  # as a signal handler might
    monkeypatch.setattr(plugin._capture, "disable", second)
    assert [plugin.close_now(), *said] == [True, True]
    (session,) = mock_database.delegate.sessions.find()
    assert session["status"] == "closed"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_it_is_closed_waits_for_no_lock_of_the_parent(mock_database: Any):
    plugin, held, go_on = MongoPlugin(database=mock_database), threading.Event(), threading.Event()
    plugin.start_now()
    asyncio.run(ChargePoint("CP1", join()[0])._send(TEXT))
    (line,) = plugin._capture._lines.values()

    def hold() -> None:
        with line.lock:
            held.set()
            go_on.wait(60)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(30)
    closing = threading.Thread(target=plugin.close_now)
    closing.start()
    try:
        wait_until(lambda: not SEAM.captures)
        if not (child := os.fork()):
            os._exit(0)
        try:
            wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)
        except AssertionError:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
    finally:
        go_on.set()
        holding.join(30)
        closing.join(30)


async def test_two_that_close_at_once_both_hear_the_end(mock_database: Any):
    async with MongoPlugin(database=mock_database) as plugin:
        plugin.record("CP1", "sent", TEXT)
        assert await asyncio.wait_for(asyncio.gather(plugin.close(600), plugin.close(600)), 60) == [True, True]


def test_hooks_of_the_next_recording_outlive_the_end_of_the_last(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    plugin, slow = MongoPlugin(database=mock_database), Slow()
    slow.go_on.set()
    plugin.register(slow)
    plugin.start_now()
    starting = threading.Thread(target=plugin.start_now)

    def start_elsewhere() -> None:
        starting.start()
        starting.join(0.2)  # it gets as far as it can: where it had begun anew, its hooks would be stopped now

    def wait_for_the_last_stop() -> None:
        monkeypatch.setattr(plugin._hooks, "stop", once(start_elsewhere, plugin._hooks.stop))

    sink = plugin._sink
    monkeypatch.setattr(plugin, "_finish", once(wait_for_the_last_stop, plugin._finish))
    assert plugin.close_now() is True
    starting.join(30)
    assert plugin._sink is not sink
    plugin.record("CP1", "sent", TEXT)
    assert slow.reached.wait(30)
    assert plugin.close_now() is True


def test_who_gives_way_does_so_from_the_first_frame_on(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    automatic, own = MongoPlugin(database=mock_database), MongoPlugin(database=mock_database)
    automatic.gives_way = True
    automatic.start_now()
    found = []
    monkeypatch.setattr(
        own._capture, "enable", once(lambda: found.append(automatic._capture.gives_way_to), own._capture.enable)
    )
    own.start_now()
    assert found == [(own._capture,)]
    assert own.close_now() is automatic.close_now() is True


def test_a_call_that_is_under_way_at_the_end_loses_nothing_and_leaves_no_session_open(mock_database: Any):
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()
    known, late = ChargePoint("known", join()[0]), ChargePoint("late", join()[0])
    asyncio.run(known._send(TEXT))
    plugin._capture.disable()
    for charge_point in (known, late):
        plugin._capture.received(charge_point, TEXT)  # as another thread that has asked who records
    assert plugin.close_now() is True
    assert plugin.stats.stored == 3
    assert not hasattr(ocpp.charge_point.ChargePoint._send, "__ocpp_mongo_undo__")
    database = mock_database.delegate
    assert {one["station_id"]: one["status"] for one in database.sessions.find()} == dict.fromkeys(
        ("known", "late"), "closed"
    )
    assert [one["sequence"] for one in database.ocpp_messages.find({"station_id": "known"})] == [0, 1]
    assert database.stations.count_documents({"connection_status": "connected"}) == 0
    assert not plugin._capture._lines
    plugin.start_now()
    asyncio.run(known._send(TEXT))
    assert plugin.close_now() is True
    assert database.sessions.count_documents({"station_id": "known"}) == 2


# -- what is told ---------------------------------------------------------------------------------------------------


async def test_what_waits_to_be_forgotten_is_told_when_recording_ends():
    plugin = MongoPlugin(NOBODY, durability="memory", operation_timeout=0.5, shutdown_timeout=0.1)
    await plugin.start()
    forgetting = asyncio.ensure_future(plugin.forget("TAG"))
    await wait_until_async(lambda: plugin._sink._steps)
    await plugin.close()
    with pytest.raises(StoreUnavailableError, match="did not forget it in time"):
        await asyncio.wait_for(forgetting, 60)


def test_a_hook_that_hangs_changes_nothing_in_what_close_says(mock_database: Any):
    plugin, slow = MongoPlugin(database=mock_database), Slow()
    plugin.register(slow)
    plugin.start_now()
    plugin.record("CP1", "sent", TEXT)
    plugin.flush_now(60)
    assert slow.reached.wait(30)
    try:
        assert plugin.close_now(0.2) is True
    finally:
        slow.go_on.set()
    assert plugin.stats.stored == plugin.stats.captured == 1


def test_who_waits_for_a_flush_while_hooks_end_does_not_wait_for_nothing(mock_database: Any):
    plugin, slow = MongoPlugin(database=mock_database), Slow()
    plugin.register(slow)
    plugin.start_now()
    sink = plugin._sink
    plugin.record("CP1", "sent", TEXT)
    assert slow.reached.wait(30)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        closing = pool.submit(plugin.close_now, 60)
        try:
            wait_until(lambda: sink.buffer.closed)
            assert pool.submit(sink.flush_now, 600).result(30) is True
        finally:
            slow.go_on.set()
        assert closing.result(60) is True


def test_sessions_that_are_not_stored_are_not_said_to_be(caplog: pytest.LogCaptureFixture):
    plugin = MongoPlugin(NOBODY, durability="memory", operation_timeout=0.5)
    plugin.start_now()
    plugin.attach(ChargePoint("CP1", join()[0]))
    assert plugin.close_now(0) is False
    assert plugin.stats.lost_changes == 2
    assert "0 frame(s) not stored, nor 2 change(s) of sessions" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_is_well_before_its_first_frame(mock_database: Any):
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.write(writing, str(plugin.health).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert answer.read() == "ok: the first frame of this process starts its recording"
    os.waitpid(child, 0)
    assert plugin.close_now() is True


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("mongodb://Alpha/?appName=ops@example.com", "alpha"),
        ("mongodb://user:pass@beta:1,alpha/db?appName=a@b", "alpha,beta:1"),
        ("mongodb+srv://user@gamma.example", "gamma.example"),
    ],
)
def test_journals_are_for_the_hosts_of_a_uri_whatever_its_options_have(uri: str, server: str):
    assert target_of(read_settings({"uri": uri})).server == server


def test_a_record_that_cannot_be_put_into_words_is_the_logs_own_matter():
    with kept_out_of_log():
        pass
    (ours,) = [one for one in logging.getLogger("pymongo.command").filters if type(one).__name__ == "_OurClients"]
    assert ours.filter(logging.LogRecord("pymongo.command", logging.DEBUG, "", 1, "%d", ("x",), None)) is True
