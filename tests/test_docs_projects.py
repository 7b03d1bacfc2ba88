"""docs/use-in-your-project.md and docs/importing.md: what they show is run, or as far as it can be without a container."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from ocpp.v16 import ChargePoint, call
from pymongo.database import Database
from test_cli import run
from waiting import wait_until
from websockets.asyncio.client import connect

from ocpp_mongo_plugin import uninstall
from ocpp_mongo_plugin.cli.app import app
from ocpp_mongo_plugin.settings import PREFIX, Settings

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "use-in-your-project.md").read_text("utf-8")
IMPORTING = (DOCS / "importing.md").read_text("utf-8")
FILES = dict(re.findall(r"```python\n# ([\w./]+\.py)\n(.*?)```", PAGE, re.DOTALL))
[MANIFEST] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
YAML = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
[DOCKERFILE] = re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL)

Plain = Database[dict[str, Any]]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def environment(mongo_uri: str, database_name: str, tmp_path: Path) -> dict[str, str]:
    recorded = {"OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": database_name}
    journals = {"OCPP_MONGO_JOURNAL_DIRECTORY": str(tmp_path / "journals")}
    return {**os.environ, **recorded, **journals, "OCPP_MONGO_LOAD_PLUGINS": "false"}


def file_of(name: str, directory: Path, port: int) -> Path:
    """Write an example, for another port and without what its test leaves out."""
    path = directory / name
    path.write_text(FILES[name].replace("9000", str(port)), "utf-8")
    return path


def without_recording(path: Path) -> None:
    """Take every line out that is ours, as the program was before."""
    kept = [
        line for line in path.read_text("utf-8").splitlines() if not re.search("ocpp_mongo_plugin|install|plugin", line)
    ]
    path.write_text("\n".join(kept).replace("        async with connect", "    async with connect") + "\n", "utf-8")


@contextmanager
def running(command: list[str], environment: dict[str, str], port: int, cwd: Path) -> Iterator[None]:
    with subprocess.Popen(command, env=environment, cwd=cwd, stderr=subprocess.PIPE, text=True) as process:

        def listens() -> bool:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(listens, 30)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


async def boot(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/CP001", subprotocols=["ocpp1.6"]) as connection:
        station = ChargePoint("CP001", connection)
        reading = asyncio.create_task(station.start())
        answer = await station.call(call.BootNotification(charge_point_vendor="Volta", charge_point_model="Home 7"))
        assert answer.status == "Accepted"
        reading.cancel()


def ends(plain: Plain) -> dict[str, int]:
    """Return how many frames each end of the connection has on record."""
    counts: dict[str, int] = {}
    for message in plain.ocpp_messages.find():
        is_stations = (message["origin"] == "station") == (message["direction"] == "sent")
        end = "station" if is_stations else "csms"
        counts[end] = counts.get(end, 0) + 1
    return counts


@pytest.mark.programs
def test_the_station_and_the_back_end_are_recorded_from_both_ends(
    port: int, environment: dict[str, str], tmp_path: Path, plain: Plain
) -> None:
    station, csms = (file_of(name, tmp_path, port) for name in ("station.py", "csms.py"))
    with running([sys.executable, str(csms)], environment, port, tmp_path):
        done = subprocess.run(
            [sys.executable, str(station)], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"[24] frames\n", done.stdout)
        wait_until(lambda: ends(plain) == {"station": 2, "csms": 2})


@pytest.mark.programs
def test_programs_that_know_nothing_of_it_are_recorded_by_the_command_that_is_shown(
    port: int, environment: dict[str, str], tmp_path: Path, plain: Plain
) -> None:
    [shown] = re.findall(r"```console\n(.*?)\n```", PAGE)
    assert shown == "ocpp-mongo run -- python station.py"
    assert YAML[1]["services"]["csms"]["command"] == "ocpp-mongo run -- python csms.py"
    for name in ("station.py", "csms.py"):
        without_recording(file_of(name, tmp_path, port))
        assert "ocpp_mongo" not in (tmp_path / name).read_text("utf-8")
    command = [sys.executable, "-m", "ocpp_mongo_plugin.cli", "run", "--", sys.executable]
    with running([*command, "csms.py"], environment, port, tmp_path):
        done = subprocess.run(
            [*command, "station.py"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        wait_until(lambda: ends(plain) == {"station": 2, "csms": 2})


@pytest.mark.programs
def test_the_application_of_fastapi_is_recorded_and_answers_with_what_is_stored(
    port: int, environment: dict[str, str], tmp_path: Path, plain: Plain
) -> None:
    from urllib.request import urlopen  # noqa: PLC0415 - of this test alone

    file_of("app.py", tmp_path, port)
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    with running(command, environment, port, tmp_path):
        asyncio.run(boot(port))
        with urlopen(f"http://127.0.0.1:{port}/messages/CP001") as answer:
            found = json.loads(answer.read())
    assert [message["action"] for message in found] == ["BootNotification"] * 2
    assert ends(plain) == {"csms": 2}


class HomeAssistant:
    """What an integration sees of Home Assistant, as far as these files look."""

    def __init__(self) -> None:
        self.bus = self
        self.listeners: dict[str, Any] = {}

    async def async_add_executor_job(self, work: Any) -> Any:
        return await asyncio.to_thread(work)

    def async_listen_once(self, event: str, listener: Any) -> None:
        self.listeners[event] = listener


async def test_the_integration_of_home_assistant_records_from_its_setup_to_the_stop(
    mongo_uri: str, database_name: str, plain: Plain, tmp_path: Path
) -> None:
    from test_testing import CONVERSATION  # noqa: PLC0415 - two real ends over a wire

    manifest = json.loads(MANIFEST)
    assert {"domain", "name", "version", "requirements", "codeowners", "documentation"} <= set(manifest)
    settings = {**YAML[0]["ocpp_mongo"], "uri": mongo_uri, "database": database_name}
    assert set(settings) <= set(Settings.model_fields)
    settings["journal_directory"] = str(tmp_path)
    component: dict[str, Any] = {}
    exec(FILES["__init__.py"], component)  # noqa: S102 - it is our own documentation
    conversation: dict[str, Any] = {}
    exec(CONVERSATION.format(tests=str(Path(__file__).parent)), conversation)  # noqa: S102
    hass = HomeAssistant()
    try:
        assert await component["async_setup"](hass, {manifest["domain"]: settings})
        await conversation["charge"]("CP001")
        await hass.listeners["homeassistant_stop"](None)
        assert plain.ocpp_messages.count_documents({}) == 16
        assert plain.transactions.find_one({})["energy_consumed"] == 12300  # type: ignore[index]
        await conversation["charge"]("CP002")
        assert plain.ocpp_messages.count_documents({"station_id": "CP002"}) == 0
    finally:
        uninstall()


def test_the_test_of_pytest_passes(pytester: pytest.Pytester) -> None:
    from test_testing import CONVERSATION  # noqa: PLC0415

    program = CONVERSATION.format(tests=str(Path(__file__).parent))
    pytester.makepyfile(station_under_test=f"{program}\nboot = charge\n", test_station=FILES["test_station.py"])
    pytester.runpytest_subprocess("--asyncio-mode=auto").assert_outcomes(passed=1)


def test_the_compose_file_is_whole_and_sets_what_can_be_set() -> None:
    compose = YAML[1]
    assert set(compose) == {"services", "volumes"}
    mongo, csms = compose["services"]["mongo"], compose["services"]["csms"]
    assert set(compose["services"]) == {"mongo", "csms"}
    for service in (mongo, csms):
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in compose["volumes"]
    for name in csms["environment"]:
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields
    assert csms["environment"]["OCPP_MONGO_JOURNAL_DIRECTORY"] == csms["volumes"][0].partition(":")[2]
    assert csms["environment"]["OCPP_MONGO_URI"] == "mongodb://mongo:27017"
    assert csms["depends_on"] == ["mongo"]
    assert mongo["healthcheck"]["test"][0] == "CMD"
    words = shlex.split(csms["command"])
    assert words[0] == "ocpp-mongo"
    assert words[1] in {command.name or command.callback.__name__ for command in app.registered_commands}
    assert re.findall(r"^COPY (\S+)", DOCKERFILE, re.MULTILINE) == [words[-1]]
    assert 'pip install --no-cache-dir "ocpp-mongo-plugin[cli]"' in DOCKERFILE


@pytest.mark.programs
def test_the_dry_run_that_is_shown_is_what_is_said(tmp_path: Path) -> None:
    [log] = re.findall(r"```text\n(.*?)```", IMPORTING, re.DOTALL)
    [(command, said)] = re.findall(r"```console\n\$ (.*?)\n(.*?)```", IMPORTING, re.DOTALL)
    (tmp_path / "app.log").write_text(log, "utf-8")
    words = [str(tmp_path / word) if word == "app.log" else word for word in shlex.split(command)[1:]]
    done = run(*words)
    assert done.returncode == 0
    assert done.stdout.replace(f"{tmp_path}/", "") == said


def test_every_option_of_an_import_is_on_its_page() -> None:
    command = typer.main.get_command(app).commands["import"]  # type: ignore[attr-defined]
    options = {option.opts[0] for option in command.params if option.opts[0].startswith("--")} - {"--uri", "--database"}
    assert options == {"--format", "--side", "--protocol-version", "--timezone", "--prefix", "--dry-run"}
    assert all(option in IMPORTING for option in options)
