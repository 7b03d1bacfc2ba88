"""Typed access to JSON from the wire, where any field may be missing, of another type, or nonsense.

Hides the many ways to write a time or a number. Promises never to raise: what is not there, or not of the kind asked
for, is None.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from ocpp_mongo_plugin.facts import Moment

Json: TypeAlias = Any

_INT64 = 1 << 63
_LONGEST_NUMBER = 64
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(?:([Zz])|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_NOTHING: Mapping[str, Json] = {}


def mapping(value: Json, name: str | None = None) -> Mapping[str, Json]:
    """Return an object, or that field of one; empty when it is none."""
    if name is not None:
        value = mapping(value).get(name)
    return value if isinstance(value, dict) else _NOTHING


def sequence(value: Json, name: str) -> Sequence[Json]:
    """Return a field that is an array; an object there counts as an array of one."""
    found = mapping(value).get(name)
    if isinstance(found, dict):
        return [found]
    return found if isinstance(found, list) else ()


def text(value: Json, name: str) -> str | None:
    """Return a field as text; numbers are written as JSON writes them, empty texts stay."""
    found = mapping(value).get(name)
    if found is None or isinstance(found, str):
        return found
    return None if isinstance(found, dict | list) else written(found)


def integer(value: Json, name: str) -> int | None:
    """Return a field as an integer of any size; texts of digits count, fractions do not."""
    found = mapping(value).get(name)
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    number = decimal(found)
    return int(number) if number is not None and number == number.to_integral_value() else None


def small_integer(value: Json, name: str) -> int | None:
    """Return an integer that MongoDB can hold."""
    found = integer(value, name)
    return found if found is not None and -_INT64 <= found < _INT64 else None


def number(value: Json, name: str) -> int | float | None:
    """Return a field as a number that MongoDB can hold, an int when it is whole."""
    found = decimal(mapping(value).get(name))
    return None if found is None else plain(found)


def boolean(value: Json, name: str) -> bool | None:
    """Return a field that is a boolean."""
    found = mapping(value).get(name)
    return found if isinstance(found, bool) else None


def decimal(value: Json) -> Decimal | None:
    """Return a number or a text of one exactly; NaN and infinities are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return None
    written_out = str(value).strip()
    if not written_out or len(written_out) > _LONGEST_NUMBER:
        return None
    try:
        found = Decimal(written_out)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < _INT64 else None


def plain(value: Decimal) -> int | float:
    """Return an int when it is whole, else a float."""
    return int(value) if value == value.to_integral_value() else float(value)


def written(value: Json) -> str:
    """Return the JSON of a value."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def moment(value: Json, name: str) -> Moment:
    """Return a field as a time; what is no time keeps its text."""
    found = mapping(value).get(name)
    if found is None:
        return Moment()
    if not isinstance(found, str):
        return Moment(written(found))
    return Moment(found, parse_time(found))


def parse_time(written_time: str) -> datetime | None:
    """Return the UTC time of an ISO 8601 text as stations write it; without a zone it is taken as UTC."""
    match = _TIME.fullmatch(written_time.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int(f"{fraction or '':0<6.6}"),
            tzinfo=timezone.utc,
        )
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):
        return None
