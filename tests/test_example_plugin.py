"""examples/energy_csv: a plugin of somebody else, found by its entry point, that writes a real file.

It is installed as pip leaves a distribution, module and metadata in a directory of sys.path, made here from its own
pyproject.toml: building it needs its build back end, which an environment without a network may not have.
"""

from __future__ import annotations

import csv
import importlib
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ocpp_mongo_plugin.hooks import Hooks
from ocpp_mongo_plugin.hookspecs import TransactionView

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings it along
    import tomli as tomllib

EXAMPLE = Path(__file__).parent.parent / "examples" / "energy_csv"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEADER = ["station", "transaction", "connector", "id_tag", "start", "stop", "energy_wh"]
ENDED = TransactionView(
    key="a" * 24,
    transaction_id=7,
    station_id="CP1",
    connector_id=1,
    id_tag="TAG",
    start_timestamp=datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc),
    stop_timestamp=datetime(2024, 5, 1, 13, 30, tzinfo=timezone.utc),
    energy_consumed=11_250,
    status="completed",
)
ROW = ["CP1", "7", "1", "TAG", "2024-05-01T12:00:00+00:00", "2024-05-01T13:30:00+00:00", "11250"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    site = tmp_path / "site"
    info = site / f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}.dist-info"
    info.mkdir(parents=True)
    shutil.copy(EXAMPLE / "ocpp_energy_csv.py", site)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n", encoding="utf-8"
    )
    entries = [f"{name} = {value}\n" for name, value in PROJECT["entry-points"]["ocpp"].items()]
    (info / "entry_points.txt").write_text("".join(["[ocpp]\n", *entries]), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("ocpp_energy_csv", None)


@pytest.fixture
def path(tmp_path, monkeypatch):
    path = tmp_path / "of" / "today" / "energy.csv"
    monkeypatch.setenv("ENERGY_CSV", str(path))
    return path


def end(*transactions):
    """Have these transactions end in a recording program that finds its plugins by itself."""
    hooks = Hooks(load_entry_points=True)
    hooks.start()
    for transaction in transactions:
        hooks.later("ocpp_transaction_ended", transaction)
    hooks.stop(10)
    assert hooks.hook_errors == {}
    return hooks


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_it_is_found_by_its_entry_point(installed):
    plugin = Hooks(load_entry_points=True).manager.get_plugin("energy-csv")
    assert Path(plugin.__file__).parent == installed


def test_every_transaction_that_ended_is_a_row(installed, path):
    in_2x = TransactionView("b" * 24, "tx-1", "CP, 2", evse_id=2, status="failed")
    end(ENDED, in_2x)
    assert rows(path) == [HEADER, ROW, ["CP, 2", "tx-1", "2", "", "", "", ""]]


def test_a_later_run_adds_its_rows_under_the_same_header(installed, path):
    end(ENDED)
    end(ENDED)
    assert rows(path) == [HEADER, ROW, ROW]


def test_a_row_that_was_torn_by_a_crash_does_not_spoil_the_next(installed, path):
    end(ENDED)
    path.write_bytes(path.read_bytes()[:-10])
    end(ENDED)
    assert rows(path)[-1] == ROW
    assert rows(path)[0] == HEADER
    assert len(rows(path)) == 3


def test_a_text_that_utf_8_cannot_hold_is_written_all_the_same(installed, path):
    end(TransactionView("c" * 24, 8, "CP1", id_tag="half \ud83d", status="completed"))
    assert rows(path)[1][3] == r"half \ud83d"


def test_without_a_name_it_writes_energy_csv_where_the_program_runs(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("ENERGY_CSV", raising=False)
    monkeypatch.chdir(tmp_path)
    end(ENDED)
    assert rows(tmp_path / "energy.csv") == [HEADER, ROW]


def test_a_file_that_cannot_be_written_is_named_in_the_log_and_nothing_else(installed, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("ENERGY_CSV", str(tmp_path))
    hooks = Hooks(load_entry_points=True)
    hooks.start()
    hooks.later("ocpp_transaction_ended", ENDED)
    hooks.stop(10)
    assert hooks.hook_errors == {"energy-csv": 1}
    assert "plugin 'energy-csv': hook ocpp_transaction_ended raised IsADirectoryError at ocpp_energy_csv.py:" in (
        caplog.text
    )
