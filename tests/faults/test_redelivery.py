"""F12: whatever is delivered twice is stored once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from children import child, environment, kill_at_random
from judge import judge
from oracle import read
from pymongo.errors import AutoReconnect
from waiting import wait_until

from ocpp_mongo_plugin import MongoPlugin


async def test_f12_every_batch_delivered_twice_is_one(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Callable[[str], None]
):
    plugin = MongoPlugin(mongo_uri, fresh_database, durability="memory", batch_limit=50)
    twice = 0
    connect = plugin._connect

    def connect_to_a_network_that_loses_answers() -> Any:
        store = connect()
        write, answered = store.write, True

        def write_and_lose_the_answer(*arguments: Any, **keywords: Any) -> Any:
            nonlocal twice, answered
            written = write(*arguments, **keywords)
            answered = not answered
            if not answered:
                twice += 1
                raise AutoReconnect("the answer was lost")
            return written

        store.write = write_and_lose_the_answer
        return store

    plugin._connect = connect_to_a_network_that_loses_answers
    async with plugin:
        for number in range(600):
            meter = (
                '{"connectorId":1,"meterValue":[{"timestamp":"2026-03-01T10:00:00Z","sampledValue":[{"value":"%d"}]}]}'
            )
            plugin.record("CP1", "received", f'[2,"{number}","MeterValues",{meter % number}]', "1.6")
        await plugin.flush(60)
        stats = plugin.stats
    database = looking(mongo_uri, fresh_database)
    counts = {name: database[name].count_documents({}) for name in ("ocpp_messages", "meter_values", "sessions")}
    measured(f"F12 {twice} batches delivered twice: {stats.captured} captured, {counts}")
    assert twice > 5
    assert counts == {"ocpp_messages": 600, "meter_values": 600, "sessions": 1}
    assert database.sessions.find_one()["messages_received"] == 600
    assert stats.stored == 600


def locks(directory: Path) -> int:
    """How many journals there are; those that another process removes meanwhile are none."""
    return sum("lock" in names for _, _, names in os.walk(directory))


def test_f12_a_copied_journal_replayed_by_two_processes_is_one(
    mongo_uri: str, fresh_database: str, looking: Any, tmp_path: Path, measured: Callable[[str], None], seed: int
):
    oracle, journal, copy = tmp_path / "oracle", tmp_path / "journal", tmp_path / "copy"
    instants = random.Random(seed)  # noqa: S311
    database = looking(mongo_uri, fresh_database)
    nowhere = environment("mongodb://127.0.0.1:1/", fresh_database, journal)
    for number in range(5):
        kill_at_random(oracle, f"k{number}-", instants, nowhere)
    # The target of a journal is its server too: the copy that is replayed is put under that of the real one.
    found = next(path for path in journal.iterdir())
    names = {}
    for root in (journal, copy):
        probe = MongoPlugin(mongo_uri, fresh_database, durability="journal", journal_directory=root)
        names[root] = root / probe._target().directory
    shutil.copytree(found, names[copy])
    found.rename(names[journal])
    expected = len(read(oracle))
    with ExitStack() as stack:
        for root in (journal, copy):
            env = environment(mongo_uri, fresh_database, root)
            stack.enter_context(child("idle", oracle, "idle", env=env, stdout=subprocess.DEVNULL))
        wait_until(lambda: locks(tmp_path) == 2, 60)  # those of the two that live, and no other
    verdict = judge(database, read(oracle))
    measured(f"F12 a journal and its copy, two processes at once: {verdict}")
    assert verdict.captured == expected > 0
    assert verdict.whole
    assert database.sessions.count_documents({"status": "open"}) == 0
