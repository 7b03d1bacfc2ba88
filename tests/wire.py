"""An in-memory wire that joins two real ChargePoints, and remembers every text that crossed it: the oracle."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class WireClosedError(Exception):
    """The other end is gone."""


class Crossing(NamedTuple):
    """One text as one end saw it cross."""

    direction: str
    text: str | bytes


class End:
    """One end of a wire: what a ChargePoint takes for its connection."""

    def __init__(self) -> None:
        self.crossed: list[Crossing] = []
        self.other: End = self
        self.open = True
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    async def send(self, text: str | bytes) -> None:
        if not self.open:
            raise WireClosedError
        self.crossed.append(Crossing("sent", text))
        self.other._inbox.put_nowait(text)
        # A real socket gives way here too; without it no answer could overtake its call.
        await asyncio.sleep(0)

    async def recv(self) -> str | bytes:
        text = await self._inbox.get()
        if text is None:
            raise WireClosedError
        self.crossed.append(Crossing("received", text))
        return text

    def close(self) -> None:
        for end in (self, self.other):
            end.open = False
            end._inbox.put_nowait(None)


def join() -> tuple[End, End]:
    """Return the two ends of a new wire."""
    one, other = End(), End()
    one.other, other.other = other, one
    return one, other
