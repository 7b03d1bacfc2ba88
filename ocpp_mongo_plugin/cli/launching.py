"""Starts a command whose Python programs are recorded.

Hides how recording gets into them. Promises that the command takes the place of this process, so that its exit code,
its signals, its streams and its process id are its own, and that what is wrong with a setting is said before it runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from ocpp_mongo_plugin import switches
from ocpp_mongo_plugin.cli.terminal import say
from ocpp_mongo_plugin.errors import OcppMongoError, SettingError

WRONG_SETTING, NOT_EXECUTABLE, NOT_FOUND = 2, 126, 127
"""Exit codes, the last two as a shell's."""

_STARTUP = Path(__file__).parent.parent / "startup"
_PATIENCE_SECONDS = 2.0


class Options(NamedTuple):
    """How the command is recorded."""

    settings: Mapping[str, str | None]
    """By name; None for what the environment or the default says."""
    children: bool
    """Whether Python programs that a recorded program starts are recorded as well."""
    check: bool
    """Whether to look if MongoDB answers."""
    log: Path | None
    """File for what the package logs; None for nowhere."""


def launch(command: Sequence[str], options: Options) -> int:
    """Replace this process by the command; return an exit code where that cannot be."""
    try:
        if not switches.is_on(switches.DISABLE):
            os.environ.update(_variables(options))
            _look_at(options)
    except SettingError as error:
        say(str(error))
        return WRONG_SETTING
    return _run(_resolved(command))


def _variables(options: Options) -> dict[str, str]:
    """Return what the program is to find in its environment."""
    told = {f"OCPP_MONGO_{name.upper()}": value for name, value in options.settings.items() if value is not None}
    told[switches.AUTO] = "1"
    told[switches.LOG] = str(options.log.absolute()) if options.log else os.devnull
    if options.children:
        told[switches.CHILDREN] = "1"
    path = os.environ.get("PYTHONPATH")
    told["PYTHONPATH"] = f"{_STARTUP}{os.pathsep}{path}" if path else str(_STARTUP)
    if path is not None:
        told["OCPP_MONGO_PYTHONPATH"] = path
    return told


def _look_at(options: Options) -> None:
    """Say once where frames go to, when that is not as it should be.

    Raises:
        SettingError: a setting is wrong.
    """
    from ocpp_mongo_plugin.cli.server import connected, settings_of  # noqa: PLC0415
    from ocpp_mongo_plugin.plugin import check_uri  # noqa: PLC0415

    settings = settings_of(None, None)
    check_uri(settings)
    if not options.check:
        return
    try:
        with connected(settings, patience=_PATIENCE_SECONDS):
            pass
    except SettingError:
        raise
    except OcppMongoError as error:
        say(f"{error}; frames wait, and the program runs all the same")


def _resolved(command: Sequence[str]) -> list[str]:
    """Return the command with this interpreter before it where it is Python's to run."""
    first = command[0]
    if first.startswith("-"):
        return [sys.executable, *command]
    if shutil.which(first) is None and first.endswith(".py") and Path(first).is_file():
        return [sys.executable, *command]
    return [*command]


def _run(command: list[str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if sys.platform == "win32":
            return _wait_for(command)
        _become(command)
    except FileNotFoundError:
        say(f"{command[0]}: there is no such command")
        return NOT_FOUND
    except OSError as error:
        say(f"{command[0]} cannot be executed: {error.strerror}")
        return NOT_EXECUTABLE


def _become(command: list[str]) -> NoReturn:
    for name in ("SIGPIPE", "SIGXFSZ"):
        # This interpreter ignores them, and what is ignored stays so in whatever takes its place.
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - the user's own command


def _wait_for(command: list[str]) -> int:
    """Do what can be done where no process can become another: wait, and leave ^C to the program."""
    import subprocess  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)  # noqa: S603 - the user's own command
