"""The seams to other libraries, tested with the oldest and the newest of each: ``make seams``, or ``nox -s seams``.

Each session has an environment of its own under .nox. docs/drivers.md has the same table for people.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

PYTEST = (
    "hypothesis>=6.100",
    "mongomock-motor>=0.0.36",
    "pytest>=8.3",
    "pytest-asyncio>=1",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
)
SPREAD = ("--numprocesses", "auto")
"""Over all cores: each process has a mongod of its own."""
CAPTURE = ("tests/test_seams.py", "tests/test_capture.py")
ALL = (
    *CAPTURE,
    *(
        f"tests/test_{name}.py"
        for name in ("drivers", "documents", "repositories", "plugin", "store", "hooks", "installation", "lifecycle")
    ),
)
"""What stands on other libraries: the rest is the standard library's, or that of ``make test``."""

OLDEST = (
    "beanie==1.30.0",
    "motor==3.6.0",
    "ocpp==0.20.0",
    "platformdirs==4.0.0",
    "pluggy==1.5.0",
    "pydantic==2.7.0",
    "pydantic-settings==2.7.0",
    "pymongo==4.9",
    "websockets==10.0",
    "wrapt==1.16.0",
)
BETWEEN = (
    ("ocpp==0.26.0", "websockets==11.0.3", "beanie<2", "motor"),
    ("ocpp==0.26.0", "websockets==12.0"),
    ("ocpp==1.0.0", "websockets==13.1"),
    ("ocpp==1.0.0", "websockets==14.2"),
    ("ocpp==2.0.0", "websockets==15.0.1", "beanie==2.0.0", "pymongo==4.11"),
    ("ocpp==2.0.0", "websockets==16.0"),
)
"""One after the other in one environment; what is not named stays."""


def _oldest_python() -> str:
    """Return a Python 3.10, also one that pyenv keeps off the path; where there is none, the Python that runs this."""
    ask = ["python3.10", "-c", "import sys; print(sys.executable)"]
    with suppress(OSError):
        told = subprocess.run(  # noqa: S603 - the command is the line above
            ask, env={**os.environ, "PYENV_VERSION": "3.10"}, capture_output=True, text=True, check=False
        )
        if told.returncode == 0:
            return told.stdout.strip()
    return sys.executable


def _install(session: nox.Session, *arguments: str) -> None:
    session.install("--quiet", "--no-compile", *arguments)


def _run(session: nox.Session, *arguments: str) -> None:
    # ocpp 1.0 warns of its own enumerations when it is imported.
    quiet = ("-W", "ignore:Action enum contains deprecated:DeprecationWarning")
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *arguments, *session.posargs)


@nox.session
@nox.parametrize(
    ["python", "seam"],
    [
        nox.param(_oldest_python(), "oldest", id="oldest"),
        nox.param(sys.executable, "between", id="between"),
        nox.param(sys.executable, "newest", id="newest"),
    ],
)
def seams(session: nox.Session, seam: str) -> None:
    """Run what stands on other libraries with one choice of their versions, or with several."""
    if seam == "oldest":
        if "3.10" not in str(session.run("python", "--version", silent=True)):
            session.warn("there is no Python 3.10 here: the oldest libraries run on this Python instead")
        _install(session, "--editable", ".[embedded]", *PYTEST, *OLDEST)
        _run(session, *SPREAD, *ALL)
    elif seam == "newest":
        _install(session, "--upgrade", "--upgrade-strategy", "eager", "--editable", ".[embedded]", *PYTEST)
        # mongomock-motor asks for Motor, and needs it for nothing: here nothing may.
        session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "motor")
        _run(session, *SPREAD, *ALL)
    else:
        for versions in BETWEEN:
            _install(session, *(() if versions is not BETWEEN[0] else ("--editable", ".", *PYTEST)), *versions)
            _run(session, *CAPTURE)
