"""Frames that MongoDB will never take: in the collection ``dead_letters``, or on disk where not even that takes them.

Hides the files. Promises that a letter keeps the exact text, and that a file is either whole or not there.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.objectid import ObjectId

from ocpp_mongo_plugin.changes import Document
from ocpp_mongo_plugin.frames import Frame

DIRECTORY = "dead-letters"
_LARGE = 4 * 1024 * 1024
_ZONED: CodecOptions[Any] = CodecOptions(tz_aware=True)
_KEPT = (
    "station_id",
    "session_id",
    "sequence",
    "direction",
    "origin",
    "protocol_version",
    "timestamp",
    "action",
    "redacted",
    "delivered",
)


def letter_of_message(document: Document, reason: str, now: datetime) -> Document:
    """Return the dead letter of a message: its text in full, and what a frame is made of."""
    letter = {name: document.get(name) for name in _KEPT}
    if "seen_on_socket" in document:
        letter["seen_on_socket"] = document["seen_on_socket"]
    return {
        "_id": ObjectId(document["_id"]),
        "kind": "message",
        **letter,
        "raw": kept(document.get("raw") or ""),
        "reason": reason,
        "at": now,
    }


def letter_of_value(document: Document, reason: str, now: datetime) -> Document:
    """Return the dead letter of a meter value; its message is stored, so it can be made again."""
    metadata = document.get("metadata") or {}
    return {
        "_id": ObjectId(document["_id"]),
        "kind": "meter_value",
        "station_id": metadata.get("station_id"),
        "session_id": document.get("session_id"),
        "message_ref": document.get("message_ref"),
        "raw": kept(repr(document)[:100_000]),
        "reason": reason,
        "at": now,
    }


def kept(text: str) -> str | bytes:
    """Return what a letter keeps of a text: itself, or compressed bytes where BSON cannot hold it."""
    try:
        if len(text.encode()) < _LARGE:
            return text
    except UnicodeEncodeError:
        pass  # lone surrogates, which the ocpp library accepts
    return zlib.compress(text.encode("utf-8", "surrogatepass"))


def text_of(letter: Document) -> str:
    """Return the exact text that a letter keeps."""
    raw = letter.get("raw")
    if isinstance(raw, bytes):
        return zlib.decompress(raw).decode("utf-8", "surrogatepass")
    return raw if isinstance(raw, str) else ""


def frame_of(letter: Document) -> Frame | None:
    """Return the frame that a letter keeps; None when it keeps something else."""
    if letter.get("kind") != "message" or not letter.get("session_id"):
        return None
    return Frame(
        letter.get("station_id") or "",
        letter["session_id"],
        letter["sequence"],
        letter.get("direction") or "unknown",
        letter.get("origin"),
        letter.get("protocol_version"),
        letter.get("timestamp"),
        text_of(letter),
        tuple(letter.get("redacted") or ()),
        letter.get("seen_on_socket") is not False,
    )


class DeadLetterFiles:
    """The letters on disk, one file each."""

    def __init__(self, directory: Path) -> None:
        """Keep them in ``directory``, which is made when there is one."""
        self.directory = directory / DIRECTORY

    def write(self, letter: Document) -> bool:
        """Keep a letter; return whether the disk took it."""
        path = self.directory / f"{letter['_id']}.bson"
        draft = path.with_suffix(".new")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(file, "wb") as stream:  # noqa: PTH123 - of a descriptor
                stream.write(bson.encode(letter))
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except (OSError, BSONError, OverflowError, UnicodeError):
            with contextlib.suppress(OSError):
                draft.unlink()
            return False
        return True

    def read(self) -> Iterator[Document]:
        """Read every letter that can be read."""
        try:
            paths = sorted(self.directory.glob("*.bson"))
        except OSError:
            return
        for path in paths:
            with contextlib.suppress(OSError, BSONError):
                yield cast("Document", bson.decode(path.read_bytes(), _ZONED))

    def remove(self, key: Any) -> None:
        """Forget a letter."""
        with contextlib.suppress(OSError):
            (self.directory / f"{key}.bson").unlink()
