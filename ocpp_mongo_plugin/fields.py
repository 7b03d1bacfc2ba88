"""Typed access to JSON that nobody vouches for.

Hides what real stations write where the schema asks for something else: numbers as text, text as numbers, one
object where a list belongs, times in a dozen spellings. Promises that no function here raises, given whatever
``json.loads`` can make; what cannot be understood is None, or empty. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

from ocpp_mongo_plugin.facts import Moment

# Its own context, without traps: the host program may have changed the one of its thread.
EXACT = Context(prec=40, traps=[])

_INT64 = 1 << 63
_LEAST, _BEYOND = Decimal(-_INT64), Decimal(_INT64)
_MOST_DIGITS = 4300  # beyond it int() refuses (Python 3.11), or takes minutes (Python 3.10)
_MOST_NUMBER_CHARACTERS = 400  # a float written out in full has 309 digits before the point

_EXACT_DIGITS = 15  # a float holds so many exactly
_LEAST_FLOAT, _MOST_FLOAT = -float(1 << 63), float(1 << 63)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r" ?(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a JSON array as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON array, and nothing else in it; an object counts as an array of one."""
    if isinstance(value, dict):
        return [value]
    return [element for element in sequence(value) if isinstance(element, dict)]


def text(value: Any) -> str | None:
    """Return a string as it is, a number as JSON writes it, and anything else as None."""
    if value is None or isinstance(value, str):
        return value
    return shown(value) if _is_number(value) else None


def shown(value: Any) -> str:
    """Return a string as it is, and anything else as JSON writes it."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return f"<{type(value).__name__} that JSON does not show>"


def boolean(value: Any) -> bool | None:
    """Return a truth value, also when it is written as text; else None."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def decimal(value: Any) -> Decimal | None:
    """Return the number that was written, exactly, as JSON number or as text; None for what is none.

    Neither NaN nor an infinity is a number here, nor what has more than 64 bits: no meter counts so far, and
    MongoDB does not hold it.
    """
    written: str | int
    if isinstance(value, str):
        written = value.strip()
        if len(written) > _MOST_NUMBER_CHARACTERS or not _NUMBER.fullmatch(written):
            return None
    elif not _is_number(value) or not -_INT64 <= value < _INT64:
        return None
    else:
        written = value if isinstance(value, int) else repr(value)
    exact = EXACT.create_decimal(written)
    return exact if _fits(exact) else None


def plain(value: Decimal) -> int | float | None:
    """Return an int when the number is whole, else a float; None when it has more than 64 bits."""
    if not _fits(value):
        return None
    if value == value.to_integral_value():
        return int(value)
    nearest = float(value)
    return int(nearest) if nearest.is_integer() else nearest


def number(value: Any) -> int | float | None:
    """Return a number, written as JSON number or as text ("2e+01", " 12.5 "); whole ones as int."""
    kind = type(value)
    if kind is float:
        if _LEAST_FLOAT <= value < _MOST_FLOAT:
            return int(value) if value.is_integer() else value
        return None
    if kind is str and len(value) <= _EXACT_DIGITS and value.isascii() and value.replace(".", "", 1).isdigit():
        # Digits and at most one point, as nearly every meter writes.
        nearest = float(value)
        return int(nearest) if nearest.is_integer() else nearest
    exact = decimal(value)
    return None if exact is None else plain(exact)


def identifier(value: Any) -> int | None:
    """Return a whole number of any size, as JSON number or as text; else None.

    CSMSs that give out transaction ids of 2^63 and more are in use.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        digits = value.strip()
        if len(digits) <= _MOST_DIGITS and _INTEGER.fullmatch(digits):
            return _parsed(digits)
    whole = number(value)
    return whole if isinstance(whole, int) else None


def integer(value: Any) -> int | None:
    """Return a whole number of at most 64 bits, signed, as JSON number or as text; else None."""
    whole = identifier(value)
    return whole if whole is not None and -_INT64 <= whole < _INT64 else None


def moment(value: Any) -> Moment:
    """Return a time as it was written, and what it means (ISO 8601; OCPP 1.6J, section 3; RFC 3339).

    Without a zone it is taken as UTC. Digits beyond microseconds are cut. What is no time, or lies outside
    the years 1 to 9999 in UTC, keeps its text alone.
    """
    if value is None:
        return Moment()
    written = shown(value)
    return Moment(written, _utc_as_usual(written) or _utc(written) if isinstance(value, str) else None)


def _utc_as_usual(written: str) -> datetime | None:
    """Return what a time in the form of RFC 3339 that nearly every station writes means, else None."""
    # Python reads many more forms than these, and from 3.13 on takes 24:00 for a time.
    if len(written) in (20, 24) and written[-1] == "Z" and written[10] == "T" and written[11:13] != "24":
        separators = written[4] + written[7] + written[13] + written[16] + written[19]
        if separators in ("--::Z", "--::."):
            try:
                return datetime.fromisoformat(written)
            except ValueError:
                return None
    return None


def _utc(written: str) -> datetime | None:
    match = _TIME.fullmatch(written.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if int(minutes or 0) > 59 or offset >= timedelta(days=1):  # noqa: PLR2004 - minutes of an hour
        return None
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            microsecond,
            timezone.utc,
        )
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(value: Decimal) -> bool:
    """Whether the number is finite and has at most 64 bits."""
    return value.is_finite() and _LEAST <= value < _BEYOND


def _parsed(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # the host program may have set a lower limit than Python's own
        return None
