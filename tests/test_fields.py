"""What stations write where the schema asks for a time, a number, a text; and that nothing of it raises."""

from __future__ import annotations

import decimal
import math
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_mongo_plugin import fields
from ocpp_mongo_plugin.facts import Moment

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)

TIMES = [
    ("2024-03-01T12:00:00Z", NOON),
    ("2024-03-01T12:00:00z", NOON),
    ("2024-03-01t12:00:00Z", NOON),
    ("2024-03-01T12:00:00", NOON),
    ("2024-03-01T12:00Z", NOON),
    ("2024-03-01 12:00:00", NOON),
    ("2024-03-01T12:00:00Z  ", NOON),
    (" 2024-03-01T12:00:00Z\n", NOON),
    ("2024-03-01T14:00:00+02", NOON),
    ("2024-03-01T14:00:00+02:00", NOON),
    ("2024-03-01T14:00:00+0200", NOON),
    ("2024-03-01 14:00:00 +0200", NOON),
    ("2024-03-01T06:30:00-05:30", NOON),
    ("2024-03-01T12:00:00-00:00", NOON),
    ("2024-03-01T12:00:00.5Z", NOON.replace(microsecond=500_000)),
    ("2024-03-01T12:00:00,25Z", NOON.replace(microsecond=250_000)),
    ("2024-03-01T12:00:00.123Z", NOON.replace(microsecond=123_000)),
    ("2024-03-01T12:00:00.123456Z", NOON.replace(microsecond=123_456)),
    ("2024-03-01T12:00:00.1234567", NOON.replace(microsecond=123_456)),
    ("2024-03-01T12:00:00.999999999+00:00", NOON.replace(microsecond=999_999)),
    ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=timezone.utc)),
    ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=timezone.utc)),
    ("0001-01-01T00:00:00-01:00", datetime(1, 1, 1, 1, tzinfo=timezone.utc)),
    ("2106-02-07T06:28:15Z", datetime(2106, 2, 7, 6, 28, 15, tzinfo=timezone.utc)),
    ("0001-01-01T00:00:00+02:00", None),
    ("9999-12-31T23:30:00-01:00", None),
    ("0000-00-00T00:00:00Z", None),
    ("2024-02-30T12:00:00Z", None),
    ("2024-03-01T25:00:00Z", None),
    ("2024-03-01T12:00:00+99:99", None),
    ("2024-03-01T12:00:00+02:60", None),
    ("2024-03-01T12:00:00.1234567890Z", None),
    ("2024-03-01T12:00:00.Z", None),
    ("2024-03-01", None),
    ("01/03/2024 12:00", None),
    ("٢٠٢٤-03-01T12:00:00Z", None),
    ("now", None),
    ("", None),
]


@pytest.mark.parametrize(("written", "at"), TIMES)
def test_a_time_keeps_its_text_and_becomes_utc(written, at):
    assert fields.moment(written) == Moment(written, at)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1709294400, "1709294400"),
        (1.5, "1.5"),
        (True, "true"),
        ([], "[]"),
        ({"a": [None]}, '{"a": [null]}'),
        (math.nan, "NaN"),
    ],
)
def test_what_is_no_text_is_no_time_and_keeps_its_json(value, written):
    assert fields.moment(value) == Moment(written)


def test_a_missing_time_is_nothing():
    assert fields.moment(None) == Moment()


NUMBERS = [
    (0, 0),
    (-1, -1),
    (12.5, 12.5),
    (20.0, 20),
    (-0.0, 0),
    (0.1, 0.1),
    ("12", 12),
    ("3051.11", 3051.11),
    ("2e+01", 20),
    ("1E3", 1000),
    (" 12.5 ", 12.5),
    ("+7", 7),
    (".5", 0.5),
    ("5.", 5),
    ("00012.00", 12),
    ("0.99999999999999999999999", 1),
    (2**63 - 1, 2**63 - 1),
    (str(2**63 - 1), 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**63, None),
    (str(2**64), None),
    (10**400, None),
    (1e300, None),
    ("1e300", None),
    ("1e999999", None),
    ("1e99999999999999999999", None),
    ("9" * 5000, None),
    (math.nan, None),
    (math.inf, None),
    ("NaN", None),
    ("Infinity", None),
    ("", None),
    ("  ", None),
    ([], None),
    ({}, None),
    (None, None),
    (True, None),
    ("true", None),
    ("1_000", None),
    ("0x10", None),
    ("١٢", None),
    ("12,5", None),
    ("12 kWh", None),
]


@pytest.mark.parametrize(("value", "expected"), NUMBERS)
def test_a_number_is_read_from_json_and_from_text(value, expected):
    found = fields.number(value)
    assert found == expected
    assert type(found) is type(expected)


IDENTIFIERS = [
    (0, 0),
    (-16, -16),
    (2**63, 2**63),
    (10**400, 10**400),
    (str(2**70), 2**70),
    ("-1", -1),
    (" 1234 ", 1234),
    ("1e3", 1000),
    (12.0, 12),
    ("9" * 4300, int("9" * 4300)),
    ("9" * 4301, None),
    (12.5, None),
    ("12.5", None),
    ("abc", None),
    ("", None),
    ([], None),
    (True, None),
    (None, None),
    (math.inf, None),
]


@pytest.mark.parametrize(("value", "expected"), IDENTIFIERS)
def test_an_identifier_is_an_integer_of_any_size(value, expected):
    assert fields.identifier(value) == expected


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, str(2**63), 10**400])
def test_an_integer_has_at_most_64_bits(value):
    assert fields.integer(value) is None
    assert fields.integer(2**63 - 1) == 2**63 - 1


TEXTS = [
    ("abc", "abc"),
    ("", ""),
    ("\ud800", "\ud800"),
    (5, "5"),
    (5.5, "5.5"),
    (None, None),
    (True, None),
    ([], None),
    ({}, None),
]


@pytest.mark.parametrize(("value", "expected"), TEXTS)
def test_a_number_counts_as_text(value, expected):
    assert fields.text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("True", True), ("false ", False), (1, None), ("yes", None)],
)
def test_a_truth_value_may_be_written_as_text(value, expected):
    assert fields.boolean(value) is expected


def test_objects_leaves_out_what_is_none():
    assert fields.objects([{"a": 1}, None, 5, "x", [{"b": 2}], {"c": 3}]) == [{"a": 1}, {"c": 3}]
    assert fields.objects({"a": 1}) == [{"a": 1}]
    assert fields.objects("x") == fields.objects(None) == []


EVERY = [
    fields.mapping,
    fields.sequence,
    fields.objects,
    fields.text,
    fields.shown,
    fields.boolean,
    fields.decimal,
    fields.number,
    fields.identifier,
    fields.integer,
    fields.moment,
]


@pytest.mark.parametrize("read", EVERY)
@given(value=JSON)
def test_nothing_raises(read, value):
    read(value)


@pytest.mark.parametrize("read", EVERY)
@pytest.mark.parametrize(
    "value", [DEEP, 10**5000, "9" * 100_000, "1" * 399 + "e999999"], ids=["deep", "int", "digits", "e"]
)
def test_nothing_raises_at_the_limits_of_python(read, value):
    read(value)


@given(value=st.text(alphabet="0123456789-+:.TZ ", max_size=40))
def test_no_text_that_looks_like_a_time_raises(value):
    assert fields.moment(value).text == value


@given(at=st.datetimes(timezones=st.timezones()))
def test_every_time_that_python_writes_is_read(at):
    try:
        utc = at.astimezone(timezone.utc)
    except OverflowError:
        utc = None
    written = at.isoformat()
    if at.utcoffset().seconds % 60:  # historic zones; ISO 8601 has no seconds there
        utc = None
    assert fields.moment(written) == Moment(written, utc)


@given(value=st.integers(-(2**63), 2**63 - 1) | st.floats(-(2.0**53), 2.0**53))
def test_a_number_is_the_same_from_json_and_from_text(value):
    assert fields.number(value) == fields.number(str(value)) == value


def test_the_decimal_context_of_the_host_program_changes_nothing():
    with decimal.localcontext(
        decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation])
    ):
        assert fields.number("3051.11") == 3051.11
        assert fields.number("123456789") == 123456789
