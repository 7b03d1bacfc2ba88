"""What each OCPP version means: messages become facts.

Hides the versions from everything after it. Promises that any JSON whatever under any action gives facts or none, and
never an error. A new version is one more module and one line of the table here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from ocpp_mongo_plugin.dialects import v16, v21, v201
from ocpp_mongo_plugin.facts import Fact
from ocpp_mongo_plugin.frames import Message, Origin

Reader: TypeAlias = Callable[[Any], Iterable[Fact]]
AnswerReader: TypeAlias = Callable[[Any, Any], Iterable[Fact]]
RefusalReader: TypeAlias = Callable[[Any, str], Iterable[Fact]]


class _Dialect(NamedTuple):
    calls: Mapping[str, Reader]
    answers: Mapping[str, AnswerReader]
    refusals: Mapping[str, RefusalReader]
    from_station: frozenset[str]
    from_csms: frozenset[str]


_DIALECTS = {
    "1.6": _Dialect(v16.CALLS, v16.ANSWERS, v16.REFUSALS, v16.FROM_STATION, v16.FROM_CSMS),
    "2.0.1": _Dialect(v201.CALLS, v201.ANSWERS, v201.REFUSALS, v201.FROM_STATION, v201.FROM_CSMS),
    "2.1": _Dialect(v21.CALLS, v21.ANSWERS, v21.REFUSALS, v21.FROM_STATION, v21.FROM_CSMS),
}
_DIALECTS["2.0"] = _DIALECTS["2.0.1"]


def understand(
    message: Message, call: Message | None, version: str | None, origin: Origin | None
) -> tuple[Fact, ...]:
    """Return what a message says about the world.

    Args:
        message: the decoded frame.
        call: the call it answers, for an answer; an answer without its call says nothing.
        version: of the protocol; chosen by the action when it is None or unknown.
        origin: who wrote it, where known: an action from the wrong end says nothing.
    """
    asked = call if message.is_answer else message
    if asked is None or asked.action is None:
        return ()
    dialect = _dialect(asked.action, version)
    if message.is_answer:
        return _answer(dialect, message, asked)
    if (origin == "csms" and asked.action in dialect.from_station - dialect.from_csms) or (
        origin == "station" and asked.action in dialect.from_csms - dialect.from_station
    ):
        return ()
    reader = dialect.calls.get(asked.action)
    return tuple(reader(message.payload)) if reader is not None else ()


def origin_of(action: str, version: str | None) -> Origin | None:
    """Return who sends calls of this action; None where both do (DataTransfer), or it is unknown."""
    dialect = _dialect(action, version)
    station, csms = action in dialect.from_station, action in dialect.from_csms
    if station == csms:
        return None
    return "station" if station else "csms"


def _answer(dialect: _Dialect, message: Message, call: Message) -> tuple[Fact, ...]:
    action = call.action or ""
    if message.message_type == "CallError":
        refusal = dialect.refusals.get(action)
        return tuple(refusal(call.payload, message.error_code or "")) if refusal is not None else ()
    reader = dialect.answers.get(action)
    return tuple(reader(call.payload, message.payload)) if reader is not None else ()


def _dialect(action: str, version: str | None) -> _Dialect:
    known = _DIALECTS.get(version or "")
    if known is not None:
        return known
    newest = _DIALECTS["2.1"]
    if action in v16.ONLY or action not in newest.from_station | newest.from_csms:
        return _DIALECTS["1.6"]
    return newest if action in v201.ONLY else _DIALECTS["1.6"]
