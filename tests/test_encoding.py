"""New documents as BSON: whatever they hold, it is what the BSON library would have made of them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import bson
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from ocpp_mongo_plugin.encoding import Fitted, Outgoing, made
from ocpp_mongo_plugin.facts import Moment, Sample
from ocpp_mongo_plugin.frames import Frame, decode, message_key, new_session_id
from ocpp_mongo_plugin.projections import MeterValues
from ocpp_mongo_plugin.recording import Batch, Loaded, Recording

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SESSION = new_session_id(1_772_362_800_000_000, b"12345")
ZONED: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=timezone.utc)

TEXTS = st.none() | st.text(max_size=6) | st.sampled_from(["Wh", "Outlet", "x" * 2000])
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(timezone.utc)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, fold=0)  # MongoDB keeps milliseconds
)
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**31 - 1, 2**31, -(2**31)]) | st.floats()
SAMPLES = st.builds(
    Sample,
    measurand=st.text(max_size=6),
    value=NUMBERS,
    unit=TEXTS,
    at=st.builds(Moment, TEXTS, st.none() | TIMES),
    original_value=st.text(max_size=6),
    original_unit=TEXTS,
    multiplier=st.integers(-9, 9),
    phase=TEXTS,
    context=TEXTS,
    format=TEXTS,
    location=TEXTS,
    signed=st.none() | st.just({"signedMeterData": "..."}),
)


def encoded(values: MeterValues) -> list[Any]:
    outgoing = Outgoing(NOW)
    outgoing.finish(Batch(meter_values=[values]), lambda: None)
    return outgoing.ready["meter_values"]


def decoded(one: Any) -> dict[str, Any]:
    data = one if isinstance(one, bytes) else one.document.raw
    document = bson.decode(data, ZONED)
    return {**document, "_id": str(document["_id"])}


@given(
    st.builds(
        MeterValues,
        samples=st.lists(SAMPLES, min_size=1, max_size=4).map(tuple),
        identity=st.binary(min_size=12, max_size=12).map(bytes.hex),
        station_id=st.text(max_size=6),
        connector_id=st.none() | st.integers(0, 2**40),
        evse_id=st.none() | st.integers(0, 9),
        transaction_id=st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=6),
        of_all=st.builds(
            lambda at: {"transaction_ref": None, "received_at": at, "created_at": None, "schema_version": 1}, TIMES
        ),
    )
)
def test_meter_values_are_what_the_bson_library_would_make(values: MeterValues):
    expected = [{**document, "created_at": NOW} for document in values.documents()]
    # repr, since NaN is not itself; each in its order, since a query on a whole metadata goes by that.
    assert repr([decoded(one) for one in encoded(values)]) == repr(expected)


def test_meter_values_have_keys_of_their_own():
    samples = tuple(Sample(str(n), n, "Wh", Moment("t", NOW), str(n)) for n in range(100))
    of_all = {"received_at": NOW, "created_at": None}
    last = MeterValues(samples, "f" * 24, "CP1", 1, None, 7, of_all)  # counting on goes round
    keys = {document["_id"] for document in last.documents()}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {24}
    assert {decoded(one)["_id"] for one in encoded(last)} == keys


def test_a_value_that_bson_cannot_hold_costs_its_neighbours_nothing():
    good, bad = Sample("A", 1, "Wh", Moment(), "1"), Sample("B", 2, "Wh", Moment(), "\ud800")
    one, other = encoded(MeterValues((good, bad), "0" * 24, "CP1", 1, None, 7, {"received_at": NOW}))
    assert (decoded(one)["original_value"], decoded(other)["original_value"]) == ("1", "?")
    assert isinstance(other, Fitted)
    assert made(other)["original_value"] == "\ud800"


def test_a_call_waits_for_its_answer_in_the_same_batch():
    recording, batch, outgoing = Recording(), Batch(), Outgoing(NOW)
    for number, text in enumerate(('[2,"1","Heartbeat",{}]', '[2,"2","Heartbeat",{}]', '[3,"1",{}]')):
        side = "received" if text[1] == "2" else "sent"
        one = recording.decode(Frame("CP1", SESSION, number, side, None, "1.6", NOW, text))
        recording.learn(recording.wanted([one]), Loaded())
        recording.take(one, batch, NOW)
        outgoing.add(batch, lambda: None)
        assert len(outgoing.ready["messages"]) == (2 if number == 2 else 0)
    outgoing.finish(batch, lambda: None)
    assert [decoded(one)["outcome"] for one in outgoing.ready["messages"]] == ["answered", None, None]
    assert outgoing.amends == []
    assert decode(made(outgoing.ready["messages"][0])["raw"]).action == "Heartbeat"
    assert made(outgoing.ready["messages"][0])["_id"] == message_key(SESSION, 0)
