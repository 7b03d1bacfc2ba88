"""Random hierarchies of overrides against the wire: each text that crosses is recorded once, in order, as it crossed."""

from __future__ import annotations

import asyncio
from typing import Any

import ocpp.v16
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from shapes import SHAPES
from test_capture import Notes
from test_shapes import Pair, converse, meet
from waiting import wait_until_async
from wire import join

from ocpp_mongo_plugin.capture import Capture

# Those that only say what the classes override, whatever base they are given.
_LAYERS = {
    one.name: one.make
    for one in SHAPES
    if one.name
    not in {
        "plain",
        "handle_call_replaced",  # answers nothing
        "version_after_init",  # leaves the base it is given
        "init_never_called",
        "copied",
        "data_class",
        "data_class_with_slots",
        "attrs_class",
        "text_is_the_second_parameter",  # its _send takes two
        "adapter_each_time",
        "bare_adapter",
        "raising_adapter",
    }
}


def stacked(names: list[str]) -> Any:
    def make(base: Any) -> Any:
        for name in names:
            base = _LAYERS[name](base)
        return base

    return make


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(sorted(_LAYERS)), min_size=1, max_size=4, unique=True),
    st.sampled_from(["before", "after"]),
)
def test_any_stack_of_overrides_is_recorded_as_it_crossed(names: list[str], made: str) -> None:
    try:
        stacked(names)(ocpp.v16.ChargePoint)
    except Exception:  # noqa: BLE001 - metaclasses that nobody can join, a Generic that hears of no subclass
        reject()
    asyncio.run(_compare(names, made))


async def _compare(names: list[str], made: str) -> None:
    make, notes = stacked(names), Notes()
    try:
        without = await converse(meet(make))
    except TypeError:
        return  # such a program works for nobody: a task is made of a task
    before: Pair = meet(make)
    capture = Capture(notes, record_all=True)
    capture.enable()
    try:
        if made == "before" and "wrapped_on_the_object" not in names:
            recorded = await converse(before)
        else:
            before.csms.asking.cancel()
            recorded = await converse(meet(make))
        await wait_until_async(lambda: len(notes.of("CP")) >= len(recorded[1]))
    finally:
        capture.disable()
    assert recorded == without
    assert notes.crossed("CP") == recorded[1]
    assert [frame.sequence for frame in notes.of("CP")] == list(range(len(recorded[1])))
    assert notes.crossed("to CP") == recorded[2]
    assert notes.lost == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(_LAYERS)), max_size=3, unique=True), st.integers(2, 6))
def test_texts_that_several_tasks_send_are_recorded_once_each(names: list[str], tasks: int) -> None:
    try:
        cls = stacked(names)(ocpp.v16.ChargePoint)
    except Exception:  # noqa: BLE001 - as above
        reject()
    asyncio.run(_send_at_once(cls, tasks))


async def _send_at_once(cls: Any, tasks: int) -> None:
    notes, (here, _) = Notes(), join()
    capture = Capture(notes, record_all=True)
    capture.enable()
    try:
        station = cls("CP", here)

        async def several(task: int) -> None:
            for number in range(3):
                await station._send(f'[3,"{task}.{number}",{{}}]')

        try:
            await asyncio.gather(*(several(task) for task in range(tasks)))
        except TypeError:
            return  # as above
        await wait_until_async(lambda: len(here.crossed) == 3 * tasks)
    finally:
        capture.disable()
    assert sorted(notes.crossed("CP")) == sorted(here.crossed)
    assert notes.lost == []
