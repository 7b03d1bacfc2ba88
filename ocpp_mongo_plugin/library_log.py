"""What the ``ocpp`` library writes to its log, read back as the frames that crossed.

Hides how that library words its lines (``CP001: send [...]``, ``CP001: receive message [...]``, the same from version
0.6 to 2.1), frames over several lines, structured logs (a JSON object a line), and what such a log does not say: the
OCPP version, and which end of the connection wrote it; both are concluded from the actions. Promises that no text
makes it raise, that every line is part of a frame or an ``OtherLine``, and that the same lines give the same frames.
Pure; prefixes are understood by ``log_prefix``.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo
from typing import Any, Literal, NamedTuple, TypeAlias

from ocpp_mongo_plugin import dialects
from ocpp_mongo_plugin.frames import Direction, Message, Origin, decode
from ocpp_mongo_plugin.log_prefix import Prefixes, instant, time_of, uncoloured

ENOUGH_LINES = 2_000
"""Lines with a frame from which the form of a log is learnt: the first ones, so that a log that grows keeps it."""

_MARK = re.compile(r": (?:(?P<received>receive message)|send)(?: |$)")
_BEGINNINGS = ("[", "b'[", 'b"[')
"""Of frames; a connection may hand out bytes."""
_LONGEST_HEAD = 4_000
_MESSAGE_KEYS = ("message", "event", "msg", "MESSAGE", "log", "text", "@message", "short_message")
_TIME_KEYS = (
    "timestamp", "@timestamp", "asctime", "time", "ts", "datetime", "created", "date", "t", "__REALTIME_TIMESTAMP",
)  # fmt: skip
_OTHERS_OF_LIBRARY = (
    "Unable to parse message: '",
    "Error while handling request '",
    "Received a CALLError: ",
    "Ignoring response with unknown unique id: ",
)
_BYTES = re.compile(r"b(['\"]).*\1", re.DOTALL)
_TOKEN = re.compile(r'\\.|["\[\]{}]')
_NUMBER = re.compile(r"\d+")
_CUT = ("...", "…")
_MOST_CHARACTERS = 32 * 1024 * 1024
_REMEMBERED = 256

Side: TypeAlias = Literal["station", "csms"]


class LoggedFrame(NamedTuple):
    """One frame as a log tells it."""

    number: int
    """Of its first line, from 1."""
    station_id: str
    direction: Direction
    """"sent" or "received", seen from the process that wrote the log."""
    timestamp: datetime | None
    """UTC; None where the log does not say it."""
    text: str


class OtherLine(NamedTuple):
    """A line that holds no frame of its own."""

    number: int
    """From 1."""
    text: str
    of_library: bool = False
    """Whether the library wrote it: about an error that its frames show, too."""
    is_copy: bool = False
    """Whether it is the frame before it, as another handler of ``logging`` wrote it."""


class LogLine(NamedTuple):
    """One physical line."""

    number: int
    """From 1."""
    text: str
    """Without its end."""


class Log:
    """How one log is to be read.

    Three passes over its lines: ``learn_form``, then ``frames`` into ``learn_frame``, then ``frames`` for good.
    """

    def __init__(self, *, zone: tzinfo = timezone.utc, prefix: re.Pattern[str] | None = None) -> None:
        """Describe what one knows of it.

        Args:
            zone: of times that name none.
            prefix: what stands before the station id in each line; None to find out.
        """
        self._zone = zone
        self._pattern = prefix
        self._prefixes = Prefixes((), prefix)
        self._has_tails = False
        """Whether the formatter writes something behind each message."""
        self._known: set[str] = set()
        """Station ids whose lines hold what begins as JSON does."""
        self._speakers: dict[str, _Speaker] = {}

    # -- what is learnt ------------------------------------------------------------------------------------------

    def learn_form(self, lines: Iterable[LogLine]) -> None:
        """Learn from the beginning of a log how its lines are formed."""
        plain = (uncoloured(line.text) for line in lines)
        marks = ((text, mark) for text in plain if (mark := _mark(text)) is not None)
        marked = [(text, text[: mark.start()]) for text, mark in itertools.islice(marks, ENOUGH_LINES)]
        self._prefixes = Prefixes([head for _, head in marked], self._pattern)
        heads: list[str] = []
        tails: list[bool] = []
        for text, _ in marked:
            message = self._message(text)[0]
            mark = _mark(message)
            if mark is None or not message.startswith("[", mark.end()):
                continue
            heads.append(message[: mark.start()])
            end = _Brackets().end_in(message[mark.end() :])
            if end is not None:
                tails.append(bool(message[mark.end() + end :].strip()))
        self._prefixes.learn(heads)
        self._has_tails = sum(tails) * 2 > len(tails)
        prefixes = ((head, self._prefixes.split(head)) for head in heads)
        self._known = {head[prefix.end :] for head, prefix in prefixes if prefix is not None}

    def _message(self, text: str) -> tuple[str, _Entry | None]:
        """Return what an uncoloured line says, and the entry of a structured log that says it."""
        own = self._prefixes.uncollected(text)
        entry = _structured(own)
        return (own, None) if entry is None else (entry.message, entry)

    def learn_frame(self, frame: LoggedFrame) -> None:
        """Learn who speaks which version."""
        self._speakers.setdefault(frame.station_id, _Speaker()).hear(frame)

    def version(self, station_id: str) -> str | None:
        """Return the OCPP version of a station, as its actions have it; None when they do not tell."""
        speaker = self._speakers.get(station_id)
        return speaker.version if speaker else None

    def sides(self) -> Sides:
        """Return what tells, frame by frame, which end of the connection wrote it down; for one pass."""
        return Sides(self._speakers)

    # -- frames ----------------------------------------------------------------------------------------------------

    def frames(self, lines: Iterable[LogLine]) -> Iterator[LoggedFrame | OtherLine]:
        """Return the frames, and the lines that are part of none, in their order.

        Of equal frames one after the other, as many crossed as there are lines of one form; lines of another form are
        what another handler of ``logging`` wrote. Where two handlers write one form, each line counts.
        """
        last: tuple[str, Direction, str] | None = None
        forms, crossed = Counter[str](), 0
        for item, form in self._records(iter(lines)):
            if isinstance(item, OtherLine):
                yield item
                continue
            told = item.station_id, item.direction, item.text
            if told != last:
                last, forms, crossed = told, Counter(), 0
            forms[form] += 1
            is_copy = forms[form] <= crossed
            crossed += not is_copy
            yield OtherLine(item.number, item.text, is_copy=True) if is_copy else item

    def _records(self, lines: Iterator[LogLine]) -> Iterator[tuple[LoggedFrame | OtherLine, str]]:
        waiting: deque[LogLine] = deque()
        while True:
            line = waiting.popleft() if waiting else next(lines, None)
            if line is None:
                return
            message, entry = self._message(uncoloured(line.text))
            begun = self._begun(line, message, entry)
            if begun is None:
                yield OtherLine(line.number, message, _of_library(message)), ""
                continue
            frame, form = begun
            if entry is None:
                frame = self._continued(frame, waiting, lines)
            yield frame._replace(text=self._finished(frame.text)), form

    def _begun(self, line: LogLine, message: str, entry: _Entry | None) -> tuple[LoggedFrame, str] | None:
        """Return the frame that begins in this line, and how the line begins; None when it begins none."""
        mark = _mark(message)
        prefix = None if mark is None else self._prefixes.split(message[: mark.start()])
        if mark is None or prefix is None or _of_library(message[: mark.start()]):
            return None
        station_id, told = message[prefix.end : mark.start()], message[mark.end() :]
        if not told.startswith(_BEGINNINGS):
            # "CP001: send failed" is somebody's prose; what a station sends may be anything.
            is_known = mark["received"] and station_id in self._known
            if not prefix.names_library and not is_known:
                return None
        at = time_of(prefix.times, self._zone)
        if at is None and entry is not None:
            at = next((found for one in entry.times if (found := instant(one, self._zone)) is not None), None)
        if at is None:
            at = time_of(self._prefixes.collected_at(line.text), self._zone)
        direction: Direction = "received" if mark["received"] else "sent"
        form = "{" * (entry is not None) + _form(message[: prefix.end], prefix.times)
        return LoggedFrame(line.number, station_id, direction, at, told), form

    def _continued(self, frame: LoggedFrame, waiting: deque[LogLine], lines: Iterator[LogLine]) -> LoggedFrame:
        """Return the frame with its further lines; lines that turn out to be none of it are left in ``waiting``."""
        brackets = _Brackets()
        if _is_json(frame.text) or not frame.text.lstrip().startswith("[") or frame.text.rstrip().endswith(_CUT):
            return frame
        if brackets.end_in(frame.text) is not None:
            return frame
        parts, taken, size = [frame.text], list[LogLine](), len(frame.text)
        whole = False
        while not whole and size < _MOST_CHARACTERS:
            line = waiting.popleft() if waiting else next(lines, None)
            if line is None:
                break
            text = self._prefixes.uncollected(uncoloured(line.text))
            if self._begins(text):
                waiting.appendleft(line)
                break
            taken.append(line)
            parts.append(text)
            size += len(text)
            whole = brackets.end_in("\n" + text) is not None
        if not whole and not self._prefixes.has_prefixes:
            # Nothing says that these lines belong to it: they stand for themselves.
            waiting.extendleft(reversed(taken))
            return frame
        return frame._replace(text=_joined(parts))

    def _begins(self, text: str) -> bool:
        """Whether a new line of the log begins with this text."""
        if self._prefixes.begins(text):
            return True
        mark = _mark(text)
        return mark is not None and not set(text[: mark.start()]) & set('{}[]",')

    def _finished(self, text: str) -> str:
        if _BYTES.fullmatch(text):
            with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                return bytes(ast.literal_eval(text)).decode("utf-8", "backslashreplace")
        if self._has_tails:
            end = _Brackets().end_in(text)
            return text if end is None else text[:end]
        return text


class Sides:
    """Which end of the connection wrote a frame down.

    A program that holds both ends writes each frame twice under one station id, as sent and as received.
    """

    def __init__(self, speakers: Mapping[str, _Speaker]) -> None:
        self._speakers = speakers
        self._asked: OrderedDict[tuple[str, Direction, str], Side] = OrderedDict()

    def of(self, frame: LoggedFrame) -> Side | None:
        """Return the end that wrote this frame down; None when nothing tells. Ask for each frame in its order."""
        speaker = self._speakers.get(frame.station_id)
        if speaker is None or not speaker.is_both:
            return speaker.side if speaker else None
        message = decode(frame.text)
        if message.is_answer:
            call_direction: Direction = "received" if frame.direction == "sent" else "sent"
            asked = self._asked.pop((frame.station_id, call_direction, message.message_id or ""), None)
            if asked is not None:
                return asked
        side = _side_of(message, frame.direction) or ("station" if frame.direction == "sent" else "csms")
        if not message.is_answer:
            self._asked[frame.station_id, frame.direction, message.message_id or ""] = side
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return side


@dataclass(slots=True)
class _Speaker:
    """What is known of one station id."""

    heard: dict[str, int] = field(default_factory=dict)
    """Calls that only one version has, by version; "2.0.1" stands for 2.x."""
    sides: dict[Side, int] = field(default_factory=dict)
    is_both: bool = False
    """Whether both ends are in the log."""
    _recent: deque[tuple[Direction, str]] = field(default_factory=lambda: deque(maxlen=32))

    def hear(self, frame: LoggedFrame) -> None:
        message = decode(frame.text)
        if message.action is None:
            return
        version = dialects.version_of(message)
        if version is not None:
            self.heard[version] = self.heard.get(version, 0) + 1
        side = _side_of(message, frame.direction)
        if side is None:
            return
        self.sides[side] = self.sides.get(side, 0) + 1
        other: Direction = "received" if frame.direction == "sent" else "sent"
        self.is_both = self.is_both or (other, frame.text) in self._recent
        self._recent.append((frame.direction, frame.text))

    @property
    def version(self) -> str | None:
        two = self.heard.get("2.0.1", 0) + self.heard.get("2.1", 0)
        if self.heard.get("1.6", 0) >= max(two, 1):
            return "1.6"
        return None if not two else "2.1" if "2.1" in self.heard else "2.0.1"

    @property
    def side(self) -> Side | None:
        return max(self.sides, key=lambda side: self.sides[side], default=None)


def holds_frame(line: str) -> bool:
    """Whether the words of the library, and what looks like a frame, stand in this line."""
    mark = _mark(line)
    return mark is not None and line.startswith(_BEGINNINGS, mark.end())


def _of_library(message: str) -> bool:
    """Whether the library says there what went wrong, which may quote a frame."""
    return any(words in message for words in _OTHERS_OF_LIBRARY)


def _form(prefix: str, times: Iterable[str]) -> str:
    """Return what all prefixes of one handler have in common: nothing of when it was written, and no numbers."""
    for time in times:
        prefix = prefix.replace(time, "")
    return _NUMBER.sub("0", prefix)


def _side_of(message: Message, direction: Direction) -> Side | None:
    writer: Origin | None = dialects.origin_of(message.action, None) if message.action is not None else None
    if writer is None or direction == "sent":
        return writer
    return "csms" if writer == "station" else "station"


def _mark(text: str) -> re.Match[str] | None:
    """Return where the library's words stand, if they do: the first of them that a frame follows."""
    if ": send" not in text and ": receive message" not in text:
        return None
    marks = list(_MARK.finditer(text, 0, _LONGEST_HEAD))
    sure = (mark for mark in marks if mark["received"] or text.startswith(_BEGINNINGS, mark.end()))
    return next(sure, marks[0] if marks else None)


class _Entry(NamedTuple):
    """A line of a structured log."""

    message: str
    times: tuple[object, ...]


def _structured(text: str) -> _Entry | None:
    """Return what a line of a structured log says; None when it is none."""
    if not text.startswith("{") or not text.rstrip().endswith("}"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    inner: Any = value.get("record")
    fields: Mapping[str, Any] = {**value, **inner} if isinstance(inner, dict) else value
    messages = (fields.get(key) for key in _MESSAGE_KEYS)
    message = next((one for one in messages if isinstance(one, str)), None)
    if message is None:
        return None
    times = tuple(fields[key] for key in _TIME_KEYS if isinstance(fields.get(key), str | int | float))
    return _Entry(uncoloured(message.rstrip("\n")), times)


class _Brackets:
    """Counts brackets over the lines of a text, to find where its JSON is whole."""

    __slots__ = ("_depth", "_in_string")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False

    def end_in(self, part: str) -> int | None:
        """Take in the next part; return where in it the outermost bracket closes, or None."""
        for token in _TOKEN.finditer(part):
            if token[0] == '"':
                self._in_string = not self._in_string
            elif self._in_string or token[0][0] == "\\":
                continue
            elif token[0] in "[{":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    return token.end()
        return None


def _joined(parts: list[str]) -> str:
    """Return the text of these lines; where something broke a line in the middle of a string, as if it had not."""
    lines = "\n".join(parts)
    if _is_json(lines):
        return lines
    unbroken = "".join(parts)
    return unbroken if _is_json(unbroken) else lines


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
