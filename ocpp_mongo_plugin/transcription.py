"""From a message to its document in the message log.

Hides what MongoDB cannot hold: integers over 64 bits, lone surrogates, NUL in keys, nesting over its limit. Promises
that the raw text is kept whatever the payload, and that ``lossy`` says where the payload differs from it. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ocpp_mongo_plugin.changes import Document
from ocpp_mongo_plugin.frames import Frame, Message, Origin, PendingCall, message_key

SCHEMA_VERSION = 1

# MongoDB refuses documents nested over 100 levels; the payload lies one level inside its document.
_DEEPEST = 90
_INT64 = 1 << 63

INT_OVER_64_BIT = "integers over 64 bits are kept as text"
SURROGATE = "lone surrogates are replaced"
NUL_IN_KEY = "NUL in keys is replaced"
TOO_DEEP = "nested too deeply: the payload is only in raw"
TOO_LARGE = "over 16 MiB: the payload is only in raw"
RAW_CUT = "over 16 MiB even compressed: raw is cut"
RAW_COMPRESSED = "over 16 MiB: raw is compressed with zlib in raw_zlib"


def transcribe(
    frame: Frame, message: Message, origin: Origin | None, call: PendingCall | None, now: datetime
) -> Document:
    """Return the document of a message; ``call`` is the call that it answers."""
    key = message_key(frame.session_id, frame.sequence)
    correlation = message_key(call.frame.session_id, call.frame.sequence) if call is not None else key
    document: Document = {
        "_id": key,
        "station_id": frame.station_id,
        "direction": _direction(frame, origin),
        "message_type": message.message_type,
        "action": call.message.action if call is not None else message.action,
        "message_id": message.message_id,
        "protocol_version": frame.protocol_version,
        "payload": message.payload,
        "timestamp": frame.timestamp,
        "correlation_id": correlation,
        "error_code": message.error_code,
        "error_description": message.error_description,
        "created_at": now,
        "origin": origin,
        "session_id": frame.session_id,
        "sequence": frame.sequence,
        "raw": frame.text,
        "latency_ms": _latency(frame, call),
        "outcome": None,
        "delivered": True,
        "error_details": message.error_details,
        "redacted": list(frame.redacted) or None,
        "lossy": None,
        "schema_version": SCHEMA_VERSION,
    }
    if not frame.seen_on_socket:
        document["seen_on_socket"] = False  # and absent otherwise: it would cost every document its size
    if frame.text.count("[") + frame.text.count("{") > _DEEPEST and _depth(message.payload) > _DEEPEST:
        document |= {"payload": None, "error_details": None, "lossy": [TOO_DEEP]}
    return document


def storable(document: Document) -> Document:
    """Return the document in a form that BSON accepts, with ``lossy`` saying what differs from the wire."""
    reasons: set[str] = set()
    safe = {name: _storable(value, reasons) for name, value in document.items()}
    if "lossy" in document or reasons:
        safe["lossy"] = sorted({*(document.get("lossy") or []), *reasons}) or None
    return safe


def _storable(value: Any, reasons: set[str]) -> Any:
    if isinstance(value, str):
        return _text(value, reasons)
    if isinstance(value, dict):
        return {_key(_text(key, reasons), reasons): _storable(item, reasons) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, reasons) for item in value]
    if type(value) is int and not -_INT64 <= value < _INT64:
        reasons.add(INT_OVER_64_BIT)
        return str(value)
    return value


def _text(text: str, reasons: set[str]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        reasons.add(SURROGATE)
        return text.encode("utf-8", "replace").decode()
    return text


def _key(key: str, reasons: set[str]) -> str:
    if "\0" not in key:
        return key
    reasons.add(NUL_IN_KEY)
    return key.replace("\0", "\ufffd")


def _direction(frame: Frame, origin: Origin | None) -> str:
    if frame.direction != "unknown" or origin is None:
        return frame.direction
    return "received" if origin == "station" else "sent"  # as the CSMS sees it, like the interchange format


def _latency(frame: Frame, call: PendingCall | None) -> float | None:
    if call is None or frame.timestamp is None or call.frame.timestamp is None:
        return None
    return round((frame.timestamp - call.frame.timestamp).total_seconds() * 1000, 3)


def _depth(value: Any) -> int:
    """Return how deeply arrays and objects are nested, without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            inside = item.values() if isinstance(item, dict) else item
            waiting.extend((child, level + 1) for child in inside)
    return deepest
