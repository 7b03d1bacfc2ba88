"""Random hierarchies of overrides against the wire: each text that crosses is recorded once, in order, as it crossed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ocpp.v16
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from shapes import SHAPES
from test_capture import Notes, capturing
from test_shapes import Pair, converse, meet
from waiting import wait_until_async
from wire import End, join

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


_CANNOT_BE_MADE = re.compile(
    r"metaclass conflict: |"
    r"(_send|color|__parameters__)$|"  # what the odd metaclass lets nobody set
    r"type object 'Family' has no attribute '__parameters__'"  # a Generic that does not hear of its subclass
)


def stacked_or_rejected(names: list[str]) -> Any:
    """Return the class, unless Python itself cannot make it, whoever records."""
    try:
        return stacked(names)(ocpp.v16.ChargePoint)
    except (TypeError, RuntimeError, AttributeError) as error:
        if not _CANNOT_BE_MADE.match(str(error)):
            raise
        reject()


@contextmanager
def _works_for_nobody() -> Iterator[None]:
    """Reject a program that does not work without recording either: a task is made of what is no coroutine."""
    try:
        yield
    except TypeError as error:
        if not str(error).startswith("a coroutine was expected, got <"):
            raise
        reject()


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(sorted(_LAYERS)), min_size=1, max_size=4, unique=True),
    st.sampled_from(["before", "after"]),
)
def test_any_stack_of_overrides_is_recorded_as_it_crossed(names: list[str], made: str) -> None:
    stacked_or_rejected(names)
    asyncio.run(_compare(names, made))


async def _compare(names: list[str], made: str) -> None:
    make, notes = stacked(names), Notes()
    with _works_for_nobody():
        without = await converse(meet(make))
    before: Pair = meet(make)
    with capturing(notes):
        if made == "before" and "wrapped_on_the_object" not in names:
            recorded = await converse(before)
        else:
            before.csms.asking.cancel()
            recorded = await converse(meet(make))
        await wait_until_async(lambda: len(notes.of("CP")) >= len(recorded[1]))
    assert recorded == without
    assert notes.crossed("CP") == recorded[1]
    assert [frame.sequence for frame in notes.of("CP")] == list(range(len(recorded[1])))
    assert notes.crossed("to CP") == recorded[2]
    assert notes.lost == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(_LAYERS)), max_size=3, unique=True), st.integers(2, 6))
def test_texts_that_several_tasks_send_are_recorded_once_each(names: list[str], tasks: int) -> None:
    cls = stacked_or_rejected(names)
    asyncio.run(_compare_at_once(cls, tasks))


async def _compare_at_once(cls: Any, tasks: int) -> None:
    with _works_for_nobody():
        await _send_at_once(cls, tasks)
    notes = Notes()
    with capturing(notes):
        here = await _send_at_once(cls, tasks)
        await wait_until_async(lambda: len(notes.of("CP")) >= len(here.crossed))
    assert sorted(notes.crossed("CP")) == sorted(here.crossed)
    assert notes.lost == []


async def _send_at_once(cls: Any, tasks: int) -> End:
    """Have several tasks send three texts each; return this end of the wire when all have crossed."""
    here, _ = join()
    station = cls("CP", here)

    async def several(task: int) -> None:
        for number in range(3):
            await station._send(f'[3,"{task}.{number}",{{}}]')

    await asyncio.gather(*(several(task) for task in range(tasks)))
    await wait_until_async(lambda: len(here.crossed) == 3 * tasks)
    return here
