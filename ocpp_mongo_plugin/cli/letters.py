"""``ocpp-mongo dead``: frames that MongoDB refused, in its own collection or on this disk.

Hides where a letter is kept. Promises that a letter is removed only when what it keeps is stored, and that what a
frame holds reaches the terminal as text, never as a command to it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson.objectid import ObjectId

from ocpp_mongo_plugin.cli.importing import FLUSH_SECONDS
from ocpp_mongo_plugin.cli.replaying import stored_keys, submit, visitor
from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, print_json, readable, say
from ocpp_mongo_plugin.dead_letters import DeadLetterFiles, frame_of, text_of
from ocpp_mongo_plugin.destination import journal_root, target_of
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import NotFoundError
from ocpp_mongo_plugin.frames import Frame, Undelivered, decode
from ocpp_mongo_plugin.plugin import MongoPlugin
from ocpp_mongo_plugin.settings import Settings
from ocpp_mongo_plugin.transcription import RAW_CUT, SURROGATE

_CHUNK = 500
_MONGODB, _DISK = "MongoDB", "disk"


@dataclass(slots=True)
class Letter:
    """One dead letter, and where it is kept."""

    document: dict[str, Any]
    places: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its name: the key of what it stands for."""
        return str(self.document["_id"])

    @property
    def is_message(self) -> bool:
        """Whether it keeps a frame; else it keeps a value out of one that is stored."""
        return self.document.get("kind") == "message"

    def figures(self) -> dict[str, Any]:
        """Return all but the text, as ``--json`` prints it."""
        told = {name: value for name, value in self.document.items() if name not in ("_id", "raw")}
        return {"key": self.key, "where": self.places, **told}


class Letters:
    """The letters of one database: those it has, and those that this disk has for it."""

    def __init__(self, plain: Plain, settings: Settings) -> None:
        self.collection = plain[settings.dead_letters_collection]
        self.files = files_of(settings)

    def all(self, station: str | None = None, *, texts: bool = False) -> list[Letter]:
        """Return the letters, the newest first; their texts only when asked for."""
        query = {} if station is None else {"station_id": {"$eq": station}}
        found: dict[str, Letter] = {}
        with translated("reading dead letters"):
            for document in self.collection.find(query, None if texts else {"raw": 0}):
                found[str(document["_id"])] = Letter(document, [_MONGODB])
        for document in self.files.read():
            if station is None or document.get("station_id") == station:
                found.setdefault(str(document["_id"]), Letter(document)).places.append(_DISK)
        return sorted(found.values(), key=lambda letter: str(letter.document.get("at")), reverse=True)

    def with_text(self, letter: Letter) -> dict[str, Any]:
        """Return a letter's document with its text."""
        if "raw" in letter.document:
            return letter.document
        with translated("reading a dead letter"):
            return self.collection.find_one({"_id": letter.document["_id"]}) or letter.document

    def named(self, key: str) -> Letter:
        """Return one letter with its text. Raises NotFoundError."""
        document: dict[str, Any] | None = None
        places = []
        if ObjectId.is_valid(key):
            with translated("reading a dead letter"):
                document = self.collection.find_one({"_id": ObjectId(key)})
        if document is not None:
            places.append(_MONGODB)
        on_disk = next((one for one in self.files.read() if str(one["_id"]) == key), None)
        if on_disk is not None:
            places.append(_DISK)
        found = document or on_disk
        if found is None:
            raise NotFoundError(f"there is no dead letter {key!r}; 'ocpp-mongo dead ls' says which there are")
        return Letter(found, places)

    def remove(self, letters: Sequence[Letter]) -> None:
        """Forget letters, wherever they are kept."""
        with translated("removing dead letters, whose messages are stored now (that needs the right remove)"):
            self.collection.delete_many({"_id": {"$in": [letter.document["_id"] for letter in letters]}})
        for letter in letters:
            self.files.remove(letter.key)

    def tidy(self) -> None:
        """Remove from the disk what the collection has."""
        for document in self.files.read():
            with translated("reading dead letters"):
                if self.collection.find_one({"_id": document["_id"]}, {"_id": 1}) is not None:
                    self.files.remove(document["_id"])


def files_of(settings: Settings) -> DeadLetterFiles:
    """Return the letters on this disk for the server and database of these settings."""
    return DeadLetterFiles(journal_root(settings) / target_of(settings).directory)


# -- ls and show ----------------------------------------------------------------------------------------------------


def show_all(*, uri: str | None, database: str | None, station: str | None, limit: int, as_json: bool) -> int:
    """Print the letters without their texts; return the exit code."""
    settings = settings_of(uri, database)
    with connected(settings) as plain, naming(settings):
        letters = Letters(plain, settings).all(station)
    if as_json:
        print_json({"total": len(letters), "letters": [letter.figures() for letter in letters[:limit]]})
        return 0
    for letter in letters[:limit]:
        out.print(readable(_line(letter)))
    more = len(letters) - limit
    if more > 0:
        out.print(f"and {more:,} older: --limit {len(letters)}")
    elif not letters:
        of_whom = "" if station is None else f" of station {station!r}"
        out.print(f"{shown(settings)}, database {settings.database}: no dead letters{of_whom}")
    return 0


def _line(letter: Letter) -> str:
    told = letter.document
    at = told.get("at")
    when = at.isoformat(timespec="seconds") if at is not None else "-"
    what = (told.get("action") or "no action") if letter.is_message else "a meter value"
    where = " and ".join(letter.places)
    return f"{letter.key}  {when}  {told.get('station_id') or '-'}  {what}  {told.get('reason')}  ({where})"


def show_one(key: str, *, uri: str | None, database: str | None, as_json: bool) -> int:
    """Print a letter with its exact text; return the exit code. Raises NotFoundError."""
    settings = settings_of(uri, database)
    with connected(settings) as plain, naming(settings):
        letter = Letters(plain, settings).named(key)
    if as_json:
        print_json({**letter.figures(), "raw": text_of(letter.document)})
        return 0
    for name, value in letter.figures().items():
        told = ", ".join(value) if isinstance(value, list) else value
        if told not in (None, ""):
            out.print(readable(f"{name}: {told.isoformat() if hasattr(told, 'isoformat') else told}"))
    out.print("raw:")
    out.file.write(readable(text_of(letter.document)) + "\n")
    return 0


# -- retry ----------------------------------------------------------------------------------------------------------


def retry(keys: Sequence[str], *, uri: str | None, database: str | None, station: str | None, dry_run: bool) -> int:
    """Store again what the letters keep, and remove those whose frames are stored; return 1 when some remain.

    Raises:
        NotFoundError: there is no letter of such a key.
        StoreUnavailableError: MongoDB does not answer; every letter that is not stored stays.
    """
    settings = settings_of(uri, database)
    where = f"{shown(settings)}, database {settings.database}"
    with connected(settings) as plain, naming(settings):
        letters = Letters(plain, settings)
        chosen = [letters.named(key) for key in dict.fromkeys(keys)] if keys else letters.all(station)
        chosen = [one for one in chosen if station is None or one.document.get("station_id") == station]
        if not chosen:
            out.print(f"{where}: no dead letters to retry")
            return 0
        if dry_run:
            for letter in chosen:
                out.print(readable(_line(letter)))
            out.print(f"{where}: {len(chosen):,} dead letter(s) would be retried")
            return 0
        remaining = asyncio.run(_retry(chosen, letters, plain, settings))
    out.print(f"{where}: {len(chosen) - remaining:,} dead letter(s) stored and removed, {remaining:,} remain")
    return int(bool(remaining))


async def _retry(chosen: Sequence[Letter], letters: Letters, plain: Plain, settings: Settings) -> int:
    messages = sorted((one for one in chosen if one.is_message), key=_wire_order)
    values = [one for one in chosen if not one.is_message]
    remaining = 0
    # A letter keeps a frame that was to be stored, whatever is left out today.
    async with visitor(settings, exclude_actions=frozenset()) as plugin:
        await plugin.flush(FLUSH_SECONDS)
        for some in _chunks(messages):
            remaining += await _retry_messages(some, plugin, letters, plain, settings)
        for some in _chunks(values):
            remaining += await _retry_values(some, plugin, letters, plain, settings)
    letters.tidy()
    return remaining


async def _retry_messages(
    some: Sequence[Letter], plugin: MongoPlugin, letters: Letters, plain: Plain, settings: Settings
) -> int:
    frames: dict[str, Frame] = {}
    for letter in some:
        frame = frame_of(letters.with_text(letter))
        if frame is None:
            say(f"{letter.key} keeps no frame that can be stored: ocpp-mongo dead show {letter.key}")
        else:
            frames[letter.key] = frame
    # What an answer says of its call was lost with the call, so a stored answer is told again.
    answers = [answer for frame in frames.values() if (answer := _answer_of(frame, plain, settings)) is not None]
    together = sorted([*frames.values(), *answers], key=_place_on_wire)
    undelivered = [one.key for one in some if one.key in frames and one.document.get("delivered") is False]
    await submit(plugin, [*together, *(Undelivered(frames[key]) for key in undelivered)])
    stored = stored_keys(plain, settings, list(frames.values()))
    letters.remove([letter for letter in some if letter.key in stored])
    return len(some) - len(stored)


def _answer_of(frame: Frame, plain: Plain, settings: Settings) -> Frame | None:
    """Return the stored answer of a call."""
    message = decode(frame.text)
    if message.message_type != "Call" or message.message_id is None:
        return None
    query = {
        "session_id": {"$eq": frame.session_id},
        "sequence": {"$gt": frame.sequence},
        "message_id": {"$eq": message.message_id.encode("utf-8", "replace").decode()},
        "message_type": {"$in": ["CallResult", "CallError"]},
    }
    with translated("reading messages"):
        found = plain[settings.messages_collection].find_one(query, sort=[("sequence", 1)])
    return frame_of_message(found)


async def _retry_values(
    some: Sequence[Letter], plugin: MongoPlugin, letters: Letters, plain: Plain, settings: Settings
) -> int:
    """Tell the messages again that the values came out of."""
    frames: dict[str, Frame] = {}
    collection, values = plain[settings.messages_collection], plain[settings.meter_values_collection]
    for letter in some:
        reference = str(letter.document.get("message_ref"))
        with translated("reading messages"):
            message = collection.find_one({"_id": ObjectId(reference)}) if ObjectId.is_valid(reference) else None
        frame = frame_of_message(message)
        if frame is None:
            say(f"{letter.key}: its message {reference} is not stored in full, so the value cannot be made again")
        else:
            frames[reference] = frame
    together = sorted(frames.values(), key=_place_on_wire)
    await submit(plugin, together)
    keys = [letter.document["_id"] for letter in some]
    with translated("reading meter values"):
        stored = {found["_id"] for found in values.find({"_id": {"$in": keys}}, {"_id": 1})}
    letters.remove([letter for letter in some if letter.document["_id"] in stored])
    return len(some) - len(stored)


def frame_of_message(message: dict[str, Any] | None) -> Frame | None:
    """Return the frame of a stored message; None when its text was not kept as it was."""
    lossy = (message or {}).get("lossy") or []
    if message is None or RAW_CUT in lossy or SURROGATE in lossy:
        return None
    compressed = message.get("raw_zlib")
    return Frame(
        message["station_id"],
        message["session_id"],
        message["sequence"],
        message["direction"],
        message.get("origin"),
        message.get("protocol_version"),
        message.get("timestamp"),
        message["raw"] if compressed is None else zlib.decompress(compressed).decode("utf-8", "surrogatepass"),
        tuple(message.get("redacted") or ()),
        message.get("seen_on_socket") is not False,
    )


def _place_on_wire(frame: Frame) -> tuple[str, int]:
    return frame.session_id, frame.sequence


def _wire_order(letter: Letter) -> tuple[str, int]:
    return str(letter.document.get("session_id")), letter.document.get("sequence") or 0


def _chunks(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    for start in range(0, len(letters), _CHUNK):
        yield letters[start : start + _CHUNK]
