"""What is said on the terminal: results on stdout, everything else on stderr.

Hides rich. Promises that whatever goes wrong is one sentence that begins with "ocpp-mongo:", never a traceback and
never a password, and that a pipe gets plain text.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from ocpp_mongo_plugin.errors import OcppMongoError

INTERRUPTED = 130
"""The exit code of a shell's program that ^C ended."""

_SHORTEST_SECRET = 4

# Without emoji: rich would take ":car:" in a frame for one.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def say(sentence: str) -> None:
    """Say on stderr what went wrong, or what happens."""
    err.print(f"ocpp-mongo: {sentence}")


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    text = json.dumps(value, indent=2, default=_json_of, ensure_ascii=False)
    # Half a surrogate pair, which the ocpp library accepts, has no bytes; as an escape it has.
    plain = text if _SURROGATE.search(text) is None else json.dumps(value, indent=2, default=_json_of)
    out.file.write(plain + "\n")


def readable(text: str) -> str:
    """Return a text from outside with what a terminal would act on, or could not print, as escapes."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _json_of(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def answer(command: Callable[[], int], uri: str | None = None) -> int:
    """Run a command and return its exit code; ``uri`` holds what must not be said."""
    _quiet()
    secret = _password(uri or os.environ.get("OCPP_MONGO_URI", ""))
    try:
        code = command()
        out.file.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except OcppMongoError as error:
        say(_without(secret, str(error)))
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - a defect; its text might quote a document or a password
        say(f"this is a defect of ocpp-mongo, please report it: {type(error).__name__} {_place(error)}")
        return 1
    return code


class _Said(logging.Handler):
    """Says the warnings of the plugin in the manner of the command line."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def _quiet() -> None:
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # those are for developers
    logger = logging.getLogger("ocpp_mongo_plugin")
    if not any(isinstance(handler, _Said) for handler in logger.handlers):
        logger.addHandler(_Said(logging.WARNING))
        logger.propagate = False


def _password(uri: str) -> str:
    """Return what stands for the password, also in a URI that was not escaped as it should be."""
    return uri.partition("://")[2].rpartition("@")[0].partition(":")[2]


def _without(secret: str, sentence: str) -> str:
    sentence = sentence.replace(f":{secret}@", ":***@") if secret else sentence
    return sentence.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else sentence


def _place(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
