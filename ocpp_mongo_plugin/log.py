"""What the package says in its log, ``ocpp_mongo_plugin``.

Hides the log. Promises that to say something raises nothing, whatever the handlers of the program do, and whether a
file can be written or not: it is said in the program's turn, and on the thread that stores.
"""

from __future__ import annotations

import contextlib
import logging

from ocpp_mongo_plugin.errors import OcppMongoError

_logger = logging.getLogger("ocpp_mongo_plugin")


def warn(message: str, *values: object) -> None:
    """Say what a user may have to know."""
    with contextlib.suppress(Exception):
        _logger.warning(message, *values, stacklevel=2)


def not_recorded(error: Exception) -> None:
    """Say why a program that was to be recorded is not; errors of others by their kind alone."""
    told = str(error) if isinstance(error, OcppMongoError | ImportError) else type(error).__name__
    warn("this program is not recorded: %s", told)


def own_error(told: str) -> None:
    """Say that something of ours went wrong that nobody expected."""
    with contextlib.suppress(Exception):
        _logger.error("ocpp-mongo-plugin met an error of its own: %s", told, stacklevel=2)


class _File(logging.FileHandler):
    """Appends to a file; what cannot be written is not said, since the streams of the program are its own."""

    def emit(self, record: logging.LogRecord) -> None:
        # Opening the file is not within what logging catches.
        with contextlib.suppress(Exception):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - it is that method
        """Do nothing."""


def redirect(path: str) -> None:
    """Say from now on to that file alone what is to be said; once for each process."""
    if not _logger.propagate:
        return
    _logger.propagate = False
    handler: logging.Handler
    try:
        handler = _File(path, encoding="utf-8", delay=True)
    except OSError:  # the working directory is gone
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    _logger.addHandler(handler)
