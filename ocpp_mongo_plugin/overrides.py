"""What the code of an overriding method says about the calls that it will make.

Hides how names are read from bytecode. Promises only a reading: no method is called, and where the code does not tell,
the answer is that it may.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

METHODS = ("_send", "route_message", "start")
"""The methods of ChargePoint that frames go through."""
_TEXTS = {"_send": "message", "route_message": "raw_msg"}
"""How the library calls the text."""
_SEARCH_DEPTH = 4
_SPAWNING = frozenset({"create_task", "ensure_future", "Task", "start_soon", "call_soon", "gather"})


def inward(
    original: Any, method: str, classes: Sequence[type], is_ours: Callable[[types.FunctionType], bool]
) -> tuple[bool, bool, bool]:
    """Return whether a method may ask for the same one further in, or call ours, and whether it makes tasks.

    Read from the names in its code, in that of the functions that it encloses or decorates, and in that of the
    methods of its class that it calls. What is no function may do anything.

    Args:
        original: the method, as its class has it.
        method: its name in the library.
        classes: its class and those behind it, up to the library's own.
        is_ours: whether a function is one that records.
    """
    if type(original) is not types.FunctionType:
        return True, False, True
    asks = ours = spawns = False
    seen: list[types.FunctionType] = []
    waiting: list[tuple[types.FunctionType, int]] = [(original, 0)]
    while waiting:
        function, depth = waiting.pop()
        if depth > _SEARCH_DEPTH or function in seen:
            continue
        seen.append(function)
        if function is not original and is_ours(function):
            asks = ours = True
            continue
        names = _names_of(function)
        asks = asks or bool({"super", "__class__", method} & names)
        spawns = spawns or bool(_SPAWNING & names)
        waiting += [(one, depth + 1) for one in _within(function, names, is_ours)]
        waiting += [(one, depth + 1) for one in _called(names, method, classes)]
    return asks, ours, spawns


def _names_of(function: types.FunctionType) -> set[str]:
    """Return the names in the code of a function, and in that of the functions that it makes."""
    codes, names = [function.__code__], set[str]()
    for code in codes:
        names |= {*code.co_names, *code.co_freevars}
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    return names


def _within(
    function: types.FunctionType, names: set[str], is_ours: Callable[[types.FunctionType], bool]
) -> Iterator[types.FunctionType]:
    """Yield the functions that it decorates or encloses, and those of ours that it knows."""
    empty = types.CellType()
    inside = [cell.cell_contents for cell in function.__closure__ or () if cell != empty]
    inside.append(function.__dict__.get("__wrapped__"))
    yield from (one for one in inside if type(one) is types.FunctionType)
    told = (function.__globals__.get(name) for name in names)
    yield from (one for one in told if type(one) is types.FunctionType and is_ours(one))


def _called(names: set[str], method: str, classes: Sequence[type]) -> Iterator[types.FunctionType]:
    """Yield the methods of those names that know the one further in."""
    for one in classes:
        called = (one.__dict__.get(name) for name in names if name not in METHODS)
        yield from (it for it in called if type(it) is types.FunctionType and method in _names_of(it))


def text_place(original: Any, method: str) -> tuple[int, str]:
    """Return which argument of a method is the text, and its name: as the library calls it, or else the first."""
    code = original.__code__ if type(original) is types.FunctionType else None
    own = _TEXTS.get(method, "")
    if code is None:
        return 1, own
    taken = code.co_varnames[: code.co_argcount]
    if own in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return (taken.index(own) if own in taken else 1), own
    return 1, taken[1] if len(taken) > 1 else own
