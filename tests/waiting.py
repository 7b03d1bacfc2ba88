"""The one place where tests wait: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.005


def wait_until(condition: Callable[[], T], bound: float = 10.0) -> T:
    """Return what ``condition`` gives as soon as that is true; fail after ``bound`` seconds with what it gave last."""
    deadline = time.monotonic() + bound
    while not (value := condition()):
        _check(condition, value, bound, deadline)
        time.sleep(_POLL_SECONDS)
    return value


async def wait_until_async(condition: Callable[[], T | Awaitable[T]], bound: float = 10.0) -> T:
    """Do the same without holding the loop up; ``condition`` may be a plain or an ``async`` function."""
    deadline = time.monotonic() + bound
    while True:
        given = condition()
        # A condition that hangs must not outlast the bound either.
        value = await asyncio.wait_for(given, bound) if inspect.isawaitable(given) else given
        if value:
            return value
        _check(condition, value, bound, deadline)
        await asyncio.sleep(_POLL_SECONDS)


def _check(condition: Callable[[], object], value: object, bound: float, deadline: float) -> None:
    if time.monotonic() > deadline:
        name = getattr(condition, "__qualname__", repr(condition))
        raise AssertionError(f"{name} gave {value!r} for {bound} s")
