"""Files of recorded traffic, as the command line takes them: JSON Lines, and logs of the ``ocpp`` library.

Hides how the form of a file is told, what one may say of a log, the passes over a file, and what is said about its
lines. Promises that a line that cannot be read costs nothing else, and that no secret in one is shown.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import IO, Protocol
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ocpp_mongo_plugin.cli.terminal import err, out, readable, say
from ocpp_mongo_plugin.errors import ArgumentError, ImportFormatError
from ocpp_mongo_plugin.frames import Origin, normalise_version
from ocpp_mongo_plugin.interchange import BadLine, Line, LogFile, LogReading, form_of, open_interchange, read_lines
from ocpp_mongo_plugin.library_log import OtherLine
from ocpp_mongo_plugin.log_filter import CredentialFilter

_LINES_A_TURN = 500
_MOST_SAID = 10
"""Bad lines of one file that are named; the others are counted."""
_MOST_SHOWN = 5
"""Other lines of one log that are shown; the others are counted."""
_SHOWN_CHARACTERS = 100
_READ_CHARACTERS = 4_000
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")
COPIES = "written twice by two handlers"
"""What frames of a log are called that count once."""
_NO_TRAFFIC = {
    "text": ": no line is a frame, neither JSON Lines nor a line of the ocpp library ('CP001: send [...]'); "
    "is its logger 'ocpp' at INFO?",
    "data": " is not a text file in UTF-8",
}
"""What follows the name of a file that has no frame, by what it is instead."""
_VERSIONS = ("1.6", "2.0.1", "2.1")


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are to be read; without arguments, all is found out."""

    form: str = "auto"
    """"jsonl", "log", or "auto": the first line with a frame decides."""
    log: LogReading = field(default_factory=LogReading)


def reading_of(
    form: str, *, side: Origin | None, protocol_version: str | None, zone: str | None, prefix: str | None
) -> Reading:
    """Return how files are to be read, as a person says it.

    Raises:
        ArgumentError: the version, the time zone or the regular expression is none.
    """
    version = normalise_version(protocol_version)
    if version is not None and version not in _VERSIONS:
        raise ArgumentError(f"--protocol-version takes {', '.join(_VERSIONS)}, not {protocol_version}")
    try:
        pattern = None if prefix is None else re.compile(prefix)
    except re.error as error:
        raise ArgumentError(f"--prefix is no regular expression: {error}") from None
    return Reading(form, LogReading(None if zone is None else _zone(zone), pattern, side, version))


class _Local(tzinfo):
    """The time of this machine."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:  # noqa: ARG002 - as tzinfo has it
        return None

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002 - as tzinfo has it
        return "local"


def _zone(name: str) -> tzinfo:
    if name.casefold() in ("utc", "z"):
        return timezone.utc
    if name.casefold() == "local":
        return _Local()
    try:
        if match := _OFFSET.fullmatch(name):
            offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
            return timezone(-offset if match[1] == "-" else offset)
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ArgumentError(
            f"--timezone {name} is not known here: take UTC, local, an offset as +02:00, or a name as Europe/Paris"
        ) from None


class Recipient(Protocol):
    """Takes the lines of a file."""

    @property
    def frames(self) -> int:
        """How many frames it took."""

    def add(self, item: Line | BadLine | OtherLine) -> BadLine | None:
        """Take one; return it as a bad one when it turns out to be one."""


class Traffic:
    """One open file."""

    def __init__(self, path: Path, file: IO[bytes], reading: Reading) -> None:
        """Find out what its lines are.

        Raises:
            ImportFormatError: they are neither of what is imported.
        """
        self.path = path
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        form = form_of(file) if reading.form == "auto" else reading.form
        if form in _NO_TRAFFIC:
            raise ImportFormatError(f"{path}{_NO_TRAFFIC[form]}")
        self.log = LogFile(file, reading.log, end=self._size) if form == "log" else None

    def items(self) -> Iterator[Line | BadLine | OtherLine]:
        """Read it from the beginning, as far as it went when it was opened."""
        if self.log is not None:
            return self.log.read()
        self._file.seek(0)
        return read_lines(self._file, end=self._size)

    async def scan(self, recipient: Recipient, progress: Moving) -> None:
        """Read all of it once, and say which lines are bad and which hold no frame.

        Raises:
            ImportFormatError: there is no frame in it.
        """
        if self.log is not None:
            await self._each(self.log.learn(), f"learning from {self.path.name}", progress)
        said = _Said(self.path)
        await self._each(self._told(recipient, said), f"reading {self.path.name}", progress)
        said.rest()
        if not recipient.frames:
            what = "of the ocpp library's log" if self.log is not None else "in the interchange format"
            raise ImportFormatError(f"{self.path} holds no frame {what} ({said.lines:,} line(s))")
        if self.log is not None and self.log.assumes_utc:
            why = "--timezone local if a program of this machine wrote it"
            say(f"{self.path}: its times name no zone and are taken as UTC; {why}")

    def _told(self, recipient: Recipient, said: _Said) -> Iterator[None]:
        for item in self.items():
            said.about(item, recipient.add(item))
            yield

    async def _each(self, steps: Iterator[None], what: str, progress: Moving) -> None:
        progress.begin(what, self._size)
        last = 0
        for count, _ in enumerate(steps):
            if count % _LINES_A_TURN == 0:
                place = self._file.tell()
                progress.advance(place - last)
                last = place
                await asyncio.sleep(0)  # ^C is heard only between turns of the loop


class _Said:
    """What is said about the lines of one file."""

    def __init__(self, path: Path) -> None:
        self.lines = 0
        self._path = path
        self._bad = self._shown = self._others = self._of_library = 0
        self._filter = CredentialFilter()

    def about(self, item: Line | BadLine | OtherLine, bad: BadLine | None) -> None:
        self.lines += 1
        if bad is not None:
            self._bad += 1
            if self._bad <= _MOST_SAID:
                say(f"{self._path}, line {bad.number}: {bad.reason}")
        elif isinstance(item, OtherLine) and not item.is_copy:
            self._others += 1
            self._of_library += item.of_library
            if not item.of_library and self._shown < _MOST_SHOWN:
                self._shown += 1
                say(f"{self._path}, line {item.number}: no frame: {self._short(item.text)}")

    def rest(self) -> None:
        if self._bad > _MOST_SAID:
            say(f"{self._path}: {self._bad - _MOST_SAID:,} more bad line(s)")
        if self._others > self._shown:
            library = f", {self._of_library:,} of them of the ocpp library itself" if self._of_library else ""
            say(f"{self._path}: {self._others - self._shown:,} more line(s) without a frame{library}")

    def _short(self, text: str) -> str:
        shown = readable(self._filter.clean(text[:_READ_CHARACTERS].strip()))
        return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."


@contextmanager
def opened(path: Path, reading: Reading) -> Iterator[Traffic]:
    """Open one file.

    Raises:
        ImportFormatError: it cannot be read, or has no frame.
    """
    with open_interchange(path, unpack=True) as file:
        yield Traffic(path, file, reading)


class Moving(Protocol):
    """Shows how far the work is."""

    def begin(self, what: str, total: int) -> None:
        """Begin a new stretch of work."""

    def advance(self, amount: int) -> None:
        """Say that so much of it is done."""

    def done(self, sentence: str) -> None:
        """Say what became of a file."""


@contextmanager
def moving(tell: Callable[[str], None] = out.print) -> Iterator[Moving]:
    """Show a bar where a person looks on, else only what became of each file, which ``tell`` prints."""
    if not err.is_terminal:
        yield _Lines(tell)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield _Bar(bar, tell)


class _Lines:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def begin(self, what: str, total: int) -> None:
        """Say nothing: a log has no use for it."""

    def advance(self, amount: int) -> None:
        """Say nothing."""

    def done(self, sentence: str) -> None:
        self._tell(sentence)


class _Bar(_Lines):
    def __init__(self, bar: Progress, tell: Callable[[str], None]) -> None:
        super().__init__(tell)
        self._bar = bar
        self._task = bar.add_task("")

    def begin(self, what: str, total: int) -> None:
        self._bar.reset(self._task, description=what, total=total, completed=0)

    def advance(self, amount: int) -> None:
        self._bar.advance(self._task, amount)
