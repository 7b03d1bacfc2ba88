"""``ocpp-mongo import --dry-run``: what files of traffic hold, without a database.

Hides how frames are counted by what they are. Promises to read the files as an import does, and to write nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.table import Table

from ocpp_mongo_plugin.cli.terminal import out, readable, say
from ocpp_mongo_plugin.cli.traffic import COPIES, Moving, Reading, Traffic, moving, opened
from ocpp_mongo_plugin.errors import ImportFormatError
from ocpp_mongo_plugin.frames import Conversation, Direction, Frame, Message, PendingCall, decode
from ocpp_mongo_plugin.interchange import BadLine, Contents, Line
from ocpp_mongo_plugin.library_log import OtherLine


def preview(files: Sequence[Path], reading: Reading) -> int:
    """Say what an import of these files would store; return its exit code."""
    failed = bad = 0
    with moving() as progress:
        for path in files:
            try:
                with opened(path, reading) as traffic:
                    found = asyncio.run(_scanned(traffic, progress))
            except ImportFormatError as error:
                say(str(error))
                failed += 1
                continue
            _print(traffic, found)
            bad += found.contents.bad
    say("nothing was written")
    return int(bool(failed or bad))


async def _scanned(traffic: Traffic, progress: Moving) -> _Preview:
    found = _Preview()
    await traffic.scan(found, progress)
    return found


@dataclass(slots=True)
class _Talk:
    """What one station said and was told, as one end of the connection saw it."""

    version: str | None
    counts: Counter[tuple[Direction, str]] = field(default_factory=Counter)
    conversation: Conversation = field(default_factory=Conversation)


class _Preview:
    """Counts what an import would store."""

    def __init__(self) -> None:
        self.contents = Contents()
        self.talks: dict[tuple[str, str | None], _Talk] = {}
        self.first: datetime | None = None
        self.last: datetime | None = None

    @property
    def frames(self) -> int:
        return self.contents.frames

    def add(self, item: Line | BadLine | OtherLine) -> BadLine | None:
        before = self.contents.frames
        bad = self.contents.add(item)
        if isinstance(item, Line) and self.contents.frames > before:
            self._count(item)
        return bad

    def _count(self, line: Line) -> None:
        talk = self.talks.setdefault((line.station_id, line.side), _Talk(line.protocol_version))
        talk.version = talk.version or line.protocol_version
        message = decode(line.text)
        talk.counts[line.direction, _name(message, line, talk.conversation)] += 1
        if line.timestamp is not None:
            self.first = min(self.first or line.timestamp, line.timestamp)
            self.last = max(self.last or line.timestamp, line.timestamp)


def _name(message: Message, line: Line, conversation: Conversation) -> str:
    """Return what a frame is called in the table: its action, or whose answer it is."""
    if message.message_type == "Call":
        frame = Frame(line.station_id, "", 0, line.direction, None, None, None, line.text)
        conversation.remember(line.direction, PendingCall(frame, message))
    if not message.is_answer:
        return message.action or "no OCPP message"
    other = {"sent": "received", "received": "sent"}.get(line.direction, line.direction)
    call = conversation.answered(other, message.message_id)
    kind = "answer" if message.message_type == "CallResult" else "error"
    return f"{kind} to {call.message.action}" if call is not None else f"{kind} to what is not in the file"


def _print(traffic: Traffic, found: _Preview) -> None:
    contents = found.contents
    kind = "JSON Lines" if traffic.log is None else "a log of the ocpp library"
    others = f", {contents.others:,} other line(s)" if contents.others else ""
    copies = f", {contents.copies:,} {COPIES}" if contents.copies else ""
    bad = f", {contents.bad:,} bad line(s)" if contents.bad else ""
    out.print(f"{traffic.path}: {kind}, {contents.frames:,} frame(s){copies}{others}{bad}")
    if found.first is not None and found.last is not None:
        out.print(f"  from {found.first.isoformat()} to {found.last.isoformat()}")
    else:
        out.print("  no line names a day and a year: the frames have no time")
    for (station_id, side), talk in found.talks.items():
        version = f"OCPP {talk.version}" if talk.version else "of an unknown version"
        seen = f"seen from the {side}" if side else "seen from an unknown side"
        out.print(f"  station {readable(station_id)!r}, {version}, {seen}")
        table = Table.grid(padding=(0, 2, 0, 0))
        for (direction, name), count in sorted(talk.counts.items()):
            table.add_row("   ", direction, readable(name), f"{count:,}")
        out.print(table)
