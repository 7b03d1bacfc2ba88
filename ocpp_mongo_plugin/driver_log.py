"""Keeps what the driver logs of our clients out of the log of the recorded program.

At the level DEBUG, PyMongo logs every command with its documents, and every heartbeat: a program that turned that
level on for itself would find a hundred lines of ours for one of its own. Hides which records are about our clients.
Promises that those of the program's own clients stay. It is not taken back when a client is closed, since the driver's
threads log after that.
"""

from __future__ import annotations

import logging
import threading

from pymongo.monitoring import (
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)

_NAMES = ("client", "command", "connection", "serverSelection", "topology")
_OUR_THREADS = ("ocpp-mongo-sink", "ocpp-mongo-ahead", "ocpp-mongo-close")


class _OurClients(logging.Filter, TopologyListener):
    """A filter of log records, and the listener from which it learns which clients are ours."""

    def __init__(self) -> None:
        super().__init__()
        self._topologies: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is none of ours; one of ours is written by a thread of ours, or names a client of ours."""
        if threading.current_thread().name in _OUR_THREADS:
            return False
        text = record.getMessage()
        return not any(topology in text for topology in tuple(self._topologies))

    def opened(self, event: TopologyOpenedEvent) -> None:
        """Learn which client is ours."""
        self._topologies.add(str(event.topology_id))

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        """Take no notice."""

    def closed(self, event: TopologyClosedEvent) -> None:
        """Take no notice: threads of the driver still have something to say of it."""


_our_clients = _OurClients()


def kept_out_of_log() -> TopologyListener:
    """Return what a client must have among its listeners in order that the log has nothing about it."""
    for name in _NAMES:
        logging.getLogger(f"pymongo.{name}").addFilter(_our_clients)  # a second time changes nothing
    return _our_clients
