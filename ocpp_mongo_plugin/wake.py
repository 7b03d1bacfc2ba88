"""What wakes a thread of ours, from any other and from within a signal handler.

Hides the queue that it is. Promises that ``set`` may interrupt itself: the host's signal handler may record or close
while the frame that it interrupted wakes the same thread, and would wait for ever for the lock of a threading.Event.
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue


class Wake:
    """An event for one thread that waits."""

    def __init__(self) -> None:
        self._told: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake it, now or as soon as it waits."""
        self._told.put(None)

    def is_set(self) -> bool:
        """Whether a wait would return at once."""
        return not self._told.empty()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until somebody sets it, or for ``timeout`` seconds."""
        with suppress(Empty):
            self._told.get(timeout=timeout)

    def clear(self) -> None:
        """Take back all that was set so far."""
        with suppress(Empty):
            while True:
                self._told.get_nowait()
