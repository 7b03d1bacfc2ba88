"""Plays transcripts through the pure core, in any of the ways frames can come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from ocpp_mongo_plugin.frames import Frame, new_session_id
from ocpp_mongo_plugin.recording import Batch, Loaded, Recording

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Player:
    """A recording without a store, and all that it would have written."""

    def __init__(self, station_id: str = "CP1") -> None:
        self.recording = Recording(recorder="host:1:abc")
        self.inserts: dict[str, dict[str, Any]] = {}
        self.amended: dict[str, dict[str, Any]] = {}
        self.notices: list[tuple[str, str]] = []
        self.station_id = station_id

    def take(self, frames: Sequence[Frame]) -> None:
        """Take frames as one batch."""
        decoded = [self.recording.decode(frame) for frame in frames]
        self.recording.learn(self.recording.wanted(decoded), Loaded())
        batch = Batch()
        for one in decoded:
            self.recording.take(one, batch, NOON)
        self.recording.tally(everything=True)
        values = [document for group in batch.meter_values for document in group.documents()]
        for collection, documents in (("messages", batch.messages), ("meter_values", values)):
            for document in documents:
                self.inserts.setdefault(document["_id"], {"collection": collection, **document})
        for amend in batch.amends:
            self.amended.setdefault(amend.key, {}).update(amend.values)
        self.notices += batch.notices

    def messages(self) -> list[dict[str, Any]]:
        return [d for d in self.inserts.values() if d["collection"] == "messages"]

    def values(self) -> list[dict[str, Any]]:
        return [d for d in self.inserts.values() if d["collection"] == "meter_values"]

    def transactions(self) -> list[dict[str, Any]]:
        return [document for _, document in self.recording.ledger.transactions(self.station_id)]

    def station(self) -> dict[str, Any]:
        return self.recording.ledger.document("stations", self.station_id) or {}


def frames_of(
    lines: Sequence[str], version: str, *, side: str = "csms", station_id: str = "CP1", session: int = 1
) -> list[Frame]:
    """Return the frames of a transcript as the CSMS or the station records them."""
    ours = "C" if side == "csms" else "S"
    session_id = new_session_id(1_772_362_800_000_000 + session, bytes([session] * 5))
    frames = []
    for sequence, line in enumerate(lines):
        at = NOON + timedelta(seconds=sequence, milliseconds=session)
        direction: Any = "sent" if line[0] == ours else "received"
        origin: Any = "station" if line[0] == "S" else "csms"
        frames.append(Frame(station_id, session_id, sequence, direction, origin, version, at, line[1:]))
    return frames
