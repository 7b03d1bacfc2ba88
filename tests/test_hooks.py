"""Hooks: who is called, in which order and thread, and that no plugin harms the host, the sink or another plugin."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import logging
import sys
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest
from bson import ObjectId

from ocpp_mongo_plugin import hookspecs
from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.facts import HeartbeatSeen
from ocpp_mongo_plugin.frames import Frame, Session
from ocpp_mongo_plugin.hooks import HOOKS, LATER_HOOKS, OWN_NAME, REDACT_HOOK, Hooks
from ocpp_mongo_plugin.hookspecs import (
    ConnectorView,
    FrameLoss,
    MessageView,
    ProjectedFact,
    StationView,
    TransactionView,
    hookimpl,
)

BOUND = 10
"""Seconds that nothing here takes, unless it hangs."""
AT = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
FRAME = Frame("CP1", "0" * 24, 0, "sent", "station", "1.6", AT, '[2,"1","Heartbeat",{}]')
TRANSACTION = TransactionView(key="a" * 24, transaction_id=7, station_id="CP1")
VALUES = {
    "ocpp_frame_sent": FRAME,
    "ocpp_frame_received": FRAME._replace(direction="received"),
    "ocpp_session_opened": Session("0" * 24, "CP1", "station", AT, "connecting"),
    "ocpp_session_closed": Session("0" * 24, "CP1", "station", AT, "disconnected", closed_at=AT),
    "ocpp_transaction_started": TRANSACTION,
    "ocpp_transaction_updated": TRANSACTION,
    "ocpp_transaction_ended": dataclasses.replace(TRANSACTION, status="completed"),
    "ocpp_station_changed": StationView("CP1"),
    "ocpp_frames_lost": FrameLoss("CP1", "0" * 24, 2, "buffer full", 3, 4, AT),
    "ocpp_redact": MessageView("CP1", "0" * 24, "sent", "1.6", "Call", "1", "DataTransfer", {"licensePlate": "B-AB 1"}),
    "ocpp_project": ProjectedFact(HeartbeatSeen(), "CP1", "0" * 24, "b" * 24, "1.6", AT),
}


class Persistence:
    """Stands where ours does: first of the frame hooks."""

    def __init__(self, log=None):
        self.log = [] if log is None else log

    @hookimpl(tryfirst=True)
    def ocpp_frame_sent(self, frame):
        self.log.append(("ours", frame))

    @hookimpl(tryfirst=True)
    def ocpp_frame_received(self, frame):
        self.log.append(("ours", frame))


def listener(*hooks, does):
    """Make a plugin that implements these hooks by ``does(value)``."""
    plugin = ModuleType("plugin")
    for hook in hooks:
        # pluggy goes by the name of the argument, which differs from hook to hook.
        function = eval(f"lambda {HOOKS[hook]}: does({HOOKS[hook]})", {"does": does})  # noqa: S307
        setattr(plugin, hook, hookimpl(function))
    return plugin


def raising(error):
    def does(_value):
        raise error

    return does


@pytest.fixture
def hooks():
    made = Hooks(load_entry_points=False)
    yield made
    made.stop(BOUND)


@pytest.fixture
def small():
    made = Hooks(load_entry_points=False, queue_size=2)
    yield made
    made.stop(BOUND)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind():
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(BOUND)
    assert set(threading.enumerate()) <= before


class Hanging:
    """A plugin whose hook says when it is entered, and returns when it is let go."""

    def __init__(self):
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.seen = []

    @hookimpl
    def ocpp_transaction_ended(self, transaction):
        self.seen.append(transaction)
        self.entered.set()
        self.let_go.wait(BOUND)


# -- the specifications ---------------------------------------------------------------------------------------------


def test_the_hooks_are_those_of_the_design():
    assert set(HOOKS) == set(VALUES)


@pytest.mark.parametrize("hook", VALUES)
def test_each_hook_takes_one_frozen_typed_value(hook):
    hints = get_type_hints(getattr(hookspecs, hook))
    returned = hints.pop("return")
    assert returned == (list[str] | None if hook == REDACT_HOOK else type(None))
    [(argument, kind)] = hints.items()
    assert argument == HOOKS[hook]
    assert isinstance(VALUES[hook], kind)
    with pytest.raises(AttributeError):
        VALUES[hook].station_id = "another"


def test_a_transaction_view_is_made_of_a_stored_document():
    document = {
        "_id": ObjectId("66" * 12),
        "transaction_id": 7,
        "station_id": "CP1",
        "connector_id": 1,
        "evse_id": None,
        "id_tag": "TAG",
        "start_timestamp": datetime(2024, 5, 1, 12),  # noqa: DTZ001 - as a client without tz_aware gives it
        "stop_timestamp": AT,
        "meter_start": 100,
        "meter_stop": 350.5,
        "meter_latest": 350.5,
        "energy_consumed": 250.5,
        "reason": "Local",
        "status": "completed",
        "protocol_version": "1.6",
        "anomalies": ["meter went backwards"],
        "clocks": {"start": "..."},
        "revision": 3,
    }
    view = TransactionView.of(document)
    expected = {name: document[name] for name in document.keys() - {"_id", "clocks", "revision"}}
    expected |= {"key": "66" * 12, "start_timestamp": AT, "anomalies": ("meter went backwards",)}
    assert dataclasses.asdict(view) == expected


def test_a_station_view_is_made_of_a_stored_document():
    document = {
        "_id": "CP1",
        "station_id": "CP1",
        "connection_status": "connected",
        "connected_at": AT,
        "last_heartbeat": AT,
        "last_error": "refused",
        "protocol_version": "2.0.1",
        "vendor": "V",
        "model": "M",
        "firmware_version": "1.2",
        "tags": ["roof"],
        "connectors": [{"connector_id": 1, "evse_id": 2, "status": "Occupied", "current_transaction_id": "t"}],
    }
    view = StationView.of(document)
    assert view.connectors == (ConnectorView(1, 2, "Occupied", "t"),)
    fields = {field.name for field in dataclasses.fields(view)} - {"connectors"}
    assert {name: getattr(view, name) for name in fields} == {name: document[name] for name in fields}


def test_views_of_a_document_with_nothing_but_its_identity():
    assert TransactionView.of({"_id": "a" * 24, "station_id": "CP1"}) == TransactionView("a" * 24, None, "CP1")
    assert StationView.of({"_id": "CP1", "station_id": "CP1", "connectors": None}) == StationView("CP1")
    assert ConnectorView.of({}) == ConnectorView(None)


# -- the frame hooks ------------------------------------------------------------------------------------------------


def test_a_frame_goes_to_ours_first_whatever_the_others_ask_for():
    log = []
    hooks = Hooks(Persistence(log), load_entry_points=False)

    class Eager:
        @hookimpl(tryfirst=True)
        def ocpp_frame_sent(self, frame):
            log.append(("eager", frame))

    class Late:
        @hookimpl(trylast=True)
        def ocpp_frame_sent(self, frame):
            log.append(("late", frame))

    hooks.register(Late())
    hooks.register(Eager())
    hooks.frame_sent(FRAME)
    assert log == [("ours", FRAME), ("eager", FRAME), ("late", FRAME)]


def test_the_two_directions_are_two_hooks():
    sent, received = [], []
    hooks = Hooks(load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=sent.append), "a")
    hooks.register(listener("ocpp_frame_received", does=received.append), "b")
    hooks.frame_sent("s")
    hooks.frame_received("r")
    assert (sent, received) == (["s"], ["r"])


def test_the_frame_hooks_run_in_the_turn_of_the_host_started_or_not():
    threads = []
    hooks = Hooks(load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=lambda _: threads.append(threading.current_thread())))
    hooks.frame_sent(FRAME)
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("error", [ValueError("canary"), asyncio.CancelledError(), RecursionError()])
def test_a_frame_hook_that_raises_harms_neither_the_host_nor_the_others(error, caplog):
    log = []
    hooks = Hooks(Persistence(log), load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=log.append), "before")
    hooks.register(listener("ocpp_frame_sent", does=raising(error)), "bad")
    hooks.register(listener("ocpp_frame_sent", does=log.append), "after")
    hooks.frame_sent(FRAME)
    assert log == [("ours", FRAME), FRAME, FRAME]
    assert hooks.hook_errors == {"bad": 1}
    [record] = caplog.records
    assert record.name == "ocpp_mongo_plugin"
    assert record.levelno == logging.WARNING
    line = record.getMessage()
    assert "'bad'" in line
    assert "ocpp_frame_sent" in line
    assert type(error).__name__ in line
    assert "canary" not in caplog.text


def test_ours_that_raises_keeps_nobody_else_from_the_frame():
    seen = []

    class Broken(Persistence):
        @hookimpl(tryfirst=True)
        def ocpp_frame_sent(self, frame):
            raise OSError

    hooks = Hooks(Broken(), load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=seen.append))
    hooks.frame_sent(FRAME)
    assert seen == [FRAME]
    assert hooks.hook_errors == {OWN_NAME: 1}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_of_the_host_is_not_kept_from_it(interruption):
    hooks = Hooks(load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=raising(interruption())))
    with pytest.raises(interruption):
        hooks.frame_sent(FRAME)
    assert hooks.hook_errors == {}


def test_nonsense_that_a_hook_returns_is_not_looked_at():
    log = []
    hooks = Hooks(Persistence(log), load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=lambda _: object()))
    assert hooks.frame_sent(FRAME) is None
    assert log == [("ours", FRAME)]
    assert hooks.hook_errors == {}


def test_a_hook_may_leave_its_argument_out():
    calls = []
    hooks = Hooks(load_entry_points=False)
    plugin = ModuleType("counting")
    plugin.ocpp_frame_sent = hookimpl(lambda: calls.append(1))
    hooks.register(plugin)
    hooks.frame_sent(FRAME)
    assert calls == [1]


def test_a_hook_that_raises_at_every_frame_is_named_once_a_minute(caplog):
    now = [0.0]
    hooks = Hooks(load_entry_points=False, clock=lambda: now[0])
    hooks.register(listener("ocpp_frame_sent", "ocpp_frame_received", does=raising(KeyError("canary"))), "bad")
    for _ in range(1000):
        hooks.frame_sent(FRAME)
    assert len(caplog.records) == 1
    hooks.frame_received(FRAME)
    assert len(caplog.records) == 2, "another hook of it is other news"
    now[0] = 59.9
    hooks.frame_sent(FRAME)
    assert len(caplog.records) == 2
    now[0] = 60.0
    hooks.frame_sent(FRAME)
    assert len(caplog.records) == 3
    assert "1003 errors" in caplog.records[-1].getMessage()
    assert hooks.hook_errors == {"bad": 1003}


def test_the_log_line_says_where_in_the_plugin_and_no_directory(caplog):
    class Bad:
        @hookimpl
        def ocpp_frame_sent(self, frame):
            int("canary")

    hooks = Hooks(load_entry_points=False)
    hooks.register(Bad())
    hooks.frame_sent(FRAME)
    line = Bad.ocpp_frame_sent.__code__.co_firstlineno + 2
    assert f" at {Path(__file__).name}:{line} " in caplog.records[0].getMessage()


# -- the hooks behind the sink --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", LATER_HOOKS)
def test_every_other_hook_gets_its_value_in_a_daemon_thread_of_the_plugin(hooks, hook):
    seen = []
    hooks.register(listener(hook, does=lambda value: seen.append((value, threading.current_thread()))), "mine")
    hooks.start()
    hooks.later(hook, VALUES[hook])
    hooks.stop(BOUND)
    [(value, thread)] = seen
    assert value is VALUES[hook]
    assert thread.daemon
    assert thread.name == "ocpp-mongo-hook-mine"
    assert not thread.is_alive()


def test_only_a_plugin_with_a_hook_behind_the_sink_has_a_thread():
    before = set(threading.enumerate())
    hooks = Hooks(Persistence(), load_entry_points=False)
    hooks.register(listener("ocpp_frame_sent", does=print))
    hooks.start()
    assert set(threading.enumerate()) == before
    hooks.register(listener("ocpp_station_changed", does=print), "second")
    assert {thread.name for thread in set(threading.enumerate()) - before} == {"ocpp-mongo-hook-second"}
    hooks.stop(BOUND)
    assert set(threading.enumerate()) == before


def test_wants_says_whether_anybody_listens_now(hooks):
    assert not any(map(hooks.wants, HOOKS))
    hooks.register(listener("ocpp_frame_sent", "ocpp_station_changed", does=print))
    assert [hook for hook in HOOKS if hooks.wants(hook)] == ["ocpp_frame_sent"], "not started"
    hooks.start()
    assert {hook for hook in HOOKS if hooks.wants(hook)} == {"ocpp_frame_sent", "ocpp_station_changed"}
    hooks.stop(BOUND)
    assert not hooks.wants("ocpp_station_changed")
    assert not hooks.wants("ocpp_no_such_hook")


def test_a_value_that_nobody_wants_is_nobodys_and_no_error(hooks):
    hooks.later("ocpp_station_changed", StationView("CP1"))
    hooks.start()
    hooks.later("ocpp_station_changed", StationView("CP1"))
    hooks.later("ocpp_no_such_hook", None)
    assert hooks.hook_dropped == {}


def test_calls_of_one_plugin_keep_their_order(hooks):
    seen = []
    hooks.register(listener("ocpp_station_changed", "ocpp_project", does=seen.append))
    hooks.start()
    for number in range(1000):
        hooks.later("ocpp_station_changed" if number % 2 else "ocpp_project", number)
    hooks.stop(BOUND)
    assert seen == list(range(1000))


def test_a_plugin_that_hangs_delays_neither_the_sink_nor_another_plugin(hooks):
    hanging, others = Hanging(), threading.Event()
    hooks.register(hanging)
    hooks.register(listener("ocpp_transaction_ended", does=lambda _: others.set()))
    hooks.start()
    hooks.later("ocpp_transaction_ended", TRANSACTION)
    assert hanging.entered.wait(BOUND)
    assert others.wait(BOUND)
    hanging.let_go.set()


@pytest.mark.parametrize("error", [ValueError("canary"), SystemExit(3), GeneratorExit(), KeyboardInterrupt()])
def test_a_hook_that_raises_in_its_thread_is_counted_named_and_called_again(hooks, error, caplog):
    seen = []

    def does(value):
        seen.append(value)
        raise error

    hooks.register(listener("ocpp_station_changed", does=does), "bad")
    hooks.start()
    hooks.later("ocpp_station_changed", 1)
    hooks.later("ocpp_station_changed", 2)
    hooks.stop(BOUND)
    assert seen == [1, 2]
    assert hooks.hook_errors == {"bad": 2}
    [record] = caplog.records
    assert "'bad'" in record.getMessage()
    assert "ocpp_station_changed" in record.getMessage()
    assert "canary" not in caplog.text


def test_what_overflows_is_dropped_counted_and_said_once(small, caplog):
    hanging, others = Hanging(), []
    small.register(hanging, "slow")
    small.register(listener("ocpp_transaction_ended", does=others.append))
    small.start()
    small.later("ocpp_transaction_ended", 0)
    assert hanging.entered.wait(BOUND)
    for number in range(1, 6):
        small.later("ocpp_transaction_ended", number)
    assert small.hook_dropped["slow"] == 3
    assert [record.getMessage().count("'slow' is too slow") for record in caplog.records].count(1) == 1
    hanging.let_go.set()
    small.stop(BOUND)
    assert hanging.seen == [0, 1, 2]


def test_stop_lets_what_waits_have_its_call(hooks):
    hanging = Hanging()
    hooks.register(hanging)
    hooks.start()
    for number in range(3):
        hooks.later("ocpp_transaction_ended", number)
    assert hanging.entered.wait(BOUND)
    hanging.let_go.set()
    hooks.stop(BOUND)
    assert hanging.seen == [0, 1, 2]
    assert hooks.hook_dropped == {}


def test_stop_gives_a_hanging_plugin_up_and_says_so(hooks, caplog):
    hanging = Hanging()
    hooks.register(hanging, "stuck")
    hooks.start()
    for number in range(3):
        hooks.later("ocpp_transaction_ended", number)
    assert hanging.entered.wait(BOUND)
    hooks.stop(0)
    assert hooks.hook_dropped == {"stuck": 2}
    [record] = caplog.records
    assert record.getMessage() == (
        "plugin 'stuck': hook ocpp_transaction_ended had not returned when recording ended; "
        "2 waiting calls were dropped"
    )
    hanging.let_go.set()  # the thread then ends of itself: the fixture sees to it
    assert hanging.seen == [0]


def test_start_and_stop_may_be_repeated(hooks):
    seen = []
    hooks.register(listener("ocpp_station_changed", does=seen.append))
    for number in range(3):
        hooks.start()
        hooks.start()
        hooks.later("ocpp_station_changed", number)
        hooks.stop(BOUND)
        hooks.stop(BOUND)
        hooks.later("ocpp_station_changed", "nobody listens")
    assert seen == [0, 1, 2]


def test_a_call_that_comes_while_the_threads_end_is_counted_and_no_sign_of_slowness(hooks, caplog):
    hooks.register(listener("ocpp_station_changed", does=print), "mine")
    hooks.start()
    as_another_thread_saw_it = hooks._later
    hooks.stop(BOUND)
    hooks._later = as_another_thread_saw_it
    hooks.later("ocpp_station_changed", StationView("CP1"))
    assert hooks.hook_dropped == {"mine": 1}
    assert caplog.records == []


def test_a_plugin_may_stop_everything_from_within_its_hook(hooks):
    done = threading.Event()

    def does(_value):
        hooks.stop(BOUND)
        done.set()

    hooks.register(listener("ocpp_station_changed", does=does))
    hooks.start()
    hooks.later("ocpp_station_changed", StationView("CP1"))
    assert done.wait(BOUND)


# -- registering ----------------------------------------------------------------------------------------------------


def test_a_plugin_that_is_registered_while_recording_is_called_from_then_on(hooks):
    seen = []
    hooks.start()
    hooks.later("ocpp_station_changed", 1)
    hooks.frame_sent(1)
    hooks.register(listener("ocpp_station_changed", "ocpp_frame_sent", does=seen.append))
    hooks.frame_sent(2)
    hooks.later("ocpp_station_changed", 3)
    hooks.stop(BOUND)
    assert seen == [2, 3]


def test_registering_with_the_pluggy_manager_is_the_same(hooks):
    seen = []
    hooks.register(listener("ocpp_frame_sent", does=raising(ValueError())), "bad")
    hooks.manager.register(listener("ocpp_frame_sent", does=seen.append), "good")
    hooks.frame_sent(FRAME)
    assert seen == [FRAME]
    assert hooks.hook_errors == {"bad": 1}
    hooks.manager.unregister(name="good")
    hooks.frame_sent(FRAME)
    assert seen == [FRAME]


def test_an_unregistered_plugin_is_not_called_any_more_and_its_thread_ends(hooks):
    hanging = Hanging()
    hooks.register(hanging, "mine")
    hooks.start()
    hooks.later("ocpp_transaction_ended", 0)
    hooks.later("ocpp_transaction_ended", 1)
    assert hanging.entered.wait(BOUND)
    assert hooks.unregister(hanging) is hanging
    hooks.later("ocpp_transaction_ended", 2)
    hanging.let_go.set()
    hooks.stop(BOUND)
    assert hanging.seen == [0]
    assert hooks.hook_dropped == {"mine": 1}


def test_an_unregistered_plugin_that_hangs_is_still_named_at_the_end(hooks, caplog):
    hanging = Hanging()
    hooks.register(hanging, "mine")
    hooks.start()
    hooks.later("ocpp_transaction_ended", 0)
    assert hanging.entered.wait(BOUND)
    hooks.unregister(hanging)
    hooks.stop(0)
    assert "plugin 'mine': hook ocpp_transaction_ended had not returned" in caplog.text
    hanging.let_go.set()


def test_plugins_that_are_equal_or_not_hashable_are_plugins_too(hooks):
    @dataclasses.dataclass
    class Counting:
        seen: list

        @hookimpl
        def ocpp_frame_sent(self, frame):
            self.seen.append(frame)

    first, second = Counting([]), Counting(["else they would be equal"])
    hooks.register(first)
    hooks.register(second)
    hooks.frame_sent(FRAME)
    assert first.seen == [FRAME]
    assert second.seen[1:] == [FRAME]


def test_a_plugin_without_a_name_is_named_after_its_class(hooks):
    assert [hooks.register(Persistence()) for _ in range(3)] == [
        "Persistence",
        "Persistence#2",
        "Persistence#3",
    ]
    hooks.unregister(name="Persistence#2")
    assert hooks.register(Persistence()) == "Persistence#2"


def _misspelt():
    @hookimpl
    def ocpp_transaction_finished(transaction): ...

    return {"ocpp_transaction_finished": ocpp_transaction_finished}


def _other_argument():
    @hookimpl
    def ocpp_transaction_ended(tx): ...

    return {"ocpp_transaction_ended": ocpp_transaction_ended}


def _unmarked():
    def ocpp_transaction_ended(transaction): ...

    return {"ocpp_transaction_ended": ocpp_transaction_ended}


def _asynchronous():
    @hookimpl
    async def ocpp_transaction_ended(transaction): ...

    return {"ocpp_transaction_ended": ocpp_transaction_ended}


def _generator():
    @hookimpl
    def ocpp_transaction_ended(transaction):
        yield

    return {"ocpp_transaction_ended": ocpp_transaction_ended}


def _wrapper():
    @hookimpl(wrapper=True)
    def ocpp_transaction_ended(transaction):
        yield

    return {"ocpp_transaction_ended": ocpp_transaction_ended}


WRONG = [
    (_misspelt, "ocpp_transaction_finished", "the hooks are ocpp_frame_sent, "),
    (_other_argument, "ocpp_transaction_ended", "tx"),
    (_unmarked, "ocpp_transaction_ended", "@hookimpl"),
    (_asynchronous, "ocpp_transaction_ended", "async"),
    (_generator, "ocpp_transaction_ended", "generator"),
    (_wrapper, "ocpp_transaction_ended", "wrapper"),
]


@pytest.mark.parametrize(("make", "hook", "reason"), WRONG, ids=[make.__name__ for make, *_ in WRONG])
def test_a_plugin_that_could_never_work_is_refused_in_one_sentence(hooks, make, hook, reason):
    plugin = ModuleType("mine")
    vars(plugin).update(make())
    with pytest.raises(ArgumentError) as refused:
        hooks.register(plugin)
    sentence = str(refused.value)
    assert "'mine'" in sentence
    assert hook in sentence
    assert reason in sentence
    assert "\n" not in sentence
    assert not hooks.manager.is_registered(plugin)
    assert not hooks.wants(hook)
    hooks.manager.check_pending()


def test_a_class_in_place_of_its_instance_is_refused(hooks):
    with pytest.raises(ArgumentError, match=r"Persistence.*ocpp_frame.* is a class: register an instance"):
        hooks.register(Persistence)


def test_a_class_of_plain_functions_is_a_plugin(hooks):
    seen = []

    class Namespace:
        @staticmethod
        @hookimpl
        def ocpp_frame_sent(frame):
            seen.append(frame)

    hooks.register(Namespace)
    hooks.frame_sent(FRAME)
    assert seen == [FRAME]


def test_a_hook_of_another_host_is_let_be_when_it_is_optional(hooks):
    plugin = ModuleType("both")
    plugin.ocpp_gui_menu = hookimpl(lambda menu: None, optionalhook=True)
    assert hooks.register(plugin) == "both"


def test_a_plugin_is_registered_once_and_under_a_free_name(hooks):
    plugin = listener("ocpp_frame_sent", does=print)
    hooks.register(plugin, "mine")
    with pytest.raises(ArgumentError, match="registered already, as 'mine'"):
        hooks.register(plugin, "again")
    with pytest.raises(ArgumentError, match="'mine': another plugin"):
        hooks.register(listener("ocpp_frame_sent", does=print), "mine")
    with pytest.raises(ArgumentError, match="no plugin"):
        hooks.register(None)
    with pytest.raises(ArgumentError, match=r"Persistence.* is not registered"):
        hooks.unregister(Persistence())


# -- entry points ---------------------------------------------------------------------------------------------------


@contextmanager
def installing(directory, monkeypatch):
    """Give what installs a distribution of one module into this directory, as pip leaves it, until the end of a test."""
    monkeypatch.syspath_prepend(str(directory))

    def install(distribution, module, source, name=None):
        (directory / f"{module}.py").write_text(source)
        info = directory / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[ocpp]\n{name or module} = {module}\n")
        importlib.invalidate_caches()
        modules.append(module)

    modules: list[str] = []
    yield install
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def install(tmp_path, monkeypatch):
    with installing(tmp_path, monkeypatch) as install:
        yield install


GOOD = """
from ocpp_mongo_plugin.hookspecs import hookimpl
seen = []
@hookimpl
def ocpp_frame_sent(frame):
    seen.append(frame)
"""


def test_an_installed_plugin_is_found_and_called(install):
    install("ocpp-good", "ocpp_good", GOOD)
    hooks = Hooks(load_entry_points=True)
    hooks.frame_sent(FRAME)
    assert sys.modules["ocpp_good"].seen == [FRAME]


def test_installed_plugins_are_left_alone_when_that_is_asked_for(install):
    install("ocpp-good", "ocpp_good", GOOD)
    assert Hooks(load_entry_points=False).manager.list_name_plugin() == []
    assert "ocpp_good" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('canary')", "RuntimeError"),
        ("import sys; sys.exit('canary')", "SystemExit"),
        (GOOD.replace("ocpp_frame_sent", "ocpp_frame_send"), "no hook 'ocpp_frame_send'"),
        (GOOD.replace("(frame)", "(frames)", 1), "frames"),
    ],
)
def test_a_bad_installed_plugin_is_named_in_one_warning_and_the_others_still_load(install, source, reason, caplog):
    install("ocpp-a-bad", "ocpp_a_bad", source)
    install("ocpp-good", "ocpp_good", GOOD)
    hooks = Hooks(Persistence(), load_entry_points=True)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("plugin 'ocpp_a_bad' (ocpp_a_bad, of distribution ocpp-a-bad) is left out: ")
    assert reason in record.getMessage()
    assert "canary" not in caplog.text
    assert not hooks.manager.has_plugin("ocpp_a_bad")
    hooks.frame_sent(FRAME)
    assert sys.modules["ocpp_good"].seen == [FRAME]
    assert hooks.hook_errors == {}


@pytest.mark.parametrize("name", ["x", OWN_NAME])
def test_our_own_entry_point_is_for_the_managers_of_others(install, name, caplog):
    install("Ocpp_Mongo.Plugin", "ocpp_ours", "raise AssertionError('loaded into our own manager')", name)
    log = []
    hooks = Hooks(Persistence(log), load_entry_points=True)
    hooks.frame_sent(FRAME)
    assert log == [("ours", FRAME)]
    assert "ocpp_ours" not in sys.modules
    assert caplog.records == []
    hooks.manager.load_setuptools_entrypoints("ocpp")
    assert "ocpp_ours" not in sys.modules


def test_two_distributions_with_one_name_are_told_apart_in_a_warning(install, caplog):
    install("ocpp-first", "ocpp_first", GOOD, "x")
    install("ocpp-second", "ocpp_second", GOOD, "x")
    hooks = Hooks(load_entry_points=True)
    hooks.frame_sent(FRAME)
    [record] = caplog.records
    assert "'x': another plugin is registered under this name" in record.getMessage()
    assert [len(sys.modules[name].seen) for name in ("ocpp_first", "ocpp_second")].count(1) == 1


def test_metadata_that_cannot_be_read_keeps_nobody_from_recording(monkeypatch, caplog):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: raising(ValueError("canary"))(None))
    log = []
    Hooks(Persistence(log), load_entry_points=True).frame_sent(FRAME)
    assert log == [("ours", FRAME)]
    [record] = caplog.records
    assert "ValueError" in record.getMessage()
    assert "canary" not in caplog.text
