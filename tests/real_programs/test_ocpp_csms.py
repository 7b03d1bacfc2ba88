"""ocpp-csms 0.1.0 from PyPI, recorded as it is: all that crossed the wire is stored, and nothing else."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counting import count, stored
from hosts import CSMS, KEEP_ALL, central_system, command, environment, replay, write_calls
from pymongo import MongoClient
from pymongo.database import Database
from stations import connected, play, recorded, with_names
from wild import LAST_WORDS, play_wild

from ocpp_mongo_plugin.embedded import EmbeddedMongod

pytestmark = [pytest.mark.mongod, pytest.mark.programs]
Plain = Database[dict[str, Any]]
STATIONS = with_names(recorded("chargers_v16.jsonl"))
COMMAND = ("ocpp-csms", "--host", "127.0.0.1", "--port", 0)


async def test_three_real_stations_and_all_that_they_were_asked(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    words = command("python", CSMS, write_calls(tmp_path / "calls.json", STATIONS))
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    async with central_system(words, env, tmp_path) as (host, relay):
        await asyncio.gather(*(play(relay.url("ocpp"), station_id, known) for station_id, known in STATIONS.items()))
        await stored(plain, relay)
        host.stop()
        result = count(relay.accepted, plain)
    counted(result)
    assert result.is_whole, host.output
    assert result.crossed >= 518
    assert set(plain.sessions.distinct("station_id")) == set(STATIONS)
    assert set(plain.sessions.distinct("role")) == {"csms"}


async def test_its_command_with_wild_frames_and_stations_that_come_again(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path, counted: Callable[[object], None]
) -> None:
    words = command(*COMMAND)
    env = environment(mongo_uri, database_name, **KEEP_ALL)
    async with central_system(words, env, tmp_path) as (host, relay):
        for options in ({}, {"compression": None}, {"subprotocols": None}):
            for station_id, known in STATIONS.items():
                async with connected(relay.url("depot"), station_id, **options) as station:
                    for text in known.calls[:10]:
                        await station.call(text)
                    await play_wild(station)
                    await station.say_bytes(b"dropped by its adapter")
                    await station.call('[2,"last","Heartbeat",{}]')
        for text in LAST_WORDS:
            async with connected(relay.url("depot"), "CP1") as station:
                await station.call('[2,"1","Heartbeat",{}]')
                await station.say(text)
                await station.is_dropped()
        await stored(plain, relay)
        assert host.stop() == 0
        result = count(relay.accepted, plain)
        binary = sum(one.binary for one in relay.accepted)
    counted(f"{result}, {binary} binary")
    assert result.is_whole, host.output
    assert result.crossed > 500
    assert "ocpp_mongo" not in host.output
    assert binary == 9


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_what_waits_when_it_is_stopped_is_stored_then_or_waits_in_the_journal(
    by: signal.Signals,
    mongo_uri: str,
    database_name: str,
    plain: Plain,
    tmp_path: Path,
    counted: Callable[[object], None],
) -> None:
    words = command(*COMMAND)
    env = environment(mongo_uri, database_name, **KEEP_ALL, OCPP_MONGO_FLUSH_INTERVAL="5")
    async with central_system(words, env, tmp_path) as (host, relay):
        async with connected(relay.url("depot"), "CP1") as station:
            for number in range(20):
                await station.call(f'[2,"{number}","Heartbeat",{{}}]')
            code = host.stop(by)
        replay(env)
        result = count(relay.accepted, plain)
    counted(result)
    assert (result.is_whole, result.crossed) == (True, 40), host.output
    assert code == (0 if by is signal.SIGINT else -by)


async def test_what_waits_for_a_server_that_is_down_survives_a_kill(
    own_mongod: Callable[..., EmbeddedMongod], tmp_path: Path, counted: Callable[[object], None]
) -> None:
    server = own_mongod()
    env = environment(server.uri, "killed", **KEEP_ALL)
    async with central_system(command(*COMMAND), env, tmp_path / "csms") as (host, relay):
        await play(relay.url("depot"), "CP1", STATIONS["EVB-P73383654"], is_asked=False)
        server.stop()
        await play(relay.url("depot"), "CP1", STATIONS["192.0.2.4:9000"], is_asked=False)
        assert host.stop(signal.SIGKILL) == -signal.SIGKILL
        server.start()
        replay(env)
        with MongoClient[dict[str, Any]](server.uri) as client:
            result = count(relay.accepted, client["killed"])
    counted(result)
    assert result.is_whole, host.output
    assert result.crossed > 60
