"""The seam in ChargePoint of the ``ocpp`` library: the patched methods, and the only module that imports it.

Hides how classes are patched, now and when they are made, and what counts as one frame when subclasses override a
method: the outermost call of what is received, the innermost of what is sent, each once. Promises that the host gets
the same results, exceptions, tracebacks and order as without, that nothing of ours raises into it, and that every class
is restored when nobody records any more. Frames that an adapter below ChargePoint drops or answers are out of reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import os
import sys
import threading
import time
import types
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from ocpp_mongo_plugin.connections import as_text
from ocpp_mongo_plugin.frames import Direction, Frame
from ocpp_mongo_plugin.log import warn
from ocpp_mongo_plugin.overrides import METHODS, inward, text_place

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DIRECTIONS: dict[str, Direction] = {"_send": "sent", "route_message": "received"}
_SAY_AGAIN_AFTER = 60.0


class Line(Protocol):
    """One session, as the seam sees it."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What is held while a frame gets its place."""

    def record(
        self, direction: Direction, text: str, version: str | None, timestamp: datetime | None = None, /
    ) -> Frame:
        """Give the frame its place on the wire."""

    def version_of(self, charge_point: Any) -> str | None:
        """Return the protocol version that is spoken."""

    def take_back(self, call: Call) -> None:
        """Forget a call that was put off."""

    def undelivered(self, frame: Frame, error: BaseException) -> None:
        """Sending that frame raised."""

    def never_crossed(self, frame: Frame) -> None:
        """Another text took the place of that frame on the wire."""


class Capturing(Protocol):
    """Who records, as the seam sees it."""

    @property
    def holds_up(self) -> bool:
        """Whether ``pace`` or ``durable`` may ever return anything."""

    @property
    def gives_way_to(self) -> Sequence[Capturing]:
        """Whoever records a ChargePoint instead, as long as they do."""

    def wants(self, charge_point: object) -> bool:
        """Whether this ChargePoint is recorded."""

    def plain_line(self, charge_point: Any) -> tuple[Line, str | None] | None:
        """Return line and version where a frame can be recorded the short way."""

    def received(self, charge_point: Any, text: object) -> None:
        """A frame came in."""

    def sent(self, charge_point: Any, text: object) -> tuple[Line, Frame]:
        """A frame goes out."""

    def put_off(self, charge_point: Any, call: Call) -> None:
        """A frame goes out, and a call further in will say its final text."""

    def starting(self, charge_point: Any) -> None:
        """The read loop of this ChargePoint begins."""

    def ended(self, charge_point: Any, error: BaseException | None) -> None:
        """The read loop of this ChargePoint is over."""

    def look_again(self) -> None:
        """Somebody has put a method on a class."""

    def pace(self) -> Awaitable[None] | None:
        """Return what the host is awaited for before it takes another frame; mostly None."""

    def durable(self) -> Awaitable[None] | None:
        """Return what it is awaited for once its frame is recorded; mostly None."""

    def forked(self) -> None:
        """Forget in a child process what belongs to its parent."""


_NO_LOCK = contextlib.nullcontext()
_said: dict[str, float] = {}


def guarded(step: Callable[..., Any], *arguments: Any) -> Any:
    """Do a step of ours in the host's turn: whatever goes wrong is said once, and costs the host nothing."""
    try:
        return step(*arguments)
    except Exception as error:  # noqa: BLE001 - the one place where errors of ours end
        kind = f"{type(error).__name__} in {getattr(step, '__name__', 'capture')}"
        now = time.monotonic()
        if now - _said.get(kind, -_SAY_AGAIN_AFTER) >= _SAY_AGAIN_AFTER:
            _said[kind] = now
            warn("ocpp-mongo-plugin could not record something: %s", kind)
        return None


class Call:
    """One call of a patched method, as its context remembers it."""

    __slots__ = (
        "__weakref__",
        "charge_point",
        "cls",
        "frames",
        "given",
        "inside",
        "is_inside",
        "layer",
        "method",
        "outer",
        "over",
        "parent",
        "recorded",
        "records",
        "root",
        "spawns",
        "task",
        "text",
        "waiting",
    )

    def __init__(self, way: _Way, charge_point: Any, text: object, parent: Call | None) -> None:
        self.cls = way.cls
        self.layer = way.layer
        self.method = way.method
        self.spawns = way.spawns
        self.charge_point = charge_point
        self.text = text
        self.parent = parent
        self.task = _current_task()
        self.frames: list[tuple[Line, Frame]] = []
        self.waiting: list[Line] = []
        self.recorded = False
        """Whether its frame is on record."""
        self.given = False
        """Whether its frame was recorded here on behalf of a call further in that has not come yet."""
        self.inside = 0
        """How many calls further in that go on inward are on their way, and how often it is to be finished."""
        self.is_inside = False
        self.records = 0
        """How often it or a call further in was put on record."""
        self.over = False
        self.outer = self._enclosing() or self._unbegun()
        """The call that this one is an inner part of, or None when it is a frame of its own."""
        self.root: Call = self if self.outer is None else self.outer.root

    def _enclosing(self) -> Call | None:
        outer = self.parent
        while outer is not None and not (outer.charge_point is self.charge_point and outer.method == self.method):
            outer = outer.parent
        if outer is None:
            return None
        if outer.layer > self.layer and outer.cls is self.cls:
            return outer  # somebody put a function over ours
        if outer.cls is self.cls:
            # One that is over is no enclosing call; its task may even be gone, and its address used again.
            same = outer.layer == self.layer and not outer.over and outer.task == self.task and outer.text == self.text
            return outer if same else None
        for cls in _behind(outer.cls, type(self.charge_point)):
            if cls is self.cls:
                return outer
        return None

    def _unbegun(self) -> Call | None:
        """Return the call whose awaitable, no coroutine, has only now come to this one; no context tells of it."""
        for one in [*_unbegun.values()]:
            is_same = one.charge_point is self.charge_point and as_text(one.text) == as_text(self.text)
            if is_same and not one.recorded and self.cls in _behind(one.cls, type(self.charge_point)):
                return one
        return None

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What to hold while its frame changes hands.

        Once it waits in a session, the thread that stores may close that, and settle it there. Before, and where it
        need not wait, no other thread knows of it.
        """
        waiting = self.root.waiting
        return waiting[0].lock if waiting else _NO_LOCK

    def record(self) -> None:
        """Put its frame on record."""
        self.recorded = True
        self.root.records += 1
        for capture in SEAM.recording(self.charge_point):
            sent = guarded(capture.sent, self.charge_point, self.text)
            if sent is not None:
                self.frames.append(sent)

    def settle(self, lines: list[Line] | None = None) -> None:
        """Put its frame on record now, if no call further in did; on those lines, or on that of the connection."""
        with self.lock:
            if self.recorded:
                return
            self.given = True
            if not lines:
                self.record()
                return
            self.recorded = True
            self.records += 1
            for line in lines:
                frame = guarded(line.record, "sent", as_text(self.text), line.version_of(self.charge_point))
                if frame is not None:
                    self.frames.append((line, frame))

    def step_back(self) -> None:
        """Be no call any more: it has only made a coroutine, whose first step is one."""
        for line in self.waiting:
            line.take_back(self)
        if self.is_inside:
            self.root.inside -= 1
        self.recorded = True
        self.end()

    def finish_soon(self) -> bool:
        """Finish when the tasks that were just made have begun; return False when there is no loop for that."""
        try:
            asyncio.get_running_loop().call_soon(guarded, self.finish)
        except RuntimeError:
            return False
        _unbegun[id(self)] = self
        self.inside += 1
        return True

    def finish(self) -> None:
        """Wait for no call further in any more, unless one is on its way."""
        _unbegun.pop(id(self), None)
        self.inside -= 1
        if self.inside:
            return
        for line in self.waiting:
            line.take_back(self)
        self.settle()

    def is_given_as(self, text: object) -> bool:
        """Whether what was recorded on behalf of a call further in is what that says."""
        said = as_text(text)
        return all(frame.text == said for _, frame in self.frames)

    def withdraw(self) -> None:
        """Say that what was recorded did not cross the wire as it was; a call further in will record anew.

        Where one has come already, what was recorded is its own.
        """
        with self.lock:
            if not self.given:
                return
            self.given = False
            while self.frames:
                line, frame = self.frames.pop()
                line.never_crossed(frame)

    def lose(self) -> None:
        """Put its frame on record where it waits, and say that it did not cross, unless the call is over.

        That is as far as anybody can know when a connection is closed: it may still go out, on another.
        """
        with self.lock:
            self.settle(self.waiting)
            if not self.over:
                self.withdraw()

    def end(self) -> None:
        """Keep nothing alive: a context outlives its calls, and each timer that is set in one inherits it."""
        with self.lock:
            self.over = True
        self.parent = None


_unbegun: weakref.WeakValueDictionary[int, Call] = weakref.WeakValueDictionary()
"""By id, calls that are over, but have returned or made what may yet go further in; its loop may die and never tell."""
_enclosing: ContextVar[Call | None] = ContextVar("ocpp_mongo_enclosing", default=None)


def library() -> type:
    """Return the library's ChargePoint; never called under a lock, since importing it may wait for other threads."""
    from ocpp.charge_point import ChargePoint  # noqa: PLC0415 - importing us must stay light

    found: type = ChargePoint
    return found


class _Undo(weakref.ref[type]):
    """On each of our functions: the class that it was put on, and what was there before.

    Kept on the function, not in a list of ours, since both functions refer to their class and would keep it alive.
    """

    __slots__ = ("original", "value")

    original: object
    value: object


class _Seam:
    """The patched classes, and who records."""

    def __init__(self) -> None:
        self.captures: tuple[Capturing, ...] = ()
        self.only: Capturing | None = None
        """The one that records, where there is just one."""
        self._holds_up = False
        """Whether anyone who records may hold up the host."""
        self.charge_point: type = type(None)
        self._lock = threading.RLock()
        # By id, since a metaclass may have its classes equal, or without a hash. An id used again takes its place.
        self._patched: dict[tuple[int, str], weakref.ref[type]] = {}
        self._is_layered = False
        """Whether somebody put a function over one of ours on the library's own class."""

    def add(self, capture: Capturing) -> bool:
        """Record for this capture too; return False when that was so already."""
        charge_point = library()
        with self._lock:
            if capture in self.captures:
                return False
            if not self.captures:
                self._install(charge_point)
            self._let_record((*self.captures, capture))
            return True

    def remove(self, capture: Capturing) -> None:
        with self._lock:
            if capture not in self.captures:
                return
            self._let_record(tuple(c for c in self.captures if c is not capture))
            if not self.captures:
                self._restore()

    def _let_record(self, captures: tuple[Capturing, ...]) -> None:
        self.captures = captures
        self.only = captures[0] if len(captures) == 1 else None
        self._holds_up = any(capture.holds_up for capture in captures)

    def recording(self, charge_point: object) -> list[Capturing]:
        """Return who records this ChargePoint: whoever wants to, unless one it gives way to does.

        Nobody does what is no ChargePoint, as an object that only shares a mixin with one.
        """
        if not isinstance(charge_point, self.charge_point):
            return []
        captures = self.captures
        wanting = [capture for capture in captures if capture.wants(charge_point)]
        return [capture for capture in wanting if not any(other in wanting for other in capture.gives_way_to)]

    def is_plain(self, cls: type) -> bool:
        """Whether only the library's own class says how ChargePoints of this one send and receive."""
        return not self._is_layered and not any(
            name in one.__dict__ for one in cls.__mro__ if one is not self.charge_point for name in _DIRECTIONS
        )

    def _install(self, charge_point: type) -> None:
        self.charge_point = charge_point
        if "__init_subclass__" not in charge_point.__dict__:
            self._put(charge_point, "__init_subclass__", _base_init_subclass(charge_point), _ABSENT)
        if isinstance(made := self._original(charge_point, "__init__"), types.FunctionType):
            self._put(charge_point, "__init__", _covering_init(made), made)
        for cls in _family(charge_point):
            guarded(self.cover, cls)

    def cover(self, cls: type) -> None:
        """Patch a class and those it inherits from, mixins too, where a method is not ours yet."""
        with self._lock:
            found = [self._patch(one) for one in cls.__mro__ if self._concerns(one)]
            if any(found):
                for capture in self.captures:
                    capture.look_again()

    def _concerns(self, cls: type) -> bool:
        return issubclass(cls, self.charge_point) or str(cls.__module__).partition(".")[0] not in _STANDARD

    def cover_new(self, cls: type) -> None:
        """Patch a class that was just made."""
        with self._lock:
            if self.captures and issubclass(cls, self.charge_point):
                self.cover(cls)

    def _patch(self, cls: type) -> bool:
        """Patch the methods of a class; return whether one was found that is not ours yet."""
        found = False
        for name in METHODS:
            original = self._original(cls, name)
            if _is_method(original):
                self._put(cls, name, self._function(cls, name, original), original)
                found = True
        own = self._original(cls, "__init_subclass__")
        if isinstance(own, classmethod):
            self._put(cls, "__init_subclass__", _own_init_subclass(own.__func__), own)
        return found

    def _original(self, cls: type, name: str) -> Any:
        """Return what is to be wrapped of what a class has under that name; None when that is done.

        A class that was made from another one, as ``dataclass(slots=True)`` does, has the other's functions: ours.
        """
        value = cls.__dict__.get(name)
        undo = _undo_of(value)
        if undo is None or undo() is not cls:
            return value if undo is None else undo.original
        self._patched[id(cls), name] = weakref.ref(cls)  # somebody who had taken it away may have put it back
        return None

    def _function(self, cls: type, name: str, original: Any) -> Any:
        """Return what takes the place of a method."""
        mixed = itertools.takewhile(lambda one: one is not self.charge_point, cls.__mro__)
        calls = inward(original, name, [*mixed], lambda function: _undo_of(function) is not None)
        way = _Way(cls, name, next(_layers), *calls, *text_place(original, name))
        function = _wrapped(way, original)
        if cls is not self.charge_point or name not in _DIRECTIONS:
            return function
        self._is_layered |= way.calls_ours
        is_usual = type(original) is types.FunctionType and inspect.iscoroutinefunction(original)
        return _with_short_way(original, function, _DIRECTIONS[name]) if is_usual and not way.calls_ours else function

    def _put(self, cls: type, name: str, function: Any, original: object) -> None:
        undo = function.__ocpp_mongo_undo__ = _Undo(cls)
        undo.original = original
        undo.value = classmethod(function) if name == "__init_subclass__" else function
        with contextlib.suppress(TypeError, AttributeError):  # a class that cannot be changed
            type.__setattr__(cls, name, undo.value)  # whatever its metaclass does with that
            self._patched[id(cls), name] = weakref.ref(cls)

    def _restore(self) -> None:
        for (_, name), refer in self._patched.items():
            cls = refer()
            value = None if cls is None else cls.__dict__.get(name)
            undo = _undo_of(value)
            if cls is None or undo is None or undo() is not cls:
                continue  # somebody put something over ours: ours only passes through now
            if undo.original is _ABSENT:
                type.__delattr__(cls, name)
            else:
                type.__setattr__(cls, name, undo.original)
        self._patched = {}
        self._is_layered = False

    def pace(self, charge_point: object) -> Awaitable[None] | None:
        """Return what a recorder of this ChargePoint wants to be awaited before it takes another frame, if any does."""
        if not self._holds_up:
            return None
        return next((wait for one in self.recording(charge_point) if (wait := guarded(one.pace)) is not None), None)

    def durable(self, charge_point: object) -> Awaitable[None] | None:
        """Return what a recorder of this ChargePoint wants to be awaited now that it has the frame, if any does."""
        if not self._holds_up:
            return None
        return next((wait for one in self.recording(charge_point) if (wait := guarded(one.durable)) is not None), None)

    def forked(self) -> None:
        """Begin anew in a child process: a lock of the parent may be held by a thread that is not there."""
        self._lock = threading.RLock()
        for capture in self.captures:
            capture.forked()


_ABSENT = object()
_STANDARD = frozenset(sys.stdlib_module_names)
SEAM = _Seam()
"""The one of this process: two plugins at once share it."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SEAM.forked)


def _family(cls: Any) -> Iterator[type]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _family(subclass)


def _undo_of(value: Any) -> _Undo | None:
    """Return how to undo what we put on a class; None for what others put there, or around ours."""
    function = value.__func__ if isinstance(value, classmethod) else value
    undo = function.__dict__.get("__ocpp_mongo_undo__") if type(function) is types.FunctionType else None
    return undo if isinstance(undo, _Undo) and undo.value is value else None


def _is_method(value: Any) -> bool:
    """Whether it is a function, or what is bound as functions are: decorated, compiled, partial."""
    kind = type(value)
    if kind is types.FunctionType:
        return True
    binds = hasattr(kind, "__get__") and not hasattr(kind, "__set__")
    is_other = issubclass(kind, staticmethod | classmethod | type)
    return binds and not is_other and (callable(value) or isinstance(value, functools.partialmethod))


def _standing_for(original: Any) -> Callable[[_Function], _Function]:
    """Return a decorator that has a function of ours say of itself what the host's would."""

    def tell(function: _Function) -> _Function:
        functools.update_wrapper(function, original)
        if type(original) is types.FunctionType and not hasattr(original, "__wrapped__"):
            # What does not follow __wrapped__, as getfullargspec, sees the same then.
            with contextlib.suppress(TypeError, ValueError):
                function.__dict__["__signature__"] = inspect.signature(original)
        return function

    return tell


def _covering_init(original: Callable[..., None]) -> Callable[..., None]:
    """Return an ``__init__`` that sees each class, also one whose ``__init_subclass__`` told nobody."""

    @_standing_for(original)
    def __init__(self: object, *arguments: Any, **keywords: Any) -> None:  # noqa: N807 - it is that method
        if SEAM.captures:
            guarded(SEAM.cover, type(self))
        try:
            original(self, *arguments, **keywords)
        except BaseException as error:
            _step_out(error)
            raise

    return __init__


def _base_init_subclass(base: type) -> Callable[..., None]:
    def __init_subclass__(cls: type, **keywords: Any) -> None:  # noqa: N807 - it is that method
        try:
            super(base, cls).__init_subclass__(**keywords)  # type: ignore[arg-type]
        except BaseException as error:
            _step_out(error)
            raise
        guarded(SEAM.cover_new, cls)

    __init_subclass__.__module__ = base.__module__
    __init_subclass__.__qualname__ = f"{base.__qualname__}.__init_subclass__"
    __init_subclass__.__doc__ = object.__init_subclass__.__doc__
    __init_subclass__.__annotations__ = {}
    return __init_subclass__


def _own_init_subclass(original: Callable[..., None]) -> Callable[..., None]:
    @_standing_for(original)
    def __init_subclass__(cls: type, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        try:
            original(cls, *arguments, **keywords)
        except BaseException as error:
            _step_out(error)
            raise
        guarded(SEAM.cover_new, cls)

    return __init_subclass__


# -- the wrappers -----------------------------------------------------------------------------------------------


async def _follow(call: Call, awaitable: Any) -> Any:
    """Await what the host's method returned, with the call as its context."""
    token = _enclosing.set(call)
    try:
        if (durable := SEAM.durable(call.charge_point)) is not None:
            try:
                await durable
            except BaseException:
                if hasattr(awaitable, "close"):
                    awaitable.close()  # it never began
                raise
        result = await awaitable
    except BaseException as error:
        guarded(_left, call, error)
        _step_out(error)
        raise
    else:
        guarded(_left, call, None)
        return result
    finally:
        with contextlib.suppress(ValueError):  # closed from another context, as a discarded coroutine is
            _enclosing.reset(token)


class _Made:
    """A coroutine that the host's method made: closed with its follower, where that never awaited it.

    A follower that never begins has warned of that already, or been cancelled, of which Python says nothing.
    """

    __slots__ = ("coroutine",)

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # one that is no coroutine of Python's own may not tell
            if inspect.getcoroutinestate(self.coroutine) == inspect.CORO_CREATED:
                self.coroutine.close()


async def _follow_made(begin: Callable[[], Call | None], made: _Made) -> Any:
    """Await what the host's method made; the call that this is begins with the first step."""
    try:
        call = begin() if SEAM.captures else None
        return await (made.coroutine if call is None else _follow(call, made.coroutine))
    except BaseException as error:
        _step_out(error)
        raise


def _step_out(error: BaseException) -> None:
    """Take the frame that handles the error off its traceback, before a plain ``raise``: it is none of the host's."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def _is_inner(method: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this is a call of the same method of the same object from within: that one was held up already."""
    outer = _enclosing.get()
    return outer is not None and outer.method == method and outer.charge_point is arguments[0]


class _Way(NamedTuple):
    """What one of our functions knows of the method that it stands in for."""

    cls: type
    method: str
    layer: int
    """Of several functions on one class the later stands around the earlier."""
    asks_inward: bool
    """Whether it may call the same method further in."""
    calls_ours: bool
    """Whether it may call the function of ours that was in its place before."""
    spawns: bool
    """Whether it may do so in a task."""
    text_place: int
    """Which argument the text is."""
    text_name: str
    """And its name."""

    def text(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> object:
        """Return the text that a call hands over."""
        if self.text_name in keywords:
            return keywords[self.text_name]
        if len(arguments) > self.text_place:
            return arguments[self.text_place]
        return arguments[1] if len(arguments) > 1 else next(iter(keywords.values()), None)


_layers = itertools.count()


def _wrapped(way: _Way, original: Any) -> Any:
    """Return a function that stands in for ``original``, coroutine function or not, and reports its calls."""
    wrap = _wrapped_coroutine if inspect.iscoroutinefunction(original) else _wrapped_plain
    return _standing_for(original)(wrap(way, _as_function(original)))


def _wrapped_coroutine(way: _Way, function: Any) -> Any:
    async def wrapper(*arguments: Any, **keywords: Any) -> Any:
        if SEAM.captures and arguments and not _is_inner(way.method, arguments):
            pace = guarded(SEAM.pace, arguments[0])
            if pace is not None:
                await pace
        try:
            coroutine = function(*arguments, **keywords)
            call = guarded(_entered, way, arguments, keywords) if SEAM.captures else None
            return await (coroutine if call is None else _follow(call, coroutine))
        except BaseException as error:
            _step_out(error)
            raise

    return wrapper


def _wrapped_plain(way: _Way, function: Any) -> Any:
    signature = inspect.signature(function, follow_wrapped=False)

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        is_call = SEAM.captures and _fits(signature, arguments, keywords)
        call = guarded(_entered, way, arguments, keywords, True) if is_call else None
        records = call.root.records if call is not None else 0
        token = _enclosing.set(call) if call is not None else None
        try:
            result = function(*arguments, **keywords)
        except BaseException as error:
            if call is not None:
                guarded(_was_the_call, way, call, records)
                guarded(_left, call, error)
            _step_out(error)
            raise
        finally:
            if token is not None:
                _enclosing.reset(token)
        if call is None:
            return result
        if isinstance(result, Coroutine):
            made = _Made(result)
            if guarded(_only_made_a_coroutine, call, records):
                begin = functools.partial(guarded, _entered, way, arguments, keywords)
                return _named_as(result, _follow_made(begin, made))
            return _named_as(result, _follow_made(lambda: call, made))
        guarded(_was_the_call, way, call, records)
        if way.method != "start":  # a start() that is not awaited only sets something going
            call.root.spawns = call.root.spawns or inspect.isawaitable(result)
            guarded(_left, call, None)
        return result

    return wrapper


def _fits(signature: inspect.Signature, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether a call gets as far as the method; else Python refuses it."""
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _only_made_a_coroutine(call: Call, records: int) -> bool:
    """Take back a call of a plain function that has done nothing yet but return a coroutine; return whether it was so.

    Args:
        call: that one.
        records: how often its frame was on record before.
    """
    if call.method == "route_message":
        return False  # its text is in the host's hands
    with call.lock:
        if call.root.records != records:
            return False
        call.step_back()
    return True


def _was_the_call(way: _Way, call: Call, records: int) -> None:
    """Report what was held back of a call of a plain function, as it has returned no coroutine."""
    if call.method == "start":
        _tell_start(call)
    elif call.method == "_send" and not _goes_inward(way, call):
        with call.lock:
            if call.root is call:
                call.settle()
            elif call.root.given or call.root.records == records:
                call.is_inside = False
                call.root.inside -= 1
                _enter_inner_send(call, call.root, goes_inward=False)


def _named_as(told: Any, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Give a coroutine the names of another, by which logs, tasks and warnings call it."""
    for name in ("__name__", "__qualname__"):
        with contextlib.suppress(AttributeError, TypeError):  # one that is no coroutine of Python's own may have none
            setattr(coroutine, name, getattr(told, name))
    return coroutine


def _as_function(original: Any) -> Callable[..., Any]:
    """Return a function that calls the method as an attribute of its first argument would be."""
    if type(original) is types.FunctionType:
        return original

    def function(*arguments: Any, **keywords: Any) -> Any:
        if not arguments:
            return original()
        return original.__get__(arguments[0], type(arguments[0]))(*arguments[1:], **keywords)

    return function


def _with_short_way(original: Any, long_way: Any, direction: Direction) -> Any:
    """Return a function for the library's own class that records at once what can be, the rest as ``long_way`` does."""

    @_standing_for(original)
    async def wrapper(*arguments: Any, **keywords: Any) -> Any:
        frame = None
        try:
            only = SEAM.only
            if only is None or keywords or len(arguments) != 2 or type(arguments[1]) is not str:  # noqa: PLR2004
                return await long_way(*arguments, **keywords)
            plain = guarded(only.plain_line, arguments[0])
            if plain is None:
                return await long_way(*arguments)
            line, version = plain
            frame = guarded(line.record, direction, arguments[1], version)
            return await original(*arguments)
        except BaseException as error:
            if direction == "sent" and frame is not None:
                guarded(line.undelivered, frame, error)
            _step_out(error)
            raise

    return wrapper


def _entered(
    way: _Way,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    may_make_a_coroutine: bool = False,
) -> Call | None:
    if not arguments:
        return None
    charge_point = arguments[0]
    wanted = SEAM.recording(charge_point)
    if not wanted:
        return None
    call = Call(way, charge_point, way.text(arguments, keywords), _enclosing.get())
    if way.method == "_send":
        _enter_send(call, may_make_a_coroutine or _goes_inward(way, call), wanted)
    elif way.method == "start":
        if not may_make_a_coroutine:
            _tell_start(call)
    elif call.outer is None:
        for capture in wanted:
            guarded(capture.received, charge_point, call.text)
    return call


def _tell_start(call: Call) -> None:
    if call.outer is None:
        for capture in SEAM.recording(call.charge_point):
            guarded(capture.starting, call.charge_point)


def _goes_inward(way: _Way, call: Call) -> bool:
    return way.calls_ours or (way.asks_inward and _is_defined_behind(call))


def _enter_send(call: Call, goes_inward: bool, wanted: list[Capturing]) -> None:
    """Record what is sent before it is, or an answer could overtake it; unless a call further in knows better."""
    root = call.root
    if root is call:
        if goes_inward:
            for capture in wanted:
                guarded(capture.put_off, call.charge_point, call)
        else:
            call.settle()
        return
    with root.lock:
        _enter_inner_send(call, root, goes_inward=goes_inward)


def _enter_inner_send(call: Call, root: Call, *, goes_inward: bool) -> None:
    if call.outer is not None and call.outer.cls is call.cls and call.outer.layer == call.layer:
        call.recorded = True
        call.frames = root.frames
    elif goes_inward:
        root.text = call.text
        root.spawns = root.spawns or call.spawns
        root.inside += 1
        call.recorded = True
        call.is_inside = True
    elif root.given and root.is_given_as(call.text):
        root.given = False  # this one is on record: its outer call, or something that came between, saw to it
        call.recorded = True
        call.frames = root.frames
    else:
        root.withdraw()
        call.record()
        root.recorded = True


def _left(call: Call, error: BaseException | None) -> None:
    call.end()
    if call.method == "_send":
        root = call.root
        if call.is_inside:
            root.inside -= 1
        if root.over and not root.recorded and error is None and root.spawns and root.finish_soon():
            return  # what it has left to a task will say its text
        _leave_send(call, error)
    elif call.method == "start" and call.outer is None:
        for capture in SEAM.captures:
            if capture.wants(call.charge_point):
                guarded(capture.ended, call.charge_point, error)


def _leave_send(call: Call, error: BaseException | None) -> None:
    for line in call.waiting:
        line.take_back(call)
    with call.lock:
        call.settle()
        if error is not None:
            while call.frames:
                line, frame = call.frames.pop()
                line.undelivered(frame, error)
        elif not call.root.given:
            call.frames.clear()  # delivered; as long as one is given, its send may still be to come in a task


def _behind(cls: type, kind: type) -> tuple[type, ...]:
    """Return the classes that come after a class in the order of another; classes may be equal, or not comparable."""
    order = kind.__mro__
    for place, one in enumerate(order, 1):
        if one is cls:
            return order[place:]
    return ()


def _is_defined_behind(call: Call) -> bool:
    return any(call.method in cls.__dict__ for cls in _behind(call.cls, type(call.charge_point)))


def _current_task() -> int:
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return threading.get_ident()
