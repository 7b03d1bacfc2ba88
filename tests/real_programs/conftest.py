"""Programs of others, recorded: run only when asked for, by OCPP_MONGO_PROGRAMS or by an ``-m`` that names them.

Each test prints what it counted in a section of the summary, whether it passed or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# Read before the environment is cleaned for the first test.
ASKED = bool(os.environ.get("OCPP_MONGO_PROGRAMS"))

_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LINES] = []


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = ASKED or "real_programs" in config.getoption("markexpr", "")
    inside = HERE in collection_path.parents and collection_path.suffix == ".py"
    return True if inside and not wanted else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("real_programs")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := config.stash.get(_LINES, []):
        terminalreporter.section("what crossed the wire, and what was stored of it")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Take a line for the summary; call it before the assertions, so that it is seen when they fail."""
    lines = request.config.stash[_LINES]
    return lambda line: lines.append(f"{request.node.name}: {line}")
