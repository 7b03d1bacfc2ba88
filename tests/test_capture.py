"""Capture against what the wire saw, byte for byte, for every way in which programs override ChargePoint."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import MagicMock

import ocpp.v16
import pytest
import websockets
from ocpp.charge_point import ChargePoint
from ocpp.routing import on
from versions import EACH_VERSION, VERSIONS
from waiting import wait_until, wait_until_async
from wire import End, WireClosedError, join

from ocpp_mongo_plugin import seam
from ocpp_mongo_plugin.capture import Capture
from ocpp_mongo_plugin.connections import role_of
from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.frames import Frame, Session, SessionChange

NOW = "2026-01-01T00:00:00Z"


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.changes: list[SessionChange] = []
        self.lost: list[Frame] = []
        self.holds_up = False

    def frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def session(self, change: SessionChange) -> None:
        self.changes.append(change)

    def undelivered(self, frame: Frame) -> None:
        self.lost.append(frame)

    def pace(self) -> None:
        return None

    def durable(self) -> None:
        return None

    def of(self, station_id: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.station_id == station_id]

    def crossed(self, station_id: str) -> list[tuple[str, str]]:
        return [(frame.direction, frame.text) for frame in self.of(station_id)]

    def kinds(self, station_id: str) -> list[str]:
        return [change.kind for change in self.changes if change.session.station_id == station_id]

    def open(self) -> list[Session]:
        latest = {change.session.session_id: change.session for change in self.changes}
        return [session for session in latest.values() if session.closed_at is None]

    def last(self, station_id: str) -> Session:
        return [change.session for change in self.changes if change.session.station_id == station_id][-1]


class Raising:
    """A recorder on which everything fails."""

    holds_up = True

    def frame(self, frame: Frame) -> None:
        raise RuntimeError(frame.text)

    def session(self, change: SessionChange) -> None:
        raise RuntimeError

    def undelivered(self, frame: Frame) -> None:
        raise RuntimeError

    def pace(self) -> None:
        raise RuntimeError

    def durable(self) -> None:
        raise RuntimeError


@pytest.fixture
def notes() -> Notes:
    return Notes()


@contextlib.contextmanager
def capturing(notes: Notes) -> Iterator[Capture]:
    """Record every ChargePoint of the process."""
    one = Capture(notes, record_all=True)
    one.enable()
    try:
        yield one
    finally:
        one.disable()


@pytest.fixture
def capture(notes: Notes) -> Iterator[Capture]:
    with capturing(notes) as one:
        yield one
    assert seam.SEAM.captures == ()


def csms_class(version: str) -> type:
    library = VERSIONS[version]

    class Csms(library.ChargePoint):
        @on("Heartbeat")
        def beat(self, **_: Any) -> Any:
            return library.call_result.Heartbeat(current_time=NOW)

    return Csms


def beat(version: str = "1.6") -> Any:
    return VERSIONS[version].call.Heartbeat()


# -- the shapes -------------------------------------------------------------------------------------------------
# Each takes the base class and returns the station's class; the oracle is always what the wire saw.


def plain(base: Any) -> Any:
    return base


def send_without_super(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await self._connection.send(message)

    return Station


def send_with_super(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await super()._send(message)

    return Station


def send_named_base(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await base._send(self, message)

    return Station


def send_through_a_helper(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await self._transmit(message)

        async def _transmit(self, message: str) -> None:
            await super()._send(message)

    return Station


def three_levels(base: Any) -> Any:
    class Middle(base):
        async def _send(self, message: str) -> None:
            await super()._send(message + " ")

    class Station(Middle):
        async def _send(self, message: str) -> None:
            await super()._send(message + "\n")

    return Station


def rewriting(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await super()._send(f" {message}")

    return Station


def spawning(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            self.kept = asyncio.create_task(super()._send(message))

        async def route_message(self, raw_msg: str) -> None:
            self.routed = asyncio.create_task(super().route_message(raw_msg))

    return Station


def spawning_and_awaiting(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await asyncio.create_task(super()._send(f"{message} "))

    return Station


def slow_before_super(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await asyncio.sleep(0)
            await super()._send(message)
            await asyncio.sleep(0)

    return Station


def plain_function(base: Any) -> Any:
    class Station(base):
        def _send(self, message: str) -> Any:
            return super()._send(message)

        def route_message(self, raw_msg: str) -> Any:
            return super().route_message(raw_msg)

    return Station


def start_without_super(base: Any) -> Any:
    class Station(base):
        async def start(self) -> None:
            while True:
                await self.route_message(await self._connection.recv())

    return Station


def route_with_super(base: Any) -> Any:
    class Station(base):
        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(raw_msg.strip())

    return Station


def mixed_in(base: Any) -> Any:
    class Mixin:
        async def _send(self: Any, message: str) -> None:
            await self._connection.send(message)

    class Station(Mixin, base):
        pass

    return Station


def init_subclass_with_super(base: Any) -> Any:
    class Family(base):
        def __init_subclass__(cls, **keywords: Any) -> None:
            super().__init_subclass__(**keywords)

    return send_without_super(Family)


def init_subclass_without_super(base: Any) -> Any:
    class Family(base):
        def __init_subclass__(cls, color: str = "", **_: Any) -> None:
            cls.color = color

    return send_without_super(Family)


SHAPES = [
    plain,
    send_without_super,
    send_with_super,
    send_named_base,
    send_through_a_helper,
    three_levels,
    rewriting,
    spawning,
    spawning_and_awaiting,
    slow_before_super,
    plain_function,
    start_without_super,
    route_with_super,
    mixed_in,
    init_subclass_with_super,
    init_subclass_without_super,
]


async def talk(station: Any, csms: Any, version: str, calls: int = 3) -> None:
    loops = [asyncio.create_task(one.start()) for one in (station, csms)]
    for _ in range(calls):
        assert (await station.call(beat(version))).current_time == NOW
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


@pytest.mark.parametrize("version", EACH_VERSION)
@pytest.mark.parametrize("made", ["before", "after"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_the_record_is_what_the_wire_saw(shape: Any, made: str, version: str, notes: Notes) -> None:
    capture = Capture(notes, record_all=True)
    if made == "after":
        capture.enable()
    here, there = join()
    station = shape(VERSIONS[version].ChargePoint)("here", here)
    csms = csms_class(version)("there", there)
    capture.enable()
    try:
        await talk(station, csms, version)
    finally:
        capture.disable()
    for name, end in (("here", here), ("there", there)):
        frames = notes.of(name)
        assert notes.crossed(name) == end.crossed
        assert len(frames) == 6
        assert [frame.sequence for frame in frames] == list(range(6))
        assert {frame.protocol_version for frame in frames} == {version}
        assert len({frame.session_id for frame in frames}) == 1
        # A call stands before its answer, whoever was quicker.
        assert [d for d, _ in notes.crossed(name)] == (
            ["sent", "received"] if end is here else ["received", "sent"]
        ) * 3
    assert notes.lost == []
    assert notes.kinds("here") == ["opened", "connected", "closed"]
    assert notes.last("here").error is None


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_send_that_raises_is_undelivered_once(shape: Any, notes: Notes, capture: Capture) -> None:
    here, _ = join()
    station = shape(ocpp.v16.ChargePoint)("CP", here)
    here.close()
    sending = station._send("[2]")
    if shape is spawning:
        await sending
        with pytest.raises(WireClosedError):
            await station.kept
    else:
        with pytest.raises(WireClosedError):
            await sending
    assert notes.lost == notes.frames
    assert len(notes.frames) == 1
    assert notes.kinds("CP").count("failed") == 1
    assert "WireClosedError" in (notes.last("CP").error or "")
    assert notes.last("CP").status == "connected"


async def test_a_cancelled_send_is_undelivered_and_stays_cancelled(notes: Notes, capture: Capture) -> None:
    never = asyncio.Event()

    class Stuck(End):
        async def send(self, text: str | bytes) -> None:
            await never.wait()

    sending = asyncio.create_task(send_with_super(ocpp.v16.ChargePoint)("CP", Stuck())._send("[2]"))
    await wait_until_async(lambda: notes.frames)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert notes.lost == notes.frames
    assert notes.kinds("CP") == ["opened", "connected"]


async def sent_late(shape: Callable[[Any], Any], ending: str = "") -> End:
    """Send [2] with a class whose innermost override waits until [3] is received; return this end of the wire.

    Args:
        shape: makes the class of that one.
        ending: what that one puts behind the text.
    """
    go = asyncio.Event()

    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            await go.wait()
            await super()._send(message + ending)

    here, _ = join()
    station = shape(Station)("CP", here)
    sending = asyncio.create_task(station._send("[2]"))
    await asyncio.sleep(0)
    await station.route_message("[3]")
    go.set()
    await sending
    return here


async def test_what_is_put_off_stands_before_what_arrives_meanwhile(notes: Notes, capture: Capture) -> None:
    await sent_late(plain)
    assert notes.crossed("CP") == [("sent", "[2]"), ("received", "[3]")]


async def test_a_send_that_never_goes_inward_is_recorded_at_its_end(notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            if not message:
                await super()._send(message)
            await self._connection.send(message)

    here, _ = join()
    await Station("CP", here)._send("[2]")
    assert notes.crossed("CP") == here.crossed


async def test_super_send_from_another_method_counts_each_time(notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def twice(self, message: str) -> None:
            await super()._send(message)
            await super()._send(message)

    here, _ = join()
    await Station("CP", here).twice("[2]")
    assert notes.crossed("CP") == here.crossed
    assert len(here.crossed) == 2


async def test_a_retry_in_an_override_is_a_second_frame(notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            try:
                await super()._send(message)
            except WireClosedError:
                self._connection = join()[0]
                await super()._send(message)

    here, _ = join()
    here.close()
    station = Station("CP", here)
    await station._send("[2]")
    assert [frame.sequence for frame in notes.frames] == [0, 0]
    assert notes.lost == notes.frames[:1]
    assert station._connection.crossed == [("sent", "[2]")]


async def test_a_send_that_is_not_over_when_its_session_closes_is_kept_as_not_delivered(
    notes: Notes, capture: Capture
) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            await asyncio.Event().wait()
            await super()._send(message)

    sending = asyncio.create_task(Station("CP", join()[0])._send("[2]"))
    await wait_until_async(lambda: notes.changes)
    capture.disable()
    assert [frame.text for frame in notes.lost] == [frame.text for frame in notes.frames] == ["[2]"]
    sending.cancel()


async def test_a_send_that_waits_for_another_connection_crosses_there(notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            await connected.wait()
            await super()._send(message)

    connected = asyncio.Event()
    station = Station("CP", join()[0])
    sending = asyncio.create_task(station._send("[2]"))
    await wait_until_async(lambda: notes.changes)
    here = station._connection = join()[0]
    await station.route_message("[3]")
    connected.set()
    await sending
    assert [(f.text, f in notes.lost) for f in notes.frames] == [("[2]", True), ("[3]", False), ("[2]", False)]
    assert len({frame.session_id for frame in notes.frames}) == 2
    assert here.crossed == [("sent", "[2]")]


class Held(Notes):
    """A recorder that keeps the thread waiting that gives it the first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        if not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(10)


@pytest.mark.parametrize("added", ["", " "], ids=["the same text", "another text"])
def test_a_send_that_goes_inward_while_another_thread_closes_its_session_crosses_there(added: str) -> None:
    notes = Held()
    capture = Capture(notes, record_all=True)
    inward, through, over = threading.Event(), threading.Event(), threading.Event()

    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            assert inward.wait(10)
            await super()._send(message + added)
            through.set()
            assert over.wait(10)

    def is_held_up() -> bool:
        return sys._current_frames()[host.ident or 0].f_code.co_name == "_enter_send"

    capture.enable()
    here = join()[0]
    host = threading.Thread(target=lambda: asyncio.run(Station("CP", here)._send("[2]")))
    host.start()
    wait_until(lambda: notes.changes)
    closing = threading.Thread(target=lambda: next(iter(capture._lines.values())).close(None, "over", None))
    closing.start()
    assert notes.reached.wait(10)
    inward.set()
    wait_until(lambda: through.is_set() or is_held_up())
    notes.go_on.set()
    closing.join(10)
    over.set()
    host.join(10)
    capture.disable()
    assert not closing.is_alive()
    assert not host.is_alive()
    assert [(frame.text, frame in notes.lost) for frame in notes.frames] == [("[2]", True), (f"[2]{added}", False)]
    assert here.crossed == [("sent", f"[2]{added}")]


async def test_a_text_that_another_one_replaced_on_the_wire_is_not_delivered(notes: Notes, capture: Capture) -> None:
    here = await sent_late(three_levels, ending=" ")
    assert [(f.text, f in notes.lost) for f in notes.frames] == [("[2]\n ", True), ("[3]", False), ("[2]\n  ", False)]
    assert [text.text for text in here.crossed] == ["[2]\n  "]


async def test_a_text_that_was_said_before_its_turn_is_recorded_once(notes: Notes, capture: Capture) -> None:
    await sent_late(lambda base: send_with_super(send_with_super(base)))
    assert notes.crossed("CP") == [("sent", "[2]"), ("received", "[3]")]
    assert notes.lost == []


async def test_equal_texts_one_after_the_other_are_frames_of_their_own(notes: Notes, capture: Capture) -> None:
    here, _ = join()
    station = plain_function(ocpp.v16.ChargePoint)("CP", here)
    for _ in range(3):
        await station._send("[2]")
    assert notes.crossed("CP") == here.crossed
    assert len(here.crossed) == 3


async def test_no_context_keeps_a_chain_of_calls(capture: Capture) -> None:
    contexts: list[Any] = []

    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            await super()._send(message)
            contexts.append(asyncio.get_running_loop().call_later(1000, print))

    station = Station("CP", join()[0])

    async def chained(left: int) -> None:
        await station._send(f"{left}")
        call = seam._enclosing.get()
        assert call is None or call.parent is None
        if left:
            await asyncio.create_task(chained(left - 1))

    await chained(5)
    for timer in contexts:
        timer.cancel()


# -- on and off -------------------------------------------------------------------------------------------------


def snapshot() -> dict[int, tuple[type, dict[str, int]]]:
    """By id, since a class that another test has left may have no hash; each is kept, so that no other gets its id."""
    return {
        id(cls): (cls, {name: id(value) for name, value in cls.__dict__.items()}) for cls in seam._family(ChargePoint)
    }


def test_disable_restores_every_class_exactly(notes: Notes) -> None:
    shapes = [shape(ocpp.v16.ChargePoint) for shape in SHAPES]
    mixin = next(cls for shape in shapes for cls in shape.__mro__ if cls.__name__ == "Mixin")
    before, mixed = snapshot(), dict(mixin.__dict__)
    one, two = Capture(notes, record_all=True), Capture(Notes(), record_all=True)
    one.enable()
    one.enable()
    two.enable()
    assert snapshot() != before
    one.disable()
    assert snapshot() != before
    two.disable()
    two.disable()
    assert snapshot() == before
    assert dict(mixin.__dict__) == mixed
    assert "__init_subclass__" not in ChargePoint.__dict__


async def test_what_somebody_put_over_ours_stays_and_ours_passes_through(notes: Notes) -> None:
    station_class = send_without_super(ocpp.v16.ChargePoint)
    capture = Capture(notes, record_all=True)
    capture.enable()
    ours = station_class._send

    async def theirs(self: Any, message: str) -> None:
        await ours(self, message)

    station_class._send = theirs
    here, _ = join()
    station = station_class("CP", here)
    await station._send("[1]")
    capture.disable()
    assert station_class.__dict__["_send"] is theirs
    await station._send("[2]")
    assert notes.crossed("CP") == [("sent", "[1]")]
    capture.enable()
    await station._send("[3]")
    capture.disable()
    assert notes.crossed("CP") == [("sent", "[1]"), ("sent", "[3]")]
    assert len(here.crossed) == 3


async def test_a_bound_method_that_was_kept_checks_whether_recording_is_on(notes: Notes) -> None:
    capture = Capture(notes, record_all=True)
    capture.enable()
    here, _ = join()
    send = ocpp.v16.ChargePoint("CP", here)._send
    await send("[1]")
    capture.disable()
    await send("[2]")
    assert notes.crossed("CP") == [("sent", "[1]")]


def test_methods_stay_what_they_were(capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: str) -> None:
            """Says so."""

        @staticmethod
        async def start() -> None: ...

        @classmethod
        async def route_message(cls, raw_msg: str) -> None: ...

    assert inspect.iscoroutinefunction(Station._send)
    assert Station._send.__doc__ == "Says so."
    assert Station._send.__name__ == "_send"
    assert isinstance(Station.__dict__["start"], staticmethod)
    assert isinstance(Station.__dict__["route_message"], classmethod)


def test_classes_are_held_weakly(capture: Capture) -> None:
    kept = [weakref.ref(shape(ocpp.v16.ChargePoint)) for shape in SHAPES[1:]]
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)


async def test_only_what_is_attached_is_recorded_without_record_all(notes: Notes) -> None:
    capture = Capture(notes, record_all=False)
    wanted, other = ocpp.v16.ChargePoint("wanted", join()[0]), ocpp.v16.ChargePoint("other", join()[0])
    capture.attach(wanted)
    assert notes.changes == []
    capture.enable()
    capture.attach(wanted)
    assert [session.status for session in notes.open()] == ["connecting"]
    await wanted._send("[1]")
    await other._send("[2]")
    capture.disable()
    assert notes.crossed("wanted") == [("sent", "[1]")]
    assert notes.crossed("other") == []
    assert notes.kinds("wanted") == ["opened", "connected", "closed"]
    assert notes.last("wanted").close_reason == "recording stopped"
    gone = weakref.ref(wanted)
    del wanted
    gc.collect()
    assert gone() is None


async def test_two_captures_see_the_same(notes: Notes, capture: Capture) -> None:
    second = Notes()
    other = Capture(second, record_all=True)
    other.enable()
    here, there = join()
    await talk(rewriting(ocpp.v16.ChargePoint)("here", here), csms_class("1.6")("there", there), "1.6")
    other.disable()
    assert notes.crossed("here") == second.crossed("here") == here.crossed
    assert notes.frames[0].session_id != second.frames[0].session_id


async def test_a_recorder_that_always_raises_costs_nobody_anything(
    notes: Notes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    seam._said.clear()
    broken, sound = Capture(Raising(), record_all=True), Capture(notes, record_all=True)
    broken.enable()
    sound.enable()
    here, there = join()
    with caplog.at_level(logging.WARNING, "ocpp_mongo_plugin"):
        await talk(send_with_super(ocpp.v16.ChargePoint)("here", here), csms_class("1.6")("there", there), "1.6")
    broken.disable()
    sound.disable()
    assert notes.crossed("here") == here.crossed
    said = [record.getMessage() for record in caplog.records if record.name == "ocpp_mongo_plugin"]
    assert 0 < len(said) == len(set(said))
    assert all("RuntimeError" in one and "[" not in one for one in said)
    assert capsys.readouterr() == ("", "")


async def test_wrong_arguments_raise_as_they_would_without_us(notes: Notes, capture: Capture) -> None:
    with pytest.raises(TypeError, match="_send"):
        await ocpp.v16.ChargePoint("CP", join()[0])._send()
    assert notes.frames == []


def forwarding(base: Any) -> Any:
    class Station(base):
        def _send(self, message: str) -> Any:
            return self._connection.send(message)

    return Station


def twice_forwarding(base: Any) -> Any:
    return plain_function(plain_function(base))


FORWARDING = pytest.mark.parametrize("shape", [forwarding, plain_function, twice_forwarding])


@FORWARDING
async def test_a_coroutine_that_never_begins_sends_nothing(shape: Any, notes: Notes, capture: Capture) -> None:
    here, _ = join()
    station = shape(ocpp.v16.ChargePoint)("CP", here)
    sending = asyncio.create_task(station._send("[2]"))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await station._send("[3]")
    assert notes.crossed("CP") == here.crossed == [("sent", "[3]")]
    assert notes.lost == []


@FORWARDING
async def test_coroutines_stand_as_they_were_awaited(shape: Any, notes: Notes, capture: Capture) -> None:
    here, _ = join()
    station = shape(ocpp.v16.ChargePoint)("CP", here)
    first, second = station._send("[2]"), station._send("[3]")
    await second
    await first
    assert notes.crossed("CP") == here.crossed == [("sent", "[3]"), ("sent", "[2]")]


@FORWARDING
def test_a_coroutine_that_is_not_awaited_warns_once(shape: Any, notes: Notes, capture: Capture) -> None:
    def run(station: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            station._send("[2]")
            gc.collect()
        return [str(one.message) for one in said]

    station = shape(ocpp.v16.ChargePoint)("CP", join()[0])
    recorded = run(station)
    capture.disable()
    assert recorded == run(station)
    assert len(recorded) == 1
    assert notes.frames == []


def test_a_coroutine_that_its_charge_point_keeps_keeps_nobody_alive(capture: Capture) -> None:
    station: Any = forwarding(ocpp.v16.ChargePoint)("CP", join()[0])
    refer = weakref.ref(station)
    station.kept = station._send("[2]")
    del station
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    assert refer() is None


async def test_a_start_that_never_begins_is_none(notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        def start(self) -> Any:
            return super().start()

    station = Station("CP", join()[0])
    for begins, opened in [(True, 1), (False, 1), (True, 2)]:
        starting = asyncio.create_task(station.start())
        if begins:
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await station._send("[2]")
        assert notes.kinds("CP").count("opened") == opened


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
@FORWARDING
async def test_what_python_refuses_to_call_is_no_frame(
    shape: Any, arguments: tuple[Any, ...], notes: Notes, capture: Capture
) -> None:
    station = shape(ocpp.v16.ChargePoint)("CP", join()[0])
    with pytest.raises(TypeError, match="_send"):
        station._send(*arguments)
    assert notes.frames == []


@pytest.mark.parametrize("awaits", [False, True])
async def test_what_a_plain_function_sends_at_once_stands_before_its_answer(
    awaits: bool, notes: Notes, capture: Capture
) -> None:
    class Middle(ocpp.v16.ChargePoint):
        def _send(self, message: str) -> Any:
            self.crossed.append(("sent", message))
            if awaits:
                self.crossed.append(("received", "[3]"))
                with contextlib.suppress(StopIteration):
                    self.route_message("[3]").send(None)
            if "fail" in message:
                raise OSError

    class Station(Middle):
        def _send(self, message: str) -> Any:
            super()._send(f"{message} ")
            return asyncio.sleep(0)

        def route_message(self, raw_msg: str) -> Any:
            return asyncio.sleep(0)

    station: Any = Station("CP", join()[0])
    station.crossed = []
    sending = [station._send("[2]"), station._send("[2]")]
    await asyncio.gather(*sending)
    with pytest.raises(OSError):
        station._send("fail")
    assert notes.crossed("CP") == station.crossed
    assert [frame.text for frame in notes.lost] == ["fail "]


class Pacing(Notes):
    """A recorder that notes when it is asked whether it wants to be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.holds_up = True
        self.asked = 0

    def pace(self) -> None:
        self.asked += 1


async def test_nobody_holds_up_what_only_shares_a_class_with_a_charge_point() -> None:
    class Mixin:
        async def start(self) -> None:
            """Start."""

    class Station(Mixin, ocpp.v16.ChargePoint):
        """A ChargePoint with it."""

    class Other(Mixin):
        """None."""

    notes = Pacing()
    capture = Capture(notes, record_all=True)
    capture.enable()
    try:
        await Other().start()
        assert notes.asked == 0
        await Station("CP", join()[0]).start()
        assert notes.asked == 1
    finally:
        capture.disable()


def test_a_coroutine_is_called_as_without_us(capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        def _send(self, message: str) -> Any:
            return super()._send(message)

    coroutine = Station("CP", join()[0])._send("[2]")
    assert (coroutine.__name__, coroutine.__qualname__) == ("_send", "ChargePoint._send")
    asyncio.run(coroutine)


def test_methods_say_of_themselves_what_they_did(notes: Notes) -> None:
    class Station(ocpp.v16.ChargePoint):
        def __init_subclass__(cls, color: str = "") -> None:
            """Take a color."""

        def _send(self, message: str, *, urgency: int = 1) -> Any:
            return super()._send(message)

    def told() -> list[object]:
        found: list[object] = []
        for cls in (ChargePoint, Station):
            for name in ("__init__", "_send", "route_message", "start"):
                method = getattr(cls, name)
                found += [inspect.getfullargspec(method), inspect.signature(method), method.__qualname__]
        hears = Station.__init_subclass__
        return [*found, inspect.getfullargspec(hears), hears.__qualname__, hears.__doc__]

    without = told()
    with capturing(notes):
        assert told() == without
        added = ChargePoint.__init_subclass__
        assert (added.__module__, added.__qualname__) == (ChargePoint.__module__, "ChargePoint.__init_subclass__")
        assert (added.__doc__, added.__annotations__) == (object.__init_subclass__.__doc__, {})


# -- odd charge points ------------------------------------------------------------------------------------------


class Unhashable(ocpp.v16.ChargePoint):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


class Slotted(ChargePoint):
    # The base has no slots, so that this alone does not take the weak reference away.
    __slots__ = ("extra",)
    _ocpp_version = "1.6"


class Bare(ocpp.v16.ChargePoint):
    def __init__(self) -> None:
        self.logger = logging.getLogger("ocpp")


@pytest.mark.parametrize("connection", [None, MagicMock()], ids=["none", "mock"])
@pytest.mark.parametrize("kind", [ocpp.v16.ChargePoint, Unhashable, Slotted])
async def test_odd_objects_and_connections_work(kind: Any, connection: Any, notes: Notes, capture: Capture) -> None:
    station = kind("CP", connection)
    await station.route_message('[3, "a", {}]')
    await station.route_message('[3, "a", {}]')
    assert [frame.sequence for frame in notes.frames] == [0, 1]
    session = notes.last("CP")
    assert (session.role, session.subprotocol, session.remote_address) == (None, None, None)
    capture.poll()
    assert notes.kinds("CP") == ["opened", "connected"]
    del station
    gc.collect()
    capture.poll()
    assert notes.kinds("CP") == ["opened", "connected", "closed"]
    assert notes.last("CP").close_code is None


async def test_a_charge_point_without_init_is_recorded(notes: Notes, capture: Capture) -> None:
    await Bare().route_message("AT+CSQ")
    assert [(frame.station_id, frame.text) for frame in notes.frames] == [("", "AT+CSQ")]


def test_what_takes_no_weak_reference_is_kept_until_its_session_is_over(notes: Notes, capture: Capture) -> None:
    class Tight:
        __slots__ = ("_connection", "id")

    tight = Tight()
    tight.id, tight._connection = "CP", None
    capture._line(tight)
    capture.poll()
    assert len(notes.open()) == 1
    capture._lines[id(tight)].close(None, "over", None)
    capture.poll()
    assert capture._lines == {}


@pytest.mark.parametrize(("given", "stored"), [("", ""), ("a/b", "a/b"), (7, "7"), ("CP\x00", "CP\x00")])
async def test_the_station_id_is_taken_as_it_is(given: Any, stored: str, notes: Notes, capture: Capture) -> None:
    await ocpp.v16.ChargePoint(given, join()[0])._send("[2]")
    assert notes.frames[0].station_id == stored


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("\ud800", "\ud800"),
        (b"[2]", "[2]"),
        (bytearray(b"\xff["), "\\xff["),
        ([2, "a"], '[2, "a"]'),
        (None, "None"),
        (Unprintable(), "<Unprintable>"),
    ],
    ids=["surrogate", "bytes", "not utf-8", "list", "none", "unprintable"],
)
async def test_any_kind_of_text_is_kept(sent: Any, stored: str, notes: Notes, capture: Capture) -> None:
    class Station(ocpp.v16.ChargePoint):
        async def _send(self, message: Any) -> None:
            self.given = message

    station = Station("CP", join()[0])
    await station._send(sent)
    assert station.given is sent
    assert notes.frames[0].text == stored


async def test_keywords_are_passed_on(notes: Notes, capture: Capture) -> None:
    here, _ = join()
    await ocpp.v16.ChargePoint("CP", here)._send(message="[2]")
    assert notes.crossed("CP") == here.crossed


async def test_the_version_is_read_at_each_frame(notes: Notes, capture: Capture) -> None:
    station = ocpp.v16.ChargePoint("CP", join()[0])
    for version in ("1.6", "2.0.1", None):
        station._ocpp_version = version
        await station._send("[2]")
    assert [frame.protocol_version for frame in notes.frames] == ["1.6", "2.0.1", None]


# -- sessions ---------------------------------------------------------------------------------------------------


async def test_a_session_follows_the_connection(notes: Notes, capture: Capture) -> None:
    station = ocpp.v16.ChargePoint("CP", join()[0])
    await station._send("[1]")
    station._connection = join()[0]
    await station._send("[2]")
    await station._send("[3]")
    assert [frame.sequence for frame in notes.frames] == [0, 0, 1]
    assert len({frame.session_id for frame in notes.frames}) == 2
    assert notes.frames[0].session_id < notes.frames[1].session_id
    assert notes.kinds("CP") == ["opened", "connected", "closed", "opened", "connected"]
    assert notes.last("CP").reconnect_attempts == 1


async def test_starting_again_is_a_new_session(notes: Notes, capture: Capture) -> None:
    class Broken(End):
        async def recv(self) -> str:
            raise ValueError("secret")

    station = ocpp.v16.ChargePoint("CP", Broken())
    for _ in range(2):
        with pytest.raises(ValueError, match="secret"):
            await station.start()
    assert notes.kinds("CP") == ["opened", "closed"] * 2
    assert notes.last("CP").error == "ValueError"
    assert notes.last("CP").status == "disconnected"
    assert notes.last("CP").closed_at is not None


async def test_a_connection_that_is_gone_closes_its_session(notes: Notes, capture: Capture) -> None:
    station = ocpp.v16.ChargePoint("CP", join()[0])
    await station._send("[1]")
    station._connection = None
    gc.collect()
    capture.poll()
    assert notes.kinds("CP") == ["opened", "connected", "closed"]


@pytest.mark.parametrize(("code", "error"), [(1000, False), (1001, False), (1011, True), (4001, True)])
async def test_websockets_tell_role_address_and_close_code(
    code: int, error: bool, notes: Notes, capture: Capture
) -> None:
    served: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def serve(connection: Any, _path: str | None = None) -> None:
        try:
            await csms_class("1.6")("csms", connection).start()
        except websockets.ConnectionClosed:
            served.set_result(None)

    async with websockets.serve(serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}/CP", subprotocols=["ocpp1.6"]) as connection:
            station = ocpp.v16.ChargePoint("CP", connection)
            capture.attach(station)
            assert notes.last("CP").status == "connected"
            loop = asyncio.create_task(station.start())
            await station.call(beat())
            await connection.close(code, "because")
            await asyncio.gather(loop, return_exceptions=True)
        await served
    here, there = notes.last("CP"), notes.last("csms")
    assert (here.role, there.role) == ("station", "csms")
    assert here.remote_address == f"127.0.0.1:{port}"
    assert here.subprotocol == "ocpp1.6"
    assert (here.close_code, here.close_reason) == (there.close_code, there.close_reason) == (code, "because")
    assert ((here.error is not None), (there.error is not None)) == (error, error)
    assert {(f.direction, f.origin) for f in notes.of("CP")} == {("sent", "station"), ("received", "csms")}
    assert {(f.direction, f.origin) for f in notes.of("csms")} == {("sent", "csms"), ("received", "station")}
    assert notes.kinds("CP") == ["opened", "closed"]


async def test_a_start_that_is_cancelled_leaves_an_open_connection_alone(notes: Notes, capture: Capture) -> None:
    async def serve(connection: Any, _path: str | None = None) -> None:
        await connection.wait_closed()

    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}/CP") as connection:
            station = ocpp.v16.ChargePoint("CP", connection)
            loop = asyncio.create_task(station.start())
            await wait_until_async(lambda: notes.changes)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            assert notes.kinds("CP") == ["opened"]
        # Nobody reads any more: the connection itself says that it is lost.
        await wait_until_async(lambda: notes.kinds("CP") == ["opened", "closed"])
        assert notes.last("CP").close_code == 1000
        assert notes.last("CP").error is None


async def test_disable_takes_its_callback_off_the_connection(notes: Notes) -> None:
    waiter = asyncio.get_running_loop().create_future()
    connection = join()[0]
    connection.connection_lost_waiter = waiter  # type: ignore[attr-defined]
    capture = Capture(notes, record_all=True)
    capture.enable()
    capture.attach(station := ocpp.v16.ChargePoint("CP", connection))
    capture.disable()
    waiter.set_result(None)
    await asyncio.sleep(0)
    assert notes.kinds(station.id) == ["opened", "closed"]


@pytest.mark.parametrize(
    ("module_name", "kind", "role"),
    [
        ("starlette.websockets", "WebSocket", "csms"),
        ("fastapi.websockets", "WebSocket", "csms"),
        ("aiohttp.web_ws", "WebSocketResponse", "csms"),
        ("aiohttp.client_ws", "ClientWebSocketResponse", "station"),
        ("somewhere", "WebSocketResponse", None),
    ],
)
def test_the_role_follows_from_the_kind_of_connection(module_name: str, kind: str, role: str | None) -> None:
    connection = type(kind, (), {"__module__": module_name})()
    adapter = type("Adapter", (), {"__slots__": ("_ws",)})()
    adapter._ws = connection
    assert role_of(connection) == role_of(adapter) == role


# -- by hand ----------------------------------------------------------------------------------------------------


def test_frames_by_hand_make_a_session_of_their_own(notes: Notes) -> None:
    capture = Capture(notes, record_all=True)
    at = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    capture.record("CP", "sent", "[2]", "ocpp1.6", timestamp=at, origin="csms")
    capture.record("CP", "received", b"[3]", "1.6")
    capture.record("CP", "received", "[2]", "1.6", session="second")
    assert [(f.sequence, f.direction, f.origin, f.text) for f in notes.frames] == [
        (0, "sent", "csms", "[2]"),
        (1, "received", "station", "[3]"),
        (0, "received", None, "[2]"),
    ]
    assert notes.frames[0].timestamp == at
    assert notes.frames[0].timestamp.tzinfo is timezone.utc
    assert [(s.source, s.status) for s in notes.open()] == [("manual", "connected")] * 2
    capture.end("CP")
    capture.end("nobody")
    assert len(notes.open()) == 1
    assert notes.kinds("CP") == ["opened", "opened", "closed"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("station_id", 7),
        ("direction", "up"),
        ("direction", []),
        ("text", 7),
        ("protocol_version", 1.6),
        ("session", ["a"]),
        ("timestamp", datetime(2026, 1, 1)),  # noqa: DTZ001 - the mistake in question
        ("timestamp", "now"),
        ("timestamp", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        ("origin", "moon"),
    ],
)
def test_a_wrong_argument_by_hand_is_named(name: str, value: Any, notes: Notes) -> None:
    right = {"station_id": "CP", "direction": "sent", "text": "[2]", "protocol_version": "1.6"}
    with pytest.raises(ArgumentError, match=name):
        Capture(notes, record_all=True).record(**{**right, name: value})
    assert notes.changes == []


# -- several threads and processes ------------------------------------------------------------------------------


def test_sequences_have_no_gap_when_several_threads_record(notes: Notes) -> None:
    capture = Capture(notes, record_all=True)
    capture.enable()

    def work(name: str) -> None:
        async def run() -> None:
            here, there = join()
            await talk(send_with_super(ocpp.v16.ChargePoint)(name, here), csms_class("1.6")(f"to {name}", there), "1.6")
            for _ in range(50):
                capture.record("shared", "sent", "[2]", "1.6")

        asyncio.run(run())

    threads = [threading.Thread(target=work, args=(f"CP{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        capture.poll()
    for thread in threads:
        thread.join()
    capture.disable()
    for name in ("shared", *(f"CP{n}" for n in range(4))):
        frames = notes.of(name)
        assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert len(notes.of("shared")) == 200
    ids = [change.session.session_id for change in notes.changes if change.kind == "opened"]
    assert len({one[:14] for one in ids}) == len(ids)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_sessions_of_its_own(notes: Notes, capture: Capture) -> None:
    capture.record("CP", "sent", "[1]", "1.6")
    reading, writing = os.pipe()
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            capture.record("CP", "sent", "[2]", "1.6")
            said = [
                notes.kinds("CP"),
                [frame.sequence for frame in notes.frames],
                len({f.session_id for f in notes.frames}),
            ]
            os.write(writing, repr(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert answer.read() == "[['opened', 'opened'], [0, 0], 2]"
    os.waitpid(child, 0)
    capture.record("CP", "sent", "[3]", "1.6")
    assert [(f.session_id, f.sequence) for f in notes.frames] == [(notes.last("CP").session_id, n) for n in (0, 1)]
