"""A station and a CSMS on a real WebSocket, whichever ``ocpp`` and ``websockets`` are installed: the seam of capture.

What crossed the wire is written down by the connections themselves, below ChargePoint.
"""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
import websockets
from test_plugin import CSMS as CSMS_CLASSES
from test_plugin import charge
from versions import EACH_VERSION, VERSIONS, path_of
from waiting import wait_until_async

from ocpp_mongo_plugin import MongoPlugin


def _legacy() -> tuple[Any, Any] | None:
    """Return ``connect`` and ``serve`` of the API that websockets had before 13, where it is still there."""
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_module("websockets.legacy.client").connect, import_module("websockets.legacy.server").serve
    return None


APIS = {"usual": (websockets.connect, websockets.serve), "legacy": _legacy()}


def _noting(connection: Any, crossed: list[tuple[str, str]]) -> Any:
    """Have a connection write down every text that it sends or receives."""
    send, recv = connection.send, connection.recv

    async def noted_send(text: str) -> None:
        crossed.append(("sent", text))
        await send(text)

    async def noted_recv() -> str:
        text = await recv()
        crossed.append(("received", text))
        return text

    connection.send, connection.recv = noted_send, noted_recv
    return connection


@pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets")
@pytest.mark.parametrize("code", [1000, 1011])
@pytest.mark.parametrize("version", EACH_VERSION)
@pytest.mark.parametrize("api", [name for name, api in APIS.items() if api])
async def test_a_conversation_is_stored_as_it_crossed_the_wire(
    mock_database: Any, api: str, version: str, code: int
) -> None:
    connect, serve = APIS[api]
    crossed: dict[str, list[tuple[str, str]]] = {"csms": [], "station": []}
    ports: dict[str, int] = {}
    subprotocol = f"ocpp{version}"

    async def on_connect(connection: Any, _path: str | None = None) -> None:
        ports["csms"] = connection.remote_address[1]
        name = path_of(connection).strip("/")
        charge_point = CSMS_CLASSES[connection.subprotocol](name, _noting(connection, crossed["csms"]))
        with suppress(websockets.ConnectionClosed):
            await charge_point.start()

    async with MongoPlugin(database=mock_database) as plugin:
        async with serve(on_connect, "127.0.0.1", 0, subprotocols=[subprotocol]) as server:
            ports["station"] = (server.sockets or server.server.sockets)[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{ports['station']}/CP1", subprotocols=[subprotocol]) as connection:
                charge_point = VERSIONS[version].ChargePoint("CP1", _noting(connection, crossed["station"]))
                reading = asyncio.ensure_future(charge_point.start())
                await charge(charge_point, subprotocol)
                await connection.close(code, "because")
                with suppress(websockets.ConnectionClosed):
                    await reading
            await wait_until_async(lambda: _all_closed(plugin))
        sessions = {session.role: session for session in await plugin.sessions.by_station("CP1")}
        assert set(sessions) == set(crossed)
        for role, session in sessions.items():
            messages = await plugin.messages.find(session_id=session.session_id, limit=None, newest_first=False)
            assert [(message.direction, message.raw) for message in messages] == crossed[role]
            assert [message.sequence for message in messages] == list(range(len(crossed[role])))
            assert {message.protocol_version for message in messages} == {version}
            assert session.remote_address == f"127.0.0.1:{ports[role]}"
            assert (session.subprotocol, session.status) == (subprotocol, "closed")
            assert (session.close_code, session.close_reason) == (code, "because")
            assert (session.error is None) == (code == 1000)
        (transaction,) = await plugin.transactions.by_station("CP1")
        assert (transaction.status, transaction.energy_consumed, transaction.anomalies) == ("completed", 2000, [])


async def _all_closed(plugin: MongoPlugin) -> bool:
    return not await plugin.sessions.open()
