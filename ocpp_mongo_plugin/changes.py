"""What we remember: idempotent changes to documents, and the one way they are applied.

A document's clocked fields stand in groups. Each group keeps the values of its earliest or its latest event and
the clock of that event beside it, so changes commute: applied twice, late or in any order, they end in the same
document. Pure: documents are mappings, clocks are texts that compare as the events did.
"""

from __future__ import annotations

from collections.abc import Collection as Members
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Collection: TypeAlias = Literal["messages", "transactions", "stations", "sessions", "meter_values"]
Document: TypeAlias = dict[str, Any]


class Latest(NamedTuple):
    """Values of one group; the event with the highest clock wins."""

    group: str
    clock: str
    values: Mapping[str, Any]


class Earliest(NamedTuple):
    """Values of one group; the event with the lowest clock wins."""

    group: str
    clock: str
    values: Mapping[str, Any]


class Known(NamedTuple):
    """Values that are the same whoever says them: set where the document has none."""

    values: Mapping[str, Any]


class Highest(NamedTuple):
    """The greatest value ever seen of each field."""

    values: Mapping[str, Any]


class Union(NamedTuple):
    """Members of a set, kept as a sorted list."""

    field: str
    members: Members[Any]
    most: int | None = None
    """Keep only so many, the lowest: a bound that every order of events ends at."""


class Element(NamedTuple):
    """One group of the connector with these ids, within the list ``connectors`` of a station."""

    evse_id: int | None
    connector_id: int | None
    part: Latest


Part: TypeAlias = Latest | Earliest | Known | Highest | Union | Element


Kept: TypeAlias = dict[tuple[Any, ...], list[Part]]
"""Changes by what they change, each list in the order in which they came."""


class Merge(NamedTuple):
    """One change to one document, created when it is not there yet."""

    collection: Literal["transactions", "stations", "sessions"]
    key: str
    parts: tuple[Part, ...]


class Amend(NamedTuple):
    """Set fields of a stored message: its outcome, or that it was not delivered."""

    key: str
    values: Mapping[str, Any]
    unless_known: bool = False
    """Leave the message alone if its outcome is known already."""


class Remove(NamedTuple):
    """A transaction document that turned out to be part of another one, or that a person deleted."""

    key: str
    successor: str | None = None
    """The transaction that its meter values belong to from now on."""


@dataclass(slots=True)
class Revision:
    """A document that changed in memory, and what a store needs to write it whatever others wrote meanwhile."""

    collection: Literal["transactions", "stations", "sessions"]
    key: str
    document: Document
    fields: set[str] = field(default_factory=set)
    parts: Kept = field(default_factory=dict)
    """What was changed and is not written, as ``keep`` keeps it."""
    urgent: bool = False
    """Whether it should be written with this batch rather than at the next periodic sync."""


def apply(document: Document, merge: Merge) -> set[str]:
    """Apply a change to a document in place and return the names of the fields that changed."""
    changed: set[str] = set()
    for part in merge.parts:
        _APPLY[type(part)](document, part, changed)
    return changed


def keep(parts: Kept, part: Part) -> None:
    """Keep a change so that it can be made again, after those before it that it does not make superfluous.

    A meter reading takes the place of the one before it; so what is kept does not grow with the frames. To make what is
    kept again does what to make all of them again would, whatever was changed in between.
    """
    if isinstance(part, Element):
        inner = part.part
        _keep_clocked(parts.setdefault((Element, part.evse_id, part.connector_id, inner.group), []), part, inner)
    elif isinstance(part, Latest | Earliest):
        _keep_clocked(parts.setdefault((type(part), part.group), []), part, part)
    elif isinstance(part, Union):
        known = parts.setdefault((Union, part.field, part.most), [])
        members = {**dict.fromkeys(known[0].members if known else ()), **dict.fromkeys(part.members)}  # type: ignore[union-attr]
        if part.most is not None and len(members) > 2 * part.most:
            members = dict.fromkeys(sorted(members)[: part.most])
        known[:] = [Union(part.field, members, part.most)]
    else:
        former = parts.setdefault((type(part), *part.values), [])
        if former:
            values = dict(former[0].values)  # type: ignore[union-attr]
            _APPLY[type(part)](values, part, set())
            part = type(part)(values)
        former[:] = [part]


def _keep_clocked(kept: list[Part], part: Part, clocked: Latest | Earliest) -> None:
    """Keep one of a group; the clocks of those that are kept do not turn back, since such a one would be refused."""
    if kept:
        former: Any = kept[-1].part if isinstance(kept[-1], Element) else kept[-1]
        if clocked.clock != former.clock and (clocked.clock > former.clock) != isinstance(clocked, Latest):
            return
        if clocked.values.keys() == former.values.keys():
            kept.pop()
    kept.append(part)


def _set(document: Document, values: Mapping[str, Any], changed: set[str]) -> None:
    for name, value in values.items():
        if name not in document or document[name] != value:
            document[name] = value
            changed.add(name)


def _latest(document: Document, part: Latest, changed: set[str]) -> None:
    clocks = document.setdefault("clocks", {})
    if part.clock >= clocks.get(part.group, ""):
        _clock(document, clocks, part, changed)


def _earliest(document: Document, part: Earliest, changed: set[str]) -> None:
    clocks = document.setdefault("clocks", {})
    if part.group not in clocks or part.clock <= clocks[part.group]:
        _clock(document, clocks, part, changed)


def _clock(document: Document, clocks: dict[str, str], part: Latest | Earliest, changed: set[str]) -> None:
    if clocks.get(part.group) != part.clock:
        # A new mapping, so that what a store was handed before does not change under it.
        document["clocks"] = {**clocks, part.group: part.clock}
        changed.add("clocks")
    _set(document, part.values, changed)


def _known(document: Document, part: Known, changed: set[str]) -> None:
    for name, value in part.values.items():
        if value is not None and document.get(name) is None:
            document[name] = value
            changed.add(name)


def _highest(document: Document, part: Highest, changed: set[str]) -> None:
    for name, value in part.values.items():
        known = document.get(name)
        if value is not None and (known is None or value > known):
            document[name] = value
            changed.add(name)


def _union(document: Document, part: Union, changed: set[str]) -> None:
    present = document.get(part.field) or []
    if len(part.members) == 1 and present:
        # What nearly always comes: one member, which is there already, or is the newest of all.
        (member,) = part.members
        if member == present[-1]:
            return
        if member > present[-1]:
            if part.most is None or len(present) < part.most:
                document[part.field] = [*present, member]
                changed.add(part.field)
            return
    missing = [member for member in part.members if member not in present]
    if missing:
        members = sorted({*present, *missing})[: part.most]
        if members != present:
            document[part.field] = members
            changed.add(part.field)


def _element(document: Document, part: Element, changed: set[str]) -> None:
    connectors: list[Document] = [dict(c) for c in document.get("connectors") or []]
    place = {"evse_id": part.evse_id, "connector_id": part.connector_id}
    for connector in connectors:
        if connector.get("evse_id") == part.evse_id and connector.get("connector_id") == part.connector_id:
            break
    else:
        connector = {**EMPTY_CONNECTOR, **place}
        connectors.append(connector)
        connectors.sort(key=lambda c: (c.get("evse_id") or 0, c.get("connector_id") or 0))
    inside: set[str] = set()
    _latest(connector, part.part, inside)
    if inside or len(connectors) != len(document.get("connectors") or []):
        document["connectors"] = connectors
        changed.add("connectors")


EMPTY_CONNECTOR: Document = {
    "connector_id": None,
    "evse_id": None,
    "status": None,
    "current_transaction_id": None,
    "error_code": None,
    "info": None,
    "vendor_id": None,
    "vendor_error_code": None,
    "status_timestamp": None,
    "availability": None,
    "reservation_id": None,
}

_APPLY: dict[type, Any] = {
    Latest: _latest,
    Earliest: _earliest,
    Known: _known,
    Highest: _highest,
    Union: _union,
    Element: _element,
}
