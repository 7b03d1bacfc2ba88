"""What the host's turn goes through may be interrupted anywhere by a signal handler that goes through it, too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ocpp_mongo_plugin import MongoPlugin, sink
from ocpp_mongo_plugin.wake import Wake


@contextmanager
def interrupted(handler: Callable[[], object]) -> Iterator[None]:
    """Call ``handler`` at each call and each return within, on the same thread, as a signal might."""

    def interrupt(_frame: FrameType, _event: str, _argument: object) -> None:
        handler()  # Python does not call this again meanwhile

    sys.setprofile(interrupt)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_setting_may_interrupt_itself():
    wake = Wake()
    with interrupted(wake.set):
        wake.set()
    assert wake.is_set()
    wake.wait()
    wake.clear()
    assert not wake.is_set()


def test_a_wait_ends_by_itself_and_one_set_before_ends_it_at_once():
    wake = Wake()
    wake.wait(0)
    wake.set()
    wake.wait()
    assert not wake.is_set()


def test_giving_up_may_interrupt_itself(mock_database: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sink, "_GRACE", 0.001)  # what each that interrupts waits for the one that it interrupts
    plugin = MongoPlugin(database=mock_database)
    plugin.start_now()
    carrier = plugin._sink
    with interrupted(carrier._give_up):
        carrier._give_up()
    assert carrier.has_stored_all
    assert plugin.close_now() is True


@pytest.mark.parametrize("durability", ["memory", "journal"])
def test_recording_may_interrupt_itself_wherever_it_is(mock_database: Any, tmp_path: Path, durability: str):
    plugin = MongoPlugin(database=mock_database, durability=durability, journal_directory=tmp_path)
    plugin.start_now()
    taken = 0

    def record() -> None:
        nonlocal taken
        if taken == 200:
            return  # else those that interrupt what makes room for such as these would have no end
        taken += 1
        plugin.record(f"CP{taken}", "received", '[2,"1","Heartbeat",{}]', "1.6")  # a session of its own each time

    with interrupted(record):
        plugin.record("CP", "received", '[2,"1","Heartbeat",{}]', "1.6")
    assert taken == 200
    assert plugin.close_now(60) is True
    assert plugin.stats.stored == plugin.stats.captured == taken + 1
