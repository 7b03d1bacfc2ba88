"""``ocpp-mongo import``: files of recorded traffic, entered the same way as live frames.

Hides the filling of the buffer. Promises that a file or a line that cannot be read
costs nothing else, that nothing is pushed out of the buffer, and that a second import adds only what is new.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, say
from ocpp_mongo_plugin.cli.traffic import COPIES, Moving, Reading, Traffic, moving, opened
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import ImportFormatError, StoreUnavailableError
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.interchange import Contents, StoredTexts
from ocpp_mongo_plugin.plugin import MongoPlugin
from ocpp_mongo_plugin.settings import Settings

FLUSH_SECONDS = 60.0
"""How long MongoDB may take for one chunk; an outage of a few seconds passes unnoticed."""

_CHUNK = 2_000


@dataclass(slots=True)
class Result:
    """What became of one file, or of all."""

    frames: int = 0
    """Distinct frames that were read."""
    already: int = 0
    """Of those, how many the database had before."""
    left_out: int = 0
    """Left out by the setting exclude_actions."""
    refused: int = 0
    """Kept as dead letters, or lost."""
    bad: int = 0
    others: int = 0
    """Lines of logs that hold no frame."""
    copies: int = 0
    """Frames of logs that two handlers wrote; each counts once."""
    files: int = 0
    failed: int = 0
    """Files that could not be read."""

    @property
    def new(self) -> int:
        """Frames that the database did not have before."""
        return max(0, self.frames - self.already - self.left_out - self.refused)

    def add(self, other: Result) -> None:
        """Count another file in."""
        for name in ("frames", "already", "left_out", "refused", "bad", "others", "copies", "files", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        parts = [f"{self.frames:,} frame(s) read", f"{self.new:,} new", f"{self.already:,} already there"]
        others = {"left out by exclude_actions": self.left_out, "refused by MongoDB": self.refused}
        others |= {COPIES: self.copies, "other line(s)": self.others}
        others |= {"bad line(s)": self.bad, "file(s) that could not be read": self.failed}
        return ", ".join(parts + [f"{count:,} {what}" for what, count in others.items() if count])


def import_files(files: Sequence[Path], reading: Reading, *, uri: str | None, database: str | None) -> int:
    """Import the files one after the other; return 0 when every frame of every file is stored."""
    settings = settings_of(uri, database)
    with connected(settings) as plain, naming(settings), moving() as progress:
        total = asyncio.run(import_all(files, settings, plain, progress, reading))
    if len(files) > 1:
        out.print(f"all files: {total}")
    if total.failed < len(files):
        out.print(f"stored in {shown(settings)}, database {settings.database}")
    return int(bool(total.failed or total.bad or total.refused))


async def import_all(
    files: Sequence[Path],
    settings: Settings,
    plain: Plain,
    progress: Moving,
    reading: Reading,
) -> Result:
    """Import files into the database of these settings; ``plain`` is the same one."""
    total = Result()
    uri = settings.uri.get_secret_value()
    async with MongoPlugin(uri, settings.database, record_all=False, durability="memory") as plugin:
        for path in files:
            try:
                with opened(path, reading) as traffic:
                    result = await _import_one(traffic, plugin, _stored_in(plain, settings), progress)
            except ImportFormatError as error:
                say(str(error))
                total.failed += 1
                continue
            total.add(result)
            progress.done(f"{path}: {result}")
    return total


async def _import_one(traffic: Traffic, plugin: MongoPlugin, stored: StoredTexts, progress: Moving) -> Result:
    """Import one file; what is stored when it ends counts for the next one."""
    contents = Contents()
    await traffic.scan(contents, progress)
    with translated("looking for what is stored already"):
        await contents.identify(stored)
    before = plugin.stats
    progress.begin(f"importing {traffic.path.name}", contents.frames)
    items = contents.replay(traffic.items())
    while chunk := list(itertools.islice(items, _CHUNK)):
        for item in chunk:
            while not plugin.has_room():
                await plugin.flush(FLUSH_SECONDS)
            if not plugin.submit(item):
                raise StoreUnavailableError("the buffer has no room for another frame; give buffer_bytes more")
        await plugin.flush(FLUSH_SECONDS)
        progress.advance(sum(isinstance(item, Frame) for item in chunk))
    after = plugin.stats
    return Result(
        frames=contents.frames,
        already=contents.already,
        left_out=after.left_out - before.left_out,
        refused=after.dead_lettered + after.dropped_messages - before.dead_lettered - before.dropped_messages,
        bad=contents.bad,
        others=contents.others,
        copies=contents.copies,
        files=1,
    )


def _stored_in(plain: Plain, settings: Settings) -> StoredTexts:
    collection = plain[settings.messages_collection]

    async def texts(session_id: str) -> AsyncIterator[tuple[int, str | None]]:
        fields = {"sequence": 1, "raw": 1, "lossy": 1, "redacted": 1, "_id": 0}
        with collection.find({"session_id": {"$eq": session_id}}, fields) as found:
            for document in found:
                # A text that MongoDB could not hold as it was, or that was redacted, proves nothing.
                altered = document.get("lossy") or document.get("redacted")
                yield document["sequence"], None if altered else document["raw"]

    return texts
