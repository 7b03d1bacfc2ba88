"""Recording in processes of their own: what is stored equals what crossed the wire, whichever end records."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from test_plugin import CSMS
from test_recording import SEED
from waiting import wait_until
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

HERE = Path(__file__).parent
CENTRAL_SYSTEM = HERE.parent / "examples" / "central_system.py"

VALUE_FIELDS = ("timestamp", "metadata", "value", "unit", "context", "format", "location")


@asynccontextmanager
async def relay(url: str, log: list[tuple[str, str]]) -> AsyncIterator[str]:
    """Stand between station and CSMS, and write down every text: the oracle."""

    async def on_connect(station: Any) -> None:
        async with connect(url + station.request.path, subprotocols=[station.subprotocol]) as csms:

            async def carry(origin: str, source: Any, target: Any) -> None:
                with suppress(ConnectionClosed):
                    async for text in source:
                        log.append((origin, text))
                        await target.send(text)
                await target.close()

            await asyncio.gather(carry("station", station, csms), carry("csms", csms, station))

    async with serve(on_connect, "127.0.0.1", 0, subprotocols=list(CSMS)) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def program(*command: str, uri: str, database: str | None) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "OCPP_MONGO_URI": uri}
    if database is not None:
        environment["OCPP_MONGO_DATABASE"] = database
    child = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGINT)
        await asyncio.wait_for(child.wait(), 20)


async def run(uri: str, subprotocol: str, csms_database: str, station_database: str | None) -> list[tuple[str, str]]:
    """Run a CSMS and a station as programs; return what crossed the wire between them."""
    wire: list[tuple[str, str]] = []
    async with program(str(CENTRAL_SYSTEM), "--port", "0", uri=uri, database=csms_database) as csms:
        line = await asyncio.wait_for(csms.stdout.readline(), 20)
        url = line.decode().split()[-1].rstrip("/")
        async with relay(url, wire) as through:
            command = (str(HERE / "program_station.py"), through, subprotocol)
            async with program(*command, uri=uri, database=station_database) as station:
                assert await asyncio.wait_for(station.wait(), 30) == 0
    return wire


@pytest.mark.parametrize("subprotocol", CSMS)
async def test_either_end_or_both_store_what_crossed_the_wire(
    mongo_uri: str, database_name: str, plain: Any, subprotocol: str
):
    databases = [f"{database_name}_{end}" for end in ("csms", "station", "both")]
    csms_only, station_only, both = (plain.client[name] for name in databases)
    try:
        wire = await run(mongo_uri, subprotocol, csms_only.name, station_only.name)
        for database in (csms_only, station_only):
            stored = [(m["origin"], m["raw"]) for m in database.ocpp_messages.find().sort("sequence", 1)]
            assert stored == wire
        twice = await run(mongo_uri, subprotocol, both.name, both.name)
        assert both.ocpp_messages.count_documents({}) == 2 * len(twice)
        for session in both.sessions.find():
            messages = both.ocpp_messages.find({"session_id": session["session_id"]}).sort("sequence", 1)
            assert [(m["origin"], m["raw"]) for m in messages] == twice
        assert _transactions(csms_only) == _transactions(station_only) == _transactions(both) != []
        assert _values(csms_only) == _values(station_only) == _values(both) != []
    finally:
        for name in databases:
            plain.client.drop_database(name)


def _transactions(database: Any) -> list[dict[str, Any]]:
    return [{name: t[name] for name in SEED} for t in database.transactions.find()]


def _values(database: Any) -> list[dict[str, Any]]:
    found = database.meter_values.find().sort([("timestamp", 1), ("value", 1)])
    return [{name: v[name] for name in VALUE_FIELDS} for v in found]


CRASH = """
import asyncio, os
from ocpp_mongo_plugin import MongoPlugin
async def main():
    async with MongoPlugin() as plugin:
        plugin.record("CP1", "received", '[2,"1","Heartbeat",{}]', "1.6")
        await plugin.flush()
        os._exit(9)
asyncio.run(main())
"""


async def test_a_process_that_died_leaves_no_station_connected(mongo_uri: str, plain: Any):
    async with program("-c", CRASH, uri=mongo_uri, database=plain.name) as child:
        await child.wait()
    assert plain.stations.find_one()["connection_status"] == "connected"
    other = "import asyncio; from ocpp_mongo_plugin import MongoPlugin\n"
    other += "async def main():\n    async with MongoPlugin() as p: await p.flush()\nasyncio.run(main())"
    async with program("-c", other, uri=mongo_uri, database=plain.name) as child:
        await child.wait()
    station, session = plain.stations.find_one(), plain.sessions.find_one()
    assert station["connection_status"] == "disconnected"
    assert station["last_error"] == session["error"] == "the recording process ended without closing"
    assert session["status"] == "closed"


FORGETFUL = """
import asyncio
from ocpp_mongo_plugin import MongoPlugin
async def main():
    plugin = MongoPlugin()
    await plugin.start()
    for number in range(500):
        plugin.record("CP1", "received", '[2,"%d","Heartbeat",{}]' % number, "1.6")
asyncio.run(main())
"""


async def test_a_program_that_never_closes_us_loses_nothing(mongo_uri: str, plain: Any):
    async with program("-c", FORGETFUL, uri=mongo_uri, database=plain.name) as child:
        assert await child.wait() == 0
    assert plain.ocpp_messages.count_documents({}) == 500
    assert plain.sessions.find_one()["status"] == "closed"


async def test_without_mongod_the_program_runs_says_it_once_and_ends_in_time():
    code = FORGETFUL.replace("MongoPlugin()", "MongoPlugin(shutdown_timeout=0.5)")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={**os.environ, "OCPP_MONGO_URI": "mongodb://u:secret@127.0.0.1:1/"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(child.communicate(), 20)
    lines = said.decode().splitlines()
    assert child.returncode == 0
    assert len([line for line in lines if "does not take frames" in line]) <= 1
    assert len([line for line in lines if "ended with 500 frame(s) not stored" in line]) == 1
    assert "secret" not in said.decode()
    assert "Traceback" not in said.decode()


async def test_an_outage_in_the_middle_of_traffic_loses_nothing(own_mongod: Any):
    from pymongo import MongoClient  # noqa: PLC0415

    from ocpp_mongo_plugin import MongoPlugin  # noqa: PLC0415

    server = own_mongod()
    async with MongoPlugin(server.uri, "lab", operation_timeout=2) as plugin:
        for number in range(300):
            if number == 100:
                await plugin.flush()
                server.stop()
            if number == 200:
                assert plugin.stats.waiting == 100
                server.start()
            plugin.record("CP1", "received", f'[2,"{number}","Heartbeat",{{}}]', "1.6")
        await asyncio.get_running_loop().run_in_executor(None, wait_until, lambda: plugin.stats.waiting == 0, 60)
        stats = plugin.stats
    assert (stats.captured, stats.stored, dict(stats.lost)) == (300, 300, {})
    with MongoClient(server.uri) as client:
        found = client.lab.ocpp_messages.find().sort("sequence", 1)
        assert [m["message_id"] for m in found] == [str(number) for number in range(300)]


async def test_a_burst_of_30_000_frames_is_stored_whole(mongo_uri: str, plain: Any):
    from ocpp_mongo_plugin import MongoPlugin  # noqa: PLC0415

    async with MongoPlugin(mongo_uri, plain.name, operation_timeout=60) as plugin:
        for number in range(30_000):
            plugin.record(f"CP{number % 10}", "received", f'[2,"{number}","Heartbeat",{{}}]', "1.6")
        await plugin.flush()
        stats = plugin.stats
    assert (stats.captured, stats.stored, dict(stats.lost)) == (30_000, 30_000, {})
    assert plain.ocpp_messages.count_documents({}) == 30_000


SEED_FIELDS = {
    "ocpp_messages": "station_id direction message_type action message_id protocol_version payload timestamp "
    "correlation_id error_code error_description created_at",
    "transactions": " ".join((*SEED, "created_at", "updated_at")),
    "stations": "station_id name tags enabled auto_start protocol_version connection_status connected_at "
    "last_heartbeat last_error connectors created_at updated_at",
    "sessions": "station_id opened_at closed_at close_code",
    "meter_values": "timestamp metadata value unit",
}


async def test_a_tool_for_the_original_system_finds_its_fields(mongo_uri: str, plain: Any):
    """With plain PyMongo: the fields by name and type, in every document of every collection."""
    await run(mongo_uri, "ocpp1.6", plain.name, None)
    for collection, names in SEED_FIELDS.items():
        documents = list(plain[collection].find())
        assert documents
        for document in documents:
            assert set(names.split()) <= set(document)
    (transaction,) = plain.transactions.find()
    assert isinstance(transaction["transaction_id"], int)
    assert isinstance(transaction["energy_consumed"], int)
    (connector,) = plain.stations.find_one()["connectors"]
    assert {"connector_id", "status", "current_transaction_id"} <= set(connector)
    value = plain.meter_values.find_one()
    assert {"station_id", "connector_id", "transaction_id", "measurand"} <= set(value["metadata"])


# -- the children of a fork -------------------------------------------------------------------------------------

FORKS = """
import asyncio, os, threading
import ocpp.charge_point
from ocpp_mongo_plugin import MongoPlugin, install, uninstall

def record(plugin):
    plugin._capture.record("child", "received", '[2,"1","Heartbeat",{}]', "1.6")

def sinks():
    return [one for one in threading.enumerate() if one.name == "ocpp-mongo-sink"]

before = dict(vars(ocpp.charge_point.ChargePoint))
plugin = install()
child = os.fork()
if child:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    uninstall()
    raise SystemExit(code)
"""
STOPPED = (
    FORKS.replace("{}", "{{}}")
    + """
assert {stop}
assert dict(vars(ocpp.charge_point.ChargePoint)) == before
record(plugin)
assert not sinks()
assert plugin.stats.captured == 0
plugin.start_now()
record(plugin)
assert plugin.close_now()
assert plugin.stats.stored == 1
assert not sinks()
"""
)
STARTED = (
    FORKS.replace("{}", "{{}}")
    + """
{start}
record(plugin)
plugin.flush_now()
plugin.record("child", "received", '[2,"2","Heartbeat",{{}}]', "1.6")
assert len(sinks()) == 1
assert plugin.stats.captured == 2
assert uninstall()
assert plugin.stats.stored == 2
assert not sinks()
"""
)


@pytest.mark.parametrize("stop", ["uninstall()", "plugin.close_now()", "asyncio.run(plugin.close())"])
async def test_a_child_that_stops_recording_has_stopped(mongo_uri: str, plain: Any, stop: str):
    async with program("-c", STOPPED.format(stop=stop), uri=mongo_uri, database=plain.name) as child:
        assert await child.wait() == 0


@pytest.mark.parametrize("start", ["plugin.start_now()", "assert install() is plugin", "plugin.start_now(); install()"])
async def test_a_child_that_starts_recording_again_has_one_account(mongo_uri: str, plain: Any, start: str):
    async with program("-c", STARTED.format(start=start), uri=mongo_uri, database=plain.name) as child:
        assert await child.wait() == 0
    assert plain.ocpp_messages.count_documents({"station_id": "child"}) == 2


WORKER = """
import asyncio, gc, multiprocessing, weakref
from multiprocessing import util
from mongomock_motor import AsyncMongoMockClient
from ocpp_mongo_plugin import MongoPlugin

def work(lived):
    for _ in range(3):
        plugin = MongoPlugin(database=AsyncMongoMockClient()["lab"])
        lived.append(weakref.ref(plugin))
        for _ in range(2):
            plugin.start_now()
            plugin.close_now()
        del plugin
    gc.collect()
    assert [one() for one in lived] == [None] * len(lived), lived
    assert not [key for key, one in util._finalizer_registry.items() if "MongoPlugin" in repr(one._callback)]

def main():
    old = MongoPlugin(database=AsyncMongoMockClient()["lab"])
    old.start_now()
    old.close_now()
    del old
    gc.collect()
    for how in ("fork", "spawn"):
        worker = multiprocessing.get_context(how).Process(target=work, args=([],))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
    assert len([key for key in util._afterfork_registry if "ocpp_mongo" in repr(key)]) == 0

if __name__ == "__main__":
    main()
"""


IN_CHILD = """
import asyncio, os
from ocpp.v16 import ChargePoint
from ocpp_mongo_plugin import install
class Wire:
    async def send(self, text): pass
plugin = install(durability="memory")
if os.fork() == 0:
    asyncio.run(ChargePoint("child", Wire())._send('[2,"x","Heartbeat",{}]'))
    print(plugin._sink._store is not None)
else:
    os.wait()
"""


async def test_the_driver_is_open_once_a_child_has_sent_its_first_frame(mongo_uri: str, plain: Any):
    async with program("-c", IN_CHILD, uri=mongo_uri, database=plain.name) as child:
        assert await child.stdout.read() == b"True\n"
        assert await child.wait() == 0
    assert plain["ocpp_messages"].count_documents({"station_id": "child"}) == 1


async def test_a_worker_keeps_no_plugin_that_was_closed(tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    async with program(str(script), uri="mongodb://127.0.0.1:1/", database=None) as child:
        assert await child.wait() == 0
