"""Starts a command whose Python programs are recorded.

Hides how recording gets into them. Promises that the command takes the place of this process, so that its exit code,
its signals, its streams and its process id are its own, and that what is wrong with a setting is said before it runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ocpp_mongo_plugin import switches
from ocpp_mongo_plugin.cli.terminal import say
from ocpp_mongo_plugin.errors import OcppMongoError, SettingError

if TYPE_CHECKING:
    from ocpp_mongo_plugin.settings import Settings

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
        switches.is_on(switches.CHILDREN)  # a wrong word is said here, where somebody looks
        if not switches.is_on(switches.DISABLE):
            said = _look_at(command, options)
            _prepare(os.environ, options)
            for sentence in said:
                say(sentence)
    except SettingError as error:
        say(str(error))
        return WRONG_SETTING
    return _run(_resolved(command))


def _prepare(environment: MutableMapping[str, str], options: Options) -> None:
    """Put into the environment what the program is to find there.

    Raises:
        SettingError: nothing can be written to the log.
    """
    told = {f"OCPP_MONGO_{name.upper()}": value for name, value in options.settings.items() if value is not None}
    environment.update(told)
    environment[switches.AUTO] = "1"
    if options.children:
        environment[switches.CHILDREN] = "1"
    if options.log is not None:
        environment[switches.LOG] = str(options.log.absolute())
    environment[switches.LOG] = environment.get(switches.LOG) or os.devnull  # empty is as good as none
    try:
        Path(environment[switches.LOG]).open("a").close()
    except OSError as error:
        raise SettingError(f"nothing can be written to the log {environment[switches.LOG]}: {error.strerror}") from None
    environment.pop(switches.USERS_PATH, None)
    path = environment.get("PYTHONPATH")
    if path is not None:
        environment[switches.USERS_PATH] = path
    environment["PYTHONPATH"] = f"{_STARTUP}{os.pathsep}{path}" if path else str(_STARTUP)


def _look_at(command: Sequence[str], options: Options) -> list[str]:
    """Return what a person should know of the settings, and of where frames go; nothing where all is as it should be.

    Raises:
        SettingError: a setting is wrong.
    """
    from ocpp_mongo_plugin.cli.server import connected, shown  # noqa: PLC0415 - it takes the driver
    from ocpp_mongo_plugin.settings import check_uri, read_settings, unknown_variables  # noqa: PLC0415

    settings = read_settings(options.settings)
    check_uri(settings)
    is_told = settings.has_uri
    trouble = None if is_told else f"no --uri and no OCPP_MONGO_URI: recording into {shown(settings)}"
    if options.check:
        try:
            with connected(settings, patience=_PATIENCE_SECONDS):
                pass
        except SettingError:
            raise
        except OcppMongoError as error:
            trouble = str(error) if is_told else f"no --uri and no OCPP_MONGO_URI, and {error}"
    said = unknown_variables()
    if trouble is not None:
        place = _waiting_place(settings, command)
        said.append(f"{trouble}; frames wait in {place}, and the program runs all the same")
    return said


def _waiting_place(settings: Settings, command: Sequence[str]) -> str:
    from ocpp_mongo_plugin.destination import journal_root  # noqa: PLC0415 - not for a program that is told of nothing
    from ocpp_mongo_plugin.journal import JournalError  # noqa: PLC0415

    is_test = any(Path(word).name == "pytest" for word in command)
    if settings.durability == "memory" or (settings.durability is None and (is_test or not settings.has_uri)):
        return "memory"
    try:
        return f"the journal in {journal_root(settings)}"
    except JournalError:
        return "memory"


def _resolved(command: Sequence[str]) -> list[str]:
    """Return the command with this interpreter before it where it is Python's to run."""
    first = command[0]
    if first.startswith("-"):
        return [sys.executable, *command]
    if shutil.which(first) is None and first.endswith(".py") and Path(first).is_file():
        return [sys.executable, *command]
    return [*command]


def _run(command: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as in a program that was started with it closed
            with suppress(OSError, ValueError):
                stream.flush()
    try:
        if sys.platform == "win32":
            return _wait_for(command)
        _become(command)
    except FileNotFoundError:
        say(f"{command[0]}: there is no such {'file' if command[0].endswith('.py') else 'command'}")
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
