"""What stands before a message in a line of a log: times, levels, names of loggers, whatever a formatter writes.

Hides the many formats of ``logging``, of what collects logs (docker compose, Kubernetes, syslog, journald) and of
colours, and how a prefix is told from the station id that follows it, which may hold spaces, colons and slashes.
Promises that no text makes it raise, and that all lines of a log are split by one rule, which the log itself gives:

* A prefix reaches at least to the last time, level, place in a source (``charge_point.py:293``) or logger called
  ``ocpp``. A line without any of these has no prefix: all of it is the id.
* Bracketed groups after that belong to the prefix (``[MainThread]``) when every line has one there.
* So does the name of another logger, set off as names are (``INFO:name:``, ``- name -``, ``name:``), when it is the
  same on every line: names of loggers do not change, ids do.
* Whatever else there is, is part of the id. For other formats one gives a regular expression. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from ocpp_mongo_plugin.fields import moment

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LONGEST_PREFIX = 1_000
"""Characters that are looked at; what is longer is no prefix."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(_MONTHS)
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:[ ]?(?:Z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d(?![\d:])))?"
_TIME = (
    rf"(?:\d{{4}}[-/.]\d\d[-/.]\d\d[T _]{_CLOCK}{_ZONE}"
    rf"|\d\d/(?:{_MONTH})/\d{{4}}[: ]{_CLOCK}{_ZONE}"
    rf"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[ ])?(?:{_MONTH})[ ]+\d{{1,2}}[ ]{_CLOCK}(?:[ ]\d{{4}})?"
    rf"|\d\d[-/.]\d\d[-/.]\d{{4}}[ ]{_CLOCK}"
    rf"|^\d{{10}}(?:\.\d{{1,9}})?"
    rf"|{_CLOCK})(?![\w.:])"
)
_SYSLOG = rf"(?:{_MONTH})[ ]+\d{{1,2}}[ ]{_CLOCK}|\d{{4}}-\d\d-\d\dT{_CLOCK}{_ZONE}|\d{{10}}\.\d{{6}}"
_LEVEL = "DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|TRACE|SUCCESS|NOTSET"
_BEFORE = r"(?:(?<=^)|(?<=[\s:(\[{<|=]))"
_AFTER = r"(?=[\s:)\]}>|,])"

_ANCHOR = re.compile(
    rf"{_BEFORE}(?:(?P<time>{_TIME})"
    rf"|(?P<level>(?:{_LEVEL}){_AFTER}|(?<=\[)(?i:{_LEVEL})(?=\s*\]))"
    rf"|(?P<place>[\w./\\-]+\.pyx?:\d+{_AFTER}|[\w.<>]+:[\w<>]+:\d+(?= - ))"
    rf"|(?P<name>ocpp(?:\.\w+)*){_AFTER})"
)
_SEPARATOR = re.compile(r"[ \t]*[\])}>]?[ \t]*(?:[-|>,;]+(?=[ \t]|$)|:)?[ \t]*")
_GROUP = re.compile(r"(?:\[[^\][]{0,120}\]|\([^()]{0,120}\)|\{[^{}]{0,120}\}|<[^<>]{0,120}>)(?:[ \t]*[-|:])?[ \t]+")
_NAMES = {
    "tight": re.compile(r"(?P<word>[A-Za-z_][\w.-]*):"),
    "dash": re.compile(r"(?P<word>[A-Za-z_][\w.-]*) - "),
    "bar": re.compile(r"(?P<word>[A-Za-z_][\w.-]*)\s*\| "),
    "colon": re.compile(r"(?P<word>[A-Za-z_][\w.-]*): +"),
}

_COLLECTORS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?!(?:{_LEVEL})\b)[\w./-]+[ ]+\|[ ]?",  # docker compose
        r"(?P<time>\d{4}-\d\d-\d\dT\S+)[ ]std(?:out|err)[ ][FP][ ]",  # Kubernetes
        rf"(?:<\d+>)?(?P<time>{_SYSLOG})[ ](?!(?:{_LEVEL})\b)\S+[ ][\w./@-]+(?:\[\d+\])?:[ ]",  # syslog, journald
        r"<\d+>1[ ](?P<time>\S+)(?:[ ]\S+){4}[ ](?:-|\[.*?\])[ ]",  # syslog, RFC 5424
    )
)
"""What is put before each line of a program's output by who collects it, also before the further lines of a message."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Prefix(NamedTuple):
    """The beginning of one line."""

    end: int
    """Where the id begins."""
    times: tuple[str, ...]
    """The times it holds, as written, from left to right."""
    names_library: bool
    """Whether it says that the logger is the library's, or was given, so that there is no doubt."""


class Prefixes:
    """How the lines of one log begin."""

    def __init__(self, heads: Sequence[str] = (), pattern: re.Pattern[str] | None = None) -> None:
        """Find out who collected the lines, of which ``heads`` are what stands before messages and their ids.

        ``pattern``: what it matches at a line's start is its prefix; None to find out, by ``learn``.
        """
        self._pattern = pattern
        self._collector: re.Pattern[str] | None = None
        self._steps: dict[tuple[str, ...], list[str]] = {}
        """By the kinds of its anchors: which further parts every line of that sort has."""
        if pattern is None and heads:
            self._collector = next((one for one in _COLLECTORS if all(map(one.match, heads))), None)

    def learn(self, heads: Sequence[str]) -> None:
        """Find the rule from ``uncollected`` lines that hold a message, each up to the end of the id."""
        names: dict[tuple[str, ...], set[str]] = {}
        for head in heads:
            anchors, end, _ = _anchored(head)
            found = _steps(head, end, anchors)
            kinds = [step.kind for step in found]
            names.setdefault(anchors, set()).update(step.word for step in found if step.word)
            self._steps[anchors] = _common(self._steps.get(anchors, kinds), kinds)
        for anchors, words in names.items():
            if len(words) > 1 and "name" in self._steps[anchors]:
                del self._steps[anchors][self._steps[anchors].index("name") :]

    def uncollected(self, line: str) -> str:
        """Return the line as the program wrote it, without what collectors of logs put before it."""
        match = self._collector.match(line) if self._collector else None
        return line[match.end() :] if match else line

    def collected_at(self, line: str) -> tuple[str, ...]:
        """Return the time that a collector of logs wrote before the line, if any."""
        match = self._collector.match(line) if self._collector else None
        found = match.groupdict().get("time") if match else None
        return (found,) if found else ()

    def split(self, head: str) -> Prefix | None:
        """Return the prefix of what stands before the message; None where the given pattern does not match."""
        if self._pattern is not None:
            match = self._pattern.match(head)
            return None if match is None else Prefix(match.end(), _times(match[0]), names_library=True)
        anchors, end, times = _anchored(head)
        for step, kind in zip(_steps(head, end, anchors), self._steps.get(anchors, []), strict=False):
            if step.kind != kind:
                break
            end = step.end
        return Prefix(end, times, "name" in anchors)

    def begins(self, line: str) -> bool:
        """Whether a new line of the log begins here, not a further line of a message."""
        if self._pattern is not None:
            return self._pattern.match(line) is not None
        anchor = _ANCHOR.search(line, 0, 200)
        if anchor is None or line[: anchor.start()].strip(" \t[(<{"):
            return False
        return any(anchors and anchors[0] == anchor.lastgroup for anchors in self._steps)

    @property
    def has_prefixes(self) -> bool:
        """Whether lines begin with something by which they can be told from further lines of a message."""
        return self._pattern is not None or any(self._steps)


def uncoloured(line: str) -> str:
    """Return the line without the codes that colour it on a terminal."""
    return _COLOUR.sub("", line) if "\x1b" in line else line


def time_of(texts: Sequence[str], zone: tzinfo) -> datetime | None:
    """Return what the last of these times means that names a day and a year, in UTC; else None.

    Args:
        texts: times as a prefix holds them.
        zone: of times that name none.
    """
    return next((at for at in (_read(text.strip(), zone) for text in reversed(texts)) if at is not None), None)


def instant(value: object, zone: tzinfo) -> datetime | None:
    """Return the time of a field of a structured log: text, or a number since 1970 in seconds to nanoseconds."""
    if isinstance(value, str) and not value.strip().isdigit():
        return _read(value.strip(), zone)
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
        while 1e11 <= number < math.inf:  # noqa: PLR2004 - seconds reach that in the year 5138
            number /= 1000
        return _EPOCH + timedelta(seconds=number) if number > 0 else None
    except (OverflowError, ValueError):
        return None


def _common(one: list[str], other: list[str]) -> list[str]:
    """Return what both begin with."""
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return one[:same]


class _Step(NamedTuple):
    kind: str
    end: int
    word: str | None = None


def _anchored(head: str) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Return the kinds of the anchors, where the last one and its separator end, and the times."""
    kinds: list[str] = []
    times: list[str] = []
    end = 0
    for match in _ANCHOR.finditer(head, 0, _LONGEST_PREFIX):
        separator = _SEPARATOR.match(head, match.end())
        if separator is None or (not separator[0] and match.end() == len(head)):
            break  # nothing sets it off from an id: it is one
        kinds.append(match.lastgroup or "")
        times += [match["time"]] if match["time"] else []
        end = separator.end()
    return tuple(kinds), end, tuple(times)


def _steps(head: str, end: int, anchors: tuple[str, ...]) -> list[_Step]:
    """Return what may belong to the prefix behind its anchors."""
    steps: list[_Step] = []
    names = _names_after(head, end, anchors)
    while anchors:
        group = _GROUP.match(head, end)
        name = next((found for one in names if (found := one.match(head, end))), None)
        if group is not None:
            steps.append(_Step("group", group.end()))
        elif name is not None:
            steps.append(_Step("name", name.end(), name["word"]))
            names = []
        else:
            break
        end = steps[-1].end
    return steps


def _names_after(head: str, end: int, anchors: tuple[str, ...]) -> list[re.Pattern[str]]:
    """Return how the name of a logger would be set off here; not at all where it was named already."""
    if not anchors or "name" in anchors or "place" in anchors:
        return []
    if anchors[-1] == "level" and head[:end].endswith(":"):
        return [_NAMES["tight"]]
    so_far = head[:end].rstrip()
    if so_far.endswith("-"):
        return [_NAMES["dash"], _NAMES["colon"]]
    return [_NAMES["bar"], _NAMES["colon"]] if so_far.endswith("|") else [_NAMES["colon"]]


def _times(text: str) -> tuple[str, ...]:
    return tuple(match["time"] for match in _ANCHOR.finditer(text, 0, _LONGEST_PREFIX) if match["time"])


_ISO = re.compile(rf"(\d{{4}})[-/.](\d\d)[-/.](\d\d)[T _]({_CLOCK})({_ZONE})")
_DAY_FIRST = re.compile(rf"(\d\d)/({_MONTH})/(\d{{4}})[: ]({_CLOCK})({_ZONE})")
_MONTH_FIRST = re.compile(rf"(?:\w{{3}} )?({_MONTH}) +(\d{{1,2}}) ({_CLOCK}) (\d{{4}})")
_SECONDS = re.compile(r"\d{10}(?:\.\d{1,9})?")


def _read(text: str, zone: tzinfo) -> datetime | None:
    """Return the time in UTC; None for one that names no year, or whose day and month could be confused."""
    if _SECONDS.fullmatch(text):
        return _EPOCH + timedelta(microseconds=round(float(text) * 1_000_000))
    if match := _ISO.fullmatch(text):
        year, month, day, clock, offset = match.groups()
    elif match := _DAY_FIRST.fullmatch(text):
        day, name, year, clock, offset = match.groups()
        month = f"{_MONTHS.index(name) + 1:02}"
    elif match := _MONTH_FIRST.fullmatch(text):
        name, day, clock, year = match.groups()
        month, offset = f"{_MONTHS.index(name) + 1:02}", ""
    else:
        return None
    offset = offset.strip()
    offset = "Z" if offset in ("UTC", "GMT") else offset
    at = moment(f"{year}-{month}-{int(day):02}T{clock}{offset}").at
    if at is None or offset:
        return at
    try:
        return at.replace(tzinfo=zone).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        return None
