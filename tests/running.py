"""Programs under ``ocpp-mongo run``, and the same without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = Path(__file__).parent.parent / "examples"
# Without the PYTHONPATH that is meant for the program: the launcher is one of Python, too.
RUN = (sys.executable, "-E", "-m", "ocpp_mongo_plugin.cli", "run")


def environment(**more: str) -> dict[str, str]:
    """What a program finds that is not started from a test: pytest sets durability to memory."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**own, **more}


def finished(*command: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    options = {"env": environment(), "timeout": 60, "capture_output": True, **options}
    return subprocess.run([str(word) for word in command], check=False, **options)


def recorded(uri: str, database: str, *command: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end with recording; ``run`` are options of ``ocpp-mongo run``."""
    asked = options.pop("run", ())
    return finished(*RUN, "--uri", uri, "--database", database, *asked, "--", *command, **options)
