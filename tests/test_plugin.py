"""MongoPlugin as users meet it: real ChargePoints over real WebSockets, in memory and on a real mongod."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import ocpp.charge_point
import ocpp.v16
import pytest
from ocpp.routing import on
from transcripts import answer, call, start, started, stop
from versions import EACH_VERSION, V16, VERSIONS, path_of
from waiting import wait_until, wait_until_async
from websockets import connect, serve
from websockets.exceptions import ConnectionClosed

from ocpp_mongo_plugin import (
    ArgumentError,
    MongoPlugin,
    NotFoundError,
    NotStartedError,
    SettingError,
    StoreUnavailableError,
    hookimpl,
)

NOW = "2026-03-01T10:00:00Z"
LATER = "2026-03-01T11:00:00Z"


@pytest.fixture(params=["mock", *(pytest.param(name, marks=pytest.mark.mongod) for name in ("uri", "handle"))])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments that say where to record."""
    if request.param == "mock":
        return {"database": request.getfixturevalue("mock_database")}
    uri, name = request.getfixturevalue("mongo_uri"), request.getfixturevalue("database_name")
    if request.param == "uri":
        return {"uri": uri, "database": name}
    return {"database": request.getfixturevalue("reading_client")(uri)[name]}


class Csms16(ocpp.v16.ChargePoint):
    @on("BootNotification")
    def boot(self, **_: Any):
        return V16.call_result.BootNotification(current_time=NOW, interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self):
        return V16.call_result.Heartbeat(current_time=NOW)

    @on("StatusNotification")
    def status(self, **_: Any):
        return V16.call_result.StatusNotification()

    @on("StartTransaction")
    def start_transaction(self, **_: Any):
        return V16.call_result.StartTransaction(transaction_id=7, id_tag_info={"status": "Accepted"})

    @on("MeterValues")
    def meter_values(self, **_: Any):
        return V16.call_result.MeterValues()

    @on("StopTransaction")
    def stop_transaction(self, **_: Any):
        return V16.call_result.StopTransaction()


def _csms2(version: Any):
    class Csms(version.ChargePoint):
        @on("BootNotification")
        def boot(self, **_: Any):
            return version.call_result.BootNotification(current_time=NOW, interval=300, status="Accepted")

        @on("TransactionEvent")
        def transaction_event(self, **_: Any):
            return version.call_result.TransactionEvent(id_token_info={"status": "Accepted"})

    return Csms


CSMS = {
    f"ocpp{version}": Csms16 if version == "1.6" else _csms2(library)
    for version, library in VERSIONS.items()
    if library
}


async def charge16(station: Any) -> None:
    calls = V16.call
    await station.call(calls.BootNotification(charge_point_vendor="v", charge_point_model="m"))
    await station.call(calls.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
    begun = await station.call(calls.StartTransaction(connector_id=1, id_tag="T", meter_start=1000, timestamp=NOW))
    sample = {"value": "2.5", "unit": "kWh"}
    value = [{"timestamp": LATER, "sampled_value": [sample]}]
    await station.call(calls.MeterValues(connector_id=1, transaction_id=begun.transaction_id, meter_value=value))
    await station.call(calls.Heartbeat())
    await station.call(
        calls.StopTransaction(meter_stop=3000, timestamp=LATER, transaction_id=begun.transaction_id, reason="Remote")
    )


async def charge2(station: Any, calls: Any) -> None:
    await station.call(calls.BootNotification(charging_station={"vendor_name": "v", "model": "m"}, reason="PowerUp"))
    for number, (kind, energy) in enumerate([("Started", 1000), ("Updated", 1500), ("Ended", 3000)]):
        await station.call(
            calls.TransactionEvent(
                event_type=kind,
                timestamp=LATER if number else NOW,
                trigger_reason="Authorized",
                seq_no=number,
                transaction_info={"transaction_id": "tx-1"},
                evse={"id": 1, "connector_id": 1},
                id_token={"id_token": "T", "type": "ISO14443"},
                meter_value=[{"timestamp": LATER, "sampled_value": [{"value": energy}]}],
            )
        )


@asynccontextmanager
async def csms() -> AsyncIterator[str]:
    """A CSMS of all three versions; gives its URL."""

    async def on_connect(connection: Any, _path: str | None = None) -> None:
        charge_point = CSMS[connection.subprotocol](path_of(connection).strip("/"), connection)
        with suppress(ConnectionClosed):
            await charge_point.start()

    async with serve(on_connect, "127.0.0.1", 0, subprotocols=list(CSMS)) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def station(url: str, subprotocol: str, station_id: str = "CP1") -> AsyncIterator[Any]:
    async with connect(f"{url}/{station_id}", subprotocols=[subprotocol]) as connection:
        charge_point = VERSIONS[subprotocol.removeprefix("ocpp")].ChargePoint(station_id, connection)
        reading = asyncio.ensure_future(charge_point.start())
        try:
            yield charge_point
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await reading


async def charge(charge_point: Any, subprotocol: str) -> None:
    if subprotocol == "ocpp1.6":
        await charge16(charge_point)
    else:
        await charge2(charge_point, VERSIONS[subprotocol.removeprefix("ocpp")].call)


@pytest.mark.parametrize("version", EACH_VERSION)
async def test_both_ends_of_a_charge(place: dict[str, Any], version: str):
    subprotocol = f"ocpp{version}"
    async with MongoPlugin(**place) as plugin:
        async with csms() as url, station(url, subprotocol) as charge_point:
            await charge(charge_point, subprotocol)
            (transaction,) = await plugin.transactions.by_station("CP1")
            (connected,) = await plugin.stations.connected()
            assert connected.connected_at is not None
        assert (transaction.status, transaction.energy_consumed) == ("completed", 2000)
        assert transaction.anomalies == []
        messages = await plugin.messages.find(station_id="CP1", limit=None)
        assert {m.protocol_version for m in messages} == {subprotocol.removeprefix("ocpp")}
        calls = [m for m in messages if m.message_type == "Call"]
        assert {m.outcome for m in calls} == {"answered"}
        await wait_until_async(lambda: _closed(plugin))
        by_role = {s.role: s for s in await plugin.sessions.by_station("CP1")}
        assert set(by_role) == {"station", "csms"}
        for session in by_role.values():
            found = await plugin.messages.find(session_id=session.session_id, limit=None, newest_first=False)
            assert [m.sequence for m in found] == list(range(len(messages) // 2))
            assert (session.status, session.close_code, session.error) == ("closed", 1000, None)
            assert session.messages_sent + session.messages_received == len(messages) // 2
        found = await plugin.stations.get("CP1")
        assert (found.connection_status, found.last_error) == ("disconnected", None)
        assert found.connected_at is not None
        expected = 1 if subprotocol == "ocpp1.6" else 3
        assert len(await plugin.meter_values.by_transaction(transaction)) == expected


async def _closed(plugin: MongoPlugin) -> bool:
    return not await plugin.sessions.open()


async def test_the_database_is_live_without_a_flush(place: dict[str, Any], request: pytest.FixtureRequest):
    async with MongoPlugin(**place) as plugin:
        plugin.record("CP1", "received", start("1")[1:], "1.6")
        await wait_until_async(lambda: plugin.stats.stored == 1)
        if "uri" in place:
            assert request.getfixturevalue("plain")["transactions"].count_documents({"status": "active"}) == 1


async def test_record_by_hand_needs_no_charge_point(place: dict[str, Any]):
    async with MongoPlugin(**place, record_all=False) as plugin:
        for line in (start("1"), started("1", 7), stop("2", 7)):
            plugin.record("CP1", "received" if line[0] == "S" else "sent", line[1:], "ocpp1.6")
        transaction = await plugin.transactions.get(7, "CP1")
        assert transaction.energy_consumed == 2000
        (session,) = await plugin.sessions.by_station("CP1")
        assert (session.source, session.status) == ("manual", "open")
        plugin.end("CP1")
        assert (await plugin.sessions.get(session.session_id)).status == "closed"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("CP1", "sideways", "[]"), "direction"),
        ((1, "sent", "[]"), "station_id"),
        (("CP1", "sent", {}), "text"),
    ],
)
async def test_record_names_a_wrong_argument(mock_database: Any, arguments: Any, named: str):
    async with MongoPlugin(database=mock_database) as plugin:
        with pytest.raises(ArgumentError, match=named):
            plugin.record(*arguments)


async def test_only_what_is_attached_is_recorded(mock_database: Any):
    async with MongoPlugin(database=mock_database, record_all=False) as plugin, csms() as url:
        async with station(url, "ocpp1.6", "A") as first, station(url, "ocpp1.6", "B") as second:
            plugin.attach(first)
            await charge16(first)
            await charge16(second)
        assert {s.station_id for s in await plugin.stations.all()} == {"A"}
        assert {s.role for s in await plugin.sessions.find()} == {"station"}


async def test_leaving_restores_every_class(mock_database: Any):
    before = [(cls, dict(vars(cls))) for cls in _family(ocpp.charge_point.ChargePoint)]
    async with MongoPlugin(database=mock_database):
        assert dict(vars(ocpp.charge_point.ChargePoint)) != before[0][1]

        class Late(ocpp.v16.ChargePoint):
            async def start(self):
                return None

        late = vars(Late)["start"]
    for cls, members in before:
        assert dict(vars(cls)) == members
    assert vars(Late)["start"] is not late


def _family(cls: type) -> list[type]:
    return [cls, *(c for s in cls.__subclasses__() for c in _family(s))]


async def test_no_thread_is_left(mock_database: Any):
    before = set(threading.enumerate())
    async with MongoPlugin(database=mock_database) as plugin:
        plugin.record("CP1", "sent", "[]")
        await plugin.flush()
        assert {t.name for t in set(threading.enumerate()) - before} == {"ocpp-mongo-sink"}
    assert set(threading.enumerate()) <= before


async def test_reads_that_need_no_flush(mock_database: Any):
    async with MongoPlugin(database=mock_database, flush_before_read=False, flush_interval=5) as plugin:
        plugin.record("CP1", "sent", "[]")
        assert await plugin.messages.find() == []
        await plugin.flush()
        assert len(await plugin.messages.find()) == 1


async def test_the_figures_add_up(mock_database: Any):
    async with MongoPlugin(database=mock_database, exclude_actions=["Heartbeat"]) as plugin:
        lines = [
            start("1"),
            started("1", 7),
            call("S", "2", "Heartbeat", {}),
            answer("C", "2", {}),
            'C[4,"9","X","",{}]',
        ]
        for line in lines:
            plugin.record("CP1", "received" if line[0] == "S" else "sent", line[1:], "1.6")
        await plugin.flush()
        stats = plugin.stats
    assert (stats.captured, stats.stored, stats.waiting, stats.left_out) == (3, 3, 0, 2)
    assert (stats.total_messages, stats.sent_messages, stats.received_messages) == (5, 3, 2)
    assert (stats.call_messages, stats.call_result_messages, stats.call_error_messages) == (2, 2, 1)
    assert (stats.dropped_messages, stats.buffered_messages, dict(stats.lost)) == (0, 0, {})
    assert stats.flush_count >= 1
    assert stats.last_flush is not None


async def test_a_full_buffer_loses_what_is_newest_and_counts_it(mock_database: Any, caplog: pytest.LogCaptureFixture):
    losses: list[Any] = []

    class Mourner:
        @hookimpl
        def ocpp_frames_lost(self, loss: Any) -> None:
            losses.append(loss)

    blocked = threading.Event()
    plugin = MongoPlugin(database=mock_database, buffer_size=10, batch_size=1, flush_interval=5)
    plugin.register(Mourner())
    connect_store = plugin._connect
    plugin._connect = lambda: blocked.wait(10) and connect_store()
    async with plugin:
        for _ in range(15):
            plugin.record("CP1", "sent", "[]")
        stats = plugin.stats
        assert stats.captured == 15
        assert stats.captured == stats.stored + stats.waiting + stats.dead_lettered + sum(stats.lost.values())
        assert stats.lost["buffer full"] >= 4
        blocked.set()
        await plugin.flush()
        stats = plugin.stats
        assert stats.captured == stats.stored + sum(stats.lost.values())
        await wait_until_async(lambda: sum(loss.count for loss in losses) == stats.lost["buffer full"])
    assert [r.message for r in caplog.records if "loses frames" in r.message] != []


async def test_a_program_that_creates_its_transactions_itself_ends_with_one_document(place: dict[str, Any]):
    async with MongoPlugin(**place) as plugin:
        plugin.record("CP1", "received", start("1")[1:], "1.6")
        await plugin.transactions.create(7, "CP1", connector_id=1, id_tag="A", meter_start=1000, protocol_version="1.6")
        plugin.record("CP1", "sent", started("1", 7)[1:], "1.6")
        plugin.record("CP1", "received", stop("2", 7)[1:], "1.6")
        await plugin.transactions.complete(7, "CP1", 3000, "Local")
        (transaction,) = await plugin.transactions.by_station("CP1")
        assert (transaction.status, transaction.energy_consumed) == ("completed", 2000)


async def test_the_life_of_a_transaction_by_hand(place: dict[str, Any]):
    async with MongoPlugin(**place) as plugin:
        transactions = plugin.transactions
        created = await transactions.create(-1, "CP1", connector_id=1, id_tag="A", meter_start=100)
        assert (created.status, created.transaction_id) == ("active", -1)
        renamed = await transactions.update_transaction_id(-1, "CP1", 42)
        assert renamed.id == created.id
        assert (await transactions.update(42, "CP1", id_tag="B")).id_tag == "B"
        assert (await transactions.active_on_connector("CP1", 1)).transaction_id == 42
        completed = await transactions.complete(42, "CP1", 600, "Remote")
        assert (completed.status, completed.energy_consumed, completed.reason) == ("completed", 500, "Remote")
        await transactions.create(43, "CP1", connector_id=2, id_tag="B", meter_start=0)
        failed = await transactions.mark_failed(43, "CP1", "power cut")
        assert (failed.status, failed.failure) == ("failed", "power cut")
        stats = await transactions.stats("CP1")
        assert (stats.total, stats.active, stats.completed, stats.failed) == (2, 0, 1, 1)
        assert (stats.total_energy_wh, stats.average_energy_wh) == (500, 500)
        assert [t.transaction_id for t in await transactions.by_id_tag("B")] == [43, 42]
        await transactions.delete(43, "CP1")
        assert await transactions.count(station_id="CP1") == 1
        with pytest.raises(NotFoundError, match="43"):
            await transactions.get(43, "CP1")
        with pytest.raises(NotFoundError):
            await transactions.complete(99, "CP1", 1, "Local")
        with pytest.raises(ArgumentError, match="nonsense"):
            await transactions.update(42, "CP1", nonsense=1)


async def test_values_from_outside_are_never_operators(place: dict[str, Any]):
    async with MongoPlugin(**place) as plugin:
        plugin.record("CP1", "received", start("1")[1:], "1.6")
        with pytest.raises(ArgumentError, match="station_id"):
            await plugin.messages.find(station_id={"$gt": ""})
        with pytest.raises(ArgumentError, match="transaction_id"):
            await plugin.transactions.get({"$gt": ""}, "CP1")
        assert await plugin.messages.find(text=".*") == []
        assert len(await plugin.messages.find(text="starttransaction")) == 1


async def test_a_station_that_a_person_configured(place: dict[str, Any]):
    async with MongoPlugin(**place) as plugin:
        await plugin.stations.configure("CP1", name="Garage", tags=["home"], auto_start=True)
        plugin.record("CP1", "received", call("S", "1", "Heartbeat", {})[1:], "1.6")
        found = await plugin.stations.get("CP1")
        assert (found.name, found.tags, found.enabled, found.auto_start) == ("Garage", ["home"], True, True)
        assert found.last_heartbeat is not None
        assert [s.station_id for s in await plugin.stations.by_tag("home")] == ["CP1"]
        assert [s.station_id for s in await plugin.stations.enabled(auto_start=True)] == ["CP1"]
        assert [s.station_id for s in await plugin.stations.by_version("ocpp1.6")] in ([], ["CP1"])


async def test_hooks_hear_of_what_happens(mock_database: Any):
    heard: list[str] = []

    class Ears:
        @hookimpl
        def ocpp_frame_received(self, frame: Any) -> None:
            heard.append(f"received {frame.sequence}")
            raise RuntimeError("a plugin that fails")

        @hookimpl
        def ocpp_transaction_started(self, transaction: Any) -> None:
            heard.append(f"started {transaction.station_id}")

        @hookimpl
        def ocpp_transaction_ended(self, transaction: Any) -> None:
            heard.append(f"ended {transaction.energy_consumed}")

        @hookimpl
        def ocpp_session_opened(self, session: Any) -> None:
            heard.append(f"opened {session.station_id}")

    plugin = MongoPlugin(database=mock_database)
    plugin.register(Ears(), "ears")
    async with plugin:
        for line in (start("1"), started("1", 7), stop("2", 7)):
            plugin.record("CP1", "received" if line[0] == "S" else "sent", line[1:], "1.6")
        await plugin.flush()
        await wait_until_async(lambda: "ended 2000" in heard)
        assert plugin.stats.stored == 3
        assert plugin.hook_errors["ears"] == 2
    assert [h for h in heard if not h.startswith("received")] == ["opened CP1", "started CP1", "ended 2000"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"uri": "http://u:pw@h"}, "uri"),
        ({"uri": "mongodb://u:p%w@h/"}, "uri"),
        ({"uri": "mongodb://u:p/w@h/"}, "uri"),
        ({"uri": "u:pw@h"}, "uri"),
        ({"uri": "mongodb:/u:pw@h"}, "uri"),
        ({"uri": "mongodb//u:pw@h"}, "uri"),
        ({"uri": "mongodb://u@example.com:pw@h/"}, "uri"),
        ({"uri": "mongodb://u/x:pw@h/"}, "uri"),
        ({"uri": "mongodb+srv://u:p/w@h.example/"}, "uri"),
        ({"uri": "mongodb+srv://u:12/pw@h.example/"}, "uri"),
        ({"database": 5}, "database takes a name"),
        ({"buffer_size": 0}, "buffer_size"),
        ({"flush_interval": 6}, "flush_interval"),
        ({"nonsense": 1}, "nonsense"),
        ({"stations_collection": "sessions"}, "sessions"),
        ({"stations_collection": "a$b"}, "stations_collection"),
        ({"gaps_collection": "system.gaps"}, "gaps_collection"),
        ({"messages_collection": "a..b"}, "messages_collection"),
        ({"database": "a b"}, "database"),
        ({"database": "a.b"}, "database"),
        ({"database": "x" * 64}, "database"),
    ],
)
def test_a_wrong_setting_is_one_sentence_without_the_password(arguments: Any, sentence: str):
    with pytest.raises(SettingError, match=sentence) as caught:
        MongoPlugin(**arguments)
    for secret in ("pw", "p%w", "p/w", "12"):
        assert secret not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_URI", "mongodb://user:s3cret@db.example/")
    monkeypatch.setenv("OCPP_MONGO_DATABASE", "lab")
    monkeypatch.setenv("OCPP_MONGO_EXCLUDE_ACTIONS", "Heartbeat, MeterValues")
    plugin = MongoPlugin()
    settings = plugin.settings
    assert repr(plugin) == "<MongoPlugin mongodb://user:***@db.example/, database lab: down>"
    assert (settings.database, settings.exclude_actions) == ("lab", {"Heartbeat", "MeterValues"})
    assert settings.shown_uri == "mongodb://user:***@db.example/"
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("OCPP_MONGO_BATCH_SIZE", "many")
    with pytest.raises(SettingError, match="OCPP_MONGO_BATCH_SIZE"):
        MongoPlugin()


def test_a_misspelt_variable_is_a_warning_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OCPP_MONGO_URL", "mongodb://user:s3cret@db.example/")
    for _ in range(2):
        MongoPlugin()
    said = "OCPP_MONGO_URL is no setting, and changes nothing; did you mean OCPP_MONGO_URI?"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [said]


async def test_what_is_not_started_says_so(mock_database: Any):
    plugin = MongoPlugin(database=mock_database)
    with pytest.raises(NotStartedError):
        plugin.record("CP1", "sent", "[]")
    with pytest.raises(NotStartedError):
        await plugin.messages.find()


async def test_an_unreachable_server_is_one_warning_and_a_clear_error(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    uri = "mongodb://user:secret@127.0.0.1:1/"
    async with MongoPlugin(uri, operation_timeout=0.3, shutdown_timeout=0.3) as plugin:
        plugin.record("CP1", "sent", "[]")
        with pytest.raises(StoreUnavailableError, match=r"mongodb://user:\*\*\*@127.0.0.1:1/"):
            await plugin.messages.find()
        assert plugin.stats.waiting == 1
    assert dict(plugin.stats.lost) == {"shutdown": 1}
    ours = [r.getMessage() for r in caplog.records if r.name == "ocpp_mongo_plugin"]
    assert len([m for m in ours if "does not take frames" in m]) == 1
    assert "secret" not in caplog.text


def test_a_flush_without_a_loop_stores_what_was_captured_or_says_what_waits(mock_database: Any):
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()
    plugin.record("CP1", "received", "AT+CSQ", "1.6")
    plugin.flush_now()
    assert plugin.stats.waiting == 0
    assert mock_database.delegate.ocpp_messages.count_documents({}) == 1
    plugin.close_now()
    with pytest.raises(NotStartedError):
        plugin.flush_now()
    nowhere = MongoPlugin("mongodb://127.0.0.1:1/", durability="memory")
    nowhere.start_now()
    nowhere.record("CP1", "received", "AT+CSQ", "1.6")
    with pytest.raises(StoreUnavailableError, match=r"within 0.01 s.*1 frame\(s\) wait in memory"):
        nowhere.flush_now(0.01)
    nowhere.close_now(0)


def test_several_loops_in_several_threads(mock_database: Any):
    plugin = MongoPlugin(database=mock_database)
    asyncio.run(plugin.start())

    def work(number: int) -> None:
        for _ in range(200):
            plugin.record(f"CP{number}", "sent", "[]")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: plugin.stats.stored == 1600)

    async def look() -> list[list[int]]:
        found = [await plugin.messages.find(station_id=f"CP{n}", limit=None) for n in range(8)]
        await plugin.close()
        return [sorted(m.sequence for m in messages) for messages in found]

    assert asyncio.run(look()) == [list(range(200))] * 8


def test_many_threads_that_start_it_start_one_sink(mock_database: Any):
    plugin, before = MongoPlugin(database=mock_database), set(threading.enumerate())
    gate = threading.Barrier(8)

    def take_part() -> None:
        gate.wait()
        plugin.start_now()
        plugin.record("CP1", "sent", "[]")

    threads = [threading.Thread(target=take_part) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.name for one in set(threading.enumerate()) - before].count("ocpp-mongo-sink") == 1
    assert plugin.stats.captured == 8
    assert plugin.close_now() is True
    assert plugin.stats.stored == 8


def test_starting_and_closing_at_once_ends_on_or_off_but_not_between(mock_database: Any):
    plugin, before = MongoPlugin(database=mock_database), dict(vars(ocpp.charge_point.ChargePoint))
    others, gate = set(threading.enumerate()), threading.Barrier(2)

    def close() -> None:
        gate.wait()
        plugin.close_now()

    for _ in range(20):
        thread = threading.Thread(target=close)
        thread.start()
        gate.wait()
        plugin.start_now()
        thread.join()
        is_patched = dict(vars(ocpp.charge_point.ChargePoint)) != before
        assert is_patched is (plugin.health.state != "down")
    plugin.close_now()
    assert dict(vars(ocpp.charge_point.ChargePoint)) == before
    wait_until(lambda: "ocpp-mongo-sink" not in [one.name for one in set(threading.enumerate()) - others])


def test_what_cannot_be_patched_leaves_nothing_on(mock_database: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    plugin = MongoPlugin(database=mock_database, durability="journal", journal_directory=tmp_path)
    before = set(threading.enumerate())
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "ocpp.charge_point", None)
        with pytest.raises(ImportError):
            plugin.start_now()
    assert plugin.health.state == "down"
    with pytest.raises(NotStartedError):
        plugin.record("CP1", "sent", "[]")
    assert [one.name for one in set(threading.enumerate()) - before].count("ocpp-mongo-sink") == 0
    assert not list(tmp_path.rglob("*.journal*"))
    plugin.start_now()
    plugin.record("CP1", "sent", "[]")
    assert plugin.close_now() is True
    assert plugin.stats.stored == 1


async def test_a_flush_that_closing_ends_says_so():
    plugin = MongoPlugin("mongodb://127.0.0.1:1/", operation_timeout=5, shutdown_timeout=0.1)
    await plugin.start()
    plugin.record("CP1", "sent", "[]")
    flushing = asyncio.ensure_future(plugin.flush())
    await wait_until_async(lambda: plugin._sink._waiters)
    assert await plugin.close() is False
    with pytest.raises(StoreUnavailableError):
        await flushing


async def test_an_error_of_ours_is_counted_and_the_next_frames_go_on(
    mock_database: Any, monkeypatch: pytest.MonkeyPatch
):
    async with MongoPlugin(database=mock_database) as plugin:
        recording = plugin._sink._recording
        pair = recording._pair

        def fail_once(*arguments: Any) -> Any:
            monkeypatch.setattr(recording, "_pair", pair)
            raise ValueError("an error of ours")

        monkeypatch.setattr(recording, "_pair", fail_once)
        plugin.record("CP1", "sent", "[]")
        plugin.record("CP1", "sent", "[]")
        await plugin.flush()
        stats = plugin.stats
        assert (stats.captured, stats.stored, stats.waiting, dict(stats.lost)) == (2, 1, 0, {"internal error": 1})
