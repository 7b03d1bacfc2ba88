"""ocpp-broker 0.4 from PyPI, recorded as it is: as the back end of its stations, and before another back end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from counting import count, stored
from hosts import CSMS, KEEP_ALL, Host, central_system, command, environment, free_port, running, write_calls
from pymongo.database import Database
from relay import Relay
from stations import connected, play, recorded, with_names
from waiting import wait_until_async
from wild import LAST_WORDS, play_wild

pytestmark = [pytest.mark.mongod, pytest.mark.programs]
Plain = Database[dict[str, Any]]
STATIONS = with_names(recorded("chargers_v16.jsonl"))
[OCTT] = recorded("octt_v201.jsonl").values()


def write_config(directory: Path, port: int, organization: dict[str, Any]) -> Path:
    directory.mkdir()
    config = directory / "config.yaml"
    # JSON is YAML.
    config.write_text(
        json.dumps({"broker": {"host": "127.0.0.1", "port": port}, "organizations": [organization]}), "utf-8"
    )
    return config


@asynccontextmanager
async def broker(env: dict[str, str], directory: Path, **organization: Any) -> AsyncIterator[tuple[Host, Relay]]:
    """The broker with one organization, behind a relay."""
    port = free_port()
    config = write_config(directory, port, {"name": "depot", "connect_to_backend": False, **organization})
    with running(command("ocpp-broker-server", "-c", config), env, directory) as host:
        host.says(r"Uvicorn running on (\S+)")
        async with Relay(port) as relay:
            yield host, relay


async def test_as_the_back_end_of_three_real_stations(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    async with broker(env, tmp_path / "broker") as (host, relay):
        url = relay.url("depot")
        await asyncio.gather(*(play(url, station_id, known, is_asked=False) for station_id, known in STATIONS.items()))
        for options in ({}, {"compression": None}):
            async with connected(url, "EVB-P73383654", **options) as station:
                await play_wild(station)
        for text in LAST_WORDS:
            async with connected(url, "CP1") as station:
                await station.call('[2,"1","Heartbeat",{}]')
                await station.say(text)
                await station.is_dropped()
        await stored(plain, relay)
        host.stop()
        result = count(relay.accepted, plain)
    counted(result)
    assert result.is_whole, host.output
    assert result.crossed > 300
    assert "Traceback" in host.output  # of what it could not parse
    assert "ocpp_mongo" not in host.output
    assert set(plain.sessions.distinct("role")) == {"csms"}


async def test_with_the_usual_settings_what_differs_says_that_it_was_redacted(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    async with broker(environment(mongo_uri, database_name), tmp_path / "broker") as (host, relay):
        await play(relay.url("depot"), "EVB-P73383654", STATIONS["EVB-P73383654"], is_asked=False)
        async with connected(relay.url("depot"), "CP1") as station:
            await station.call('[2,"1","DataTransfer",{"vendorId":"v","data":"a person"}]')
        await stored(plain, relay)
        host.stop()
        result = count(relay.accepted, plain)
    counted(result)
    assert (result.lost, result.altered, result.extra, result.misplaced) == (0, 0, 0, 0), result.first
    redacted = list(plain.ocpp_messages.find({"redacted": {"$nin": [None, []]}}))
    assert result.redacted == len(redacted) == 2, redacted  # the call and its answer, which has data as well
    assert {document["action"] for document in redacted} == {"DataTransfer"}


async def test_a_station_of_another_version_that_it_answers_with_errors(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    async with broker(env, tmp_path / "broker", ocpp_subprotocol="ocpp2.0.1") as (host, relay):
        async with connected(relay.url("depot"), "OCTT", subprotocols=["ocpp2.0.1"]) as station:
            for text in OCTT.calls:
                await station.call(text)
        await stored(plain, relay)
        host.stop()
        result = count(relay.accepted, plain)
    counted(result)
    assert result.is_whole, host.output
    assert result.crossed == 2 * len(OCTT.calls) > 0


async def test_what_it_only_passes_on_is_recorded_by_the_back_end_behind_it(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    """In its relay mode it has no ChargePoint, so nothing of it is recorded there; nor is it held up or changed."""
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    of_broker = environment(mongo_uri, f"{database_name}_broker", **KEEP_ALL)
    calls = write_calls(tmp_path / "calls.json", STATIONS)
    async with central_system(command("python", CSMS, calls), env, tmp_path / "csms") as (csms, upstream):
        backends = [{"id": "csms", "url": upstream.url("ocpp"), "leader": True}]
        passing_on = {"connect_to_backend": True, "backends": backends}
        async with broker(of_broker, tmp_path / "broker", **passing_on) as (host, downstream):
            for station_id in ("192.0.2.4:9000", "EVB-P73383654"):
                await play(downstream.url("depot"), station_id, STATIONS[station_id])
            await stored(plain, upstream)
            host.stop()
        csms.stop()
        result = count(upstream.accepted, plain)
        both = [[(one.to_server, one.to_client) for one in relay.accepted] for relay in (downstream, upstream)]
    counted(result)
    assert both[0] == both[1]
    assert result.is_whole, csms.output
    assert result.crossed >= 300
    database = plain.client[of_broker["OCPP_MONGO_DATABASE"]]
    assert database.ocpp_messages.count_documents({}) == 0
    plain.client.drop_database(database.name)


async def test_what_its_own_check_refuses_never_reaches_the_library(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    """With its validation on, its adapter raises below ChargePoint: that frame is out of reach, all before it is not."""
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    refused = '[2,"1","FlyToTheMoon",{}]'
    async with broker(env, tmp_path / "broker", validate_messages_when_broker_backend=True) as (host, relay):
        async with connected(relay.url("depot"), "CP1") as station:
            await station.call('[2,"0","Heartbeat",{}]')
            await station.say(refused)
            await station.is_dropped()
        await wait_until_async(lambda: plain.ocpp_messages.count_documents({}) >= 2)
        host.stop()
        result = count(relay.accepted, plain)
    counted(result)
    assert (result.crossed, result.lost, result.altered, result.extra) == (3, 1, 0, 0), host.output
    assert refused in result.first
