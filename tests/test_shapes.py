"""Every shape in which programs use ChargePoint: nothing is lost, nothing altered, neither record nor program."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any, NamedTuple

import ocpp.v16
import pytest
from ocpp.routing import after, on
from shapes import SHAPES, Shape
from wire import End, join

from ocpp_mongo_plugin import MongoPlugin

NOW = "2026-01-01T00:00:00Z"
CALLS = ocpp.v16.call


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


MADE = [pytest.param(shape, made, id=f"{shape.name}-{made}") for shape in SHAPES for made in shape.made]


@pytest.mark.parametrize(("shape", "made"), MADE)
async def test_what_crossed_is_stored_and_the_program_is_as_without_us(
    shape: Shape, made: str, mock_database: Any
) -> None:
    without = await converse(meet(shape.make))
    before = meet(shape.make)
    async with MongoPlugin(database=mock_database) as plugin:
        recorded = await converse(before if made == "before" else meet(shape.make))
        await plugin.flush()
    assert recorded == without
    for name, crossed in (("CP", recorded[1]), ("to CP", recorded[2])):
        stored = [m async for m in mock_database.ocpp_messages.find({"station_id": name}).sort("sequence", 1)]
        assert [(m["direction"], m["raw"]) for m in stored] == crossed
        assert [m["sequence"] for m in stored] == list(range(len(crossed)))
        assert {m["session_id"] for m in stored} == {stored[0]["session_id"]}
        assert all(m["delivered"] and "seen_on_socket" not in m for m in stored)
