"""A recorded program, to be killed: python child.py MODE ORACLE TAG. Settings come from OCPP_MONGO_*.

fast records by hand as fast as asked; ocpp runs both ends of several stations, real ChargePoints over loopback
websockets, and its oracle stands at the wire: a frame is written down when it is about to be sent, and when the
library hands it to the program's own class, both of which come after its capture. idle records nothing: it is there
to store what others left. ``--ending`` says how a program that was not killed ends after ``--frames`` frames.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from oracle import Oracle

from ocpp_mongo_plugin import MongoPlugin

STATIONS = 4
_TICK = 0.002
_OPEN_ENDED = 10**9


def fast(plugin: MongoPlugin, oracle: Oracle, tag: str, number: int) -> None:
    station = f"CP{number % STATIONS}"
    session = f"{tag}-{station}"
    direction = "sent" if number % 8 >= STATIONS else "received"
    text = f'[2,"{tag}-{number}","Heartbeat",{{}}]'
    plugin.record(station, direction, text, "1.6", session=session)
    oracle.captured(session, station, direction, text)


async def record_fast(plugin: MongoPlugin, oracle: Oracle, options: argparse.Namespace) -> None:
    begun, number = time.monotonic(), 0
    while number < options.frames:
        due = min(options.frames, int((time.monotonic() - begun) * options.rate))
        while number < due:
            fast(plugin, oracle, options.tag, number)
            number += 1
        await asyncio.sleep(_TICK)


class Wire:
    """A connection that writes down what is sent over it, once its capture is behind it."""

    def __init__(self, connection: Any, written: Callable[[str, str], None]) -> None:
        self._connection = connection
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, text: str) -> None:
        self._written("sent", text)
        await self._connection.send(text)


def _classes() -> tuple[type, type]:
    import ocpp.v16  # noqa: PLC0415 - only this mode pays for it
    import ocpp.v16.call_result  # noqa: PLC0415
    from ocpp.routing import on  # noqa: PLC0415

    class Written(ocpp.v16.ChargePoint):
        def __init__(self, identity: str, connection: Any, oracle: Oracle, session: str) -> None:
            def written(direction: str, text: str) -> None:
                oracle.captured(session, identity, direction, text)

            self._written = written
            super().__init__(identity, Wire(connection, written))

        async def route_message(self, raw_msg: str) -> None:
            self._written("received", raw_msg)
            await super().route_message(raw_msg)

    class Csms(Written):
        @on("Heartbeat")
        def heartbeat(self) -> Any:
            return ocpp.v16.call_result.Heartbeat(current_time="2026-03-01T10:00:00Z")

        @on("MeterValues")
        def meter_values(self, **_: Any) -> Any:
            return ocpp.v16.call_result.MeterValues()

    return Written, Csms


async def run_stations(oracle: Oracle, options: argparse.Namespace) -> None:
    """Call from several stations at once, at the rate in all, until the frames are done."""
    import ocpp.v16.call  # noqa: PLC0415
    from websockets.asyncio.client import connect  # noqa: PLC0415
    from websockets.asyncio.server import serve  # noqa: PLC0415

    station_class, csms_class = _classes()
    sample = [{"timestamp": "2026-03-01T10:00:00Z", "sampled_value": [{"value": "1"}]}]

    async def on_connect(connection: Any) -> None:
        identity = connection.request.path.strip("/")
        await csms_class(identity, connection, oracle, f"{options.tag}-{identity}-csms").start()

    async def one_station(url: str, identity: str) -> None:
        async with connect(f"{url}/{identity}", subprotocols=["ocpp1.6"]) as connection:
            station = station_class(identity, connection, oracle, f"{options.tag}-{identity}-station")
            reading = asyncio.ensure_future(station.start())
            for number in range(options.frames // (4 * STATIONS)):  # a call is four frames: two at each end
                values = ocpp.v16.call.MeterValues(connector_id=1, meter_value=sample)
                call = values if number % 10 == 9 else ocpp.v16.call.Heartbeat()
                await station.call(call, unique_id=f"{options.tag}-{identity}-{number}")
                await asyncio.sleep(4 * STATIONS / options.rate)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async with serve(on_connect, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*(one_station(url, f"{options.tag}CP{number}") for number in range(STATIONS)))


async def main(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        oracle = stack.enter_context(Oracle(options.oracle))
        plugin = MongoPlugin()
        await plugin.start()
        if options.ending == "close":
            stack.push_async_callback(plugin.close)
        if options.ending == "sigterm":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit, 0)
        if options.mode == "fast":
            await record_fast(plugin, oracle, options)
        elif options.mode == "ocpp":
            await run_stations(oracle, options)
        if options.mode == "idle" or options.ending in {"signal", "sigterm"}:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            # A ^C that comes an instant before the loop waits is seen by asyncio only when something else wakes that.
            while True:  # noqa: ASYNC110 - for that very reason
                await asyncio.sleep(_TICK)
        if options.ending == "exit":
            os._exit(7)
        if options.ending == "raise":
            raise RuntimeError("the program's own error")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("mode", choices=("fast", "ocpp", "idle"))
    arguments.add_argument("oracle", type=Path)
    arguments.add_argument("tag")
    arguments.add_argument("--rate", type=int, default=8000)
    arguments.add_argument("--frames", type=int, default=_OPEN_ENDED)
    endings = ("close", "forget", "exit", "raise", "signal", "sigterm")
    arguments.add_argument("--ending", choices=endings, default="close")
    asyncio.run(main(arguments.parse_args()))
