"""F20 to F23: many threads, a loop that stands, tasks that are cancelled, a server that is far too slow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import pytest
from host import Host, in_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judge import judge, unaccounted
from ocpp.routing import on
from oracle import Entry
from waiting import wait_until_async
from wire import join

from ocpp_mongo_plugin import MongoPlugin

WORKERS = 32
FRAMES = 10_000
SESSIONS = 8


@pytest.mark.timeout(240)
def test_f20_32_threads_and_loops_keep_the_order_of_8_sessions(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Any, tmp_path: Path
):
    entries: list[list[Entry]] = [[] for _ in range(WORKERS)]

    def record(plugin: MongoPlugin, worker: int, numbers: range) -> None:
        station = f"CP{worker % SESSIONS}"
        for number in numbers:
            text = f'[2,"{worker}-{number}","Heartbeat",{{}}]'
            plugin.record(station, "received", text, "1.6")
            entries[worker].append(Entry(f"{station}-{worker}", station, "received", text))

    async def on_a_loop(plugin: MongoPlugin, worker: int) -> None:
        for start in range(0, FRAMES, 100):
            record(plugin, worker, range(start, start + 100))
            await asyncio.sleep(0)

    async def main() -> tuple[float, float]:
        async with MongoPlugin(
            mongo_uri, fresh_database, durability="journal", journal_directory=tmp_path / "journal"
        ) as plugin:
            threads = [threading.Thread(target=record, args=(plugin, w, range(FRAMES))) for w in range(0, WORKERS, 2)]
            loops = [
                threading.Thread(target=lambda w=w: asyncio.run(on_a_loop(plugin, w))) for w in range(1, WORKERS, 2)
            ]
            begun = time.monotonic()
            for thread in (*threads, *loops):
                thread.start()
            for thread in (*threads, *loops):
                await asyncio.to_thread(thread.join)
            captured = time.monotonic() - begun
            await wait_until_async(lambda: plugin.stats.waiting == 0, 120)
            assert unaccounted(plugin.stats) == 0
            return captured, time.monotonic() - begun

    captured, stored = asyncio.run(main())
    verdict = judge(looking(mongo_uri, fresh_database), [entry for own in entries for entry in own])
    measured(f"F20 {WORKERS} x {FRAMES} captured in {captured:.1f} s, stored after {stored:.1f} s: {verdict}")
    assert verdict.captured == WORKERS * FRAMES
    assert verdict.sessions == SESSIONS
    assert verdict.whole, verdict


@pytest.mark.parametrize("kind", ["sleeping", "computing"])
def test_f21_a_loop_that_stands_for_5_s_does_not_stop_the_sink(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Any, kind: str
):
    with Host(mongo_uri, fresh_database) as host:
        host.pause()
        host.drained()

        def stand() -> None:
            for _ in range(5000):
                host._record_one()
            before = host.plugin.stats.stored
            end = time.monotonic() + 5
            if kind == "sleeping":
                time.sleep(5)  # the fault: a program that blocks its own loop
            while time.monotonic() < end:
                pass
            drained.append(host.plugin.stats.stored - before)

        drained: list[int] = []
        host.within(stand)
        host.drained()
    verdict = judge(looking(mongo_uri, fresh_database), host.captured)
    measured(f"F21 loop {kind} for 5 s: {drained[0]} frames stored meanwhile; {verdict}")
    assert drained[0] > 500  # how many is the machine's; none would be a sink that stood still, too
    assert verdict.whole, verdict


class Csms(ocpp.v16.ChargePoint):
    @on("Heartbeat")
    async def heartbeat(self) -> Any:
        await asyncio.sleep(0)
        return ocpp.v16.call_result.Heartbeat(current_time="2026-03-01T10:00:00Z")


@pytest.fixture
def recorded(mongo_uri: str, fresh_database: str) -> Iterator[tuple[asyncio.Runner, MongoPlugin]]:
    with asyncio.Runner() as runner:
        plugin = MongoPlugin(mongo_uri, fresh_database, **in_memory({}))
        runner.run(plugin.start())
        yield runner, plugin
        assert runner.run(plugin.close())


async def cancel_calls(tag: str, points: list[int | None]) -> dict[str, list[tuple[str, str]]]:
    """Make calls, cancel each after so many turns of the loop (None: let it be); return what crossed, by station."""
    station_end, csms_end = join()
    station = ocpp.v16.ChargePoint(f"{tag}-s", station_end)
    csms = Csms(f"{tag}-c", csms_end)
    reading = [asyncio.ensure_future(station.start()), asyncio.ensure_future(csms.start())]
    for number, turns in enumerate(points):
        calling = asyncio.ensure_future(station.call(ocpp.v16.call.Heartbeat(), unique_id=f"{tag}-{number}"))
        if turns is not None:
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling

    def is_quiet() -> bool:
        sent, received = (
            sum(crossing.direction == way for end in (station_end, csms_end) for crossing in end.crossed)
            for way in ("sent", "received")
        )
        calls = [c for c in csms_end.crossed if c.direction == "received"]
        return sent == received and len(calls) == len(csms_end.crossed) - len(calls)

    await wait_until_async(is_quiet)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return {f"{tag}-{side}": [*end.crossed] for side, end in (("s", station_end), ("c", csms_end))}


def test_f22_cancelled_calls_lose_and_double_nothing(recorded: Any, looking: Any, mongo_uri: str, measured: Any):
    runner, plugin = recorded
    messages = looking(mongo_uri, plugin.settings.database).ocpp_messages
    seen = {"examples": 0, "calls": 0, "frames": 0, "unsent": 0}

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=6))
    def cancelled(points: list[int | None]) -> None:
        tag = f"x{seen['examples']}"
        seen["examples"] += 1
        crossed = runner.run(cancel_calls(tag, points))
        runner.run(plugin.flush())
        for station, crossings in crossed.items():
            found = messages.find({"station_id": station}).sort("sequence", 1)
            stored = [(d["sequence"], d["direction"], d["raw"]) for d in found]
            assert stored == [(n, way, text) for n, (way, text) in enumerate(crossings)]
            seen["frames"] += len(stored)
        seen["calls"] += len(points)
        seen["unsent"] += len(points) - sum(way == "sent" for way, _ in crossed[f"{tag}-s"])

    cancelled()
    measured(f"F22 cancelled tasks: {seen}, all stored as they crossed the wire")
    assert 0 < seen["unsent"] < seen["calls"]


BUFFER = 8 * 1024 * 1024
TEXT = "x" * 10_000


def resident() -> int:
    """Return the memory of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def test_f23_a_server_at_10_documents_a_second_costs_a_bounded_memory_and_counted_frames(
    trying_mongod: Any, fail: Any, looking: Any, measured: Any
):
    database = looking(trying_mongod.uri)
    database.client.drop_database(database.name)
    slow = {"blockConnection": True, "blockTimeMS": 1000}
    settings = in_memory({"buffer_bytes": BUFFER, "batch_limit": 10, "operation_timeout": 5.0})

    async def main() -> tuple[Any, Any, int, float]:
        async with MongoPlugin(trying_mongod.uri, database.name, **settings) as plugin:
            for number in range(200):
                plugin.record("CP1", "received", f'[2,"w{number}","DataTransfer",{{"vendorId":"{TEXT}"}}]', "1.6")
            await plugin.flush()
            fail(-1, failCommands=["insert"], **slow)
            before, grown = resident(), 0
            latencies = []
            begun = time.monotonic()
            for tick in range(1000):
                for number in range(10):
                    text = f'[2,"{tick}-{number}","DataTransfer",{{"vendorId":"{TEXT}"}}]'
                    start = time.perf_counter()
                    plugin.record("CP1", "received", text, "1.6")
                    latencies.append(time.perf_counter() - start)
                assert unaccounted(plugin.stats) == 0
                grown = max(grown, resident() - before)
                await asyncio.sleep(max(0.0, begun + (tick + 1) / 100 - time.monotonic()))
            under = plugin.stats
            fail(0)
            await wait_until_async(lambda: plugin.stats.waiting == 0, 30)
            p99 = sorted(latencies)[int(len(latencies) * 0.99)] * 1000
            return under, plugin.stats, grown, p99

    under, after, grown, p99 = asyncio.run(main())
    stored = database.ocpp_messages.count_documents({})
    measured(
        f"F23 10,000 frames of 10 kB in 10 s at 10 documents a second: {under.stored - 200} stored, "
        f"{under.waiting} waiting, lost {dict(under.lost)}; memory grew by {grown / 2**20:.1f} MiB "
        f"(buffer {BUFFER / 2**20:g}); capture p99 {p99:.3f} ms; after the fault {stored} stored"
    )
    assert set(after.lost) == {"buffer full"}
    assert under.stored - 200 < 200
    assert unaccounted(after) == 0
    assert stored == after.stored == after.captured - after.lost["buffer full"]
    assert grown < 2 * BUFFER + 4 * 1024 * 1024
    assert p99 < 1
