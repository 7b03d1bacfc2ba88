"""The pytest plugin: the fixture ``ocpp_recording``, and what chooses its database.

Loaded by the entry point ``ocpp_mongo`` of group ``pytest11`` in every test run of an environment that has this
package, so it imports nothing but pytest and the standard library before a test asks for the fixture. Hides where
the database comes from, and how recording starts and stops. Promises to leave behind no thread, task, socket, file or
database, and to work in tests with a loop of any plugin and in tests without one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocpp_mongo_plugin.testing.assertions import OcppRecording, TransactionOnRecord

__all__ = ["OcppRecording", "TransactionOnRecord", "ocpp_recording", "ocpp_recording_server"]

MEMORY, MONGOD = "memory", "mongod"
_OPTION = "ocpp_recording_database"
_MARK = "ocpp_recording"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the ini value that choose a database."""
    help_ = "where ocpp_recording records: memory (mongomock-motor), or mongod, a database of its own on a real server"
    parser.getgroup("ocpp-mongo-plugin").addoption(
        "--ocpp-recording-database", dest=_OPTION, choices=(MEMORY, MONGOD), default=None, help=help_
    )
    parser.addini(_OPTION, help_, default=MEMORY)


def pytest_configure(config: pytest.Config) -> None:
    """Describe the mark."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(database=..., **settings): where the fixture ocpp_recording of this test records (memory or mongod), "
        "and settings of MongoPlugin for it",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what is on record when a test fails that has a recording."""
    report = yield
    recording = getattr(item, "funcargs", {}).get("ocpp_recording")
    if report.when == "call" and report.failed and isinstance(recording, OcppRecording):
        shown = recording.shown_unless_told(call.excinfo.value if call.excinfo else None)
        if shown:
            report.sections.append(("OCPP frames on record", shown))
    return report


@pytest.fixture(scope="session")
def ocpp_recording_server() -> Iterator[str]:
    """The URI of the MongoDB for tests that record into a real one.

    ``OCPP_MONGO_URI``, else a mongod of its own for this session: the one on PATH, or that of the embedded extra.
    """
    from ocpp_mongo_plugin.testing import databases  # noqa: PLC0415 - most tests need no server

    with databases.server() as uri:
        yield uri


@pytest.fixture
def ocpp_recording(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OcppRecording]:
    """Everything that ChargePoints of this process send and receive during the test, and assertions about it."""
    from ocpp_mongo_plugin.errors import OcppMongoError  # noqa: PLC0415 - most tests need nothing of ours
    from ocpp_mongo_plugin.testing import databases  # noqa: PLC0415

    kind, settings = _wanted(request)
    if kind == MONGOD:
        opened = databases.on_server(request.getfixturevalue("ocpp_recording_server"))
    else:
        opened = databases.in_memory()
    with contextlib.ExitStack() as opening:
        try:
            place = opening.enter_context(opened)
            recording = opening.enter_context(databases.recording(place, tmp_path / "ocpp-recording", settings))
        except OcppMongoError as error:
            pytest.fail(f"ocpp_recording cannot record: {error}", pytrace=False)
        yield recording


def _wanted(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return which database, and which settings: of the mark, else the option, else the ini value.

    Fails the test where the mark has arguments that are no keywords, or there is no such database.
    """
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARK))):  # the nearest last
        if mark.args:
            pytest.fail(f"the mark {_MARK} takes keywords only, such as database='mongod'", pytrace=False)
        settings |= mark.kwargs
    configured = request.config.getoption(_OPTION) or request.config.getini(_OPTION)
    kind = settings.pop("database", configured)
    if kind not in (MEMORY, MONGOD):
        pytest.fail(f"{_OPTION} takes {MEMORY} or {MONGOD}, not {kind!r}", pytrace=False)
    return kind, settings
