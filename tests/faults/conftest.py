"""The fault tests: run only when asked for, by OCPP_MONGO_FAULTS=1 or by an ``-m`` that speaks of faults.

Each test prints what it measured in a section of the summary, whether it passed or not. What takes longer than CI
bears, marked ``full``, also wants OCPP_MONGO_FAULTS_FULL=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from ocpp_mongo_plugin.embedded import EmbeddedMongod

HERE = Path(__file__).parent
# Read before the environment is cleaned for the first test.
ASKED = os.environ.get("OCPP_MONGO_FAULTS") == "1"
FULL = os.environ.get("OCPP_MONGO_FAULTS_FULL") == "1"
SOAK_SECONDS = float(os.environ.get("OCPP_MONGO_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("OCPP_MONGO_FAULTS_SEED", "20260301"))

_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: servers killed, networks cut, processes killed (minutes)")
    config.addinivalue_line("markers", "full: fault tests that run by hand (OCPP_MONGO_FAULTS_FULL=1)")
    config.stash[_LINES] = []


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = ASKED or "faults" in config.getoption("markexpr", "")
    inside = HERE in collection_path.parents and collection_path.suffix == ".py"
    return True if inside and not wanted else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker("faults")
        if item.get_closest_marker("full") and not FULL:
            item.add_marker(pytest.mark.skip(reason="only with OCPP_MONGO_FAULTS_FULL=1"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := config.stash.get(_LINES, []):
        terminalreporter.section("what the fault tests measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a line for the summary; call it before the assertions, so that it is seen when they fail."""
    return request.config.stash[_LINES].append


@pytest.fixture
def seed() -> int:
    """What random instants are drawn from: the same ones each time, others with OCPP_MONGO_FAULTS_SEED."""
    return SEED


@pytest.fixture
def soak_seconds() -> float:
    return SOAK_SECONDS


@pytest.fixture
def looking() -> Iterator[Callable[[str], Any]]:
    """Open the database ``faults`` of a server with plain PyMongo."""
    clients: list[MongoClient[dict[str, Any]]] = []

    def look(uri: str, database: str = "faults") -> Any:
        clients.append(MongoClient(uri, serverSelectionTimeoutMS=30_000))
        return clients[-1][database]

    yield look
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def trying_mongod() -> Iterator[EmbeddedMongod]:
    """A server that can be told to fail: a replica set of one, which drivers treat as one of many."""
    with EmbeddedMongod(replica_set="one", parameters={"enableTestCommands": "1"}) as server:
        yield server


@pytest.fixture
def fail(trying_mongod: EmbeddedMongod) -> Iterator[Callable[..., int]]:
    """Make commands of the plugin fail: ``fail(times, failCommands=[...], ...)``; ``fail(0)`` ends it.

    Returns how often the fail point was met since it was last set.
    """
    with MongoClient[dict[str, Any]](trying_mongod.uri) as client:

        def fail_command(times: int, **data: Any) -> int:
            mode: Any = {"times": times} if times > 0 else "off" if times == 0 else "alwaysOn"
            command: dict[str, Any] = {"configureFailPoint": "failCommand", "mode": mode}
            if data:
                command["data"] = {"appName": "ocpp-mongo-plugin", **data}
            return int(client.admin.command(command).get("count", 0))

        yield fail_command
        fail_command(0)


@pytest.fixture
def fresh_database(mongo_uri: str) -> Iterator[str]:
    """A database of the shared server, dropped after the test."""
    name = f"faults_{uuid4().hex}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)
