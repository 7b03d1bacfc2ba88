"""Compares what was captured with what MongoDB holds: the invariants I1 to I5.

Frames are known by direction and exact text, which the traffic makes unique: one text is sent by one end and received
by the other. So I2 is part of I1: a text that was altered is a frame lost and a phantom.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from oracle import Entry


@dataclass(frozen=True)
class Verdict:
    captured: int
    """By the oracle."""
    stored: int
    dead: int
    """Captured, and kept as dead letters."""
    lost: int
    """Captured and neither stored nor dead (I1)."""
    doubled: int
    """Stored more often than once (I1)."""
    phantoms: int
    """Stored, never captured (I4)."""
    cut_off: int
    """Stored without a line of the oracle, and the last of its session: its process was killed in between."""
    sessions: int
    gaps: int
    """Sequence numbers missing or repeated within stored sessions (I3)."""
    misordered: int
    """Frames of a session whose sequence numbers are not in the order of capture, or that strayed from it (I3)."""
    example: str = ""

    @property
    def whole(self) -> bool:
        """Whether all of it is there, once and in order."""
        return not (self.lost or self.doubled or self.phantoms or self.gaps or self.misordered)

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.captured} captured, {self.stored} stored in {self.sessions} sessions, {self.dead} dead, "
            f"{self.lost} lost, {self.doubled} doubled, {self.phantoms} phantoms, {self.gaps} gaps, "
            f"{self.misordered} out of order" + (f", {self.cut_off} cut off by the kill" if self.cut_off else "")
        ) + (f" (such as {self.example})" if self.example else "")


def judge(database: Any, entries: Sequence[Entry], *, threads: int = 1) -> Verdict:
    """Compare.

    Args:
        database: of plain PyMongo.
        entries: what the oracle says, in its order.
        threads: that captured in each process; as many frames of a killed one may lack their line.
    """
    fields = {"raw": 1, "direction": 1, "session_id": 1, "sequence": 1}
    stored = list(database.ocpp_messages.find({}, fields))
    dead = list(database.dead_letters.find({"kind": "message"}, fields))
    kept = Counter((d["direction"], d["raw"]) for d in stored)
    letters = Counter((d["direction"], d["raw"]) for d in dead)
    captured = Counter((e.direction, e.text) for e in entries)
    lost = captured - kept - letters
    sessions: dict[str, list[int]] = defaultdict(list)
    for document in (*stored, *dead):
        sessions[document["session_id"]].append(document["sequence"])
    unknown = [d for d in stored if (d["direction"], d["raw"]) not in captured]
    tail = {key: sorted(numbers)[-threads:] for key, numbers in sessions.items()}
    cut_off = [d for d in unknown if d["sequence"] in tail[d["session_id"]]]
    phantoms = len(unknown) - len(cut_off)
    return Verdict(
        captured=len(entries),
        stored=len(stored),
        dead=len(dead),
        lost=sum(lost.values()),
        doubled=sum(number - 1 for number in kept.values()),
        phantoms=phantoms,
        cut_off=len(cut_off),
        sessions=len(sessions),
        gaps=sum(_gaps(numbers) for numbers in sessions.values()),
        misordered=_misordered(entries, stored),
        example=str(min(lost)[1])[:60] if lost else "",
    )


def _gaps(numbers: list[int]) -> int:
    expected = range(max(numbers) + 1)
    return len(set(expected) - set(numbers)) + len(numbers) - len(set(numbers))


def _misordered(entries: Iterable[Entry], stored: Iterable[Any]) -> int:
    place = {(d["direction"], d["raw"]): (d["session_id"], d["sequence"]) for d in stored}
    last: dict[str, tuple[str, int]] = {}
    wrong = 0
    for entry in entries:
        found = place.get((entry.direction, entry.text))
        if found is None:
            continue
        before = last.get(entry.session)
        if before is not None and (before[0] != found[0] or before[1] >= found[1]):
            wrong += 1
        last[entry.session] = found
    return wrong


def unaccounted(stats: Any) -> int:
    """Return by how many frames the equation of I5 is out."""
    return int(stats.captured - stats.stored - stats.waiting - stats.dead_lettered - sum(stats.lost.values()))
