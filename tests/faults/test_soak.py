"""F29: random faults, one after the other, for as long as asked; nothing grows and nothing is lost."""

from __future__ import annotations

import gc
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from children import child, environment, store_what_was_left
from host import Host
from judge import judge, unaccounted
from oracle import read
from proxy import ChaosProxy
from waiting import wait_until

MIB = 1024 * 1024


def footprint() -> tuple[int, int, int]:
    """Return open files, threads and resident bytes of this process, without the name look-ups of the proxy's loop."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    threads = len([thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")])
    return len([*Path("/proc/self/fd").iterdir()]), threads, int(pages) * 4096


@pytest.mark.timeout(0)
def test_f29_nothing_grows_and_nothing_is_lost_under_random_faults(  # noqa: PLR0915 - one long story
    own_mongod: Any, looking: Any, tmp_path: Path, measured: Any, seed: int, soak_seconds: float
):
    server, oracle = own_mongod(), tmp_path / "oracle"
    database, of_child = looking(server.uri), looking(server.uri, "children")
    env = environment(server.uri, "children", tmp_path / "journal")
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    done: dict[str, int] = {}

    with ChaosProxy(server.port) as proxy:

        def f1() -> None:
            server.restart(kill=True)

        def f2() -> None:
            server.pause()
            time.sleep(chance.uniform(0.5, 3))  # the fault's length
            server.resume()

        def f3() -> None:
            proxy.become(chance.choice(["hole", "reset", "slow", "trickle"]))
            time.sleep(chance.uniform(0.5, 3))  # the fault's length
            proxy.become("pass")

        def f8() -> None:
            already = oracle.stat().st_size if oracle.exists() else 0
            mode = chance.choice(["fast", "ocpp"])
            with child(mode, oracle, f"s{sum(done.values())}", "--rate", 1000, env=env) as process:
                wait_until(lambda: oracle.exists() and oracle.stat().st_size > already, 30)
                time.sleep(chance.uniform(0, 0.5))  # the instant is the experiment
                process.kill()

        faults = [f1, f2, f3, f8]
        journal = {"durability": "journal", "journal_directory": tmp_path / "journal"}
        with Host(proxy.uri, rate=300, operation_timeout=2, **journal) as host:
            host.stores_a_fresh_frame(database)
            fresh, prints = [], []
            end = time.monotonic() + soak_seconds
            while time.monotonic() < end:
                fault = faults[len(done)] if len(done) < len(faults) else chance.choice(faults)
                fault()
                done[fault.__name__] = done.get(fault.__name__, 0) + 1
                fresh.append(host.stores_a_fresh_frame(database, 30))
                assert unaccounted(host.plugin.stats) == 0
                if len(done) == len(faults):  # each was seen once: from here on nothing is new
                    prints.append(footprint())
            host.pause()
            host.drained()
            prints.append(footprint())
            felt = host.feelings()
    verdict = judge(database, host.captured)
    measured(f"F29 {soak_seconds:.0f} s, seed {seed}, {done}: {verdict}; fresh frame after {max(fresh):.1f} s at most")
    third = max(1, len(prints) // 3)
    early, late = ([max(p[i] for p in part) for i in range(3)] for part in (prints[:third], prints[-third:]))
    grown = (
        f"fds {early[0]} to {late[0]}, threads {early[1]} to {late[1]}, RSS {early[2] / MIB:.0f} to {late[2] / MIB:.0f}"
    )
    measured(f"F29 {grown} MiB; {felt}")
    store_what_was_left(oracle, of_child, env)
    of_children = judge(of_child, read(oracle))
    measured(f"F29 killed children: {of_children}")
    assert of_children.whole, of_children
    assert verdict.whole, verdict
    assert not host.plugin.stats.lost
    assert max(fresh) < 15
    assert late[0] <= early[0] + 4
    assert late[1] <= early[1] + 1
    # The host remembers what it captured, about half a kilobyte a frame.
    assert late[2] <= early[2] + 16 * MIB + len(host.captured) * 512
