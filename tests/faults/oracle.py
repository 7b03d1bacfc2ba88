"""What was captured, by the word of the program that captured it: a plain file that outlives SIGKILL.

Knows nothing of the plugin. A line is written after the capture call returned, so each line is a frame that the plugin
answers for; a frame whose capture was cut off by the kill has no line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Entry(NamedTuple):
    """One captured frame."""

    session: str
    """Tells the connections apart; not the plugin's id of the session."""
    station: str
    direction: str
    text: str


class Oracle:
    """The file, open for appending; one os.write a line, so a line is there whole or not at all."""

    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __enter__(self) -> Oracle:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    def captured(self, session: str, station: str, direction: str, text: str) -> None:
        os.write(self._file, json.dumps((session, station, direction, text)).encode() + b"\n")


def read(path: Path | str) -> list[Entry]:
    """Return all lines of a file, in the order in which they were written."""
    whole = Path(path).read_bytes()
    return [Entry(*json.loads(line)) for line in whole.splitlines(keepends=True) if line.endswith(b"\n")]
