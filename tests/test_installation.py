"""``install``, ``uninstall`` and ``ocpp_mongo_plugin.auto``: one recorder, whoever asked for it."""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from ocpp.charge_point import ChargePoint as BaseChargePoint
from ocpp.v16 import ChargePoint
from pydantic import TypeAdapter, ValidationError
from running import PROGRAMS, environment
from test_startup import modules_after
from waiting import wait_until
from wire import join

from ocpp_mongo_plugin import MongoPlugin, NotStartedError, SettingError, auto, hookimpl, install, switches, uninstall
from ocpp_mongo_plugin.installation import install_automatically
from ocpp_mongo_plugin.seam import SEAM

NOBODY = "mongodb://127.0.0.1:1/"
TEXT = '[2,"1","Heartbeat",{}]'


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OCPP_MONGO_OPERATION_TIMEOUT", "1")
    before = {cls: dict(cls.__dict__) for cls in (BaseChargePoint, ChargePoint)}
    threads = set(threading.enumerate())
    yield
    uninstall(0)
    assert {cls: dict(cls.__dict__) for cls in (BaseChargePoint, ChargePoint)} == before
    assert not SEAM.captures
    # The driver may still be looking for a server that is not there.
    wait_until(lambda: {one for one in threading.enumerate() if one.name.startswith("ocpp-mongo")} <= threads)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a server that is not there, and its frames wait in memory."""
    monkeypatch.setenv("OCPP_MONGO_URI", NOBODY)
    monkeypatch.setenv("OCPP_MONGO_SHUTDOWN_TIMEOUT", "0")


async def send(station_id: str = "CP1") -> ChargePoint:
    charge_point = ChargePoint(station_id, join()[0])
    await charge_point._send(TEXT)
    return charge_point


# -- on and off ---------------------------------------------------------------------------------------------------


def test_it_needs_no_loop_and_stores_what_was_captured(mongo_uri: str, plain: Any):
    installed = install(mongo_uri, plain.name)
    assert isinstance(installed, MongoPlugin)
    asyncio.run(send())
    assert uninstall(10) is True
    assert [message["raw"] for message in plain.ocpp_messages.find()] == [TEXT]
    asyncio.run(send())
    assert installed.stats.captured == 1
    assert uninstall() is True


async def test_within_a_loop_its_reads_work_as_those_of_any_plugin(mock_database: Any):
    plugin = install(database=mock_database)
    await send()
    (message,) = await plugin.messages.find()
    assert message.raw == TEXT
    assert uninstall() is True


def test_reading_clients_of_loops_that_are_over_or_run_elsewhere_are_closed(mongo_uri: str, plain: Any):
    plugin = install(mongo_uri, plain.name)
    asyncio.run(send())
    assert len(asyncio.run(plugin.messages.find())) == 1
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert len(asyncio.run_coroutine_threadsafe(plugin.messages.find(), loop).result(10)) == 1
    assert uninstall(10) is True
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_what_could_not_be_stored_in_time_is_told(nobody: None):
    plugin = install()
    asyncio.run(send())
    assert uninstall(0) is False
    assert plugin.stats.lost == {"shutdown": 1}


def test_a_second_install_is_the_first(mock_database: Any):
    plugin = install(database=mock_database, batch_size=7)
    assert install() is plugin
    assert install(database=mock_database, batch_size=7) is plugin
    other = []
    thread = threading.Thread(target=lambda: other.append(install()))
    thread.start()
    thread.join()
    assert other == [plugin]


def test_many_threads_at_once_install_one(nobody: None):
    gate, found = threading.Barrier(8), []

    def take_part() -> None:
        gate.wait()
        found.append(install())

    threads = [threading.Thread(target=take_part) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert len(SEAM.captures) == 1


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"batch_size": 8}, "another batch_size;"),
        ({"uri": "mongodb://elsewhere:canary@host/"}, "another uri;"),
        ({"database": "other", "batch_size": 8}, "another database and batch_size;"),
        ({"database": AsyncMongoMockClient()["lab"]}, "another database;"),
        ({"batch_sise": 7}, "there is no setting 'batch_sise'; did you mean batch_size? the settings are uri,"),
    ],
)
def test_other_settings_than_those_that_run_are_refused(nobody: None, other: dict[str, Any], named: str):
    plugin = install(batch_size=7)
    with pytest.raises(SettingError) as refused:
        install(**other)
    assert named in str(refused.value)
    assert "canary" not in str(refused.value)
    assert install(batch_size=7) is plugin


def test_a_wrong_setting_installs_nothing(mock_database: Any):
    with pytest.raises(SettingError, match="batch_size"):
        install(database=mock_database, batch_size=0)
    assert install(database=mock_database).health.state == "ok"


def test_what_was_closed_by_hand_begins_again(mock_database: Any):
    plugin = install(database=mock_database)
    asyncio.run(plugin.close())
    assert plugin.health.state == "down"
    assert install() is plugin
    assert plugin.health.state == "ok"


def test_without_a_uri_one_warning_says_where_frames_go(caplog: pytest.LogCaptureFixture):
    assert install().durability == "memory"
    install()
    (record,) = caplog.records
    assert record.getMessage() == (
        "OCPP_MONGO_URI is not set: recording into mongodb://localhost:27017, and frames wait in memory"
    )


def test_the_default_uri_that_somebody_gave_is_a_uri(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    assert MongoPlugin("mongodb://localhost:27017").durability == "journal"
    assert MongoPlugin().durability == "memory"


# -- turned off ---------------------------------------------------------------------------------------------------


def test_disabled_it_records_nothing(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "1")
    plugin = install(database=mock_database)
    assert install_automatically() is plugin
    assert not SEAM.captures
    with pytest.raises(NotStartedError):
        plugin.record("CP1", "sent", TEXT)


async def test_a_plugin_of_the_program_is_not_disabled(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "1")
    async with MongoPlugin(database=mock_database) as plugin:
        await send()
        assert plugin.stats.captured == 1


def test_a_switch_takes_the_words_that_settings_take(monkeypatch: pytest.MonkeyPatch):
    settings = TypeAdapter(bool)
    for word in (*switches.TRUE, *switches.FALSE):
        monkeypatch.setenv("OCPP_MONGO_DISABLE", word.upper())
        assert switches.is_on("OCPP_MONGO_DISABLE") is settings.validate_python(word) is (word in switches.TRUE)
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "")
    assert not switches.is_on("OCPP_MONGO_DISABLE")
    monkeypatch.setenv("OCPP_MONGO_DISABLE", "maybe")
    with pytest.raises(SettingError, match="OCPP_MONGO_DISABLE"):
        switches.is_on("OCPP_MONGO_DISABLE")
    with pytest.raises(ValidationError):
        settings.validate_python("maybe")


# -- beside a plugin of the program's own -------------------------------------------------------------------------


async def test_what_the_program_records_into_the_same_place_is_left_to_it(nobody: None):
    automatic = install_automatically()
    assert automatic is not None
    await send()
    async with MongoPlugin("mongodb://localhost:1") as own:
        await send()
        assert (automatic.stats.captured, own.stats.captured) == (1, 1)
    await send()
    assert (automatic.stats.captured, own.stats.captured) == (2, 1)


async def test_a_connection_that_lives_through_it_is_recorded_once_at_any_time(nobody: None):
    automatic = install_automatically()
    assert automatic is not None
    charge_point = await send()
    async with MongoPlugin() as own:
        await charge_point._send(TEXT)
        assert (automatic.stats.captured, own.stats.captured) == (1, 1)
    await charge_point._send(TEXT)
    assert (automatic.stats.captured, own.stats.captured) == (2, 1)


async def test_only_what_the_program_records_is_left_to_it(nobody: None):
    automatic = install_automatically()
    assert automatic is not None
    async with MongoPlugin(record_all=False) as own:
        own.attach(charge_point := ChargePoint("CP2", join()[0]))
        await send()
        await charge_point._send(TEXT)
        assert (automatic.stats.captured, own.stats.captured) == (1, 1)


@pytest.mark.parametrize(
    "other", [{"database": "elsewhere"}, {"uri": "mongodb://127.0.0.1:2/"}, {"messages_collection": "elsewhere"}]
)
async def test_another_place_is_another_matter(nobody: None, other: dict[str, Any]):
    automatic = install_automatically()
    assert automatic is not None
    async with MongoPlugin(**other) as own:
        await send()
        assert (automatic.stats.captured, own.stats.captured) == (1, 1)


async def test_databases_in_memory_are_the_same_only_where_their_client_is(mock_database: Any):
    plugins = [MongoPlugin(database=mock_database), MongoPlugin(database=mock_database.client[mock_database.name])]
    assert plugins[0].shares_its_place_with(plugins[1])
    assert not plugins[0].shares_its_place_with(MongoPlugin(database=AsyncMongoMockClient()[mock_database.name]))


async def test_what_the_program_installs_goes_before_what_its_environment_did(nobody: None):
    automatic = install_automatically()
    assert automatic is not None
    assert install() is automatic
    own = install(batch_size=7)
    await send()
    assert (automatic.stats.captured, own.stats.captured) == (0, 1)
    assert install_automatically() is own


def test_both_are_closed_by_one_deadline(nobody: None):
    plugins = [install_automatically(), install(batch_size=7, uri="mongodb://127.0.0.1:2/")]
    asyncio.run(send())
    begun = time.monotonic()
    assert uninstall(2) is False
    assert time.monotonic() - begun < 3.5  # not two times two
    assert [plugin and plugin.stats.lost for plugin in plugins] == [{"shutdown": 1}] * 2


def test_what_closing_one_raises_leaves_none_open(nobody: None, mock_database: Any):
    automatic = install_automatically()
    assert automatic is not None
    own = install(database=mock_database, batch_size=7)

    class Interrupting:
        @hookimpl
        def ocpp_session_closed(self, session: Any) -> None:
            wait_until(lambda: own._capture not in SEAM.captures)
            _thread.interrupt_main()

    own.register(Interrupting())
    asyncio.run(send())
    with pytest.raises(KeyboardInterrupt):
        uninstall(10)
    assert not SEAM.captures
    assert automatic.health.reason == "the plugin is not started"
    own.close_now(10)


# -- auto ---------------------------------------------------------------------------------------------------------

AUTO = "import ocpp_mongo_plugin.auto\n"
LIGHT = {"__future__", "ocpp_mongo_plugin"} | {f"ocpp_mongo_plugin.{name}" for name in ("auto", "switches", "errors")}


@pytest.mark.programs
@pytest.mark.parametrize("word", ["0", "1"])
def test_importing_auto_imports_nothing_else(monkeypatch: pytest.MonkeyPatch, word: str):
    monkeypatch.setenv("OCPP_MONGO_AUTO", word)
    assert modules_after(AUTO) <= LIGHT
    assert not modules_after(f"{AUTO}import asyncio") & {"wrapt", "pymongo", "pydantic"}


def program(code: str, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROGRAMS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(OCPP_MONGO_DURABILITY="memory", **variables),
    )
    return done.returncode, done.stdout, done.stderr


CAPTURED = "from ocpp_mongo_plugin import installation\np = installation._installation.automatic\n"
CAPTURED += "print(p and p.stats.captured)\n"
WORK = "from heartbeats import work\nwork('CP1')\n"


@pytest.mark.programs
@pytest.mark.parametrize("code", [AUTO + WORK, "from heartbeats import work\n" + AUTO + WORK], ids=["before", "after"])
def test_auto_records_what_imports_ocpp_before_or_after_it(mongo_uri: str, plain: Any, code: str):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": plain.name}
    assert program(code, OCPP_MONGO_OPERATION_TIMEOUT="10", OCPP_MONGO_SHUTDOWN_TIMEOUT="10", **told) == (0, "", "")
    assert plain.ocpp_messages.count_documents({}) == 10


@pytest.mark.programs
@pytest.mark.parametrize(
    "variables",
    [{}, {"OCPP_MONGO_AUTO": "no"}, {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_DISABLE": "yes"}],
    ids=["not asked", "asked not to", "disabled"],
)
def test_auto_does_nothing_unless_it_is_asked(variables: dict[str, str]):
    assert program(AUTO + WORK + CAPTURED, OCPP_MONGO_URI=NOBODY, **variables) == (0, "None\n", "")


MISSING = "import sys\nsys.modules['{name}'] = None\n"


@pytest.mark.programs
@pytest.mark.parametrize(
    ("before", "variables", "sentence"),
    [
        ("", {"OCPP_MONGO_AUTO": "maybe"}, "OCPP_MONGO_AUTO is wrong: it takes 1 or 0, true or false"),
        ("", {"OCPP_MONGO_DISABLE": "maybe"}, "OCPP_MONGO_DISABLE is wrong: it takes 1 or 0, true or false"),
        ("", {"OCPP_MONGO_BATCH_SIZE": "none"}, "setting OCPP_MONGO_BATCH_SIZE is wrong: "),
        ("", {"OCPP_MONGO_URI": "mongodb://me:secret@host:port"}, "is no MongoDB URI (mongodb://me:***@host:port)"),
        (MISSING.format(name="wrapt"), {}, "import of wrapt halted"),
        (MISSING.format(name="pymongo"), {}, "import of pymongo halted"),
    ],
)
def test_what_is_wrong_is_one_warning_and_the_program_runs(before: str, variables: dict[str, str], sentence: str):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, **variables}
    code, out, said = program(f"{before}{AUTO}{WORK}print('ran')", **told)
    assert (code, out) == (0, "ran\n")
    assert said.startswith("this program is not recorded: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.programs
def test_what_imported_a_part_of_ocpp_before_auto_is_recorded():
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_LOG": os.devnull}
    told["OCPP_MONGO_SHUTDOWN_TIMEOUT"] = "0"
    assert program(f"import ocpp.exceptions\n{AUTO}{WORK}{CAPTURED}", **told) == (0, "10\n", "")


WORKERS = "import multiprocessing.spawn\nfrom ocpp_mongo_plugin import children\nprint(children._following.module)\n"


@pytest.mark.programs
@pytest.mark.parametrize("library", ["", "import multiprocessing.spawn\n", "import ocpp.exceptions\n"])
def test_uninstall_has_the_last_word_until_install(library: str):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_LOG": os.devnull}
    told["OCPP_MONGO_SHUTDOWN_TIMEOUT"] = "0"
    off = f"{AUTO}{library}from ocpp_mongo_plugin import install, uninstall\nuninstall()\n"
    on = "own = install()\nwork('CP1')\nprint(own.stats.captured)\n"
    assert program(f"{off}{WORK}{CAPTURED}{WORKERS}{on}", **told)[:2] == (0, "None\nNone\n10\n")


@pytest.mark.programs
def test_the_program_warns_as_without_us():
    code = "import warnings\ndef say():\n    warnings.warn('said')\nsay()\nimport ocpp.charge_point\nsay()\n"
    told = {"OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_LOG": os.devnull, "OCPP_MONGO_SHUTDOWN_TIMEOUT": "0"}
    alone = program(AUTO + code, **told)
    assert alone[2].count("said") == 1
    assert program(AUTO + code, OCPP_MONGO_AUTO="1", **told) == alone


@pytest.mark.programs
def test_our_libraries_have_nothing_to_warn_of(tmp_path: Path):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_LOG": str(tmp_path / "log")}
    told |= {"PYTHONWARNINGS": "error", "OCPP_MONGO_SHUTDOWN_TIMEOUT": "0"}
    assert program(AUTO + WORK + CAPTURED, **told) == (0, "10\n", "")
    assert "not recorded" not in (tmp_path / "log").read_text()


@pytest.mark.programs
def test_a_log_that_cannot_be_opened_is_nothing_to_the_program(tmp_path: Path):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_LOG": str(tmp_path / "none" / "log")}
    assert program(AUTO + WORK + CAPTURED, OCPP_MONGO_SHUTDOWN_TIMEOUT="0", **told) == (0, "10\n", "")


class Raising(logging.Handler):
    """A handler of the program that raises."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
        raise RuntimeError


def test_a_log_of_the_program_that_raises_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCPP_MONGO_SHUTDOWN_TIMEOUT", "0")
    log = logging.getLogger("ocpp_mongo_plugin")
    handler = Raising()
    log.addHandler(handler)
    try:
        plugin = install(operation_timeout=1)
        asyncio.run(send())
        wait_until(lambda: len(handler.told) == 2)
        assert handler.told[0].startswith("OCPP_MONGO_URI is not set")
        assert plugin.health.state == "degraded"
        assert uninstall(0) is False
    finally:
        log.removeHandler(handler)


def test_who_waits_for_an_import_and_was_overtaken_lets_it_pass(monkeypatch: pytest.MonkeyPatch):
    class Overtaken(list):  # type: ignore[type-arg]
        """Finders, of which another thread takes one out between a look and the taking."""

        def __contains__(self, _one: object) -> bool:
            return True

    monkeypatch.setattr(sys, "meta_path", Overtaken(sys.meta_path))
    assert auto._Watch().find_spec("ocpp") is None


DEADLOCK = """
import os, sys, threading
sys.path.insert(0, {tests!r})
import ocpp_mongo_plugin.auto
from ocpp_mongo_plugin import install
from waiting import wait_until
from wrapt import register_post_import_hook

def waits_for_the_import():
    frame = sys._current_frames().get(installing.ident)
    while frame is not None:
        if frame.f_code.co_name == "acquire" and getattr(frame.f_locals.get("self"), "name", "") == "ocpp.charge_point":
            return True
        frame = frame.f_back
    return False

def hold(module):
    installing.start()
    wait_until(waits_for_the_import)

def work():
    import ocpp.v16

installing = threading.Thread(target=install, daemon=True)
importing = threading.Thread(target=work, daemon=True)
register_post_import_hook(hold, "ocpp.charge_point")
importing.start()
importing.join(10)
installing.join(10)
print(importing.is_alive(), installing.is_alive(), flush=True)
os._exit(0)
"""


@pytest.mark.programs
def test_a_thread_that_imports_ocpp_and_one_that_installs_do_not_wait_for_each_other():
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": NOBODY, "OCPP_MONGO_LOG": os.devnull}
    code = DEADLOCK.format(tests=str(Path(__file__).parent))
    assert program(code, OCPP_MONGO_LOAD_PLUGINS="0", **told) == (0, "False False\n", "")


async def test_the_log_of_the_program_has_nothing_of_the_drivers(
    mongo_uri: str,
    database_name: str,
    plain: Any,
    caplog: pytest.LogCaptureFixture,
    logged_of_clients: Callable[[], list[str]],
):
    caplog.set_level(logging.DEBUG)
    install(mongo_uri, database_name)
    await send()
    assert uninstall(10) is True
    assert logged_of_clients() == []
    assert plain.ocpp_messages.count_documents({}) == 1
    assert [record for record in caplog.records if record.name == "pymongo.command"] != []
