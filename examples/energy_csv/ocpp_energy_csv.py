"""Appends one row for every transaction that has ended to the CSV file that ENERGY_CSV names (energy.csv).

It runs in a thread of its own, so that a slow disk keeps neither the recorded program nor MongoDB waiting.
"""

from __future__ import annotations

import csv
import io
import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ocpp_mongo_plugin import hookimpl
from ocpp_mongo_plugin.hookspecs import TransactionView

COLUMNS = ("station", "transaction", "connector", "id_tag", "start", "stop", "energy_wh")


@hookimpl
def ocpp_transaction_ended(transaction: TransactionView) -> None:
    # Read at each call, so that a program may set it after the plugin was loaded.
    path = Path(os.environ.get("ENERGY_CSV", "energy.csv"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        rows = [COLUMNS, _row(transaction)] if file.tell() == 0 else [_row(transaction)]
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        # A station may send half a surrogate pair, which UTF-8 cannot hold.
        encoded = text.getvalue().encode("utf-8", errors="backslashreplace")
        # One write, so that rows of two processes do not mix.
        file.write(_rest_of_a_torn_row(file) + encoded)


def _row(transaction: TransactionView) -> tuple[object, ...]:
    return (
        transaction.station_id,
        transaction.transaction_id,
        transaction.connector_id if transaction.connector_id is not None else transaction.evse_id,
        transaction.id_tag,
        _shown(transaction.start_timestamp),
        _shown(transaction.stop_timestamp),
        transaction.energy_consumed,
    )


def _shown(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _rest_of_a_torn_row(file: BinaryIO) -> bytes:
    """Return a line end if the file does not end with one: a process that died must not spoil this row."""
    if file.tell() == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\r\n"
