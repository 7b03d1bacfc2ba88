"""The entry point of the group ``ocpp``: a program with a plugin manager of its own is recorded."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest
from ocpp.v16 import ChargePoint
from running import environment
from test_hooks import GOOD, installing
from waiting import wait_until
from wire import join

from ocpp_mongo_plugin import hookspecs, uninstall
from ocpp_mongo_plugin.entry_point import Recording
from ocpp_mongo_plugin.hooks import OWN_NAME, Hooks
from ocpp_mongo_plugin.seam import SEAM

NOBODY = "mongodb://127.0.0.1:1/"
spec = pluggy.HookspecMarker("ocpp")


class Specs:
    """What some program specifies, in its own way."""

    @spec
    def ocpp_frame_sent(self, station, text, when): ...

    @spec
    def ocpp_menu(self): ...


@pytest.fixture(autouse=True)
def _uninstalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OCPP_MONGO_SHUTDOWN_TIMEOUT", "0")
    monkeypatch.setenv("OCPP_MONGO_LOAD_PLUGINS", "false")
    yield
    uninstall(0)
    assert not SEAM.captures


def manager(specs: object) -> pluggy.PluginManager:
    found = pluggy.PluginManager("ocpp")
    if specs is not None:
        found.add_hookspecs(specs)
    return found


@pytest.mark.parametrize("specs", [None, Specs, hookspecs], ids=["none", "its own", "ours"])
async def test_loading_the_group_records_whatever_hooks_the_program_has(
    specs: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OCPP_MONGO_URI", NOBODY)
    host = manager(specs)
    assert host.load_setuptools_entrypoints("ocpp") >= 1
    host.check_pending()
    recording = host.get_plugin(OWN_NAME)
    assert isinstance(recording, Recording)
    await ChargePoint("CP1", join()[0])._send('[2,"1","Heartbeat",{}]')
    assert recording.plugin is not None
    assert recording.plugin.stats.captured == 1
    assert len(SEAM.captures) == 1
    manager(specs).load_setuptools_entrypoints("ocpp")
    assert len(SEAM.captures) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_loaded_anew_after_uninstall_it_records_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_URI", NOBODY)
    for _ in range(2):
        manager(None).load_setuptools_entrypoints("ocpp")
        assert len(SEAM.captures) == 1
        uninstall(0)
        assert not SEAM.captures


def test_unregistering_does_not_stop_it_and_uninstall_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_URI", NOBODY)
    host = manager(None)
    host.load_setuptools_entrypoints("ocpp")
    host.unregister(name=OWN_NAME)
    assert len(SEAM.captures) == 1
    uninstall(0)
    assert not SEAM.captures


def test_a_blocked_name_is_not_loaded():
    host = manager(None)
    host.set_blocked(OWN_NAME)
    host.load_setuptools_entrypoints("ocpp")
    assert not SEAM.captures


def test_disabled_it_is_loaded_and_records_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "1")
    host = manager(None)
    host.load_setuptools_entrypoints("ocpp")
    assert host.has_plugin(OWN_NAME)
    assert not SEAM.captures
    assert caplog.records == []


def test_without_a_uri_it_records_into_memory_first_and_warns_once(caplog: pytest.LogCaptureFixture):
    host = manager(None)
    host.load_setuptools_entrypoints("ocpp")
    assert host.get_plugin(OWN_NAME).plugin.durability == "memory"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["OCPP_MONGO_URI is not set"]


def test_a_wrong_setting_is_a_warning_and_no_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("OCPP_MONGO_URI", "mongodb://me:secret@host:port")
    host = manager(None)
    host.load_setuptools_entrypoints("ocpp")
    assert host.get_plugin(OWN_NAME).plugin is None
    (record,) = caplog.records
    assert "OCPP_MONGO_URI is no MongoDB URI" in record.getMessage()
    assert "secret" not in record.getMessage()


# -- plugins of others --------------------------------------------------------------------------------------------

Install = Callable[..., None]


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install plugins, of a name and the source of their module, for this test and the programs that it starts."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("OCPP_MONGO_LOAD_PLUGINS")
    with installing(tmp_path, monkeypatch) as install:
        yield lambda name, source: install(f"ocpp-{name}", f"ocpp_{name}", source, name)


MISSPELT = GOOD.replace("ocpp_frame_sent", "ocpp_frame_send")


def test_only_chosen_plugins_are_loaded(others: Install, caplog: pytest.LogCaptureFixture):
    others("one", GOOD)
    others("two", GOOD)
    hooks = Hooks(load_entry_points={"two", "three"})
    assert [name for name, _ in hooks.manager.list_name_plugin() if name in ("one", "two", "three")] == ["two"]
    assert "ocpp_one" not in sys.modules
    (record,) = caplog.records
    assert record.getMessage() == (
        "plugin 'three' is not loaded: OCPP_MONGO_LOAD_PLUGINS names it, and no plugin of this name is installed"
    )


@pytest.mark.parametrize("load", [True, {"good"}])
def test_nothing_that_pends_is_ever_registered(others: Install, load: Any):
    others("good", GOOD)
    others("misspelt", MISSPELT)
    hooks = Hooks(load_entry_points=load)
    hooks.manager.check_pending()
    assert not hooks.manager.has_plugin("misspelt")


def test_a_manager_of_the_program_with_our_hooks_finds_what_is_misspelt(
    others: Install, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "1")
    others("good", GOOD)
    host = manager(hookspecs)
    host.load_setuptools_entrypoints("ocpp")
    host.check_pending()
    others("misspelt", MISSPELT)
    host.load_setuptools_entrypoints("ocpp")
    with pytest.raises(pluggy.PluginValidationError, match="ocpp_frame_send"):
        host.check_pending()


def test_what_is_to_be_loaded_later_is_loaded_once_when_it_is_asked_for(others: Install):
    others("good", GOOD)
    hooks = Hooks(load_entry_points={"good"}, later=True)
    assert "ocpp_good" not in sys.modules
    assert (hooks.are_loaded, hooks.installed) == (False, ())
    hooks.load()
    installed = hooks.installed
    assert hooks.are_loaded
    assert {plugin.name: plugin.state for plugin in installed}["good"] == "loaded"
    hooks.load()
    assert hooks.installed is installed


def test_where_nothing_of_others_is_installed_nothing_is_put_off():
    assert Hooks(load_entry_points=True, later=True).are_loaded


def test_who_stores_waits_for_plugins_that_another_thread_loads(others: Install):
    others(
        "slow",
        "import sys, threading\nat_it, go_on = threading.Event(), threading.Event()\nat_it.set(); go_on.wait(10)\n",
    )
    hooks = Hooks(load_entry_points={"slow"}, later=True)
    loading = threading.Thread(target=hooks.load)
    loading.start()
    module = wait_until(lambda: sys.modules.get("ocpp_slow"))
    wait_until(lambda: hasattr(module, "go_on"))
    waited: list[bool] = []

    def wait() -> None:
        hooks.wait_until_loaded()
        waited.append(hooks.manager.has_plugin("slow"))

    storing = threading.Thread(target=wait)
    storing.start()
    hooks.load()
    assert not hooks.are_loaded
    module.go_on.set()
    loading.join(10)
    storing.join(10)
    assert waited == [True]


HOST = """
print("the program's module runs")
from ocpp.v16 import ChargePoint
REGISTRY = []
class Nobody:
    async def send(self, text): pass
async def main():
    for number in range(3):
        await ChargePoint("CP", Nobody())._send("[2]")
"""
PLUGIN = """
from ocpp_mongo_plugin import hookimpl
from hostapp import REGISTRY
@hookimpl
def ocpp_frame_sent(frame):
    REGISTRY.append(frame)
"""


@pytest.mark.programs
def test_a_plugin_of_the_program_itself_is_not_loaded_while_the_program_is_being_imported(
    others: Install, tmp_path: Path
):
    (tmp_path / "hostapp.py").write_text(HOST)
    others("own", PLUGIN)
    code = "import ocpp_mongo_plugin.auto, asyncio, hostapp; asyncio.run(hostapp.main()); print(len(hostapp.REGISTRY))"
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_DURABILITY": "memory"}
    told["OCPP_MONGO_LOG"] = os.devnull
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment(**told)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the program's module runs\n3\n", "")


def listed(*arguments: str, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ocpp_mongo_plugin.cli", "plugins", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**variables),
    )
    return done.returncode, done.stdout, done.stderr


OURS = "ours      ocpp-mongo: ocpp-mongo-plugin 0.1.0 (ocpp_mongo_plugin.entry_point:recording), for plugin managers of others"


@pytest.mark.programs
def test_the_list_says_what_recording_would_load(others: Install):
    others("good", GOOD)
    assert listed() == (0, f"loaded    good: ocpp-good 1.5 (ocpp_good): ocpp_frame_sent\n{OURS}\n", "")
    left_out = "left out  good: ocpp-good 1.5 (ocpp_good), since OCPP_MONGO_LOAD_PLUGINS does not name it"
    assert listed(OCPP_MONGO_LOAD_PLUGINS="false") == (0, f"{left_out}\n{OURS}\n", "")
    others("misspelt", MISSPELT)
    code, lines, said = listed()
    assert (code, said) == (1, "")
    (failed,) = [line for line in lines.splitlines() if line.startswith("failed")]
    assert failed.startswith("failed    misspelt: ocpp-misspelt 1.5 (ocpp_misspelt): ArgumentError: ")
    assert "there is no hook 'ocpp_frame_send'" in failed
    assert listed(OCPP_MONGO_LOAD_PLUGINS="good")[0] == 0


@pytest.mark.programs
def test_the_list_for_programs_says_the_same(others: Install):
    others("good", GOOD)
    code, text, said = listed("--json", OCPP_MONGO_LOAD_PLUGINS="good,absent")
    assert (code, said) == (1, "")
    found = {plugin["name"]: plugin for plugin in json.loads(text)["plugins"]}
    assert {name: plugin["state"] for name, plugin in found.items()} == {
        "good": "loaded",
        OWN_NAME: "ours",
        "absent": "failed",
    }
    assert found["good"] == {
        "name": "good",
        "distribution": "ocpp-good",
        "version": "1.5",
        "value": "ocpp_good",
        "state": "loaded",
        "reason": "",
        "hooks": ["ocpp_frame_sent"],
    }


@pytest.mark.parametrize("value", ["", " , "])
def test_a_choice_of_nothing_is_refused(value: str):
    code, _, said = listed(OCPP_MONGO_LOAD_PLUGINS=value)
    assert code == 1
    assert said == (
        "ocpp-mongo: setting OCPP_MONGO_LOAD_PLUGINS is wrong: it takes true, false, or names of plugins with commas "
        "between them\n"
    )
