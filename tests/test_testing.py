"""The pytest plugin as host projects see it: test suites of their own, run by pytester."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import mongomock
import mongomock_motor  # noqa: F401 - a run of pytester forgets modules that it loaded, and parts of packages with them
import ocpp.v16  # noqa: F401
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

import ocpp_mongo_plugin.plugin
import ocpp_mongo_plugin.testing.databases
from ocpp_mongo_plugin.testing import OcppRecording, TransactionOnRecord

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
CONVERSATION = """
import asyncio
import sys

sys.path.insert(0, {tests!r})  # the wire alone
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from wire import join

NOW = "2026-03-01T12:00:00Z"


class Csms(ChargePoint):
    @on("BootNotification")
    async def boot(self, **_):
        return call_result.BootNotification(current_time=NOW, interval=10, status="Accepted")

    @on("StatusNotification")
    async def status(self, **_):
        return call_result.StatusNotification()

    @on("StartTransaction")
    async def start_transaction(self, **_):
        return call_result.StartTransaction(transaction_id=7, id_tag_info={{"status": "Accepted"}})

    @on("StopTransaction")
    async def stop_transaction(self, **_):
        return call_result.StopTransaction()


async def charge(station_id="CP001"):
    one, other = join()
    station, csms = ChargePoint(station_id, one), Csms(station_id, other)
    ends = [asyncio.create_task(end.start()) for end in (station, csms)]
    await station.call(call.BootNotification(charge_point_model="m", charge_point_vendor="v"))
    await station.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
    await station.call(call.StartTransaction(connector_id=1, id_tag="TAG", meter_start=0, timestamp=NOW))
    stop = call.StopTransaction(transaction_id=7, meter_stop=12300, timestamp=NOW, reason="Local")
    await station.call(stop)
    for end in ends:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
"""
INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
addopts = -p no:cacheprovider
filterwarnings = error
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A test suite of somebody's own, in which charging is one line."""
    pytester.makepyfile(conversation=CONVERSATION.format(tests=str(ROOT / "tests")))
    pytester.makefile(".ini", pytest=INI)
    monkeypatch.delenv("CI", raising=False)  # pytest would not shorten anything there, we do
    return pytester


GOOD = """
import pytest
from ocpp_mongo_plugin import ArgumentError

def is_good(recording):
    station = recording.station("CP001")
    [boot] = station.answered("BootNotification", status="Accepted", times=1)
    assert boot.answer.latency_ms >= 0
    station.called("StartTransaction", {"idTag": "TAG"}, connector_id=1)
    station.answered("StartTransaction", id_tag_info={"status": "Accepted"})
    station.never_called("Reset")
    for wrong in (lambda: station.never_called("Reeset"), lambda: recording.seen_from("statoin")):
        with pytest.raises(ArgumentError):
            wrong()
    station.has_status("Charging", connector=1)
    station.transaction(connector=1).delivered(kwh=12.3).delivered(wh=12300).completed("Local").started_by("TAG")
    recording.nothing_unanswered()
    recording.no_anomalies()
    recording.in_order("BootNotification", "StartTransaction answered", "StopTransaction")
    recording.in_order("BootNotification", "StatusNotification", "StartTransaction", "StopTransaction", only=True)
    recording.seen_from("station").answered("BootNotification", times=1)
    recording.station("CP002").nothing_recorded()
    assert [message.direction for message in station.messages("BootNotification")] == ["received", "sent"]
"""


def test_tests_without_a_loop_see_what_their_own_loops_did(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        good=GOOD,
        test_host="""
        import asyncio
        from conversation import charge
        from good import is_good

        def test_it(ocpp_recording):
            ocpp_recording.nothing_recorded()
            asyncio.run(charge())
            is_good(ocpp_recording)

        def test_each_test_has_its_own(ocpp_recording):
            ocpp_recording.nothing_recorded()
        """,
    )
    suite.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_tests_of_pytest_asyncio(suite: pytest.Pytester, mode: str) -> None:
    suite.makepyfile(
        good=GOOD,
        test_host=f"""
        import pytest
        from conversation import charge
        from good import is_good

        {"pytestmark = pytest.mark.asyncio" if mode == "strict" else ""}

        @pytest.fixture
        def of_their_own(ocpp_recording):
            return ocpp_recording.station("CP001")

        async def test_it(ocpp_recording):
            await charge()
            is_good(ocpp_recording)
            assert len(await ocpp_recording.plugin.messages.find(station_id="CP001", action="BootNotification")) == 4

        async def test_fixtures_that_stand_on_ours(of_their_own):
            await charge()
            of_their_own.answered("BootNotification", times=1)
        """,
    )
    suite.runpytest_inprocess(f"--asyncio-mode={mode}").assert_outcomes(passed=2)


def test_tests_of_anyio(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        good=GOOD,
        test_host="""
        import pytest
        from conversation import charge
        from good import is_good

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_it(ocpp_recording):
            await charge()
            is_good(ocpp_recording)
        """,
    )
    suite.runpytest_inprocess("-p", "anyio", "--asyncio-mode=strict").assert_outcomes(passed=1)


STRICT = """
import asyncio
import gc
import os
import threading

import pytest


@pytest.fixture{autouse}
def nothing_is_left({before}):
    gc.collect()
    threads = set(threading.enumerate())
    files = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    yield
    gc.collect()
    assert set(threading.enumerate()) <= threads
    if files:
        assert len(os.listdir("/proc/self/fd")) <= len(files)
"""


@pytest.mark.mongod
@pytest.mark.parametrize("database", ["memory", "mongod"])
@pytest.mark.parametrize("order", ["around the fixture", "within the fixture"])
def test_suites_that_fail_on_what_is_left_over_find_nothing(
    suite: pytest.Pytester, database: str, order: str, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCPP_MONGO_URI", mongo_uri)
    around = order == "around the fixture"
    suite.makeconftest(
        STRICT.format(autouse="(autouse=True)" if around else "", before="" if around else "ocpp_recording")
    )
    suite.makepyfile(
        test_host=f"""
        import asyncio
        import pytest
        from conversation import charge

        pytestmark = pytest.mark.asyncio

        async def test_warm(ocpp_recording):
            await charge()

        async def test_it({"ocpp_recording" if around else "nothing_is_left, ocpp_recording"}):
            await charge()
            ocpp_recording.station("CP001").transaction().delivered(kwh=12.3)
            assert asyncio.all_tasks() == {{asyncio.current_task()}}
        """
    )
    if around:  # what libraries keep for good is made by the first test
        suite.makepyfile(test_a_first="def test_first(ocpp_recording): pass")
    result = suite.runpytest_subprocess("-W", "error", f"--ocpp-recording-database={database}")
    assert result.ret == 0, result.stdout.str()


@pytest.mark.mongod
def test_databases_on_a_server_are_each_tests_own_and_dropped(
    suite: pytest.Pytester, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCPP_MONGO_URI", mongo_uri)
    suite.makepyfile(
        test_host="""
        import asyncio
        import pytest
        from conversation import charge

        seen = set()

        @pytest.mark.ocpp_recording(database="mongod")
        @pytest.mark.parametrize("number", [1, 2])
        def test_it(ocpp_recording, number):
            asyncio.run(charge())
            database = ocpp_recording.database
            assert type(database).__module__.startswith("pymongo.")
            assert database.name not in seen
            assert database.ocpp_messages.count_documents({}) == 16
            seen.add(database.name)
            print("name is", database.name)

        def test_others_stay_in_memory(ocpp_recording):
            assert type(ocpp_recording.database).__module__.startswith("mongomock.")
        """
    )
    result = suite.runpytest_inprocess("-s")
    result.assert_outcomes(passed=3)
    names = [line.split()[-1].strip(".") for line in result.outlines if "name is" in line]
    assert len(names) == 2
    with MongoClient[dict[str, object]](mongo_uri) as client:
        assert not set(names) & set(client.list_database_names())


@pytest.mark.parametrize(
    "uri", ["mongodb://u:s3cret@h:port/", "mongodb://u:s3/cret@h/", "u:s3cret@h", "mongodb//u:s3cret@h"]
)
def test_a_uri_that_cannot_be_used_is_one_sentence_without_the_password(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("OCPP_MONGO_URI", uri)
    suite.makepyfile(test_host="def test_it(ocpp_recording): pass")
    result = suite.runpytest_inprocess("--ocpp-recording-database=mongod")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*is no MongoDB URI that can be used*"])
    assert "cret" not in result.stdout.str()


@pytest.mark.mongod
def test_without_a_uri_the_session_has_a_mongod_of_its_own(suite: pytest.Pytester, mongo_uri: str) -> None:
    suite.makepyfile(
        test_host="""
        def test_it(ocpp_recording, ocpp_recording_server):
            print("server is", ocpp_recording_server)
            assert ocpp_recording.plugin.settings.uri.get_secret_value().startswith(ocpp_recording_server)
        """
    )
    suite.makefile(".ini", pytest=INI + "ocpp_recording_database = mongod\n")
    result = suite.runpytest_subprocess("-s")
    result.assert_outcomes(passed=1)
    uri = next(line.split()[-1].rstrip(".") for line in result.outlines if "server is" in line)
    assert uri != mongo_uri
    with (
        MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=200) as client,
        pytest.raises(Exception, match="refused"),
    ):
        client.admin.command("ping")


def test_without_a_server_or_the_mock_one_sentence_says_what_to_do(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        import pytest

        def test_mock(ocpp_recording): pass

        @pytest.mark.ocpp_recording(database="mongod")
        def test_server(ocpp_recording): pass

        @pytest.mark.ocpp_recording(database="oracle")
        def test_other(ocpp_recording): pass

        @pytest.mark.ocpp_recording("mongod")
        def test_argument(ocpp_recording): pass
        """,
        conftest="""
        import sys
        import ocpp_mongo_plugin.embedded

        sys.modules["mongomock_motor"] = None
        ocpp_mongo_plugin.embedded.find_mongod = lambda: None
        """,
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        [
            '*pip install "ocpp-mongo-plugin[[]memory]"*--ocpp-recording-database=mongod*',
            "*there is no mongod for this test: set OCPP_MONGO_URI, put one on PATH*",
            "*ocpp_recording_database takes memory or mongod, not 'oracle'*",
            "*the mark ocpp_recording takes keywords only*",
        ]
    )
    assert "UsageError" not in result.stdout.str()


def test_a_wrong_setting_of_the_mark_is_one_sentence(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        import pytest

        @pytest.mark.ocpp_recording(overflow="burst")
        def test_setting(ocpp_recording): pass
        """
    )
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ocpp_recording cannot record: setting overflow is wrong*"])
    assert "SettingError" not in result.stdout.str()


def test_a_recording_that_cannot_begin_leaves_nothing_behind(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AutoReconnect("gone")

    monkeypatch.setattr(mongomock.Collection, "list_indexes", refused)
    monkeypatch.setattr(ocpp_mongo_plugin.testing.databases, "_PATIENCE", 0.5)
    suite.makepyfile(
        test_host="""
        import threading
        import conversation  # by its path, too
        from waiting import wait_until

        from ocpp_mongo_plugin.seam import SEAM

        before = set(threading.enumerate())

        def test_with_it(ocpp_recording): pass

        def test_after_it():
            assert not SEAM.captures
            wait_until(lambda: set(threading.enumerate()) <= before)
        """
    )
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*ocpp_recording cannot record: MongoDB*did not take what waits within 0.5 s*"])


def test_settings_come_from_the_mark_and_not_from_the_environment(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCPP_MONGO_EXCLUDE_ACTIONS", "BootNotification")
    monkeypatch.setenv("OCPP_MONGO_MESSAGES_COLLECTION", "elsewhere")
    suite.makepyfile(
        test_host="""
        import asyncio
        import pytest
        from conversation import charge

        pytestmark = pytest.mark.ocpp_recording(personal_data="drop", exclude_actions={"StatusNotification"})

        @pytest.mark.ocpp_recording(personal_data="keep")
        def test_the_nearest_mark_counts(ocpp_recording):
            asyncio.run(charge())
            ocpp_recording.called("BootNotification")
            ocpp_recording.never_called("StatusNotification")
            ocpp_recording.called("StartTransaction", id_tag="TAG")

        def test_the_other(ocpp_recording):
            asyncio.run(charge())
            ocpp_recording.called("StartTransaction", id_tag="***")
        """
    )
    suite.runpytest_inprocess("--strict-markers").assert_outcomes(passed=2)
    suite.makepyfile(
        test_host="""
        import pytest

        @pytest.mark.ocpp_recording(batch_size="many")
        def test_it(ocpp_recording): pass
        """
    )
    suite.runpytest_inprocess().stdout.fnmatch_lines(["*setting batch_size is wrong:*"])


# -- what a failed assertion says -------------------------------------------------------------------------------

FAILURES: list[tuple[str, list[str]]] = [
    (
        'r.station("CP001").answered("BootNotification", status="Rejected", times=1)',
        [
            "expected one BootNotification of station 'CP001' to be answered with status='Rejected'",
            "on record: 1 BootNotification",
            '  BootNotification {"chargePointModel": "m", *}, BootNotification answered {*"status": "Accepted"}',
            "frames of station 'CP001' in order (and 8 from the other end of the connection):",
            "  ??:??:??.???  station -> csms  BootNotification             {*",
            "  ??:??:??.???  csms -> station  BootNotification answered    {*",
        ],
    ),
    (
        'r.answered("Heartbeat")',
        ["expected a Heartbeat to be answered", "on record: no Heartbeat", "frames in order *", "  * CP001 station -> *"],
    ),
    (
        'r.called("StartTransaction", id_tag="OTHER", times=2)',
        ["expected two StartTransaction with id_tag='OTHER' to be called", "on record: 1 StartTransaction"],
    ),
    (
        'r.never_called("StopTransaction", reason="Local")',
        ["expected no StopTransaction with reason='Local' to be called", "on record: 1 StopTransaction"],
    ),
    (
        'r.refused("BootNotification", "NotImplemented")',
        ["expected a BootNotification to be refused with NotImplemented", "on record: 1 BootNotification"],
    ),
    (
        'r.in_order("StopTransaction", "BootNotification")',
        ["expected frames in this order: StopTransaction, BootNotification", "on record: no BootNotification after StopTransaction"],
    ),
    (
        'r.station("CP001").in_order("BootNotification", "StopTransaction", only=True)',
        [
            "expected exactly these frames of station 'CP001': BootNotification, StopTransaction",
            "on record: BootNotification, StatusNotification, StartTransaction, StopTransaction",
        ],
    ),
    ("r.nothing_recorded()", ["expected no frame", "on record: 8"]),
    (
        'r.station("CP001").has_status("Faulted", connector=1)',
        ["expected connector 1 of station 'CP001' to be Faulted", "on record: 'CP001' Charging"],
    ),
    (
        'r.station("CP001").has_status("Faulted", connector=2)',
        ["expected connector 2 of station 'CP001' to be Faulted", "on record: no status of connector 2"],
    ),
    (
        "r.transaction(connector=2)",
        [
            "expected one transaction on connector 2",
            "on record: 1 transaction(s):",
            "  transaction 7 on connector 1 of station 'CP001'  completed  12.3 kWh",
        ],
    ),
    (
        "r.transaction(connector=1).delivered(kwh=12)",
        [
            "expected transaction 7 on connector 1 of station 'CP001' to have delivered 12 kWh",
            "on record: 12.3 kWh (12300 Wh), meter from 0 to 12300 Wh",
        ],
    ),
    ("r.transaction().is_active()", ["expected transaction 7 * to be active", "on record: it is completed"]),
    ("r.transaction().failed()", ["expected transaction 7 * to be failed", "on record: it is completed"]),
    ('r.transaction().completed("Remote")', ["expected transaction 7 * to be completed for Remote", "on record: Local"]),
    ('r.transaction().started_by("X")', ["expected transaction 7 * to be started by 'X'", "on record: 'TAG'"]),
    (
        'r.station("CP009").called("Heartbeat")',
        ["expected a Heartbeat of station 'CP009' to be called", "no frames of station 'CP009' on record"],
    ),
    (
        'r.station("CPO01").nothing_unanswered()',
        ["expected frames of station 'CPO01'", "on record: none; stations are 'CP001'"],
    ),
    (
        'r.station("CPO01").no_anomalies()',
        ["expected frames of station 'CPO01'", "on record: none; stations are 'CP001'"],
    ),
    (
        'r.seen_from("station").called("Heartbeat")',
        ["expected a Heartbeat as seen from the station to be called"],
    ),
    (
        "odd(r); r.nothing_unanswered()",
        ["expected every call to be answered", "on record: no answer to Heartbeat {}"],
    ),
    (
        "odd(r); r.no_anomalies()",
        ["expected nothing odd", "on record: transaction *: *", "  no OCPP message AT+CSQ: not JSON*"],
    ),
    (
        "odd(r); r.transaction(id=99).no_anomalies()",
        ["expected nothing odd about transaction 99 of station 'CP001'", "on record: *"],
    ),
]  # fmt: skip
ODD = """
def odd(r):
    for text in (
        '[2,"h","Heartbeat",{}]',
        "AT+CSQ",
        '[2,"s","StopTransaction",{"transactionId":99,"meterStop":5,"timestamp":"2026-03-01T12:00:00Z"}]',
        '[3,"s",{}]',
    ):
        direction = "sent" if text.startswith("[3") else "received"
        r.plugin.record("CP001", direction, text, "1.6", origin="csms" if direction == "sent" else "station")
"""


def test_each_failed_assertion_says_what_was_expected_and_what_is_on_record(suite: pytest.Pytester) -> None:
    tests = [
        f"def test_{n:02}(ocpp_recording):\n    r = ocpp_recording\n    asyncio.run(charge())\n    {code}\n"
        for n, (code, _) in enumerate(FAILURES)
    ]
    suite.makepyfile(
        test_host="import asyncio\nimport pytest\nfrom conversation import charge\n" + ODD + "\n" + "\n".join(tests)
    )
    result = suite.runpytest_inprocess("-vv")
    result.assert_outcomes(failed=len(FAILURES))
    sections = result.stdout.str().split("\n____")
    for n, (code, expected) in enumerate(FAILURES):
        section = next(one for one in sections if f" test_{n:02} " in one.split("\n")[0])
        told = [line.removeprefix("E").strip(" ") for line in section.split("\n") if line.startswith("E")]
        told[0] = told[0].removeprefix("AssertionError: ")
        matcher = pytest.LineMatcher(told)
        matcher.fnmatch_lines([line.strip(" ").replace("[", "[[]") for line in expected])
        # The place that is shown is the user's line, and the table comes once.
        assert "assertions.py" not in section, code
        assert "OCPP frames on record" not in section, code


def test_a_failed_assert_of_the_hosts_own_gets_the_frames_in_its_report(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        import asyncio
        from conversation import charge

        def test_it(ocpp_recording):
            asyncio.run(charge())
            assert 1 == 2
        """
    )
    result = suite.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*OCPP frames on record*", "*CP001 station -> csms*BootNotification*"])


def test_a_long_record_is_shown_in_part(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        def test_it(ocpp_recording):
            for n in range(100):
                ocpp_recording.plugin.record("CP1", "received", f'[2,"{n}","Heartbeat",{{}}]', "1.6")
            ocpp_recording.called("Reset")
        """
    )
    result = suite.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*... 70 more ...*"])
    assert sum("Heartbeat" in line for line in result.outlines if line.startswith("E ")) == 30


def test_frames_are_in_the_order_in_which_they_crossed_also_while_the_clock_stands(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        from datetime import datetime, timezone

        def test_it(ocpp_recording):
            at = datetime(2026, 1, 1, tzinfo=timezone.utc)
            names = [f"S{n * 7 % 10}" for n in range(10)]
            for name in names:
                ocpp_recording.plugin.record(name, "received", '[2,"1","Heartbeat",{}]', "1.6", timestamp=at)
            assert [message.station_id for message in ocpp_recording.messages()] == names
        """
    )
    suite.runpytest_inprocess().assert_outcomes(passed=1)


# -- what a suite that does not use it sees ---------------------------------------------------------------------


def test_loading_the_plugin_loads_nothing_but_pytest_and_the_standard_library() -> None:
    code = (
        "import sys, pytest\nbefore = set(sys.modules)\nimport ocpp_mongo_plugin.testing\n"
        "print(*sorted({name for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    ours = {name for name in loaded if name.startswith("ocpp_mongo_plugin")}
    package = "ocpp_mongo_plugin.testing"
    assert ours == {"ocpp_mongo_plugin", package, f"{package}.assertions", f"{package}.tables"}
    assert {name.partition(".")[0] for name in loaded} - {"ocpp_mongo_plugin"} <= set(sys.stdlib_module_names)


def test_a_suite_that_does_not_use_it_loads_no_driver(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        import sys

        def test_it():
            assert "ocpp_mongo_plugin.testing" in sys.modules
            assert not {"pymongo", "beanie", "pydantic", "ocpp", "mongomock_motor"} & set(sys.modules)
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_can_be_left_out(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(ocpp_recording): pass")
    result = suite.runpytest_subprocess("-p", "no:ocpp_mongo")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'ocpp_recording' not found*"])


def test_the_fixture_and_the_option_are_listed_with_what_they_are(suite: pytest.Pytester) -> None:
    suite.runpytest_inprocess("--fixtures").stdout.fnmatch_lines(
        ["ocpp_recording -- *", "*Everything that ChargePoints of this process send and receive*"]
    )
    suite.runpytest_inprocess("--help").stdout.fnmatch_lines(["*--ocpp-recording-database={memory,mongod}*"])
    suite.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.ocpp_recording(*"])


def test_a_program_that_imported_the_package_before_it_runs_pytest_is_not_warned(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(): pass")
    code = "import ocpp_mongo_plugin, pytest, sys; sys.exit(pytest.main(['-W', 'error']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_environment_of_the_host_is_left_as_it_is(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_host="""
        import os
        import pytest

        before = dict(os.environ)

        def test_it(ocpp_recording):
            now = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
            assert now == {k: v for k, v in before.items() if not k.startswith("PYTEST_")}
        """
    )
    suite.runpytest_inprocess().assert_outcomes(passed=1)
    assert "OCPP_MONGO_URI" not in os.environ


# -- the documentation ------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


@pytest.mark.mongod
def test_the_documents_examples_are_a_suite_that_passes_and_fails_as_it_says(
    suite: pytest.Pytester, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCPP_MONGO_URI", mongo_uri)
    program = CONVERSATION.format(tests=str(ROOT / "tests"))
    status = next(line for line in program.splitlines() if "call.StatusNotification" in line)
    suite.makepyfile(program=program.replace(f"{status}\n", ""))
    files = re.findall(r"```python\n# (test_\w+)\.py\n(.*?)```", PAGE, re.DOTALL)
    assert len(files) == PAGE.count("```python") == 4
    suite.makepyfile(**dict(files))
    suite.runpytest_inprocess().assert_outcomes(passed=4)

    suite.makepyfile(test_charging=dict(files)["test_charging"].replace('status="Accepted"', 'status="Rejected"'))
    result = suite.runpytest_inprocess("-k", "charged", "test_charging.py")
    told = [
        re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "12:00:00.000", line[1:].strip())
        for line in result.outlines
        if line.startswith("E ")
    ]
    [expected] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert [line.removeprefix("AssertionError: ") for line in told] == [line.strip() for line in expected.splitlines()]


def test_the_documents_tables_have_every_assertion_and_no_other() -> None:
    named = set(re.findall(r"`(\w+)\(", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    others = {"station", "seen_from", "messages", "transactions", "meter_values", "stations", "exchanges", "table"}
    public = {
        name
        for kind in (OcppRecording, TransactionOnRecord)
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith("_")
    }
    assert named == public - others - {"shown_unless_told"}
    assert all(f"`{name}(" in PAGE or f".{name}(" in PAGE for name in others)
