"""F27 and F30: the hooks of others misbehave; MongoDB is never there. The host is as it is without us."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import pytest
from host import Host, in_memory
from judge import judge, unaccounted
from ocpp.exceptions import NotImplementedError as NotImplementedCall
from ocpp.routing import on
from waiting import wait_until, wait_until_async
from wire import Crossing, join

from ocpp_mongo_plugin import MongoPlugin, hookimpl

NOWHERE = "mongodb://127.0.0.1:1/"
NOW = "2026-03-01T10:00:00Z"
# More than an interpreter busy with two threads keeps a loop waiting.
PATIENCE = 0.25


class Csms(ocpp.v16.ChargePoint):
    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return ocpp.v16.call_result.Heartbeat(current_time=NOW)

    @on("StartTransaction")
    def start_transaction(self, **_: Any) -> Any:
        return ocpp.v16.call_result.StartTransaction(transaction_id=7, id_tag_info={"status": "Accepted"})

    @on("StopTransaction")
    def stop_transaction(self, **_: Any) -> Any:
        raise ZeroDivisionError


async def talk() -> tuple[list[Crossing], list[Crossing], list[str]]:
    """Play one dialogue between two ChargePoints; return all that crossed at either end, and what calls gave."""
    calls = ocpp.v16.call
    station_end, csms_end = join()
    station, csms = ocpp.v16.ChargePoint("CP1", station_end), Csms("CP1", csms_end)
    reading = [asyncio.ensure_future(station.start()), asyncio.ensure_future(csms.start())]
    dialogue = [
        calls.Heartbeat(),
        calls.StartTransaction(connector_id=1, id_tag="T", meter_start=0, timestamp=NOW),
        calls.Authorize(id_tag="T"),
        calls.StopTransaction(meter_stop=5, timestamp=NOW, transaction_id=7),
    ]
    gave = []
    for number, payload in enumerate(dialogue * 25):
        try:
            result = await station.call(payload, suppress=False, unique_id=str(number))
        except Exception as error:  # noqa: BLE001 - which one it is, is compared
            gave.append(repr(error))
        else:
            gave.append(repr(result))
    for end in (station_end, csms_end):
        end.close()
    ended = await asyncio.gather(*reading, return_exceptions=True)
    return station_end.crossed, csms_end.crossed, [*gave, *map(repr, ended)]


class Raising:
    @hookimpl
    def ocpp_frame_sent(self, frame: Any) -> None:
        raise RuntimeError("a guest that raises")

    @hookimpl
    def ocpp_frame_received(self, frame: Any) -> None:
        raise RuntimeError("a guest that raises")

    @hookimpl
    def ocpp_project(self, fact: Any) -> None:
        raise RuntimeError("a guest that raises")


class Nonsense:
    @hookimpl
    def ocpp_frame_sent(self, frame: Any) -> Any:
        return object()

    @hookimpl
    def ocpp_frame_received(self, frame: Any) -> Any:
        return frame._replace(text="forged", sequence=-1)

    @hookimpl
    def ocpp_session_opened(self, session: Any) -> Any:
        return [session, None, {}]


class Hanging:
    def __init__(self) -> None:
        self.met, self.let_go = threading.Event(), threading.Event()

    @hookimpl
    def ocpp_project(self, fact: Any) -> None:
        self.met.set()
        self.let_go.wait(60)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    guest = Hanging()
    yield guest
    guest.let_go.set()


def test_f27_guests_that_raise_hang_or_talk_nonsense_harm_nobody(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Any, hanging: Hanging
):
    database = looking(mongo_uri, fresh_database)
    host = Host(mongo_uri, fresh_database, rate=1000)
    for guest in (Raising(), Nonsense(), hanging):
        host.plugin.register(guest, type(guest).__name__)
    with host:
        host.captures(3000)
        assert hanging.met.wait(10)
        host.stores_a_fresh_frame(database)
        felt, p99 = host.feelings(), host.felt()[1]
        host.pause()
        host.drained()
        errors = host.plugin.hook_errors
    verdict = judge(database, host.captured)
    measured(f"F27 guests: {verdict}; errors {errors}; close took {host.close_seconds:.2f} s; {felt}")
    assert verdict.whole, verdict
    assert set(errors) == {"Raising"}
    assert errors["Raising"] >= len(host.captured)
    assert p99 < 1
    assert host.close_seconds < host.plugin.settings.shutdown_timeout + 1
    assert not host.errors


async def test_f27_the_wire_is_the_same_with_bad_guests_as_without_us(
    mongo_uri: str, fresh_database: str, measured: Any, hanging: Hanging
):
    alone = await talk()
    async with MongoPlugin(mongo_uri, fresh_database, **in_memory({})) as plugin:
        for guest in (Raising(), Nonsense(), hanging):
            plugin.register(guest, type(guest).__name__)
        guarded = await talk()
        assert plugin.stats.captured == len(alone[0]) + len(alone[1])
        errors = plugin.hook_errors["Raising"]
    measured(
        f"F27 {len(alone[0])} texts at either end, byte-identical with bad guests ({errors} errors) and without us"
    )
    assert guarded == alone
    assert any(NotImplementedCall.__name__ in given for given in alone[2])
    assert json.loads(alone[0][0].text)[2] == "Heartbeat"


async def test_f30_the_wire_is_the_same_switched_off_or_without_mongodb(measured: Any):
    alone = await talk()
    absent = MongoPlugin(NOWHERE, **in_memory({"shutdown_timeout": 0.2, "operation_timeout": 1}))
    switched_off = await talk()
    assert absent.stats.captured == 0
    async with absent:
        unreachable = await talk()
        captured = absent.stats.captured
    # It may hang in the driver for a second more; the next test counts warnings.
    await wait_until_async(lambda: "ocpp-mongo-sink" not in {thread.name for thread in threading.enumerate()})
    measured(f"F30 {len(alone[0])} texts at either end, byte-identical switched off and with MongoDB unreachable")
    assert switched_off == unreachable == alone
    assert captured == len(alone[0]) + len(alone[1])


def test_f30_a_mongodb_that_is_never_there_costs_one_warning(measured: Any, caplog: pytest.LogCaptureFixture):
    with (
        caplog.at_level(logging.WARNING, "ocpp_mongo_plugin"),
        Host(NOWHERE, rate=1000, shutdown_timeout=0.5, operation_timeout=0.5) as host,
    ):
        host.captures(1000)
        wait_until(lambda: host.plugin.stats.retries >= 4, 60)
        said = [record.getMessage() for record in caplog.records]
        felt, p99 = host.feelings(), host.felt()[1]
        host.pause()
        assert unaccounted(host.plugin.stats) == 0
        assert host.plugin.stats.waiting == len(host.captured)
    stats = host.plugin.stats
    measured(f"F30 never reachable, {stats.retries} retries: {len(said)} warning(s); {felt}; lost {dict(stats.lost)}")
    assert len(said) == 1
    assert dict(stats.lost) == {"shutdown": len(host.captured)}
    assert host.close_seconds < 0.5 + 1
    assert p99 < 1
    assert not host.errors


async def test_f30_a_mongodb_that_is_never_there_is_not_felt_by_the_loop(measured: Any):
    late = []
    async with MongoPlugin(NOWHERE, **in_memory({"shutdown_timeout": 0.1, "operation_timeout": 0.5})) as plugin:

        async def tick() -> bool:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - begun - 0.001)
            return plugin.stats.retries >= 3

        await wait_until_async(tick, 30)
    measured(f"F30 never reachable: the loop was late by {max(late) * 1000:.1f} ms at most in {len(late)} ticks")
    assert max(late) < PATIENCE
