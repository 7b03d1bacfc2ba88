"""What is on record, as short tables for people who read the message of a failed test.

Hides widths and shortening. Promises few lines, whatever was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocpp_mongo_plugin.documents import Message, Transaction

_MOST_ROWS = 30
_MOST_CHARACTERS = 80
_MOST_IN_SENTENCE = 200


def frame_table(every: Sequence[Message], frames: Sequence[Message], station_id: str | None) -> str:
    """Return ``frames``, a part of ``every`` frame that is on record, one a line."""
    of = f" of station {station_id!r}" if station_id is not None else ""
    if not every:
        return f"no frames{of} on record"
    hidden = len(every) - len(frames)
    other = f" (and {hidden} from the other end of the connection)" if hidden else ""
    rows = [_row(one, with_station=station_id is None) for one in frames]
    if len(rows) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        rows = [*rows[:half], ["", "", f"... {len(rows) - 2 * half} more ...", ""], *rows[-half:]]
    return "\n".join([f"frames{of} in order{other}:", *_aligned(rows)])


def transaction_table(transactions: Sequence[Transaction]) -> str:
    """Return transactions, one a line."""
    if not transactions:
        return "no transactions"
    rows = [_transaction_row(one) for one in transactions]
    return "\n".join([f"{len(rows)} transaction(s):", *_aligned(rows[:_MOST_ROWS])])


def named(transaction: Transaction) -> str:
    """Return what a transaction is called in a sentence."""
    place = where(transaction.connector_id, transaction.evse_id)
    on = f" on {place}" if place else ""
    return f"transaction {transaction.transaction_id!r}{on} of station {transaction.station_id!r}"


def where(connector: int | None, evse: int | None) -> str:
    """Return what a place is called in a sentence; empty for the whole station."""
    parts = [f"EVSE {evse}"] if evse is not None else []
    return ", ".join([*parts, f"connector {connector}"] if connector is not None else parts)


def named_frame(message: Message) -> str:
    """Return what a frame is called: ``Heartbeat``, ``Heartbeat answered``, ``Heartbeat refused``."""
    action = message.action or "?"
    ending = {"CallResult": " answered", "CallError": " refused", "CallResultError": " result refused"}
    if message.message_type == "Malformed":
        return "no OCPP message"
    return action + ending.get(message.message_type, "")


def shown(message: Message) -> str:
    """Return a frame in one line."""
    return f"{named_frame(message)} {_payload(message, _MOST_IN_SENTENCE)}".strip()


def _payload(message: Message, most: int) -> str:
    if message.message_type == "CallError":
        told = f"{message.error_code} {message.error_description or ''}"
    elif message.message_type == "Malformed":
        told = message.raw or ""
    else:
        told = json.dumps(message.payload, ensure_ascii=False, default=str)
    told = " ".join(told.split())
    return told if len(told) <= most else f"{told[: most - 3]}..."


def _row(message: Message, *, with_station: bool) -> list[str]:
    at = message.timestamp.strftime("%H:%M:%S.%f")[:-3] if message.timestamp else "?"
    who = {"station": "station -> csms", "csms": "csms -> station"}.get(message.origin or "", message.direction)
    station = f"{message.station_id} " if with_station else ""
    return [at, f"{station}{who}", named_frame(message), _payload(message, _MOST_CHARACTERS)]


def _transaction_row(one: Transaction) -> list[str]:
    energy = "energy unknown" if one.energy_consumed is None else f"{one.energy_consumed / 1000:g} kWh"
    odd = f"odd: {'; '.join(one.anomalies)}" if one.anomalies else ""
    return [named(one), one.status, energy, odd]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  " + "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
