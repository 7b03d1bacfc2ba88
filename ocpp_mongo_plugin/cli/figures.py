"""``ocpp-mongo stats``: what is in the database, in figures.

Hides the queries. Promises to only read, and that a station's name never acts as a query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.table import Table

from ocpp_mongo_plugin.cli.server import Plain, connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import out, print_json
from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import NotFoundError
from ocpp_mongo_plugin.settings import Settings

Figures = dict[str, Any]

_UNKNOWN = "unknown"
_MOST_NAMES = 20
_MOST_SESSIONS = 10


def show(*, uri: str | None, database: str | None, station: str | None, as_json: bool) -> int:
    """Print the figures of a database, or of one station; return the exit code.

    Raises:
        NotFoundError: nothing was ever recorded of that station.
    """
    settings = settings_of(uri, database)
    with connected(settings) as opened, naming(settings), translated("counting"):
        figures = gather(opened, settings, station)
    if station is not None and not any(figures["collections"].values()):
        raise NotFoundError(f"nothing is recorded of a station {station!r} in database {settings.database}")
    if as_json:
        print_json(figures)
    else:
        _print(figures)
    return 0


def gather(database: Plain, settings: Settings, station: str | None) -> Figures:
    """Return the figures, as ``--json`` prints them. Raises the driver's errors."""
    mine = {} if station is None else {"station_id": {"$eq": station}}
    values = {} if station is None else {"metadata.station_id": {"$eq": station}}
    names: dict[str, str] = {str(kind): name for kind, name in settings.collections().items()}
    names["dead_letters"] = settings.dead_letters_collection
    names["gaps"] = settings.gaps_collection
    counts = {name: _count(database, name, values if kind == "meter_values" else mine) for kind, name in names.items()}
    return {
        "server": shown(settings),
        "database": settings.database,
        "station": station,
        "collections": counts,
        "messages": _messages(database, settings.messages_collection, mine),
        "transactions": _transactions(database, settings.transactions_collection, mine),
        "stations": _stations(database, settings.stations_collection, mine),
        "dead_letters": _dead_letters(database, settings.dead_letters_collection, mine),
        "gaps": gaps(database, settings.gaps_collection, mine),
    }


def gaps(database: Plain, collection: str, query: Figures) -> Figures:
    """Return which frames are missing: by reason, and the sessions that lack most. Raises the driver's errors."""
    found = database[collection]
    missing: Figures = {"frames": {"$sum": "$frames"}, "last_at": {"$max": "$last_at"}}
    by_reason = list(found.aggregate([{"$match": query}, {"$group": {"_id": "$reason", **missing}}]))
    by_session = {"_id": "$session_id", "station_id": {"$first": "$station_id"}, **missing}
    most: list[Figures] = [{"$sort": {"frames": -1, "_id": 1}}, {"$limit": _MOST_SESSIONS}]
    sessions = found.aggregate([{"$match": query}, {"$group": by_session}, *most], allowDiskUse=True)
    return {
        "frames": sum(row["frames"] for row in by_reason),
        "by_reason": {row["_id"]: row["frames"] for row in sorted(by_reason, key=lambda row: -row["frames"])},
        "last_at": _text(max(_times(by_reason, "last_at"), default=None)),
        "sessions": [
            {
                "session_id": row["_id"],
                "station_id": row["station_id"],
                "frames": row["frames"],
                "last_at": _text(row["last_at"]),
            }
            for row in sessions
        ],
    }


def _dead_letters(database: Plain, collection: str, query: Figures) -> Figures:
    rows = database[collection].aggregate([{"$match": query}, {"$group": {"_id": "$reason", "count": {"$sum": 1}}}])
    by_reason = Counter[str]({row["_id"] or _UNKNOWN: row["count"] for row in rows})
    return {"total": sum(by_reason.values()), "by_reason": dict(by_reason.most_common())}


def _count(database: Plain, collection: str, query: Figures) -> int:
    # Without a query the collection's own count is exact on a single server and takes no time.
    return database[collection].count_documents(query) if query else database[collection].estimated_document_count()


def _messages(database: Plain, collection: str, query: Figures) -> Figures:
    group = {
        "_id": {"version": "$protocol_version", "type": "$message_type", "action": "$action"},
        "count": {"$sum": 1},
        "first": {"$min": "$timestamp"},
        "last": {"$max": "$timestamp"},
    }
    rows = list(database[collection].aggregate([{"$match": query}, {"$group": group}], allowDiskUse=True))
    by_version, by_type, by_action = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        kind = row["_id"].get("type")
        by_version[row["_id"].get("version") or _UNKNOWN] += row["count"]
        by_type[kind or _UNKNOWN] += row["count"]
        if kind in ("Call", "Send"):
            by_action[row["_id"].get("action") or _UNKNOWN] += row["count"]
    return {
        "by_version": dict(by_version.most_common()),
        "by_type": dict(by_type.most_common()),
        "calls_by_action": dict(by_action.most_common()),
        "first": _text(min(_times(rows, "first"), default=None)),
        "last": _text(max(_times(rows, "last"), default=None)),
    }


def _transactions(database: Plain, collection: str, query: Figures) -> Figures:
    completed = {"$cond": [{"$eq": ["$status", "completed"]}, "$energy_consumed", None]}
    group = {
        "_id": "$status",
        "count": {"$sum": 1},
        "energy": {"$sum": "$energy_consumed"},
        "average": {"$avg": completed},
    }
    rows = {row["_id"]: row for row in database[collection].aggregate([{"$match": query}, {"$group": group}])}
    counts = {status: rows.get(status, {}).get("count", 0) for status in ("active", "completed", "failed")}
    return {
        "total": sum(row["count"] for row in rows.values()),
        **counts,
        "total_energy_wh": round(sum(row["energy"] for row in rows.values()), 3),
        "average_energy_wh": round(rows.get("completed", {}).get("average") or 0, 3),
    }


def _stations(database: Plain, collection: str, query: Figures) -> Figures:
    names = database[collection].find({**query, "connection_status": "connected"}, {"station_id": 1})
    by_version = Counter[str]()
    for row in database[collection].aggregate(
        [{"$match": query}, {"$group": {"_id": "$protocol_version", "count": {"$sum": 1}}}]
    ):
        by_version[row["_id"] or _UNKNOWN] += row["count"]
    return {
        "total": by_version.total() if hasattr(by_version, "total") else sum(by_version.values()),
        "connected": sorted(str(row["station_id"]) for row in names),
        "by_version": dict(by_version.most_common()),
    }


def _times(rows: Iterable[Figures], name: str) -> list[datetime]:
    return [row[name] for row in rows if row[name] is not None]


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _print(figures: Figures) -> None:
    station = "" if figures["station"] is None else f", station {figures['station']}"
    out.print(f"{figures['server']}, database {figures['database']}{station}")
    messages, transactions, stations = figures["messages"], figures["transactions"], figures["stations"]
    _table("documents", figures["collections"])
    _table("messages by version", messages["by_version"])
    _table("messages by type", messages["by_type"])
    _table("calls by action", messages["calls_by_action"])
    if messages["first"] is not None:
        out.print(f"recorded from {messages['first']} to {messages['last']}")
    out.print(
        f"transactions: {transactions['active']} active, {transactions['completed']} completed, "
        f"{transactions['failed']} failed; {transactions['total_energy_wh']:,} Wh in all, "
        f"{transactions['average_energy_wh']:,} Wh on average"
    )
    names = stations["connected"]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    listed = f": {', '.join(names[:_MOST_NAMES])}{more}" if names else ""
    out.print(f"stations: {stations['total']}, {len(names)} connected{listed}")
    _table("dead letters by reason (ocpp-mongo dead ls)", figures["dead_letters"]["by_reason"])
    lacking = figures["gaps"]
    if lacking["frames"]:
        _table(f"{lacking['frames']:,} frame(s) missing, by reason", lacking["by_reason"])
        sessions = {f"{row['station_id']}, session {row['session_id']}": row["frames"] for row in lacking["sessions"]}
        _table("sessions that lack most frames", sessions)


def _table(title: str, figures: dict[str, int]) -> None:
    if not figures:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(f"  {name}", f"{value:,}")
    out.print(f"{title}:")
    out.print(table)
