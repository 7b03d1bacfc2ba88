"""The programs' own tests, from their source distributions: each has the same outcome with recording on as without."""

from __future__ import annotations

import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hosts import PROGRAMS, command, environment
from pymongo.database import Database

pytestmark = [pytest.mark.mongod, pytest.mark.programs]
Plain = Database[dict[str, Any]]


def outcomes(directory: Path, env: dict[str, str], *, is_recorded: bool) -> dict[tuple[str, str], str]:
    """Run the tests of a source distribution; return what became of each."""
    report = directory / f"report-{is_recorded}.xml"
    words = command("pytest", "-q", "-p", "no:cacheprovider", "--junit-xml", report, is_recorded=is_recorded)
    done = subprocess.run(words, env=env, cwd=directory, capture_output=True, text=True, timeout=240, check=False)
    assert report.exists(), done.stdout + done.stderr
    cases = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        ends = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        cases[case.get("classname", ""), case.get("name", "")] = ",".join(ends) or "passed"
    return cases


@pytest.mark.timeout(600)  # two whole suites
@pytest.mark.parametrize(("name", "at_least"), [("ocpp_csms-0.1.0", 75), ("ocpp_broker-0.4", 98)])
def test_outcomes_are_the_same_with_and_without_recording(
    name: str,
    at_least: int,
    mongo_uri: str,
    database_name: str,
    plain: Plain,
    tmp_path: Path,
    counted: Callable[[object], None],
) -> None:
    with tarfile.open(PROGRAMS / "sdists" / f"{name}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    without = outcomes(tmp_path / name, environment(None, ""), is_recorded=False)
    recorded = outcomes(tmp_path / name, environment(mongo_uri, database_name), is_recorded=True)
    kept = plain.ocpp_messages.count_documents({})
    counted(f"{dict(Counter(without.values()))} without, {dict(Counter(recorded.values()))} recorded, {kept} messages")
    assert recorded == without
    assert len(without) >= at_least
    assert "ocpp_messages" in plain.list_collection_names()  # it was recorded, though
    assert kept > 0 or name.startswith("ocpp_broker")  # whose tests send nothing through the library
