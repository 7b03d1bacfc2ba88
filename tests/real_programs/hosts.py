"""Starts programs of others as their users do, recorded by ``ocpp-mongo run`` and not changed in anything."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from relay import Relay
from stations import Recorded
from waiting import wait_until

# Read before the environment is cleaned for the first test.
PROGRAMS = Path(os.environ.get("OCPP_MONGO_PROGRAMS", ".venv-programs")).absolute()
BIN = PROGRAMS / "bin"
CSMS = Path(__file__).with_name("csms_of_calls.py")
KEEP_ALL = {"OCPP_MONGO_DATA_TRANSFER": '{"*": "keep"}', "OCPP_MONGO_UNSAFE_KEEP_CREDENTIALS": "true"}
"""Settings under which what is stored is what crossed, to the byte."""


class Host:
    """A program that runs."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def output(self) -> str:
        """What it has printed, errors too."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def says(self, pattern: str) -> str:
        """Wait until it has printed something; return the group."""
        found = wait_until(lambda: re.search(pattern, self.output) or self._has_ended(), 60)
        return found[1]

    def _has_ended(self) -> None:
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"

    def stop(self, by: int = signal.SIGINT) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(by)
        return self.process.wait(30)


def environment(uri: str | None, database: str, **more: str) -> dict[str, str]:
    """Return the environment of a recorded program; without a URI, of one that is not."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OCPP_MONGO_", "PYTEST_"))}
    recording = {} if uri is None else {"OCPP_MONGO_URI": uri, "OCPP_MONGO_DATABASE": database}
    return {**clean, **recording, **more}


def command(*words: Any, is_recorded: bool = True) -> list[str]:
    """Return a command line of the programs' virtual environment."""
    program, *arguments = map(str, words)
    plain = [str(BIN / program), *arguments]
    return [str(BIN / "ocpp-mongo"), "run", "--", *plain] if is_recorded else plain


@contextmanager
def running(words: Sequence[str], env: dict[str, str], directory: Path) -> Iterator[Host]:
    """A program in a directory of its own; killed at the end if it still runs."""
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            words, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield Host(process, output)
        finally:
            if process.poll() is None:
                process.kill()


@asynccontextmanager
async def central_system(words: list[str], env: dict[str, str], directory: Path) -> AsyncIterator[tuple[Host, Relay]]:
    """A program on ocpp_csms, behind a relay."""
    with running(words, env, directory) as host:
        async with Relay(int(host.says(r"listening on port (\d+)"))) as relay:
            yield host, relay


def write_calls(path: Path, stations: Mapping[str, Recorded]) -> Path:
    """Write what csms_of_calls.py asks."""
    path.write_text(json.dumps({station_id: known.asked for station_id, known in stations.items()}))
    return path


def replay(env: dict[str, str]) -> str:
    """Have what is left in journals stored; return what that prints."""
    words = [str(BIN / "ocpp-mongo"), "journal", "replay"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
