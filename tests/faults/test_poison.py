"""F13: a document that MongoDB refuses costs neither its neighbours nor the next batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.dead_letters import text_of

SIZE = 7
KINDS = {
    "refused by a validator (121)": '{"poison":1}',
    "lone surrogate": '{"x":"\ud800"}',
    "2^70": '{"x":1180591620717411303424}',
    "5,000 digits": '{"x":' + "9" * 5000 + "}",
    "nested 200 deep": "[" * 200 + "]" * 200,
    "nested 100,000 deep": "[" * 100_000 + "]" * 100_000,
    "$ and . in keys": '{"$set":{"a.b":1},"":2,"$where":"x"}',
    "NUL in a key": '{"a\\u0000b":1}',
    "17 MB": json.dumps({"x": "y" * 17_000_000}),
    "17 MB that do not shrink": json.dumps(
        {"x": "".join(chr(33 + (i * 7919 + i // 91) % 90) for i in range(17_000_000))}
    ),
    "not JSON": "{",
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS)
async def test_f13_the_others_of_its_batch_are_stored(
    mongo_uri: str, fresh_database: str, looking: Any, measured: Callable[[str], None], kind: str
):
    database = looking(mongo_uri, fresh_database)
    database.create_collection("ocpp_messages", validator={"payload.poison": {"$exists": False}})
    positions = range(SIZE) if len(KINDS[kind]) < 1_000_000 else (0, SIZE // 2, SIZE - 1)
    async with MongoPlugin(mongo_uri, fresh_database, durability="memory", batch_size=1000) as plugin:
        await plugin.flush()
        for position in positions:
            for number in range(SIZE):
                payload = KINDS[kind] if number == position else '{"good":1}'
                plugin.record(f"CP{position}", "received", f'[2,"{number}","DataTransfer",{payload}]', "1.6")
            await plugin.flush(60)
            plugin.record(f"CP{position}", "received", '[2,"next","Heartbeat",{}]', "1.6")
            await plugin.flush(60)
        stats = plugin.stats
        health = plugin.health
    found = list(database.ocpp_messages.find({}, {"message_id": 1, "station_id": 1, "raw": 1, "lossy": 1}))
    letters = list(database.dead_letters.find())
    measured(
        f"F13 {kind}: {stats.captured} captured, {stats.stored} stored, {stats.dead_lettered} dead, "
        f"{sum(stats.lost.values())} lost"
    )
    good = {(f"CP{p}", f'[2,"{n}","DataTransfer",{{"good":1}}]') for p in positions for n in range(SIZE) if n != p}
    good |= {(f"CP{p}", '[2,"next","Heartbeat",{}]') for p in positions}
    assert {(m["station_id"], m["raw"]) for m in found if len(m["raw"]) < 100} >= good
    assert len(found) + len(letters) == stats.captured == stats.stored + stats.dead_lettered
    assert not stats.lost
    assert health.state == "ok"
    if "validator" in kind:
        assert [text_of(letter) for letter in letters] == [
            f'[2,"{p}","DataTransfer",{{"poison":1}}]' for p in positions
        ]
    else:
        assert not letters


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**80), 2**80) | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(), max_size=4) | st.sampled_from(["$set", "a.b", "", "\0", "_id"]), inner
        )
    ),
    max_leaves=12,
)


@given(payloads=st.lists(JSON, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_f13_any_json_is_stored_whole(mongo_uri: str, fresh_database: str, looking: Any, payloads: list[Any]):
    database = looking(mongo_uri, fresh_database)
    database.ocpp_messages.delete_many({})
    texts = [json.dumps([2, str(n), "Custom", payload]) for n, payload in enumerate(payloads)]
    async with MongoPlugin(mongo_uri, fresh_database, durability="memory", create_indexes=False) as plugin:
        for text in texts:
            plugin.record("CP1", "received", text, "1.6")
        await plugin.flush()
        assert plugin.stats.stored == len(texts)
    stored = [m["raw"] for m in database.ocpp_messages.find().sort("sequence", 1)]
    assert stored == texts
