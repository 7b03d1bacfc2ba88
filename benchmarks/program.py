"""The recorded program: stations of the ``ocpp`` library, on a wire that takes everything at once.

Hides the library's classes. Promises classes that are as the library made them, to be recorded, and for each a twin
of the same functions that no plugin ever sees: what the twin takes is what the program takes without recording. Both
are made when this module is imported, which must be before a plugin starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import ocpp.v16
import ocpp.v201

from benchmarks.mix import Text


class Adapter:
    """A connection over which nothing goes, and which does not say whether it is open."""

    async def send(self, text: str) -> None:
        """Take it."""


class Silence(Adapter):
    """The same, but open, as a socket would say."""

    closed = False


def untouched(cls: Any) -> Any:
    """Return a class with the functions of this one and of all it inherits from, but not of its family."""
    body: dict[str, Any] = {}
    for one in reversed(cls.__mro__[:-1]):
        body |= {name: value for name, value in vars(one).items() if name not in ("__dict__", "__weakref__")}
    return type(cls.__name__, (), body)


def overriding(cls: Any) -> Any:
    """Return a subclass as programs have them: both ends of the wire are overridden, and go on to ``super``."""

    class Overriding(cls):
        async def _send(self, message: str) -> None:
            await super()._send(message)

        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(raw_msg)

    return Overriding


class _Station16(ocpp.v16.ChargePoint):
    """A station that overrides nothing."""


class _Station201(ocpp.v201.ChargePoint):
    """A station that overrides nothing."""


RECORDED: dict[str, Any] = {"1.6": _Station16, "2.0.1": _Station201}
PLAIN = {version: untouched(cls) for version, cls in RECORDED.items()}
RECORDED_OVERRIDING = {version: overriding(cls) for version, cls in RECORDED.items()}
PLAIN_OVERRIDING = {version: overriding(cls) for version, cls in PLAIN.items()}


class Fleet:
    """The stations of some texts, by their identities; made when they are asked for."""

    def __init__(self, classes: dict[str, Any], connection: type[Adapter] = Silence) -> None:
        self._classes = classes
        self._connection = connection
        self._stations: dict[str, Any] = {}

    def station(self, text: Text) -> Any:
        """Return the station that a text belongs to."""
        found = self._stations.get(text.station_id)
        if found is None:
            found = self._stations[text.station_id] = self._classes[text.version](text.station_id, self._connection())
        return found

    def exchanges(self, texts: Iterable[Text]) -> list[tuple[Any, str, str]]:
        """Return station, call and answer for each two texts."""
        both = iter(texts)
        return [(self.station(call), call.text, answer.text) for call, answer in zip(both, both, strict=True)]

    def all(self) -> list[Any]:
        """Return all stations that were made."""
        return list(self._stations.values())

    def forget_answers(self) -> None:
        """Drop the answers that the library keeps for calls that nobody made."""
        for station in self._stations.values():
            station._response_queue = asyncio.Queue()  # noqa: SLF001 - the library has no other way


async def exchange(exchanges: Iterable[tuple[Any, str, str]]) -> None:
    """Have each call sent and its answer received, one after the other.

    The library cannot match the answers, so all that it does is to parse them.
    """
    for station, call, answer in exchanges:
        await station._send(call)  # noqa: SLF001 - what the library's own call() does
        await station.route_message(answer)
