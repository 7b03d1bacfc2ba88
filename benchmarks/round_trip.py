"""What a call and its answer take longer where one end is recorded.

Hides sockets and pacing. Two stations call over loopback WebSockets, each its own CSMS, all four in one process with
the recorder, and with mongod on the same two cores. The CSMS end of one of them is recorded; everything else is
classes that no plugin has touched. Calls are those of a charging session of the mix, with the library's validation.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

import ocpp.v16
from ocpp.charge_point import camel_to_snake_case
from ocpp.routing import on
from ocpp.v16 import call, call_result
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from benchmarks import mix
from benchmarks.lines import Result, number
from benchmarks.program import untouched
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, database, lost_of, recording
from benchmarks.turns import Spread, settle, spread, turns
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_SUBPROTOCOL = Subprotocol("ocpp1.6")
_RATE = 200
_WARM = 120
_NOW = "2026-03-01T12:00:00Z"
_ACCEPTED = {"status": "Accepted"}


class _Csms(ocpp.v16.ChargePoint):
    """The CSMS end of one connection: it accepts everything."""

    _transactions = itertools.count(1)

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=_NOW)

    @on("MeterValues")
    def meter_values(self, **_: Any) -> Any:
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, **_: Any) -> Any:
        return call_result.StatusNotification()

    @on("Authorize")
    def authorize(self, **_: Any) -> Any:
        return call_result.Authorize(id_tag_info=_ACCEPTED)

    @on("StartTransaction")
    def start_transaction(self, **_: Any) -> Any:
        return call_result.StartTransaction(transaction_id=next(self._transactions), id_tag_info=_ACCEPTED)

    @on("StopTransaction")
    def stop_transaction(self, **_: Any) -> Any:
        return call_result.StopTransaction(id_tag_info=_ACCEPTED)


_PlainCsms = untouched(_Csms)
_Station = untouched(ocpp.v16.ChargePoint)


class _Caller:
    """A station that goes through charging sessions, call by call."""

    def __init__(self, station: Any) -> None:
        self._station = station
        self._transaction = 0
        self.trips = 0
        self._calls = itertools.cycle(_session())

    async def call(self) -> None:
        """Make the next call, and await its answer."""
        payload = next(self._calls)
        if hasattr(payload, "transaction_id"):
            payload = replace(payload, transaction_id=self._transaction)
        answer = await self._station.call(payload, suppress=False)
        if isinstance(payload, call.StartTransaction):
            self._transaction = answer.transaction_id
        self.trips += 1

    async def closed_loop(self, seconds: float) -> float:
        """Call as fast as answers come; return the seconds that one took."""
        begun, before = perf_counter(), self.trips
        while perf_counter() - begun < seconds:
            await self.call()
        return (perf_counter() - begun) / (self.trips - before)

    async def paced(self, seconds: float) -> Spread:
        """Call at the rate, late or not; return how long the calls took."""
        begun, took = perf_counter(), []
        for number_of_call in range(int(seconds * _RATE)):
            await asyncio.sleep(begun + number_of_call / _RATE - perf_counter())
            at = perf_counter()
            await self.call()
            took.append(perf_counter() - at)
        return spread(took)


def _session() -> list[Any]:
    """Return the calls of one charging session of an OCPP 1.6 station."""
    texts = itertools.islice(mix.texts(1), 0, 2 * mix.CALLS_OF_A_SESSION, 2)
    calls = [json.loads(text.text) for text in texts]
    return [getattr(call, action)(**camel_to_snake_case(payload)) for _, _, action, payload in calls]


@asynccontextmanager
async def _callers(attach: Any) -> AsyncIterator[dict[str, _Caller]]:
    """Two stations, each on a connection of its own; the CSMS end of "recorded" is attached."""

    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None  # noqa: S101 - for the type checker
        identity = connection.request.path.strip("/")
        csms = (_Csms if identity == "recorded" else _PlainCsms)(identity, connection)
        if identity == "recorded":
            attach(csms)
        await csms.start()

    async with serve(answer, "127.0.0.1", 0, subprotocols=[_SUBPROTOCOL]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            connect(f"{url}/plain", subprotocols=[_SUBPROTOCOL]) as plain,
            connect(f"{url}/recorded", subprotocols=[_SUBPROTOCOL]) as recorded,
        ):
            stations = {"plain": _Station("plain", plain), "recorded": _Station("recorded", recorded)}
            reading = [asyncio.ensure_future(station.start()) for station in stations.values()]
            try:
                yield {name: _Caller(station) for name, station in stations.items()}
            finally:
                for task in reading:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the closed loop and the paced one."""
    with EmbeddedMongod() as server, connected(server.uri) as client, database(client) as name:
        yield from asyncio.run(_measure(server.uri, name, scale))


async def _measure(uri: str, name: str, scale: Scale) -> list[Result]:
    async with (
        recording(uri, name, record_all=False) as plugin,
        _callers(plugin.attach) as callers,
    ):
        for caller in callers.values():
            for _ in range(_WARM):
                await caller.call()
        await plugin.flush(PATIENCE)
        closed: list[tuple[float, float]] = []
        paced: list[tuple[float, float]] = []
        for order in turns("recorded", "plain", most=scale.pick(2, 8, 20)):
            took = {}
            for side in order:
                settle()
                took[side] = await callers[side].closed_loop(scale.pick(1.0, 2.0, 2.0))
                await plugin.flush(PATIENCE)
            closed.append((took["recorded"], took["plain"]))
        for order in turns("recorded", "plain", most=scale.pick(1, 4, 10)):
            took = {}
            for side in order:
                settle()
                took[side] = (await callers[side].paced(scale.pick(2.0, 4.0, 4.0))).median
                await plugin.flush(PATIENCE)
            paced.append((took["recorded"], took["plain"]))
        wrong = lost_of(plugin, 2 * callers["recorded"].trips)
    return [
        _result("round-trip-closed", closed, f"blocks of {scale.pick(1, 2, 2)} s, one call at a time", wrong),
        _result("round-trip-paced", paced, f"blocks of {scale.pick(2, 4, 4)} s; medians of a block", wrong),
    ]


def _result(line: str, pairs: list[tuple[float, float]], how: str, wrong: str | None) -> Result:
    ratios = spread([recorded / plain for recorded, plain in pairs])
    recorded, plain = (spread(list(side)).median * 1000 for side in zip(*pairs, strict=True))
    return Result(
        line,
        ratios.median,
        f"recorded {number(recorded)} ms, not recorded {number(plain)} ms a round trip",
        f"{ratios}, {how}; flushed between blocks, which is not timed; journal on",
        wrong,
    )
