"""Masks what a path names in a message: the work of those who redact by rules of their own.

Hides where OCPP-J keeps the payload. Promises that a path that leads nowhere changes nothing, that ``payload`` alone
masks all that a message says, and never to raise. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ocpp_mongo_plugin.frames import CALL, CALL_ERROR, CALL_RESULT, CALL_RESULT_ERROR, SEND
from ocpp_mongo_plugin.redaction import MASK

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_PLACES = {
    CALL: {"payload": 3},
    SEND: {"payload": 3},
    CALL_RESULT: {"payload": 2},
    CALL_ERROR: {"payload": 4, "error_details": 4, "error_description": 3},
    CALL_RESULT_ERROR: {"payload": 4, "error_details": 4, "error_description": 3},
}


def masked(text: str, paths: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text with ``***`` for what the paths name, and the paths that named something.

    A path is what ``redacted`` lists: ``payload.configurationKey[3].value``, ``error_description``. In a text that is
    no message any path names all of it.
    """
    wanted = list(dict.fromkeys(paths))
    if not wanted:
        return text, ()
    try:
        message = json.loads(text)
        places = _PLACES[message[0]]
    except (ValueError, RecursionError, TypeError, KeyError, IndexError):
        return MASK, ("raw",)
    found = tuple(path for path in wanted if _mask(message, places, path))
    if not found:
        return text, ()
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")), found


def _mask(message: list[Any], places: dict[str, int], path: str) -> bool:
    steps: list[str | int] = [m[1] if m[1] is not None else int(m[2]) for m in _STEP.finditer(path)]
    place = places.get(str(steps[0])) if steps else None
    if place is None:
        return False
    holder: Any = message
    steps[0] = place
    for step in steps[:-1]:
        if not _has(holder, step):
            return False
        holder = holder[step]
    if not _has(holder, steps[-1]) or holder[steps[-1]] == MASK:
        return False
    holder[steps[-1]] = MASK
    return True


def _has(holder: Any, step: str | int) -> bool:
    if isinstance(holder, list):
        return isinstance(step, int) and step < len(holder)
    return isinstance(holder, dict) and step in holder
