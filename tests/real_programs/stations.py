"""Stations that say again what real ones said: their calls in their order and bytes, their answers to what is asked."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import websockets
from waiting import wait_until_async
from websockets.exceptions import ConnectionClosed

DATA = Path(__file__).with_name("data")
PATIENCE = 20.0


@dataclass
class Recorded:
    """What one station of a file of traffic said, and what it was asked."""

    station_id: str
    version: str
    calls: list[str] = field(default_factory=list)
    """The exact texts of what it called."""
    answers: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """Its answers without their ids, by the action they answer."""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Action and payload of what the CSMS called."""


def recorded(name: str) -> dict[str, Recorded]:
    """Return the stations of a file of traffic by their ids."""
    stations: dict[str, Recorded] = {}
    actions: dict[tuple[str, str], str] = {}
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        frame = json.loads(line)
        station_id = frame["station"]
        station = stations.setdefault(station_id, Recorded(station_id, frame["protocol_version"]))
        kind, message_id, *rest = json.loads(frame["raw"])
        if kind == 2 and frame["direction"] == "received":
            station.calls.append(frame["raw"])
        elif kind == 2:
            actions[station_id, message_id] = rest[0]
            station.asked.append((rest[0], rest[1]))
        elif frame["direction"] == "received":
            station.answers[actions[station_id, message_id]].append([kind, rest])
    return stations


def with_names(stations: dict[str, Recorded]) -> dict[str, Recorded]:
    """Give the station with an empty id one that servers take."""
    return {station_id or "a station of 10 %": known for station_id, known in stations.items()}


class Station:
    """One connection of a station that answers whatever it is asked as soon as it comes."""

    def __init__(self, socket: Any, answers: dict[str, list[Any]]) -> None:
        self._socket = socket
        self._answers = {action: deque(known) for action, known in answers.items()}
        self.sent: list[str] = []
        self.received: list[str] = []
        self.answered = 0
        """How many calls of the other end it has answered."""
        self._arrived = asyncio.Event()

    async def call(self, text: str) -> str:
        """Send a call, and return its answer: the first that comes with its id from now on."""
        message_id = json.loads(text)[1]
        seen = len(self.received)
        await self.say(text)
        async with asyncio.timeout(PATIENCE):
            while True:
                for answer in self.received[seen:]:
                    kind, answered, *_ = json.loads(answer)
                    if kind != 2 and answered == message_id:
                        return answer
                seen = len(self.received)
                self._arrived.clear()
                await self._arrived.wait()

    async def say(self, text: str | list[str]) -> None:
        """Send a text, whatever it is; a list goes out as the fragments of one message."""
        self.sent.append("".join(text))
        await self._socket.send(text)

    async def say_bytes(self, data: bytes) -> None:
        """Send a message that is no text."""
        await self._socket.send(data)

    async def is_dropped(self) -> None:
        """Wait until the other end closes the connection."""
        async with asyncio.timeout(PATIENCE):
            await self._socket.wait_closed()

    async def listen(self) -> None:
        """Take what comes, and answer it, until the connection closes in whatever way."""
        with suppress(ConnectionClosed):
            async for text in self._socket:
                self.received.append(text)
                kind, message_id, *rest = json.loads(text)
                if kind == 2:
                    await self.say(self._answer(message_id, rest[0]))
                    self.answered += 1
                self._arrived.set()

    def _answer(self, message_id: Any, action: str) -> str:
        known = self._answers.get(action)
        if not known:
            return json.dumps([3, message_id, {"status": "Accepted"}])
        kind, rest = known.popleft()
        return json.dumps([kind, message_id, *rest], separators=(",", ":"))


@asynccontextmanager
async def connected(
    url: str, station_id: str, answers: dict[str, list[Any]] | None = None, **options: Any
) -> AsyncIterator[Station]:
    """Connect a station to ``url`` with its id as the last part of the path."""
    options = {"subprotocols": ["ocpp1.6"], "open_timeout": PATIENCE, "proxy": None, **options}
    async with websockets.connect(f"{url}/{quote(station_id, safe='')}", max_size=None, **options) as socket:
        station = Station(socket, answers or {})
        listening = asyncio.create_task(station.listen())
        try:
            yield station
        finally:
            await socket.close()
            await listening


async def play(url: str, station_id: str, known: Recorded, *, is_asked: bool = True) -> None:
    """Say all that a station said, and answer until it was asked all that it was asked, where it is."""
    async with connected(url, station_id, known.answers) as station:
        for text in known.calls:
            await station.call(text)
        if is_asked:
            await wait_until_async(lambda: station.answered >= len(known.asked), 30)
