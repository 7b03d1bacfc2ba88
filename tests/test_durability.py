"""What is promised when MongoDB, the process or the disk goes away: through MongoPlugin, as its users meet it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import ocpp.v16.call
import pytest
from pymongo.errors import AutoReconnect
from test_plugin import CSMS, charge, csms, place, station  # noqa: F401 - a fixture
from transcripts import start, started, stop
from waiting import wait_until_async

from ocpp_mongo_plugin import MongoPlugin, NotStartedError, SettingError, StoreUnavailableError
from ocpp_mongo_plugin.dead_letters import DeadLetterFiles, frame_of
from ocpp_mongo_plugin.journal import segment_paths

NOWHERE = "mongodb://127.0.0.1:1/"
HEARTBEAT = '[2,"%d","Heartbeat",{}]'


def quick(**values: Any) -> dict[str, Any]:
    return {"operation_timeout": 0.3, "shutdown_timeout": 0.2, **values}


def journals(directory: Path) -> list[Path]:
    return [path for one in directory.rglob("lock") for path in segment_paths(one.parent)]


def equation(stats: Any) -> None:
    assert stats.captured == stats.stored + stats.waiting + stats.dead_lettered + sum(stats.lost.values())


async def test_frames_outlive_a_program_that_ends_while_mongodb_is_away(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The journal is keyed by server and database, so the second program names the same, and reaches it."""
    where = {"database": database_name, "durability": "journal", "journal_directory": tmp_path}
    plugin = MongoPlugin(mongo_uri, **quick(**where))
    plugin._connect = MongoPlugin(NOWHERE, **quick(**where))._connect
    await plugin.start()
    for number in range(300):
        plugin.record("CP1", "received", HEARTBEAT % number, "1.6")
    assert not await plugin.close()
    equation(plugin.stats)
    assert plugin.stats.waiting == 300
    assert "300 frame(s) wait in the journal" in caplog.text
    async with MongoPlugin(mongo_uri, **where) as second:
        await wait_until_async(lambda: second.stats.recovered == 300 and not second.is_recovering)
        second.record("CP1", "received", HEARTBEAT % 300, "1.6")
        await second.flush()
        assert await second.sessions.by_station("CP1") != []
    found = [m["message_id"] for m in plain.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)])]
    assert found == [str(number) for number in range(301)]
    assert {s["status"] for s in plain.sessions.find()} == {"closed"}
    assert not journals(tmp_path)


async def test_a_transaction_that_a_dead_process_began_is_completed_from_its_journal(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    where = {"database": database_name, "durability": "journal", "journal_directory": tmp_path}
    first = MongoPlugin(mongo_uri, **quick(**where))
    first._connect = MongoPlugin(NOWHERE, **quick(**where))._connect
    await first.start()
    first.record("CP1", "received", start("1")[1:], "1.6")
    await first.close()
    async with MongoPlugin(mongo_uri, **where) as second:
        await wait_until_async(lambda: second.stats.recovered == 1 and not second.is_recovering)
        second.record("CP1", "sent", started("1", 7)[1:], "1.6")
        second.record("CP1", "received", stop("2", 7)[1:], "1.6")
        await second.flush()
    (transaction,) = plain.transactions.find()
    assert transaction["status"] == "completed"


@pytest.mark.parametrize("subprotocol", CSMS)
async def test_recorded_by_way_of_the_journal_the_database_is_the_same(
    mock_database: Any, tmp_path: Path, subprotocol: str
):
    async with MongoPlugin(database=mock_database, durability="journal", journal_directory=tmp_path) as plugin:
        async with csms() as url, station(url, subprotocol) as charge_point:
            await charge(charge_point, subprotocol)
        await plugin.flush()
        stats = plugin.stats
        assert stats.stored == stats.captured > 0
        assert journals(tmp_path)
    assert not journals(tmp_path)


async def test_a_uri_means_a_journal_and_a_handle_or_nothing_means_memory(
    mock_database: Any, monkeypatch: pytest.MonkeyPatch
):
    assert MongoPlugin(NOWHERE).durability == "memory"  # under pytest
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    assert MongoPlugin(NOWHERE).durability == "journal"
    assert MongoPlugin(database=mock_database).durability == "memory"
    assert MongoPlugin().durability == "memory"
    monkeypatch.setenv("OCPP_MONGO_URI", NOWHERE)
    assert MongoPlugin().durability == "journal"
    assert MongoPlugin(durability="memory").durability == "memory"
    monkeypatch.setenv("OCPP_MONGO_DURABILITY", "journal-sync")
    assert MongoPlugin().durability == "journal-sync"


async def test_where_no_journal_can_be_kept_memory_does_and_says_so_once(
    mock_database: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    async with MongoPlugin(database=mock_database, durability="journal", journal_directory=in_the_way) as plugin:
        plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
        await plugin.flush()
        assert plugin.stats.stored == 1
    said = [record.message for record in caplog.records if "journal" in record.message]
    assert len(said) == 1
    assert "frames wait in memory alone" in said[0]


async def test_journal_sync_holds_a_frame_up_until_the_disk_has_it(mock_database: Any, tmp_path: Path):
    where = {"database": mock_database, "durability": "journal-sync", "journal_directory": tmp_path}
    async with MongoPlugin(**where) as plugin:
        synced: list[int] = []
        journal = plugin._buffer.journal
        async with csms() as url, station(url, "ocpp1.6") as charge_point:
            original = charge_point._connection.send

            async def send(text: str) -> None:
                synced.append(journal.appended - journal.synced)
                await original(text)

            charge_point._connection.send = send
            await charge_point.call(ocpp.v16.call.Heartbeat())
        assert synced == [0]


async def test_a_long_frame_that_may_hold_a_credential_does_not_hold_the_host_up(mock_database: Any, tmp_path: Path):
    """It waits in memory alone, is redacted behind the buffer, and never reaches the disk as it was."""
    where = {"database": mock_database, "durability": "journal", "journal_directory": tmp_path, "flush_interval": 5}
    long = '[2,"1","DataTransfer",{"vendorId":"v","data":"c4n4ry"},"%s"]' % ("x" * 200_000)
    plain = '[2,"2","LogStatusNotification",{"x":"%s"}]' % ("y" * 200_000)
    async with MongoPlugin(**where) as plugin:
        plugin.record("CP1", "received", long, "1.6")
        plugin.record("CP1", "received", plain, "1.6")
        on_disk = b"".join(path.read_bytes() for path in journals(tmp_path))
        assert b"c4n4ry" not in on_disk
        assert plain.encode() in on_disk
        found = await plugin.messages.find(limit=None)
    assert sorted(len(m.raw) > 200_000 for m in found) == [True, True]
    assert not [m for m in found if "c4n4ry" in m.raw]


# -- overflow ---------------------------------------------------------------------------------------------------


async def test_the_policy_wait_holds_the_host_up_without_blocking_its_loop(mock_database: Any):
    blocked = threading.Event()
    plugin = MongoPlugin(
        database=mock_database, overflow="wait", overflow_wait=30, buffer_size=4, batch_size=1, exclude_actions=[]
    )
    connect_store = plugin._connect
    plugin._connect = lambda: blocked.wait(20) and connect_store()
    async with plugin, csms() as url, station(url, "ocpp1.6") as charge_point:
        while not plugin._buffer.is_congested:
            plugin.record("CP9", "received", HEARTBEAT % 1, "1.6")
        turns = 0
        asked = asyncio.ensure_future(charge_point.call(ocpp.v16.call.Heartbeat()))
        while turns < 50:
            await asyncio.sleep(0)
            turns += 1
        assert not asked.done()
        blocked.set()
        await asyncio.wait_for(asked, 20)
        await plugin.flush()
        stats = plugin.stats
        assert stats.held_up >= 1
        assert not stats.lost
        equation(stats)


async def test_the_policy_wait_ends_and_the_frame_is_lost_and_counted(mock_database: Any):
    blocked = threading.Event()
    plugin = MongoPlugin(database=mock_database, overflow="wait", overflow_wait=0.01, buffer_size=4, batch_size=1)
    connect_store = plugin._connect
    plugin._connect = lambda: blocked.wait(20) and connect_store()
    async with plugin, csms() as url, station(url, "ocpp1.6") as charge_point:
        while not plugin._buffer.is_congested:
            plugin.record("CP9", "received", HEARTBEAT % 1, "1.6")
        await charge_point.call(ocpp.v16.call.Heartbeat())
        assert plugin.stats.lost["buffer full"] >= 2
        assert plugin.health.state == "down"
        blocked.set()
        await plugin.flush()


# -- loss is visible --------------------------------------------------------------------------------------------


async def test_a_gap_is_written_once_the_store_is_back(place: dict[str, Any]):  # noqa: F811
    blocked = threading.Event()
    plugin = MongoPlugin(**place, buffer_size=10, batch_size=1, durability="memory")
    connect_store = plugin._connect
    plugin._connect = lambda: blocked.wait(20) and connect_store()
    async with plugin:
        for number in range(25):
            plugin.record("CP1", "received", HEARTBEAT % number, "1.6")
        blocked.set()
        await plugin.flush()
        await wait_until_async(lambda: plugin.gaps("CP1"))
        (gap,) = await plugin.gaps("CP1")
        assert gap.frames == plugin.stats.lost["buffer full"] == 25 - plugin.stats.stored
        assert gap.reason == "buffer full"
        assert gap.last_sequence == 24
        assert await plugin.gaps("CP2") == []
        stored = {m.sequence for m in await plugin.messages.find(limit=None)}
        missing = set(range(25)) - stored
        assert (min(missing), max(missing), len(missing)) == (gap.first_sequence, gap.last_sequence, gap.frames)


# -- health -----------------------------------------------------------------------------------------------------


async def test_health_says_what_is_wrong(mock_database: Any, tmp_path: Path):
    plugin = MongoPlugin(database=mock_database, durability="journal", journal_directory=tmp_path)
    assert plugin.health.state == "down"
    async with plugin:
        await plugin.flush()
        assert str(plugin.health) == "ok: frames are stored"
        plugin._buffer.journal.trouble = "ENOSPC: No space left on device"
        plugin._buffer.journal._next_try = float("inf")
        assert plugin.health.state == "degraded"
        assert "ENOSPC" in plugin.health.reason
    assert plugin.health.state == "down"


async def test_a_server_that_is_away_is_degraded_and_one_that_refuses_is_down():
    async with MongoPlugin(NOWHERE, **quick()) as plugin:
        plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
        await wait_until_async(lambda: plugin.health.state == "degraded")
        assert "1 frame(s) wait in memory" in plugin.health.reason


# -- forks ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads and fork: that is what this is about
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("durability", ["memory", "journal"])
async def test_a_child_sends_nothing_of_its_parents_and_all_of_its_own(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path, durability: str
):
    """F19."""
    where = {"durability": durability, "journal_directory": tmp_path, "flush_interval": 5, "batch_size": 100_000}
    async with MongoPlugin(mongo_uri, database_name, **where) as plugin:
        for number in range(50):
            plugin.record("parent", "received", HEARTBEAT % number, "1.6")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for number in range(20):
                    plugin.record("child", "received", HEARTBEAT % number, "1.6")
                sink = plugin._sink
                sink.begin_close(20)
                code = int(not sink.join(20) or plugin.stats.stored != 20)
            finally:
                os._exit(code)
        _, status = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
        assert status == 0
        assert plain.ocpp_messages.count_documents({"station_id": "parent"}) == 0
        await plugin.flush()
    counts = {name: plain.ocpp_messages.count_documents({"station_id": name}) for name in ("parent", "child")}
    assert counts == {"parent": 50, "child": 20}
    assert plain.sessions.count_documents({}) == 2
    assert not journals(tmp_path)


# -- dead letters -----------------------------------------------------------------------------------------------


async def test_what_not_even_the_dead_letters_take_is_kept_on_disk(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    nothing = {"validator": {"never": {"$exists": True}}}
    plain.create_collection("ocpp_messages", **nothing)
    plain.create_collection("dead_letters", **nothing)
    text = '[2,"1","Heartbeat",{"x":"\\ud800 é"}]'.encode().decode("unicode_escape")
    where = {"durability": "memory", "journal_directory": tmp_path}
    async with MongoPlugin(mongo_uri, database_name, **where) as plugin:
        plugin.record("CP1", "received", text, "1.6")
        await plugin.flush()
        assert plugin.stats.dead_lettered == 1
        equation(plugin.stats)
        (letter,) = DeadLetterFiles(tmp_path / plugin._target().directory).read()
    frame = frame_of(letter)
    assert frame is not None
    assert (frame.text, frame.station_id, frame.sequence) == (text, "CP1", 0)


# -- persons ----------------------------------------------------------------------------------------------------


async def test_a_forgotten_id_tag_is_nowhere_and_does_not_come_back(place: dict[str, Any]):  # noqa: F811
    frames = [("received", start("1", tag="Alice-1")[1:]), ("sent", started("1", 7)[1:])]
    frames += [("received", stop("2", 7, idTag="ALICE-1")[1:]), ("received", start("3", tag="Bob")[1:])]
    async with MongoPlugin(**place, durability="memory") as plugin:
        for direction, text in frames:
            plugin.record("CP1", direction, text, "1.6")
        changed = await plugin.forget("alice-1")
        assert changed["ocpp_messages"] == 2
        assert changed["transactions"] >= 1
        again = [("received", start("9", tag="Alice-1")[1:])]
        for direction, text in again:
            plugin.record("CP1", direction, text, "1.6")
        await plugin.flush()
        messages = await plugin.messages.find(limit=None)
        assert not [m for m in messages if "alice" in m.raw.lower() or "alice" in str(m.payload).lower()]
        assert len([m for m in messages if m.redacted == ["payload.idTag"]]) == 3
        transactions = await plugin.transactions.by_station("CP1", limit=None)
        assert not [t for t in transactions if "alice" in f"{t.id_tag} {t.stop_id_tag}".lower()]
        assert await plugin.transactions.by_id_tag("Bob") != []
        counts = await plugin.counts()
    async with MongoPlugin(**place, durability="memory") as second:  # a process that was not there
        await second.flush()
        second.record("CP2", "received", start("1", tag="Alice-1")[1:], "1.6")
        await second.flush()
        (message,) = await second.messages.find(station_id="CP2")
        assert "Alice" not in message.raw
        with pytest.raises(ValueError, match="id_tag is empty"):
            await second.forget(" ")
    assert counts["transactions"] == 3
    with pytest.raises(NotStartedError):
        await second.forget("x")


async def test_pseudonyms_still_join_and_are_found_by_the_id_tag(mock_database: Any):
    with pytest.raises(SettingError, match="pseudonym_key"):
        MongoPlugin(database=mock_database, personal_data="pseudonymise")
    settings = {"personal_data": "pseudonymise", "pseudonym_key": "k3y-of-the-lab"}
    async with MongoPlugin(database=mock_database, **settings) as plugin:
        plugin.record("CP1", "received", start("1", tag="Alice-1")[1:], "1.6")
        plugin.record("CP1", "sent", started("1", 7)[1:], "1.6")
        plugin.record("CP1", "received", stop("2", 7, idTag="Alice-1")[1:], "1.6")
        (transaction,) = await plugin.transactions.by_id_tag("Alice-1")
        assert transaction.id_tag == transaction.stop_id_tag != "Alice-1"
        assert "Alice" not in str(await plugin.messages.find(limit=None))
        await plugin.transactions.create(9, "CP2", connector_id=1, id_tag="Alice-1", meter_start=0)
        assert len(await plugin.transactions.by_id_tag("Alice-1")) == 2
    assert "k3y-of-the-lab" not in repr(plugin.settings)


async def test_a_flush_that_cannot_be_names_the_server_and_the_error():
    async with MongoPlugin(NOWHERE, **quick()) as plugin:
        plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
        with pytest.raises(StoreUnavailableError, match="1 frame"):
            await plugin.flush(0.05)


async def test_a_plugin_that_starts_again_stores_what_it_left(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    plugin = MongoPlugin(mongo_uri, database_name, **quick(durability="journal", journal_directory=tmp_path))
    connect = plugin._connect
    plugin._connect = MongoPlugin(NOWHERE, **quick())._connect
    await plugin.start()
    plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
    assert not await plugin.close()
    assert plugin.stats.waiting == 1
    plugin._connect = connect
    async with plugin:
        await wait_until_async(lambda: plugin.stats.recovered == 1 and not plugin.is_recovering)
        assert plugin._buffer.journal is not None
    assert plain.ocpp_messages.count_documents({}) == 1
    assert not journals(tmp_path)


async def test_two_plugins_for_one_database_have_a_journal_each(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    where = {"durability": "journal", "journal_directory": tmp_path}
    async with (
        MongoPlugin(mongo_uri, database_name, **where) as one,
        MongoPlugin(mongo_uri, database_name, **where) as two,
    ):
        one.record("CP1", "received", HEARTBEAT % 1, "1.6")
        two.record("CP2", "received", HEARTBEAT % 1, "1.6")
        assert len(journals(tmp_path)) == 2
        await one.flush()
        await two.flush()
        assert (one.stats.recovered, two.stats.recovered) == (0, 0)
    assert plain.ocpp_messages.count_documents({}) == 2


def test_what_is_shown_of_a_uri_has_neither_password_nor_options():
    plugin = MongoPlugin(
        "mongodb://u:pw@127.0.0.1/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret", durability="memory"
    )
    assert plugin.settings.shown_uri == "mongodb://u:***@127.0.0.1/"


@pytest.mark.parametrize("durability", ["memory", "journal"])
async def test_a_signal_handler_may_record(mock_database: Any, tmp_path: Path, durability: str):
    where = {"database": mock_database, "durability": durability, "journal_directory": tmp_path}
    async with MongoPlugin(**where) as plugin:
        taken = 0

        def handler(_signal: int, _frame: Any) -> None:
            nonlocal taken
            taken += 1
            plugin.record("CP2", "received", HEARTBEAT % taken, "1.6")
            signal.setitimer(signal.ITIMER_REAL, 0.0005)  # not before: on a busy machine it would interrupt itself

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            recorded = 0
            while taken < 50:
                plugin.record("CP1", "received", HEARTBEAT % recorded, "1.6")
                recorded += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        await plugin.flush(60)
        assert plugin.stats.stored == plugin.stats.captured == recorded + taken


async def test_a_session_that_was_closed_in_order_is_not_said_to_be_abandoned(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    where = {"database": database_name, "durability": "journal", "journal_directory": tmp_path}
    first = MongoPlugin(mongo_uri, **where, shutdown_timeout=0.2)
    await first.start()
    first.record("CP1", "received", HEARTBEAT % 1, "1.6")
    await first.flush()
    # From here on the server is away, for this process.
    first._sink._store.write = lambda *_arguments, **_keywords: (_ for _ in ()).throw(AutoReconnect("away"))
    first.record("CP1", "received", HEARTBEAT % 2, "1.6")
    first.end("CP1")
    assert not await first.close()
    async with MongoPlugin(mongo_uri, **where) as second:
        await wait_until_async(lambda: second.stats.recovered and not second.is_recovering)
    (session,) = plain.sessions.find()
    assert (session["status"], session["error"], session["messages_received"]) == ("closed", None, 2)


async def test_a_document_of_a_station_that_mongodb_will_not_take_costs_the_others_nothing(
    mongo_uri: str, database_name: str, plain: Any
):
    plain.create_collection("stations", validator={"station_id": {"$ne": "bad"}})
    text = '[2,"%d","StatusNotification",{"connectorId":%d,"status":"Available","errorCode":"NoError","info":"%s"}]'
    async with MongoPlugin(mongo_uri, database_name, durability="memory", batch_limit=10) as plugin:
        for number in range(30):
            plugin.record("bad", "received", text % (number, number, "x" * 1_000_000), "1.6")
            plugin.record("good", "received", HEARTBEAT % number, "1.6")
        await plugin.flush(60)
        assert plugin.stats.stored == 60
        assert plugin.health.state == "ok"
    assert [station["station_id"] for station in plain.stations.find()] == ["good"]


async def test_a_frame_that_nothing_keeps_is_lost_and_not_stored(
    mongo_uri: str, database_name: str, plain: Any, tmp_path: Path
):
    for name in ("ocpp_messages", "dead_letters"):
        plain.create_collection(name, validator={"never": {"$exists": True}})
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    where = {"durability": "memory", "journal_directory": in_the_way}
    async with MongoPlugin(mongo_uri, database_name, **where) as plugin:
        plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
        await plugin.flush()
        assert dict(plugin.stats.lost) == {"refused by MongoDB": 1}
        assert plugin.stats.stored == 0
        equation(plugin.stats)
        await wait_until_async(lambda: plugin.gaps("CP1"))


async def test_only_what_is_recorded_is_held_up(mock_database: Any):
    blocked = threading.Event()
    plugin = MongoPlugin(
        database=mock_database, overflow="wait", overflow_wait=30, buffer_size=4, batch_size=1, record_all=False
    )
    connect_store = plugin._connect
    plugin._connect = lambda: blocked.wait(20) and connect_store()
    async with plugin, csms() as url, station(url, "ocpp1.6") as charge_point:
        while not plugin._buffer.is_congested:
            plugin.record("CP9", "received", HEARTBEAT % 1, "1.6")
        await asyncio.wait_for(charge_point.call(ocpp.v16.call.Heartbeat()), 10)
        assert plugin.stats.held_up == 0
        blocked.set()


async def test_without_a_home_memory_does(mock_database: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any):
    def homeless(_path: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    where = {"durability": "journal", "journal_directory": "~/journals"}
    async with MongoPlugin(database=mock_database, **where) as plugin:
        plugin.record("CP1", "received", HEARTBEAT % 1, "1.6")
        await plugin.flush()
        assert plugin.stats.stored == 1
    assert len([r for r in caplog.records if "this user has no home" in r.message]) == 1
