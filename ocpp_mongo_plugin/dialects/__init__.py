"""What messages mean: from a message, and the call that it answers, to facts that no OCPP version owns.

Hides which version's rules apply, also where nobody said the version. Promises that ``understand`` never
raises: JSON that makes no sense gives no facts, or facts with None where a field was not understood. Pure. A
new OCPP version is one more file here and one more line in ``_DIALECTS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from ocpp_mongo_plugin.dialects import v16, v21, v201
from ocpp_mongo_plugin.facts import Fact
from ocpp_mongo_plugin.fields import mapping
from ocpp_mongo_plugin.frames import Message, Origin, normalise_version

_Json: TypeAlias = Mapping[str, Any]
_Facts: TypeAlias = tuple[Fact, ...]


class _Dialect(NamedTuple):
    """The rules of one version, by action."""

    calls: Mapping[str, Callable[[_Json], _Facts]]
    answers: Mapping[str, Callable[[_Json, _Json], _Facts]]
    refusals: Mapping[str, Callable[[_Json, Message], _Facts]]
    from_station: frozenset[str]
    from_csms: frozenset[str]

    def origin_of(self, action: str) -> Origin | None:
        if action in self.from_station:
            return "station"
        return "csms" if action in self.from_csms else None


_V16 = _Dialect(v16.CALLS, v16.ANSWERS, v16.REFUSALS, v16.FROM_STATION, v16.FROM_CSMS)
_V201 = _Dialect(v201.CALLS, v201.ANSWERS, v201.REFUSALS, v201.FROM_STATION, v201.FROM_CSMS)
_V21 = _Dialect(v21.CALLS, v21.ANSWERS, v21.REFUSALS, v21.FROM_STATION, v21.FROM_CSMS)

_DIALECTS = {"1.6": _V16, "2.0": _V201, "2.0.1": _V201, "2.1": _V21}

# A field of the call that only OCPP 2.x has, for actions that 1.6 has too: tells the versions apart unsaid.
_ONLY_IN_2 = {
    "BootNotification": "chargingStation",
    "ChangeAvailability": "operationalStatus",
    "MeterValues": "evseId",
    "ReserveNow": "id",
    "StatusNotification": "connectorStatus",
}


def understand(message: Message, call: Message | None, version: str | None, origin: Origin | None) -> tuple[Fact, ...]:
    """Return what a message says, in the order in which it counts. Never raises, whatever the JSON.

    Args:
        message: a call, or an answer, or anything else (which says nothing).
        call: the call that ``message`` answers; None for calls, and for answers whose call is not known.
        version: OCPP version; where it is None or unknown, the action and its fields decide.
        origin: who wrote ``message``; see ``is_believed``.
    """
    asked = call if message.is_answer else message
    if asked is None or asked.action is None or asked.message_type not in ("Call", "Send"):
        return ()
    dialect = _DIALECTS.get(version or "") or _dialect(asked, version)
    if origin is not None and not _is_believed(dialect, asked.action, message, origin):
        return ()
    if message.message_type == "CallResult":
        answered = dialect.answers.get(asked.action)
        return answered(mapping(asked.payload), mapping(message.payload)) if answered else ()
    if message.message_type == "CallError":
        refused = dialect.refusals.get(asked.action)
        return refused(mapping(asked.payload), message) if refused else ()
    called = dialect.calls.get(asked.action)
    return called(mapping(asked.payload)) if called else ()


def is_believed(message: Message, call: Message | None, version: str | None, origin: Origin) -> bool:
    """Whether what ``origin`` says by this message counts.

    What the other side has to say is not believed: a Heartbeat that a CSMS sends is no sign of life of the station.
    """
    asked = call if message.is_answer else message
    if asked is None or asked.action is None:
        return True
    return _is_believed(_dialect(asked, version), asked.action, message, origin)


def _is_believed(dialect: _Dialect, action: str, message: Message, origin: Origin) -> bool:
    asker = dialect.origin_of(action)
    return asker is None or (origin == asker) != message.is_answer


def origin_of(action: str, version: str | None) -> Origin | None:
    """Return who sends that call; None when both may (DataTransfer), or nobody is known to.

    Where the version is None or unknown, all versions are asked: none contradicts another.
    """
    known = _DIALECTS.get(normalise_version(version) or "")
    if known is not None:
        return known.origin_of(action)
    return _V21.origin_of(action) or _V16.origin_of(action)


def version_of(message: Message) -> str | None:
    """Return the version that alone has this call: "1.6", "2.0.1" (stands for 2.0.1 and 2.1) or "2.1"; else None."""
    action = message.action
    if action is None or message.message_type not in ("Call", "Send"):
        return None
    tell = _ONLY_IN_2.get(action)
    if tell is not None:
        return "2.0.1" if tell in mapping(message.payload) else "1.6"
    if _V16.origin_of(action) is not None:
        return "1.6" if _V201.origin_of(action) is None else None
    if _V201.origin_of(action) is not None:
        return "2.0.1"
    return "2.1" if _V21.origin_of(action) is not None or message.message_type == "Send" else None


def _dialect(asked: Message, version: str | None) -> _Dialect:
    known = _DIALECTS.get(version or "") or _DIALECTS.get(normalise_version(version) or "")
    if known is not None:
        return known
    action = asked.action or ""
    tell = _ONLY_IN_2.get(action)
    told = tell in mapping(asked.payload) if tell is not None else _V16.origin_of(action) is None
    # 2.1 for 2.x, since it understands all of 2.0.1.
    return _V21 if told else _V16
