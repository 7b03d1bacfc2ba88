"""Every shape in which programs use ChargePoint: nothing is lost, nothing altered, neither record nor program.

Each test says its row of docs/shapes.md with ``row``; shapes of classes are in ``shapes.py``.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import logging
import os
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import AsyncMock, MagicMock, patch

import aiohttp
import aiohttp.web
import fastapi
import ocpp.v16
import pytest
import starlette.applications
import starlette.routing
import starlette.websockets
import uvicorn
import uvloop
from ocpp.charge_point import ChargePoint
from ocpp.routing import after, on
from shape_table import row
from shapes import SHAPES, Adapter, Shape
from test_capture import Notes, capturing, snapshot
from waiting import wait_until_async
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from wire import End, join

from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.capture import Capture

NOW = "2026-01-01T00:00:00Z"
CALLS = ocpp.v16.call
ASK = '[2,"1","ClearCache",{}]'


async def nothing() -> None: ...


class Csms(ocpp.v16.ChargePoint):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.has_answered = asyncio.Event()
        self.asking = asyncio.create_task(nothing())

    @on("Heartbeat")
    def beat(self) -> Any:
        return ocpp.v16.call_result.Heartbeat(current_time=NOW)

    @on("DataTransfer")
    def transfer(self, **_: Any) -> Any:
        self.asking = asyncio.create_task(self.ask())
        return ocpp.v16.call_result.DataTransfer(status="Accepted", data=" é\u2028")

    @after("DataTransfer")
    def answered(self, **_: Any) -> None:
        self.has_answered.set()

    async def ask(self) -> Any:
        await self.has_answered.wait()  # or the two would race: the library checks payloads in threads
        return await self.call(CALLS.ClearCache())


def answering(base: Any) -> Any:
    """A station that answers what its CSMS asks."""

    class Answering(base):
        @on("ClearCache")
        def clear(self) -> Any:
            return ocpp.v16.call_result.ClearCache(status="Accepted")

    return Answering


class Pair(NamedTuple):
    """A station of some shape and a CSMS, on one wire."""

    station: Any
    csms: Csms
    here: End
    there: End


def meet(make: Any, name: str = "CP") -> Pair:
    here, there = join()
    return Pair(make(answering(ocpp.v16.ChargePoint))(name, here), Csms(f"to {name}", there), here, there)


async def converse(pair: Pair) -> tuple[list[Any], list[Any], list[Any]]:
    """Let them talk; return the results, and what crossed the wire at either end."""
    station, csms, here, there = pair
    for one in (station, csms):
        one._unique_id_generator = map(str, itertools.count()).__next__
    loops = [asyncio.create_task(one.start()) for one in (station, csms)]
    results: list[Any] = []
    for payload in (CALLS.Heartbeat(), CALLS.DataTransfer(vendor_id="v"), CALLS.Heartbeat()):
        results.append(await station.call(payload))
        results += [repr(outcome) for outcome in await asyncio.gather(csms.asking, return_exceptions=True)]
    here.close()
    results += [repr(outcome) for outcome in await asyncio.gather(*loops, return_exceptions=True)]
    return results, here.crossed, there.crossed


async def stored(database: Any, name: str) -> list[tuple[str, str]]:
    """Return what is stored of a station, in the order of its sessions; each numbered without a gap."""
    found = [
        m async for m in database.ocpp_messages.find({"station_id": name}).sort([("session_id", 1), ("sequence", 1)])
    ]
    for session in {m["session_id"] for m in found}:
        numbers = [m["sequence"] for m in found if m["session_id"] == session]
        assert numbers == list(range(len(numbers)))
    return [(m["direction"], m["raw"]) for m in found]


MADE = [pytest.param(shape, made, id=f"{shape.name}-{made}") for shape in SHAPES for made in shape.made]


@pytest.mark.parametrize(("shape", "made"), MADE)
async def test_what_crossed_is_stored(shape: Shape, made: str, mock_database: Any) -> None:
    without = await converse(meet(shape.make))
    before = meet(shape.make)
    async with MongoPlugin(database=mock_database) as plugin:
        recorded = await converse(before if made == "before" else meet(shape.make))
        await plugin.flush()
    assert recorded == without
    for name, crossed in (("CP", recorded[1]), ("to CP", recorded[2])):
        assert await stored(mock_database, name) == crossed
        messages = [m async for m in mock_database.ocpp_messages.find({"station_id": name})]
        assert len({m["session_id"] for m in messages}) == 1
        assert all(m["delivered"] and "seen_on_socket" not in m for m in messages)


# -- what programs do with the objects --------------------------------------------------------------------------


@row("one object per socket, many of them in one process")
@row("a handler that calls out in a task of its own")
async def test_each_object_has_its_session(mock_database: Any) -> None:
    async with MongoPlugin(database=mock_database) as plugin:
        talks = await asyncio.gather(*(converse(meet(SHAPES[0].make, f"CP{number}")) for number in range(10)))
        await plugin.flush()
    for number, (_, here, there) in enumerate(talks):
        assert await stored(mock_database, f"CP{number}") == here
        assert await stored(mock_database, f"to CP{number}") == there
    assert await mock_database.sessions.count_documents({}) == 20


@row("one object for many sockets, one after the other", "a session for each time that it turns to another")
async def test_one_object_for_many_sockets(mock_database: Any) -> None:
    ends = [join()[0] for _ in range(3)]
    async with MongoPlugin(database=mock_database) as plugin:
        station = ocpp.v16.ChargePoint("CP", None)
        for number in (0, 1, 2, 0):
            station._connection = ends[number]
            await station._send(f'[3,"{number}",{{}}]')
        await plugin.flush()
    assert await stored(mock_database, "CP") == [("sent", f'[3,"{number}",{{}}]') for number in (0, 1, 2, 0)]
    assert await mock_database.sessions.count_documents({}) == 4


@row("calls from several tasks at once, and answers between them")
async def test_calls_from_several_tasks_at_once(mock_database: Any) -> None:
    here, there = join()
    async with MongoPlugin(database=mock_database) as plugin:
        station, csms = answering(ocpp.v16.ChargePoint)("CP", here), Csms("to CP", there)
        loops = [asyncio.create_task(one.start()) for one in (station, csms)]
        asking = [csms.call(CALLS.ClearCache()) for _ in range(10)]
        answers = await asyncio.gather(*(station.call(CALLS.Heartbeat()) for _ in range(10)), *asking)
        here.close()
        await asyncio.gather(*loops, return_exceptions=True)
        await plugin.flush()
    assert len(answers) == 20
    assert await stored(mock_database, "CP") == here.crossed
    assert await stored(mock_database, "to CP") == there.crossed
    assert len(here.crossed) == 40


IDS = ["", "a/b", "/ocpp/CP", "a:b", "urn:x:1", "a b", "a%20b", "%s%d", "{}", "é", "$id", "a.b", "x" * 300]


@row("station ids that are empty, or contain `/`, `:`, spaces, percent signs, `$` or dots", "as they are")
@pytest.mark.parametrize("name", IDS)
async def test_a_station_id_is_stored_as_it_is(name: str, mock_database: Any) -> None:
    async with MongoPlugin(database=mock_database) as plugin:
        _, here, _ = await converse(meet(SHAPES[0].make, name))
        await plugin.flush()
        assert (await plugin.stations.get(name)).station_id == name
    assert await stored(mock_database, name) == here


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Nameless:
    def __str__(self) -> str:
        raise ValueError


@row("ids that are no plain `str`", "their text; of one that has none, the empty id")
@pytest.mark.parametrize(("given", "kept"), [(Name("CP"), "CP"), (7, "7"), (Nameless(), "")])
async def test_an_id_of_another_kind(given: Any, kept: str, mock_database: Any) -> None:
    async with MongoPlugin(database=mock_database) as plugin:
        here, _ = join()
        with suppress(ValueError):
            await ocpp.v16.ChargePoint(given, here, logger=MagicMock())._send("[3]")
        await plugin.flush()
    assert await stored(mock_database, kept) == [("sent", "[3]")]


class Raising(logging.Logger):
    def info(self, *_: object) -> None:  # type: ignore[override]
        raise OSError("disk full")


@row("a `logger` that raises", "what was sent as not delivered; what the library reads and drops: below")
async def test_a_logger_that_raises(mock_database: Any) -> None:
    async def run() -> list[str]:
        here, there = join()
        station = ocpp.v16.ChargePoint("CP", here, logger=Raising("ocpp"))
        await there.send("[3]")
        return [await outcome(station._send("[2]")), await outcome(station.start())]

    without = await run()
    async with MongoPlugin(database=mock_database) as plugin:
        assert await run() == without == ["OSError('disk full')"] * 2
        await plugin.flush()
    (message,) = [m async for m in mock_database.ocpp_messages.find()]
    assert (message["raw"], message["delivered"]) == ("[2]", False)


async def outcome(awaitable: Awaitable[Any]) -> str:
    try:
        return repr(await awaitable)
    except Exception as error:  # noqa: BLE001 - an outcome like any other
        return repr(error)


@row("charge points and classes that are pickled or copied deeply", "nothing of ours goes along")
async def test_pickle_and_copy_work_as_without_us() -> None:
    async def run() -> list[Any]:
        station = ocpp.v16.ChargePoint("CP", join()[0])
        twin = copy.copy(station)
        functions = [pickle.loads(pickle.dumps(getattr(Csms, name))) for name in ("_send", "start", "__init__")]  # noqa: S301
        return [
            pickle.loads(pickle.dumps(Csms)) is Csms,  # noqa: S301
            [function is getattr(Csms, function.__name__) for function in functions],
            copy.deepcopy(Csms._send) is Csms._send,
            vars(twin).keys() == vars(station).keys(),
            await outcome(twin._send("[3]")),
        ]

    without = await run()
    with capturing(Notes()):
        assert await run() == without


@row("`functools.partial` of bound methods, taken while recording is on")
async def test_partials_are_recorded() -> None:
    notes = Notes()
    here, _ = join()
    with capturing(notes):
        station = ocpp.v16.ChargePoint("CP", here)
        await functools.partial(station._send, "[3]")()
        await functools.partial(ocpp.v16.ChargePoint._send, station)(message="[4]")
    assert notes.crossed("CP") == here.crossed


# -- mocks and patches ------------------------------------------------------------------------------------------


@row(
    "`unittest.mock.patch` and `monkeypatch.setattr` on a class, the method replaced by a mock", "what reaches `super`"
)
@pytest.mark.parametrize("target", [ocpp.v16.ChargePoint, ChargePoint])
@pytest.mark.parametrize("name", ["_send", "route_message", "start"])
async def test_a_mock_on_a_class_works_as_without_us(target: Any, name: str) -> None:
    async def run() -> Any:
        with patch.object(target, name, AsyncMock(return_value=7)) as mock:
            station = ocpp.v16.ChargePoint("CP", join()[0])
            said = await getattr(station, name)("[3]")
            return said, mock.mock_calls, getattr(station, name) is mock

    before = snapshot()
    without = await run()
    with capturing(Notes()):
        assert await run() == without
    assert snapshot() == before


@row("a patch of a class that outlives recording", "again when recording is on again; every class ends as it was")
async def test_what_a_patch_puts_back_is_restored_with_the_next_recording() -> None:
    before, notes = snapshot(), Notes()
    capture = Capture(notes, record_all=True)
    capture.enable()
    with patch.object(ChargePoint, "_send", AsyncMock()):
        capture.disable()
    assert snapshot() != before  # the patch has put ours back; it only passes through
    here, _ = join()
    station = ocpp.v16.ChargePoint("CP", here)
    await station._send("[2]")
    capture.enable()
    await station._send("[3]")
    capture.disable()
    assert notes.crossed("CP") == [("sent", "[3]")]
    assert snapshot() == before


@row(
    "a function put on the library's own class in place of `_send`, while recording is on", "the text nearest the wire"
)
async def test_a_function_on_the_librarys_own_class() -> None:
    before, notes = snapshot(), Notes()
    capture = Capture(notes, record_all=True)
    capture.enable()
    here, _ = join()
    early = ocpp.v16.ChargePoint("CP", here)
    await early._send("[1]")
    ours = ChargePoint._send

    async def marked(self: Any, message: str) -> None:
        await ours(self, f"{message}\t")

    with patch.object(ChargePoint, "_send", marked):
        late = ocpp.v16.ChargePoint("late", join()[0])
        await early._send("[2]")
        await late._send("[3]")
        assert late._connection.crossed == notes.crossed("late")
    await early._send("[4]")
    capture.disable()
    assert notes.crossed("CP") == here.crossed == [("sent", "[1]"), ("sent", "[2]\t"), ("sent", "[4]")]
    assert snapshot() == before


# -- texts that no socket is seen for ---------------------------------------------------------------------------

CONNECTIONS = {
    "none": lambda: None,
    "magic": MagicMock,
    "async": AsyncMock,
    "adapter": lambda: Adapter(join()[0]),
}


async def marks(database: Any) -> list[tuple[str, Any]]:
    """Return direction and mark of what is stored, in order."""
    found = database.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)])
    return [(m["direction"], m.get("seen_on_socket")) async for m in found]


@row("`None`, `MagicMock` or `AsyncMock` as connection, and no `start`", "with `seen_on_socket: false`")
@row("`route_message` called by hand, with no `start`", "with `seen_on_socket: false`, and what is answered too")
@pytest.mark.parametrize("durability", ["memory", "journal"])
@pytest.mark.parametrize("kind", CONNECTIONS)
async def test_route_message_by_hand_is_marked_as_seen_on_no_socket(
    kind: str, durability: str, mock_database: Any
) -> None:
    async def run() -> list[str]:
        station = answering(ocpp.v16.ChargePoint)("CP", CONNECTIONS[kind]())
        return [await outcome(station.route_message(text)) for text in (ASK, ASK, "AT+CSQ")]

    without = await run()
    async with MongoPlugin(database=mock_database, durability=durability) as plugin:
        assert await run() == without
        await plugin.flush()
        read = await plugin.messages.find()
    assert await marks(mock_database) == [("received", False), ("sent", False)] * 2 + [("received", False)]
    assert [message.seen_on_socket for message in read] == [False] * 5


@row("`route_message` called by hand, and `start` later", "with `seen_on_socket: false` until `start` is called")
async def test_what_start_reads_is_seen_on_a_socket(mock_database: Any) -> None:
    async with MongoPlugin(database=mock_database) as plugin:
        here, there = join()
        station = answering(ocpp.v16.ChargePoint)("CP", here)
        await station._send("[3]")
        await station.route_message(ASK)
        loop = asyncio.create_task(station.start())
        await there.send(ASK)
        await wait_until_async(lambda: len(here.crossed) == 4)
        loop.cancel()
        await plugin.flush()
    assert await marks(mock_database) == [
        ("sent", None), ("received", False), ("sent", False), ("received", None), ("sent", None),
    ]  # fmt: skip


@row("`route_message` called by a read loop of the program's own, on a connection that says it is open")
async def test_a_loop_of_its_own_on_an_open_connection_is_seen_on_a_socket(mock_database: Any) -> None:
    async def on_connect(connection: Any) -> None:
        csms = Csms("to CP", connection)
        async for text in connection:
            await csms.route_message(text)

    async with MongoPlugin(database=mock_database) as plugin, serve(on_connect, "127.0.0.1", 0) as server:
        texts = await speak(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/CP")
        await plugin.flush()
    assert await stored(mock_database, "to CP") == texts
    assert {mark for _, mark in await marks(mock_database)} == {None}


# -- other libraries --------------------------------------------------------------------------------------------


async def speak(url: str) -> list[tuple[str, str]]:
    """Be a station that no ChargePoint is; return what crossed, as the other end sees it."""
    texts = []
    async with connect(url, subprotocols=["ocpp1.6"] if "CP" not in url.rsplit("/", 1)[-1] else None) as connection:
        for number in range(3):
            call = f'[2, "{number}" , "Heartbeat", {{}}]'
            await connection.send(call)
            texts += [("received", call), ("sent", await connection.recv())]
    return texts


class TextAdapter:
    """What everybody writes around a WebSocket of Starlette."""

    def __init__(self, websocket: starlette.websockets.WebSocket) -> None:
        self._ws = websocket

    async def recv(self) -> str:
        return await self._ws.receive_text()

    async def send(self, text: str) -> None:
        await self._ws.send_text(text)


async def through_start(websocket: Any) -> None:
    await websocket.accept()
    with suppress(starlette.websockets.WebSocketDisconnect):
        await Csms("to CP", TextAdapter(websocket)).start()


async def through_its_own_loop(websocket: Any) -> None:
    await websocket.accept()
    csms = Csms("to CP", TextAdapter(websocket))
    with suppress(starlette.websockets.WebSocketDisconnect):
        while True:
            await csms.route_message(await websocket.receive_text())


def starlette_app(endpoint: Any) -> Any:
    return starlette.applications.Starlette(routes=[starlette.routing.WebSocketRoute("/ocpp/{name}", endpoint)])


def fastapi_app(endpoint: Any) -> Any:
    app = fastapi.FastAPI()

    @app.websocket("/ocpp/{name}")
    async def on_connect(websocket: fastapi.WebSocket, name: str) -> None:
        await endpoint(websocket)

    return app


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="websockets-sansio", log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve())
    await wait_until_async(lambda: server.started)
    try:
        yield f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@row("Starlette and FastAPI: an adapter of `receive_text` and `send_text`, with `start` or a loop of one's own")
@pytest.mark.parametrize("endpoint", [through_start, through_its_own_loop])
@pytest.mark.parametrize("app", [starlette_app, fastapi_app])
async def test_adapters_of_starlette_and_fastapi(app: Any, endpoint: Any, mock_database: Any) -> None:
    async with MongoPlugin(database=mock_database) as plugin, served(app(endpoint)) as url:
        texts = await speak(f"{url}/ocpp/CP")
        await plugin.flush()
    assert await stored(mock_database, "to CP") == texts
    assert {mark for _, mark in await marks(mock_database)} == {None}
    (session,) = [s async for s in mock_database.sessions.find()]
    assert session["role"] == "csms"
    assert session["remote_address"].startswith("127.0.0.1:")


class AiohttpAdapter:
    """What everybody writes around a WebSocket of aiohttp, at either end."""

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket

    async def recv(self) -> str:
        return await self.websocket.receive_str()

    async def send(self, text: str) -> None:
        await self.websocket.send_str(text)


async def aiohttp_endpoint(request: aiohttp.web.Request) -> Any:
    websocket = aiohttp.web.WebSocketResponse()
    await websocket.prepare(request)
    with suppress(TypeError, aiohttp.WSMessageTypeError):  # receive_str() at the end of the connection
        await Csms("to CP", AiohttpAdapter(websocket)).start()
    return websocket


@row("aiohttp: adapters of `receive_str` and `send_str`, as server and as client")
async def test_adapters_of_aiohttp(mock_database: Any) -> None:
    app = aiohttp.web.Application()
    app.router.add_get("/{name}", aiohttp_endpoint)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/CP"
    async with MongoPlugin(database=mock_database) as plugin:
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as websocket:
            station = ocpp.v16.ChargePoint("CP", AiohttpAdapter(websocket))
            reading = asyncio.create_task(station.start())
            for _ in range(3):
                assert (await station.call(CALLS.Heartbeat())).current_time == NOW
            reading.cancel()
        await runner.cleanup()
        await plugin.flush()
    there, here = await stored(mock_database, "to CP"), await stored(mock_database, "CP")
    assert len(here) == 6
    assert [("sent" if d == "received" else "received", text) for d, text in here] == there
    roles = {s["station_id"]: s["role"] async for s in mock_database.sessions.find()}
    assert roles == {"CP": "station", "to CP": "csms"}


# -- loops and threads ------------------------------------------------------------------------------------------


async def over_a_real_socket() -> list[tuple[str, str]]:
    async def on_connect(connection: Any) -> None:
        with suppress(ConnectionClosed):
            await Csms("to CP", connection).start()

    async with serve(on_connect, "127.0.0.1", 0) as server:
        return await speak(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/CP")


@row("uvloop")
def test_uvloop(mock_database: Any) -> None:
    async def run() -> list[tuple[str, str]]:
        assert type(asyncio.get_running_loop()).__module__ == "uvloop"
        async with MongoPlugin(database=mock_database) as plugin:
            texts = await over_a_real_socket()
            await plugin.flush()
        assert await stored(mock_database, "to CP") == texts
        return texts

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert len(runner.run(run())) == 6


def threads() -> set[threading.Thread]:
    """Return what runs beside the loop's own pool, in which the library checks payloads."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


@row("a test-suite that fails on left-over threads, tasks, timers or changed classes", "nothing is left")
async def test_nothing_is_left_over(mock_database: Any) -> None:
    loop: Any = asyncio.get_running_loop()
    before, classes = (threads(), asyncio.all_tasks()), snapshot()
    async with MongoPlugin(database=mock_database) as plugin:
        for make in (SHAPES[0].make, SHAPES[-3].make):
            await converse(meet(make))
        await plugin.flush()
        assert asyncio.all_tasks() == before[1]
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
    assert (threads(), asyncio.all_tasks()) == before
    assert {cls: values for cls, values in snapshot().items() if cls in classes} == classes
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


# -- programs that end in odd ways ------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys, threading
import ocpp.v16
from ocpp_mongo_plugin import MongoPlugin
from wire import join

class Station(ocpp.v16.ChargePoint):
    async def _send(self, message):
        await super()._send(message + " ")

async def main(end):
    await MongoPlugin().start()
    here, _ = join()
    station = Station("CP", here)
    for number in range(200):
        await station._send('[3,"%d",{}]' % number)
    for text in here.crossed:
        print(text.text)
    sys.stdout.flush()
    end()
    await asyncio.Event().wait()

def stop():
    asyncio.get_running_loop().stop()

def in_a_thread():
    # Its loop stops, and is left as it is: nobody runs it again, and nobody closes it or us.
    loop = asyncio.new_event_loop()
    left.append((loop, loop.create_task(main(stop))))
    loop.run_forever()

left = []
"""

ENDS = {
    "sys.exit": ("asyncio.run(main(lambda: sys.exit(3)))", 3),
    "stopped": ("in_a_thread()", 0),
    "thread": ("thread = threading.Thread(target=in_a_thread); thread.start(); thread.join()", 0),
    "raises": ("asyncio.run(main(lambda: 1 / 0))", 1),
}


@row("`sys.exit` inside a coroutine, an exception that ends the program", "all that was captured, at exit")
@row("a loop that dies without closing us, in the main thread or another", "all that was captured, at exit")
@pytest.mark.programs
@pytest.mark.parametrize("end", ENDS)
async def test_a_program_that_ends_without_closing_us_loses_nothing(end: str, mongo_uri: str, plain: Any) -> None:
    line, code = ENDS[end]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore::ResourceWarning", "-c", PROGRAM + line),
        env={**os.environ, "OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": plain.name},
        cwd=Path(__file__).parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    crossed, _ = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == code
    found = [(m["raw"], m["delivered"]) for m in plain.ocpp_messages.find().sort("sequence", 1)]
    assert found == [(text, True) for text in crossed.decode().splitlines()]
    assert len(found) == 200
    assert plain.sessions.find_one()["status"] == "closed"
