"""A filter for the logger of the ``ocpp`` library, which writes every raw frame at INFO, passwords and all.

Hides where in a record a frame or a secret can be. Promises that a record leaves without the credentials that
``ocpp_mongo_plugin.redaction`` knows, in its message and in its traceback, and that it never raises.
"""

from __future__ import annotations

import logging
import traceback

from ocpp_mongo_plugin.redaction import MASK, Policy, Redactor

_SESSION = "log"


class CredentialFilter(logging.Filter):
    """Takes credentials out of log records: ``logging.getLogger("ocpp").addFilter(CredentialFilter())``.

    Put on a handler, it works for all that is logged through it. (OCPP 1.6 security white paper, A01.FR.12: the
    content of AuthorizationKey is not to be disclosed in logs.)
    """

    def __init__(self, policy: Policy | None = None) -> None:
        """Take out what ``policy`` says; credentials alone when None."""
        super().__init__()
        self._redactor = Redactor(policy) if policy is not None else Redactor()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place, and let it pass."""
        try:
            self._redact(record)
        except Exception:  # noqa: BLE001 - a line is better lost than a password told
            record.msg, record.args, record.exc_info, record.exc_text = MASK, (), None, None
        return True

    def _redact(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        station_id = str(arguments[0]) if arguments else ""
        cleaned = tuple(self._argument(station_id, argument) for argument in arguments)
        if cleaned != arguments:
            record.args = cleaned
        message = record.getMessage()
        prose = self.clean(message, station_id)
        if prose != message:
            record.msg, record.args = prose, ()
        if record.exc_info and record.exc_info[0] is not None:
            told = record.exc_text or "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            # Formatters write this text, if it is there, instead of the traceback itself.
            record.exc_text = self.clean(told, station_id)

    def _argument(self, station_id: str, argument: object) -> object:
        if isinstance(argument, int | float | type(None)):
            return argument
        text = str(argument)
        cleaned = self.clean(text, station_id)
        return argument if cleaned == text else cleaned

    def clean(self, text: str, station_id: str = "") -> str:
        """Return a text of a log without credentials; ``station_id`` is whose frame it holds, if known."""
        without, _ = self._redactor.credentials(station_id, _SESSION, text)
        return self._redactor.prose(without) or ""
