"""F1 to F5: the server dies, stands still, is out of reach, or is another one."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from host import Host
from judge import judge, unaccounted
from proxy import ChaosProxy
from pymongo import MongoClient
from waiting import wait_until


def test_f1_20_kills_of_mongod_lose_nothing_acknowledged(own_mongod: Any, looking: Any, measured: Any, seed: int):
    server = own_mongod()
    database = looking(server.uri)
    instants = random.Random(seed)  # noqa: S311 - repeatable on purpose
    waits = []
    with Host(server.uri, rate=1000, operation_timeout=5) as host:
        for _ in range(20):
            time.sleep(instants.uniform(0, 0.4))  # the instant is the experiment
            acknowledged = host.plugin.stats.stored
            server.restart(kill=True)
            assert database.ocpp_messages.count_documents({}) >= acknowledged
            waits.append(host.stores_a_fresh_frame(database))
        host.pause()
        drained = host.drained()
        stats = host.plugin.stats
    verdict = judge(database, host.captured)
    measured(f"F1 20 kills: {verdict}; fresh frame after {max(waits):.1f} s at most; drained in {drained:.1f} s")
    assert verdict.whole, verdict
    assert unaccounted(stats) == 0
    assert not stats.lost


def test_f2_a_mongod_that_stands_still_for_15_s_is_not_felt(
    own_mongod: Any, looking: Any, measured: Any, tmp_path: Path
):
    server = own_mongod()
    database = looking(server.uri)
    with Host(server.uri, rate=1000, durability="journal", journal_directory=tmp_path / "journal") as host:
        host.captures(1000)
        before = host.feelings()
        server.pause()
        host.begin()
        begun = time.monotonic()
        host.captures(15_000, 40)
        took = time.monotonic() - begun
        felt, waiting = host.feelings(), host.plugin.stats.waiting
        p99 = host.felt()[1]
        server.resume()
        fresh = host.stores_a_fresh_frame(database, 45)
        host.pause()
        host.drained()
    verdict = judge(database, host.captured)
    measured(f"F2 stopped {took:.1f} s, {waiting} waited: {felt} (before: {before}); fresh frame after {fresh:.1f} s")
    measured(f"F2 {verdict}")
    assert verdict.whole, verdict
    assert waiting > 10_000
    assert p99 < 1
    assert fresh < 15


@pytest.mark.parametrize("mode", ["hole", "reset", "slow", "trickle"])
def test_f3_a_bad_network_loses_nothing_and_leaks_no_connection(
    own_mongod: Any, looking: Any, measured: Any, mode: Any
):
    server = own_mongod()
    database = looking(server.uri)
    with ChaosProxy(server.port) as proxy:
        with Host(proxy.uri, rate=400, operation_timeout=3) as host:
            host.stores_a_fresh_frame(database)
            usual = proxy.open
            most = 0
            for _ in range(2):
                proxy.become(mode)
                host.begin()
                host.captures(1600)
                most = max(most, proxy.open)
                proxy.become("pass")
                fresh = host.stores_a_fresh_frame(database)
            p99 = host.felt()[1]
            felt = host.feelings()
            host.pause()
            host.drained(15)
            healed = proxy.open
        wait_until(lambda: proxy.open == 0)
    verdict = judge(database, host.captured)
    connections = f"connections {usual} before, {most} at most, {healed} after"
    measured(f"F3 {mode}: {verdict}; fresh frame {fresh:.1f} s after heal; {connections}; {felt}")
    assert verdict.whole, verdict
    assert p99 < 1
    assert max(most, healed) <= usual + 2
    assert not host.plugin.stats.lost


@pytest.mark.parametrize("fault", ["steps down", "is killed"])
def test_f4_a_new_primary_gets_everything(tmp_path: Path, measured: Any, fault: str):
    with Cluster(tmp_path) as cluster:
        cluster.initiate()
        with closing(MongoClient[Any](cluster.uri)) as client, Host(cluster.uri, rate=400, operation_timeout=5) as host:
            database = client.faults
            host.stores_a_fresh_frame(database)
            usual = host.felt()
            host.begin()
            begun = time.monotonic()
            old = wait_until(cluster.primary, 30)
            if fault == "is killed":
                old.stop(kill=True)
            else:
                cluster.step_down()
            stored = host.plugin.stats.stored
            wait_until(lambda: host.plugin.stats.stored > stored + 100, 60)
            gap = time.monotonic() - begun
            felt, added = host.feelings(), host.felt()
            host.stores_a_fresh_frame(database)
            host.pause()
            host.drained()
            verdict = judge(database, host.captured)
    measured(f"F4 primary {fault}: {gap:.1f} s without a stored frame; largest added latency of a capture")
    measured(f"   {max(0.0, added[2] - usual[2]):.2f} ms, of the loop {max(0.0, added[3] - usual[3]):.1f} ms ({felt})")
    measured(f"   {verdict}")
    assert verdict.whole, verdict
    assert added[1] < 1
    assert not host.plugin.stats.lost


@pytest.mark.full
def test_f5_a_primary_cut_off_from_its_peers_rolls_back_nothing_acknowledged(tmp_path: Path, measured: Any):
    """The old primary still takes the host's writes, and can never have them acknowledged by a majority."""
    cut: list[Any] = []
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(tmp_path))
        proxies = [stack.enter_context(ChaosProxy(member.port)) for member in cluster.members]
        for member, proxy in zip(cluster.members, proxies, strict=True):

            def is_cut(peer: tuple[str, int], target: Any = member) -> bool:
                source = cluster.owner(peer[1])
                return source is not None and source is not target and bool({source, target} & set(cut))

            proxy.cut = is_cut
        cluster.initiate([proxy.port for proxy in proxies])
        client = stack.enter_context(closing(MongoClient[Any](cluster.uri)))
        with Host(cluster.uri, rate=400, operation_timeout=3) as host:
            host.stores_a_fresh_frame(client.faults)
            written = []
            for _ in range(3):
                old = wait_until(cluster.primary, 30)
                begun, stored = time.monotonic(), host.plugin.stats.stored
                cut.append(old)
                wait_until(lambda: cluster.primary() not in {None, old}, 90)  # noqa: B023 - called at once
                wait_until(lambda: host.plugin.stats.stored > stored + 400, 60)  # noqa: B023
                written.append(time.monotonic() - begun)
                cut.clear()
                host.stores_a_fresh_frame(client.faults)
            host.pause()
            host.drained()
            verdict = judge(client.faults, host.captured)
            stats = host.plugin.stats
    rollbacks = len([*tmp_path.glob("member-*/rollback/*/*")])
    gaps = ", ".join(f"{seconds:.1f}" for seconds in written)
    measured(f"F5 primary cut off 3 times: {verdict}; stored again after {gaps} s; {rollbacks} rollback file(s)")
    assert verdict.whole, verdict
    assert stats.stored == len(host.captured)
