"""Reads what a host program has for charge point and connection, whatever kind of object that is.

Hides where websockets of any age, Starlette, aiohttp and adapters around them keep state, role, address and close code.
Promises that no attribute of the host's which fails, or is something else than it seems, does any harm.
"""

from __future__ import annotations

import contextlib
import json
import types
from typing import Any

from ocpp_mongo_plugin.frames import Origin

ORDERLY = frozenset({1000, 1001, 1005})
"""Close codes of a connection that ended as it should: RFC 6455, section 7.4.1."""
OPEN_STATES = frozenset({"OPEN", "CONNECTED"})
CLOSED_STATES = frozenset({"CLOSED", "DISCONNECTED"})

_STATES = OPEN_STATES | CLOSED_STATES | {"CONNECTING", "CLOSING"}
_ABNORMAL = 1006
_CLOSE_CODES = range(1000, 5000)
_ADAPTED = ("ws", "_ws", "websocket", "_websocket", "_connection", "connection", "socket")
_READING = ("recv", "receive_text", "receive_str")


def peek(owner: object, attribute: str) -> Any:
    """Return an attribute of an object of the host; None when it has none or its property fails."""
    with contextlib.suppress(Exception):  # that is the host's matter: nothing failed to be recorded
        return getattr(owner, attribute, None)
    return None


def name_of(charge_point: object) -> str:
    """Return the id of a charge point as text; the empty one where it has none."""
    with contextlib.suppress(Exception):
        identity = getattr(charge_point, "id", "")
        return str.__str__(identity) if isinstance(identity, str) else str(identity)
    return ""


def state_of(connection: object) -> str | None:
    """Return the name of the state of a connection, where it has one."""
    for place in (connection, *adapted(connection)):
        for attribute in ("state", "client_state"):
            name = peek(peek(place, attribute), "name")
            if isinstance(name, str) and name in _STATES:
                return name
        closed = peek(place, "closed")
        if isinstance(closed, bool):
            return "CLOSED" if closed else "OPEN"
    return None


def role_of(connection: object) -> Origin | None:
    """Return which end of the connection this process is."""
    for place in (connection, *adapted(connection)):
        side = peek(peek(peek(place, "protocol"), "side"), "name")
        if side in ("SERVER", "CLIENT"):
            return "csms" if side == "SERVER" else "station"
        is_client = peek(place, "is_client")
        if isinstance(is_client, bool):
            return "station" if is_client else "csms"
        for kind in type(place).__mro__:
            library = kind.__module__.partition(".")[0]
            if library in ("starlette", "fastapi") or (library, kind.__name__) == ("aiohttp", "WebSocketResponse"):
                return "csms"
            if (library, kind.__name__) == ("aiohttp", "ClientWebSocketResponse"):
                return "station"
    return None


def adapted(connection: object) -> list[object]:
    """Return the objects that an adapter holds under a usual name, or that sockets are read like."""
    inside = peek(connection, "__dict__")
    if isinstance(inside, dict):
        found = [inside.get(name) for name in _ADAPTED]
        found += [one for one in [*inside.values()] if is_read_from(one)]
    else:
        kind = type(connection)
        slots = [name for name in _ADAPTED if isinstance(getattr(kind, name, None), types.MemberDescriptorType)]
        found = [peek(connection, name) for name in slots]
    return [one for one in found if one is not None]


def is_read_from(thing: object) -> bool:
    """Whether an object of that class is read from as sockets are."""
    return any(hasattr(type(thing), name) for name in _READING)


def text_of(owner: object, attribute: str) -> str | None:
    """Return an attribute of an object, or of one that it adapts, where that is a text."""
    for place in (owner, *adapted(owner)):
        value = peek(place, attribute)
        if isinstance(value, str):
            return str(value)
    return None


def address_of(connection: object) -> str | None:
    """Return address and port of the other end, where they are known."""
    for place in (connection, *adapted(connection)):
        for attribute in ("remote_address", "client"):
            value = peek(place, attribute)
            if isinstance(value, str):
                return value
            if isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], str):
                return f"[{value[0]}]:{value[1]}" if ":" in value[0] else f"{value[0]}:{value[1]}"
    return None


def closing_of(error: BaseException | None) -> tuple[int, str | None] | None:
    """Return code and reason of websockets' ConnectionClosed or what looks like it, else None.

    Its own ``code`` is not read where it has frames: that is deprecated, and warns in the host's name.
    """
    if error is None:
        return None
    absent = object()
    received = getattr(error, "rcvd", absent)
    if received is not absent:
        close = received if received is not None else getattr(error, "sent", None)
        code = _ABNORMAL if received is None else _code(getattr(received, "code", None))
    else:
        close, code = error, _code(getattr(error, "code", None))
    reason = getattr(close, "reason", None)
    return None if code is None else (code, reason if isinstance(reason, str) and reason else None)


def close_of(connection: object, error: BaseException | None) -> tuple[int | None, str | None]:
    """Return close code and reason, from websockets' exception or else from the connection."""
    closing = closing_of(error)
    if closing is not None:
        return closing
    for place in (connection, *adapted(connection)):
        code = _code(peek(place, "close_code"))
        if code is not None:
            reason = peek(place, "close_reason")
            return code, reason if isinstance(reason, str) and reason else None
    return None, None


def _code(value: object) -> int | None:
    """Return a close code of RFC 6455, section 7.4, else None."""
    return int(value) if isinstance(value, int) and value in _CLOSE_CODES else None


def described(error: BaseException) -> str:
    """Return one line without the error's own text, which may quote what crossed the wire."""
    closing = closing_of(error)
    if closing is None:
        return type(error).__name__
    code, reason = closing
    return f"{type(error).__name__}: closed with code {code}{f': {reason[:100]}' if reason else ''}"


def as_text(value: object) -> str:
    """Return what was handed over as a frame as the text that it stands for."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if type(value) in (list, dict):
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            return json.dumps(value)
    with contextlib.suppress(Exception):  # whatever its repr does
        return str.__str__(repr(value))
    return f"<{type(value).__name__}>"
