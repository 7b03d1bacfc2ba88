"""Keeps what the driver logs of our clients out of the log of the recorded program.

At the level DEBUG, PyMongo logs every command with its documents, and every heartbeat: a program that turned that
level on for itself would find a hundred lines of ours for one of its own. Hides which records are about our clients.
Promises that those of the program's own clients stay. It is not taken back when a client is closed, since the driver's
threads log after that.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from pymongo.monitoring import (
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)

_NAMES = ("client", "command", "connection", "serverSelection", "topology")
_OUR_THREADS = ("ocpp-mongo-sink", "ocpp-mongo-ahead", "ocpp-mongo-close")
_MOST_CLOSED = 50
"""Clients that are closed and may still be told of."""
_opening: ContextVar[bool] = ContextVar("ocpp_mongo_opening", default=False)
"""Whether a client of ours is being opened; tasks that the driver starts meanwhile inherit it, and are ours."""


class _OurClients(logging.Filter, TopologyListener):
    """A filter of log records, and the listener from which it learns which clients are ours."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[str] = set()
        self._closed: deque[str] = deque(maxlen=_MOST_CLOSED)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is none of ours; one of ours is written by a thread of ours, or names a client of ours."""
        if _opening.get() or threading.current_thread().name in _OUR_THREADS:
            return False
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - the log says so itself, to its own error handler
            return True
        return not any(topology in text for topology in (*self._open, *self._closed))

    def learn(self, client: Any) -> None:
        """Learn which client is ours before the driver's events say so, which come a little late."""
        inside = vars(client).get("delegate", client)  # a client of PyMongo has a database of any name
        topology = getattr(getattr(inside, "_topology_settings", None), "_topology_id", None)
        if topology is not None:
            self._open.add(str(topology))

    def opened(self, event: TopologyOpenedEvent) -> None:
        """Learn which client is ours."""
        self._open.add(str(event.topology_id))

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        """Take no notice."""

    def closed(self, event: TopologyClosedEvent) -> None:
        """Remember it for a while: threads of the driver still have something to say of it."""
        topology = str(event.topology_id)
        self._open.discard(topology)
        self._closed.append(topology)


_our_clients = _OurClients()


class Opening(NamedTuple):
    """What a client of ours is made with, and then told to."""

    listener: TopologyListener
    """To be among the client's listeners."""
    learn: Callable[[Any], None]
    """Takes the client when it is made."""


@contextmanager
def kept_out_of_log() -> Iterator[Opening]:
    """Open a client within this, and the log has nothing about it, then or later."""
    for name in _NAMES:
        logging.getLogger(f"pymongo.{name}").addFilter(_our_clients)  # a second time changes nothing
    token = _opening.set(True)
    try:
        yield Opening(_our_clients, _our_clients.learn)
    finally:
        _opening.reset(token)
