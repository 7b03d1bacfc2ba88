"""``ocpp-mongo demo``: a CSMS and four stations on real WebSockets, recorded in a real mongod.

A program as people write it: plain ``ocpp`` ChargePoints on both ends, and one plugin that records them all.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import ocpp.v201
from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from rich.console import Console
from rich.live import Live
from rich.table import Table
from websockets.exceptions import ConnectionClosed

from ocpp_mongo_plugin.embedded import EmbeddedMongod, find_mongod
from ocpp_mongo_plugin.errors import OcppMongoError
from ocpp_mongo_plugin.plugin import MongoPlugin

try:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import ServerConnection, serve
except ModuleNotFoundError:
    raise OcppMongoError("the demo needs websockets 13 or later: pip install --upgrade websockets") from None

_HOST = "127.0.0.1"
_DATABASE = "ocpp_demo"
_STEP = 0.5
_HEARTBEAT_STEPS = 6
_FASTER = 60
"""A second of the demo is a minute of charging."""
_VERSIONS_2: dict[str, Any] = {"ocpp2.0.1": ocpp.v201}
with suppress(ModuleNotFoundError):  # what of the library runs on Python 3.10 has none
    _VERSIONS_2["ocpp2.1"] = import_module("ocpp.v21")


@dataclass
class _Car:
    """One station and what its car draws."""

    station_id: str
    version: str
    watts: int
    register: float
    """Wh."""
    begins: float
    """Part of the demo that passes before it plugs in."""
    done: bool = field(default=False)


_CARS = (
    _Car("CP-GARAGE", "ocpp1.6", 7_400, 120_500, 0.00),
    _Car("CP-OFFICE", "ocpp1.6", 11_000, 983_210, 0.10),
    _Car("CS-MARKET", "ocpp2.0.1", 22_000, 4_411_000, 0.05),
    _Car("CS-MOTORWAY", next(reversed(_VERSIONS_2)), 150_000, 77_123_000, 0.15),
)


def show(*, seconds: float, keep: bool) -> int:
    """Run the demo and return its exit code.

    Raises:
        OcppMongoError: no database could be had, or the library is too old.
    """
    if not hasattr(call16, "BootNotification"):
        raise OcppMongoError("the demo needs ocpp 1.0 or later: pip install --upgrade ocpp")
    console = Console(highlight=False)
    # A connection that ^C cuts off in its handshake is no news here.
    logging.getLogger("websockets").setLevel(logging.CRITICAL + 1)
    with _database(console, uri=os.environ.get("OCPP_MONGO_URI"), keep=keep) as place:
        asyncio.run(_demo(console, place, seconds))
    return 0


# -- the database -----------------------------------------------------------------------------------------------


@contextmanager
def _database(console: Console, *, uri: str | None, keep: bool) -> Iterator[dict[str, Any]]:
    """Give the arguments of MongoPlugin: the server of OCPP_MONGO_URI, a real mongod, or memory."""
    if uri:
        yield {"uri": uri, "database": _DATABASE}
        return
    binary = find_mongod()
    if binary is None:
        yield {"database": _memory(console)}
    elif keep:
        yield {"uri": _detached(console, binary), "database": _DATABASE}
    else:
        with EmbeddedMongod() as server:
            console.print(f"mongod runs at {server.uri}")
            yield {"uri": server.uri, "database": _DATABASE}


def _memory(console: Console) -> Any:
    try:
        from mongomock_motor import AsyncMongoMockClient  # noqa: PLC0415 - the last resort
    except ModuleNotFoundError:
        raise OcppMongoError(
            'there is no MongoDB: set OCPP_MONGO_URI, or pip install "ocpp-mongo-plugin[embedded]" on Linux x86-64'
        ) from None
    console.print(
        "[bold yellow]WARNING: no mongod was found.[/] What follows is stored in an imitation in memory and is gone "
        "afterwards."
    )
    return AsyncMongoMockClient()[_DATABASE]


def _detached(console: Console, binary: Path) -> str:
    """Start a mongod that outlives this program."""
    data = Path(tempfile.mkdtemp(prefix="ocpp-mongo-demo-"))
    with EmbeddedMongod() as probe:
        port = probe.port
    log, pid = data / "mongod.log", data / "mongod.pid"
    command = [binary, "--dbpath", data, "--port", port, "--bind_ip", _HOST, "--fork", "--logpath", log]
    done = subprocess.run(  # noqa: S603 - our own mongod
        [str(part) for part in (*command, "--pidfilepath", pid)], capture_output=True, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise OcppMongoError(f"mongod could not be started (exit code {done.returncode})")
    uri = f"mongodb://{_HOST}:{port}/"
    console.print(
        f"mongod runs at {uri} and stays: its data are in {data}, and 'kill {pid.read_text().strip()}' ends it.\n"
        f"Look at it with: ocpp-mongo stats --uri {uri} --database {_DATABASE}"
    )
    return uri


# -- the CSMS ---------------------------------------------------------------------------------------------------

_transaction_ids = itertools.count(1001)


class _Csms16(ChargePoint16):  # type: ignore[misc]
    @on("BootNotification")
    def boot(self, **_: Any) -> Any:
        return result16.BootNotification(current_time=_now(), interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self, **_: Any) -> Any:
        return result16.Heartbeat(current_time=_now())

    @on("StatusNotification")
    def status(self, **_: Any) -> Any:
        return result16.StatusNotification()

    @on("Authorize")
    def authorize(self, **_: Any) -> Any:
        return result16.Authorize(id_tag_info={"status": "Accepted"})

    @on("StartTransaction")
    def start_transaction(self, **_: Any) -> Any:
        return result16.StartTransaction(transaction_id=next(_transaction_ids), id_tag_info={"status": "Accepted"})

    @on("MeterValues")
    def meter_values(self, **_: Any) -> Any:
        return result16.MeterValues()

    @on("StopTransaction")
    def stop_transaction(self, **_: Any) -> Any:
        return result16.StopTransaction(id_tag_info={"status": "Accepted"})


def _csms2(base: Any, results: Any) -> Any:
    """Return the CSMS of an OCPP 2.x version: their messages here are the same."""

    class Csms2(base):  # type: ignore[misc]
        @on("BootNotification")
        def boot(self, **_: Any) -> Any:
            return results.BootNotification(current_time=_now(), interval=300, status="Accepted")

        @on("Heartbeat")
        def heartbeat(self, **_: Any) -> Any:
            return results.Heartbeat(current_time=_now())

        @on("StatusNotification")
        def status(self, **_: Any) -> Any:
            return results.StatusNotification()

        @on("TransactionEvent")
        def transaction_event(self, **event: Any) -> Any:
            known = {"status": "Accepted"} if event.get("id_token") else None
            return results.TransactionEvent(id_token_info=known)

    return Csms2


_CSMS = {
    "ocpp1.6": _Csms16,
    **{name: _csms2(version.ChargePoint, version.call_result) for name, version in _VERSIONS_2.items()},
}


async def _serve_station(connection: ServerConnection) -> None:
    path = connection.request.path if connection.request is not None else "/"
    charge_point = _CSMS[connection.subprotocol or "ocpp1.6"](path.rpartition("/")[2], connection)
    with suppress(ConnectionClosed):
        await charge_point.start()


# -- the stations -----------------------------------------------------------------------------------------------


async def _charge16(charge_point: Any, car: _Car, steps: int) -> None:
    send, begun = charge_point.call, _Clock()
    await send(call16.BootNotification(charge_point_vendor="Volta", charge_point_model="Home 7"))
    await send(call16.StatusNotification(connector_id=1, error_code="NoError", status="Available"))
    await asyncio.sleep(car.begins * steps * _STEP)
    await send(call16.StatusNotification(connector_id=1, error_code="NoError", status="Preparing"))
    await send(call16.Authorize(id_tag="TAG-ANNA"))
    started = await send(
        call16.StartTransaction(
            connector_id=1, id_tag="TAG-ANNA", meter_start=int(car.register), timestamp=begun.text()
        )
    )
    await send(call16.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
    for step in range(steps):
        await _pass_time(car)
        energy = {"value": f"{car.register / 1000:.3f}", "unit": "kWh", "measurand": "Energy.Active.Import.Register"}
        power = {"value": str(car.watts), "unit": "W", "measurand": "Power.Active.Import"}
        sample = {"timestamp": begun.text(), "sampled_value": [energy, power]}
        await send(call16.MeterValues(connector_id=1, transaction_id=started.transaction_id, meter_value=[sample]))
        if step % _HEARTBEAT_STEPS == 0:
            await send(call16.Heartbeat())
    await send(
        call16.StopTransaction(
            transaction_id=started.transaction_id,
            meter_stop=int(car.register),
            timestamp=begun.text(),
            reason="EVDisconnected",
            id_tag="TAG-ANNA",
        )
    )
    await send(call16.StatusNotification(connector_id=1, error_code="NoError", status="Available"))


async def _charge2(charge_point: Any, car: _Car, steps: int, calls: Any) -> None:
    send, begun, numbers = charge_point.call, _Clock(), itertools.count()
    transaction_id = f"{car.station_id}-{begun.text()}"
    token = {"id_token": "TAG-BEN", "type": "ISO14443"}

    async def event(kind: str, trigger: str, state: str, **more: Any) -> None:
        energy = {
            "value": car.register / 1000,
            "measurand": "Energy.Active.Import.Register",
            "unit_of_measure": {"unit": "kWh"},
        }
        power = {"value": car.watts, "measurand": "Power.Active.Import", "unit_of_measure": {"unit": "W"}}
        info = {"transaction_id": transaction_id, "charging_state": state, **more.pop("info", {})}
        await send(
            calls.TransactionEvent(
                event_type=kind,
                timestamp=begun.text(),
                trigger_reason=trigger,
                seq_no=next(numbers),
                transaction_info=info,
                meter_value=[{"timestamp": begun.text(), "sampled_value": [energy, power]}],
                **more,
            )
        )

    async def status(name: str) -> None:
        await send(calls.StatusNotification(timestamp=begun.text(), connector_status=name, evse_id=1, connector_id=1))

    station = {"vendor_name": "Ampere", "model": "Fast 150"}
    await send(calls.BootNotification(charging_station=station, reason="PowerUp"))
    await status("Available")
    await asyncio.sleep(car.begins * steps * _STEP)
    await status("Occupied")
    await event("Started", "Authorized", "Charging", evse={"id": 1, "connector_id": 1}, id_token=token)
    for step in range(steps):
        await _pass_time(car)
        await event("Updated", "MeterValuePeriodic", "Charging")
        if step % _HEARTBEAT_STEPS == 0:
            await send(calls.Heartbeat())
    stopped = {"stopped_reason": "EVDisconnected"}
    await event("Ended", "EVCommunicationLost", "Idle", info=stopped)
    await status("Available")


class _Clock:
    """The stations' time, which passes faster than ours."""

    def __init__(self) -> None:
        self._start = datetime.now(timezone.utc)

    def text(self) -> str:
        """Return it as OCPP writes it, UTC."""
        passed = (datetime.now(timezone.utc) - self._start) * _FASTER
        return (self._start + passed).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _pass_time(car: _Car) -> None:
    await asyncio.sleep(_STEP)
    car.register += car.watts * timedelta(seconds=_STEP * _FASTER).total_seconds() / 3600


async def _station(car: _Car, port: int, seconds: float) -> None:
    steps = max(1, int(seconds * (1 - car.begins) / _STEP) - 1)
    url = f"ws://{_HOST}:{port}/{car.station_id}"
    async with connect(url, subprotocols=[car.version]) as connection:  # type: ignore[list-item]
        version = _VERSIONS_2.get(car.version)
        charge_point = (version.ChargePoint if version else ChargePoint16)(car.station_id, connection)
        reading = asyncio.ensure_future(charge_point.start())
        try:
            if version is None:
                await _charge16(charge_point, car, steps)
            else:
                await _charge2(charge_point, car, steps, version.call)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await reading
    car.done = True


# -- the show ---------------------------------------------------------------------------------------------------


async def _demo(console: Console, place: dict[str, Any], seconds: float) -> None:
    async with MongoPlugin(**place, load_plugins=False) as plugin:
        async with serve(_serve_station, _HOST, 0, subprotocols=[*_CSMS]) as server:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]
            console.print(f"a CSMS listens at ws://{_HOST}:{port}/, four stations charge for {seconds:g} s\n")
            stations = asyncio.gather(*(_station(car, port, seconds) for car in _CARS))
            try:
                await _watch(console, plugin, stations)
            finally:
                stations.cancel()
                await asyncio.gather(stations, return_exceptions=True)
            stations.result()
        await plugin.flush()
        await _look(console, plugin)


async def _watch(console: Console, plugin: MongoPlugin, stations: asyncio.Future[Any]) -> None:
    """Show what the database says, again and again, until the stations are done."""
    if not sys.stdout.isatty():
        while not stations.done():
            await asyncio.wait([stations], timeout=3)
            stats = plugin.stats
            console.print(f"{stats.stored} frames stored, {stats.waiting} waiting")
        return
    with Live(await _table(plugin), console=console, refresh_per_second=4) as live:
        while not stations.done():
            await asyncio.wait([stations], timeout=0.5)
            live.update(await _table(plugin))


async def _table(plugin: MongoPlugin) -> Table:
    table = Table(title="what MongoDB says")
    for name in ("station", "version", "connection", "connector 1", "transaction", "energy"):
        table.add_column(name)
    running = {t.station_id: t for t in await plugin.transactions.active()}
    for station in await plugin.stations.all():
        transaction = running.get(station.station_id)
        connectors = station.connectors
        table.add_row(
            station.station_id,
            station.protocol_version or "",
            station.connection_status,
            (connectors[0].status or "") if connectors else "",
            str(transaction.transaction_id)[:20] if transaction else "",
            _kwh(transaction.energy_consumed) if transaction else "",
        )
    stats = plugin.stats
    table.caption = f"{stats.stored} frames stored, {stats.waiting} waiting, {sum(stats.lost.values())} lost"
    return table


async def _look(console: Console, plugin: MongoPlugin) -> None:
    """Print what is in the collections, and a few queries with their answers."""
    console.print("\n[bold]What is stored now[/]")
    for name, count in (await plugin.counts()).items():
        console.print(f"  {name:<15} {count:>6}")
    console.print("\n[bold]A few queries[/]")
    console.print("[dim]await plugin.transactions.by_station(...)[/]")
    for car in _CARS:
        for transaction in await plugin.transactions.by_station(car.station_id, limit=1):
            console.print(
                f"  {car.station_id:<12} {transaction.status}, {_kwh(transaction.energy_consumed)}, started by "
                f"{transaction.id_tag}, stopped: {transaction.reason}"
            )
    stats = await plugin.transactions.stats()
    console.print("[dim]await plugin.transactions.stats()[/]")
    console.print(
        f"  {stats.total} transactions, {stats.completed} completed, {_kwh(stats.total_energy_wh)} in all, "
        f"{_kwh(stats.average_energy_wh)} on average"
    )
    console.print('[dim]await plugin.messages.find(action="BootNotification", message_type="Call")[/]')
    for message in await plugin.messages.find(action="BootNotification", message_type="Call", direction="received"):
        pair = await plugin.messages.pair(message)
        took = f"{pair.answer.latency_ms:.1f} ms" if pair.answer and pair.answer.latency_ms is not None else "no answer"
        console.print(f"  {message.station_id:<12} {message.protocol_version:<6} answered in {took}")
    console.print('[dim]await plugin.meter_values.find(measurand="Power.Active.Import", limit=1)[/]')
    for value in await plugin.meter_values.find(measurand="Power.Active.Import", limit=1):
        console.print(f"  {value.metadata.station_id:<12} {value.value} {value.unit} at {value.timestamp}")
    figures = plugin.stats
    console.print(
        f"\ncaptured {figures.captured} = stored {figures.stored} + waiting {figures.waiting} + dead-lettered "
        f"{figures.dead_lettered} + lost {sum(figures.lost.values())}"
    )


def _kwh(energy: float | None) -> str:
    return "?" if energy is None else f"{energy / 1000:.2f} kWh"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
