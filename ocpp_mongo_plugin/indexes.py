"""The indexes of the five collections.

Apart from their models, which take Beanie: whoever only records needs these, and not those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pymongo import ASCENDING, IndexModel

from ocpp_mongo_plugin.changes import Collection


def _index(*fields: str, unique: bool = False) -> IndexModel:
    # The names MongoDB itself would give: a database that has an index of these keys keeps it without a conflict.
    name = "_".join(f"{field}_{ASCENDING}" for field in fields)
    return IndexModel([(field, ASCENDING) for field in fields], name=name, **({"unique": True} if unique else {}))


INDEXES: Mapping[Collection, Sequence[IndexModel]] = MappingProxyType(
    {
        "messages": (
            _index("station_id", "timestamp"),
            _index("message_id"),
            _index("correlation_id"),
            _index("action", "timestamp"),
            _index("timestamp"),
            _index("session_id", "sequence"),
        ),
        "transactions": (
            _index("transaction_id"),
            _index("transaction_id", "station_id"),
            _index("station_id", "start_timestamp"),
            _index("status"),
            _index("status", "station_id", "start_timestamp"),
            _index("id_tag"),
        ),
        "stations": (
            _index("station_id", unique=True),
            _index("connection_status"),
            _index("enabled", "auto_start"),
            _index("tags"),
            _index("protocol_version"),
        ),
        "sessions": (
            _index("station_id", "opened_at"),
            _index("status"),
        ),
        "meter_values": (
            _index("metadata.station_id", "timestamp"),
            _index("metadata.transaction_id", "metadata.station_id", "timestamp"),
            _index("metadata.measurand", "timestamp"),
            _index("transaction_ref", "timestamp"),
        ),
    }
)
"""Apart from ``_id``, only ``stations.station_id`` is unique."""
