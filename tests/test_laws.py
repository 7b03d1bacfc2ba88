"""The laws of the core, as properties: total, order-free, rebuildable."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from playing import Player, frames_of
from transcripts import TRANSCRIPTS

from ocpp_mongo_plugin import changes, transactions
from ocpp_mongo_plugin.changes import Earliest, Element, Highest, Known, Latest, Merge, Union
from ocpp_mongo_plugin.frames import decode, message_key, new_session_id, wire_clock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
ACTIONS = st.sampled_from(
    [
        "BootNotification",
        "StatusNotification",
        "StartTransaction",
        "StopTransaction",
        "MeterValues",
        "TransactionEvent",
        "NotifyEvent",
        "ChangeAvailability",
        "ReserveNow",
        "CostUpdated",
    ]
)
CALLS = st.builds(lambda i, action, payload: json.dumps([2, i, action, payload]), st.integers(0, 3), ACTIONS, JSON)
ANSWERS = st.builds(lambda i, payload: json.dumps([3, i, payload]), st.integers(0, 3), JSON)
ERRORS = st.builds(lambda i, code: json.dumps([4, i, code]), st.integers(0, 3), JSON)
TEXTS = st.text() | JSON.map(json.dumps) | CALLS | ANSWERS | ERRORS
LINES = st.builds(lambda side, text: side + text, st.sampled_from("SC"), TEXTS)


@given(st.text() | JSON.map(json.dumps))
def test_total_any_text_is_decoded(text: str):
    assert decode(text).message_type


@given(st.lists(LINES, max_size=12), st.sampled_from(["1.6", "2.0.1", "2.1", None, "3.0"]))
def test_total_any_frames_are_kept_in_order_with_their_text(lines: list[str], version: Any):
    player = Player()
    player.take(frames_of(lines, version))
    assert [message["raw"] for message in player.messages()] == [line[1:] for line in lines]
    correlations = [m["correlation_id"] for m in player.messages()]
    assert max([correlations.count(c) for c in correlations], default=0) <= 2


@given(st.sampled_from(TRANSCRIPTS), st.data())
def test_batches_do_not_matter(transcript: Any, data: st.DataObject):
    frames = frames_of(transcript.frames, transcript.version)
    whole, parts = Player(), Player()
    whole.take(frames)
    rest = list(frames)
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        parts.take(rest[:count])
        rest = rest[count:]
    assert parts.transactions() == whole.transactions()
    assert parts.station() == whole.station()
    assert parts.inserts.keys() == whole.inserts.keys()


@given(st.sampled_from(TRANSCRIPTS))
def test_rebuildable_from_the_stored_messages(transcript: Any):
    """Messages hold all that frames did: fed again, they give the same documents."""
    live, rebuilt = Player(), Player()
    frames = frames_of(transcript.frames, transcript.version)
    live.take(frames)
    again = [
        frame._replace(
            text=message["raw"],
            origin=message["origin"],
            direction=message["direction"],
            timestamp=message["timestamp"],
            protocol_version=message["protocol_version"],
        )
        for frame, message in zip(frames, live.messages(), strict=True)
    ]
    rebuilt.take(again)
    assert rebuilt.transactions() == live.transactions()
    assert rebuilt.station() == live.station()
    assert rebuilt.inserts == live.inserts


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=4))
def test_events_of_2x_give_one_transaction_in_any_order_and_however_often(order: list[int], again: list[int]):
    (transcript,) = [t for t in TRANSCRIPTS if t.name == "an ordinary transaction of 2.0.1"]
    events = [line for line in transcript.frames if line.startswith("S")]
    frames = frames_of([*events, *events], "2.0.1")[: len(events)]
    expected, shuffled = Player(), Player()
    expected.take(frames)
    shuffled.take([frames[i] for i in [*order, *again] if i < len(frames)])
    drop = ("clocks", "created_at", "updated_at")
    plain = [{k: v for k, v in t.items() if k not in drop} for t in expected.transactions()]
    assert [{k: v for k, v in t.items() if k not in drop} for t in shuffled.transactions()] == plain


CLOCKS = st.integers(0, 99).map(lambda n: f"{n:03d}")


def _parts() -> st.SearchStrategy[Any]:
    """Parts whose values follow from their clocks: one event says one thing."""
    return st.one_of(
        CLOCKS.map(lambda c: Latest("meter", c, {"meter_latest": int(c), "meter_latest_at": None})),
        CLOCKS.map(lambda c: Earliest("register", c, {"meter_first": int(c)})),
        CLOCKS.map(lambda c: Earliest("begin", c, {"meter_start": int(c), "reservation_id": None})),
        st.builds(transactions.with_status, st.sampled_from(["active", "failed", "completed"]), CLOCKS),
        st.lists(st.integers(0, 9)).map(lambda numbers: Union("seq_nos", numbers)),
        st.just(Known({"station_id": "CP1", "protocol_version": "2.0.1"})),
        st.booleans().map(lambda flag: Highest({"offline": flag})),
    )


@given(st.lists(_parts(), max_size=8), st.data())
def test_changes_commute_and_may_be_applied_twice(parts: list[Any], data: st.DataObject):
    shuffled = data.draw(
        st.permutations([*parts, *data.draw(st.lists(st.sampled_from(parts)) if parts else st.just([]))])
    )
    assert _applied(shuffled) == _applied(parts)


def _applied(parts: list[Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for part in parts:
        changes.apply(document, Merge("transactions", "k", (part,)))
        transactions.derive(document)
    return document


@given(st.lists(_parts(), max_size=8), st.lists(_parts(), max_size=8))
def test_what_is_kept_of_changes_does_what_they_all_do(others: list[Any], parts: list[Any]):
    """Whatever somebody else wrote meanwhile."""
    kept: changes.Kept = {}
    for part in parts:
        changes.keep(kept, part)
    assert _applied([*others, *_all(kept)]) == _applied([*others, *parts])


def _all(kept: changes.Kept) -> list[Any]:
    return [part for parts in kept.values() for part in parts]


NAMES = st.sets(st.sampled_from("abc"), min_size=1)


def _uneven_parts() -> st.SearchStrategy[Any]:
    """Parts of one group that do not all have the same values, as those of a connection have not."""

    def made(kind: Any, clock: str, names: set[str]) -> Any:
        return kind(kind.__name__, clock, {f"{kind.__name__}{name}": clock for name in names})

    clocked = st.builds(made, st.sampled_from([Latest, Earliest]), CLOCKS, NAMES)
    elements = st.builds(lambda clock, names: Element(1, 1, made(Latest, clock, names)), CLOCKS, NAMES)
    unions = st.lists(st.integers(0, 9)).map(lambda numbers: Union("few", numbers, 3))
    return clocked | elements | unions


@given(st.lists(_uneven_parts(), max_size=4), st.lists(_uneven_parts(), max_size=10))
def test_what_is_kept_does_so_even_where_a_group_has_other_values_each_time(others: list[Any], parts: list[Any]):
    kept: changes.Kept = {}
    for part in parts:
        changes.keep(kept, part)
    documents: list[dict[str, Any]] = []
    for made_again in (parts, _all(kept)):
        document: dict[str, Any] = {}
        changes.apply(document, Merge("stations", "s", (*others, *made_again)))
        documents.append(document)
    assert documents[0] == documents[1]


def test_what_is_kept_does_not_grow_with_the_frames():
    kept: changes.Kept = {}
    for number in range(1000):
        changes.keep(kept, Latest("meter", f"{number:04}", {"meter_latest": number}))
        changes.keep(kept, Union("session_ids", ["s"]))
        changes.keep(kept, Highest({"last_seen": number}))
    assert [len(part.members) for part in _all(kept) if isinstance(part, Union)] == [1]
    assert len(_all(kept)) == 3


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), CLOCKS), max_size=8), st.randoms())
def test_connectors_commute(events: list[tuple[int, int, str]], random: Any):
    parts = [Element(e or None, c, Latest("status", k, {"status": k})) for e, c, k in events]
    shuffled = [*parts, *parts]
    random.shuffle(shuffled)
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    kept: changes.Kept = {}
    for part in parts:
        changes.apply(first, Merge("stations", "s", (part,)))
        changes.keep(kept, part)
    third: dict[str, Any] = {}
    changes.apply(third, Merge("stations", "s", tuple(_all(kept))))
    assert third == first
    for part in shuffled:
        changes.apply(second, Merge("stations", "s", (part,)))
    assert first == second


@given(st.integers(0, 2**50), st.binary(min_size=5, max_size=5), st.integers(0, 2**30), st.integers(1, 2**20))
def test_keys_and_clocks_rise_with_the_wire(at: int, entropy: bytes, sequence: int, more: int):
    session = new_session_id(at, entropy)
    assert wire_clock(session, sequence) < wire_clock(session, sequence + more)
    assert message_key(session, sequence) < message_key(session, sequence + more)
    assert new_session_id(at + more, b"\0" * 5) > session
