"""What crosses the wire, and what it is: frames, sessions, and the messages decoded from them.

Hides the grammar of OCPP-J (OCPP 1.6J, section 4; OCPP 2.1 part 4, section 4) and the pairing of answers with
calls. Promises that ``decode`` accepts any text whatever: what is not a message becomes ``Malformed``. Pure: no
clock, no loop, no database. This file does not know on which side of the connection it runs.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

Direction: TypeAlias = Literal["sent", "received", "unknown"]
Origin: TypeAlias = Literal["station", "csms"]
MessageType: TypeAlias = Literal["Call", "CallResult", "CallError", "CallResultError", "Send", "Malformed"]

CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND = 2, 3, 4, 5, 6

_MICROSECOND_DIGITS = 14
_SEQUENCE_BITS = 24
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_decoded = json.JSONDecoder().decode


class Frame(NamedTuple):
    """One OCPP-J text that crossed the wire.

    A named tuple because one is made in the host's turn for each frame: it is the cheapest frozen value.
    """

    station_id: str
    """Identity of the charging station; may be empty, as some real ones are."""
    session_id: str
    """The WebSocket connection it crossed: 24 hexadecimal digits."""
    sequence: int
    """Its place on the wire within the session, from 0, both directions counted together."""
    direction: Direction
    """As seen from the process that records."""
    origin: Origin | None
    """Who wrote it; None when the recorder cannot tell, then it follows from the actions of the session."""
    protocol_version: str | None
    """"1.6", "2.0.1", "2.1", or None when nobody said."""
    timestamp: datetime | None
    """Time of capture, UTC; None only for imported frames without one."""
    text: str
    """The exact text, but for what ``redacted`` names."""
    redacted: tuple[str, ...] = ()
    """Paths of what was taken out of the text because it is secret or personal."""
    seen_on_socket: bool = True
    """False when the program handed it to ``route_message`` while no socket was to be seen, and of what follows."""


@dataclass(frozen=True, slots=True)
class Session:
    """One WebSocket connection of a station, from open to close."""

    session_id: str
    station_id: str
    role: Origin | None
    """Which end of the connection the recording process is."""
    opened_at: datetime
    """UTC."""
    status: Literal["connecting", "connected", "disconnected"]
    protocol_version: str | None = None
    subprotocol: str | None = None
    remote_address: str | None = None
    reconnect_attempts: int = 0
    """Earlier sessions of this station in this process."""
    source: Literal["websocket", "manual", "import"] = "websocket"
    recorder: str | None = None
    """The recording process, as host:pid:nonce."""
    closed_at: datetime | None = None
    """UTC."""
    close_code: int | None = None
    """RFC 6455, section 7.4."""
    close_reason: str | None = None
    error: str | None = None
    """One line that says why it ended or what failed; None after an orderly close."""


class SessionChange(NamedTuple):
    """A session was opened, became connected, failed, or was closed; ``session`` is how it is after that."""

    kind: Literal["opened", "connected", "failed", "closed"]
    session: Session
    at: datetime


class Undelivered(NamedTuple):
    """The frame's send raised: it keeps its sequence number and is marked ``delivered: false``."""

    frame: Frame


class Message(NamedTuple):
    """A decoded frame. A named tuple because one is made of each: it is the cheapest frozen value."""

    message_type: MessageType
    message_id: str | None = None
    """The message id as text; ids that came as numbers are written as JSON writes them."""
    action: str | None = None
    """None on answers: an answer's action is that of its call."""
    payload: Any = None
    """JSON as it came, keys untouched."""
    error_code: str | None = None
    error_description: str | None = None
    """Of a CallError or CallResultError; of Malformed, the reason in one sentence."""
    error_details: Any = None

    @property
    def is_answer(self) -> bool:
        """Whether it answers a call."""
        return self.message_type in ("CallResult", "CallError")


def normalise_version(name: str | None) -> str | None:
    """Return "1.6", "2.0.1" or "2.1" for that name or its WebSocket subprotocol ("ocpp1.6"), else the name."""
    if not name:
        return None
    version = name.strip().lower()
    return version[4:].lstrip("-v") if version.startswith("ocpp") else version.lstrip("v")


def new_session_id(microseconds: int, entropy: bytes) -> str:
    """Return a session id that rises with time.

    Args:
        microseconds: since 1970, UTC, when the session opened.
        entropy: five bytes that tell sessions of one microsecond apart.
    """
    return f"{microseconds & (1 << 56) - 1:0{_MICROSECOND_DIGITS}x}{entropy[:5].hex()}"


def opened_at(session_id: str) -> datetime:
    """Return the time, UTC, that ``new_session_id`` was given."""
    return _EPOCH + timedelta(microseconds=int(session_id[:_MICROSECOND_DIGITS], 16))


def message_key(session_id: str, sequence: int) -> str:
    """Return the ``_id`` of a message as 24 hexadecimal digits: second, session, sequence.

    Twelve bytes that rise with time cost half the index of a UUIDv7. After 2^24 frames the second is counted on,
    so that the key stays unique in the session and keeps rising.
    """
    if sequence < 1 << _SEQUENCE_BITS:
        return f"{_beginning_of_keys(session_id)}{sequence:06x}"
    overflow, low = divmod(sequence, 1 << _SEQUENCE_BITS)
    return f"{_beginning_of_keys(session_id, overflow)}{low:06x}"


@lru_cache(maxsize=16_384)
def _beginning_of_keys(session_id: str, overflow: int = 0) -> str:
    second = int(session_id[:_MICROSECOND_DIGITS], 16) // 1_000_000 + overflow
    return f"{second & 0xFFFFFFFF:08x}{session_id[_MICROSECOND_DIGITS:24]}"


def wire_clock(session_id: str, sequence: int) -> str:
    """Return a text that orders frames as they were recorded: by the session's opening, then by sequence."""
    return f"{session_id}{sequence:010x}"


def decode(text: str) -> Message:
    """Decode one OCPP-J text. Never raises: what cannot be understood is ``Malformed`` with the reason."""
    try:
        elements = _decoded(text)
    except RecursionError:
        return _malformed("nested too deeply to read")
    except ValueError as error:
        return _malformed(f"not JSON: {error}")
    if not isinstance(elements, list):
        return _malformed(f"not a JSON array but {_kind(elements)}")
    return _message(elements) if elements else _malformed("an empty array")


def _message(elements: list[Any]) -> Message:
    kind, count = elements[0], len(elements)
    if type(kind) is int and count >= 3 and type(elements[1]) is str:  # noqa: PLR2004 - nearly all are these two
        if kind == CALL_RESULT:
            return Message("CallResult", elements[1], None, elements[2])
        if kind == CALL and count >= 4 and type(elements[2]) is str:  # noqa: PLR2004
            return Message("Call", elements[1], elements[2], elements[3])
    shape = _SHAPES.get(kind) if type(kind) is int else None
    if shape is None:
        return _malformed(f"message type {_shown(elements[0])} is not one of OCPP-J's 2 to 6")
    if count < shape.least:
        message_id = _message_id(elements[1]) if count > 1 else None
        return _malformed(f"{shape.name} with {count} of {shape.least} elements", message_id)
    message_id = _message_id(elements[1])
    if message_id is None:
        return _malformed(f"the message id is {_kind(elements[1])}")
    return shape.read(message_id, elements)


class Conversation:
    """One session's memory of calls that await an answer, bounded in number.

    Keyed by the direction of the call and the message id, since both sides may use one id at once (OCPP 1.6J,
    section 4.1.4 leaves ids to each sender).
    """

    __slots__ = ("_capacity", "_pending", "complete")

    def __init__(self, capacity: int = 256, *, complete: bool = True) -> None:
        """Remember at most ``capacity`` calls; ``complete`` says that no call of the session was missed so far."""
        self._capacity = capacity
        self._pending: OrderedDict[tuple[str, str], PendingCall] = OrderedDict()
        self.complete = complete

    def __len__(self) -> int:
        return len(self._pending)

    def remember(self, side: str, call: PendingCall) -> PendingCall | None:
        """Remember a call that ``side`` wrote; return the one that was forgotten for it, if any."""
        self._pending.pop((side, call.message.message_id or ""), None)
        self._pending[side, call.message.message_id or ""] = call
        if len(self._pending) <= self._capacity:
            return None
        self.complete = False
        return self._pending.popitem(last=False)[1]

    def answered(self, side: str, message_id: str | None) -> PendingCall | None:
        """Take the call that ``side`` wrote under this id, or None."""
        return self._pending.pop((side, message_id or ""), None)

    def waiting(self, side: str, message_id: str | None) -> PendingCall | None:
        """Return the call that ``side`` wrote under this id and that waits for its answer, or None."""
        return self._pending.get((side, message_id or ""))

    def holds(self, message_id: str | None) -> str | None:
        """Return which side wrote a waiting call of this id, or None."""
        return next((side for side, known in self._pending if known == message_id), None)

    def expire(self, before: datetime) -> list[PendingCall]:
        """Take the calls that were recorded before that time and have no answer yet."""
        old = [k for k, c in self._pending.items() if c.frame.timestamp is not None and c.frame.timestamp < before]
        return [self._pending.pop(key) for key in old]

    def replace(self, change: Callable[[PendingCall], PendingCall]) -> None:
        """Remember each call as ``change`` returns it."""
        for key, call in self._pending.items():
            self._pending[key] = change(call)

    def abandon(self) -> list[PendingCall]:
        """Take all calls that will not be answered any more, because the session is over."""
        calls = list(self._pending.values())
        self._pending.clear()
        return calls


class PendingCall(NamedTuple):
    """A call that awaits its answer."""

    frame: Frame
    message: Message


class _Shape(NamedTuple):
    name: MessageType
    least: int

    def read(self, message_id: str, elements: list[Any]) -> Message:
        if self.name == "CallResult":
            return Message("CallResult", message_id, None, elements[2])
        if self.name in ("Call", "Send"):
            action = elements[2]
            if not isinstance(action, str):
                return _malformed(f"the action is {_kind(action)}", message_id)
            return Message(self.name, message_id, action, elements[3])
        code, description, details = (*elements[2:5], None, None)[:3]
        return Message(
            self.name,
            message_id,
            payload=details,
            error_code=_text(code),
            error_description=_text(description),
            error_details=details,
        )


_SHAPES: dict[int, _Shape] = {
    CALL: _Shape("Call", 4),
    CALL_RESULT: _Shape("CallResult", 3),
    CALL_ERROR: _Shape("CallError", 3),
    CALL_RESULT_ERROR: _Shape("CallResultError", 3),
    SEND: _Shape("Send", 4),
}


def _malformed(reason: str, message_id: str | None = None) -> Message:
    return Message("Malformed", message_id, error_description=reason)


def _message_id(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _shown(value)
    return None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _shown(value)


def _shown(value: Any) -> str:
    """Return JSON for a value that ``json.loads`` made, short enough for a message."""
    try:
        return json.dumps(value)[:200]
    except (ValueError, RecursionError):
        return _kind(value)


_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
