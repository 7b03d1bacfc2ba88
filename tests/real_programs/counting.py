"""Compares what crossed a relay with what the plugin stored of it: lost, altered, extra, and the first difference.

Each WebSocket connection is compared with one session, each way for itself, in order and byte for byte. Between the
two ways a relay cannot know the order in which the program saw them; there an answer must stand behind its call.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any
from urllib.parse import unquote

from relay import Connection, Relay
from waiting import wait_until_async

_SHOWN = 100
Stored = Mapping[str, Any]


@dataclass
class Count:
    """What a comparison found."""

    crossed: int = 0
    """Texts that the relay passed on, both ways."""
    stored: int = 0
    lost: int = 0
    """Crossed, and not stored."""
    altered: int = 0
    """Stored in its place with another text."""
    redacted: int = 0
    """Stored in its place with another text, and its document says what was taken out."""
    extra: int = 0
    """Stored, and never crossed."""
    misplaced: int = 0
    """Sequence numbers that are not 0, 1, 2 and so on, and answers before their calls."""
    sessions: int = 0
    first: str = ""
    """The first difference."""

    @property
    def is_whole(self) -> bool:
        """Whether what is stored is what crossed."""
        return not (self.lost or self.altered or self.redacted or self.extra or self.misplaced)

    def __str__(self) -> str:
        """Return one line."""
        figures = (
            f"{self.crossed} crossed, {self.stored} stored in {self.sessions} sessions: {self.lost} lost, "
            f"{self.altered} altered, {self.extra} extra, {self.misplaced} misplaced"
        )
        redacted = f", {self.redacted} redacted" if self.redacted else ""
        return figures + redacted + (f" (first: {self.first})" if self.first else "")

    def differ(self, what: str) -> None:
        """Note a difference."""
        self.first = self.first or what


async def stored(database: Any, relay: Relay, bound: float = 30) -> None:
    """Wait until as much is stored as crossed; what is missing then is for ``count`` to say."""
    with suppress(AssertionError):
        await wait_until_async(lambda: database.ocpp_messages.count_documents({}) >= relay.crossed, bound)


def count(connections: Iterable[Connection], database: Any, *, end: str = "server") -> Count:
    """Compare.

    Args:
        connections: of the relay, in their order.
        database: of plain PyMongo, into which one end of these connections was recorded, and nothing else.
        end: which one, "server" or "client".
    """
    result = Count()
    sessions: dict[str, list[Stored]] = defaultdict(list)
    for document in database.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)]):
        sessions[document["session_id"]].append(document)
    of_station: dict[str, list[list[Stored]]] = defaultdict(list)
    for _, documents in sorted(sessions.items()):  # session ids rise with time
        of_station[unquote(documents[0]["station_id"])].append(documents)  # some programs keep it as in the path
        result.sessions += 1
    for connection in connections:
        if connection.to_server or connection.to_client:
            known = of_station[connection.station_id]
            _compare(connection, known.pop(0) if known else [], result, end)
    for documents in (one for rest in of_station.values() for one in rest):
        result.stored += len(documents)
        result.extra += len(documents)
        result.differ(f"a session of {documents[0]['station_id']!r} without a connection")
    return result


def _compare(connection: Connection, documents: Sequence[Stored], result: Count, end: str) -> None:
    into = {"server": ("received", "sent"), "client": ("sent", "received")}[end]
    for direction, texts in zip(into, (connection.to_server, connection.to_client), strict=True):
        own = [document for document in documents if document["direction"] == direction]
        result.crossed += len(texts)
        result.stored += len(own)
        _compare_one_way(f"{connection.station_id!r} {direction}", texts, own, result)
    for place, document in enumerate(documents):
        if document["sequence"] != place:
            result.misplaced += 1
            result.differ(f"{connection.station_id!r}: sequence {document['sequence']} in place {place}")
    for answer in _early(documents):
        result.misplaced += 1
        result.differ(f"{connection.station_id!r}: {answer[:_SHOWN]} stands before its call")


def _compare_one_way(where: str, texts: Sequence[str], documents: Sequence[Stored], result: Count) -> None:
    stored = [document["raw"] for document in documents]
    for kind, a, b, c, d in SequenceMatcher(None, texts, stored, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        pairs = min(b - a, d - c)
        redacted = sum(bool(document.get("redacted")) for document in documents[c : c + pairs])
        result.redacted += redacted
        result.altered += pairs - redacted
        result.lost += b - a - pairs
        result.extra += d - c - pairs
        wire, kept = ([text[:_SHOWN] for text in part[:1]] for part in (texts[a:b], stored[c:d]))
        result.differ(f"{where} {a}: on the wire {wire}, stored {kept}")


def _early(documents: Sequence[Stored]) -> Iterable[str]:
    """Return the answers that stand before the only call that they can answer."""
    calls: dict[tuple[str, str], int] = {}
    answers: list[tuple[int, tuple[str, str], str]] = []
    for place, document in enumerate(documents):
        kind, message_id = _kind(document["raw"])
        if kind == 2:
            calls.setdefault((document["direction"], message_id), place)
        elif kind in (3, 4):
            asked = "sent" if document["direction"] == "received" else "received"
            answers.append((place, (asked, message_id), document["raw"]))
    return [raw for place, call, raw in answers if calls.get(call, -1) > place]


def _kind(raw: str) -> tuple[Any, str]:
    try:
        kind, message_id, *_ = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        return None, ""
    return kind, json.dumps(message_id)
