"""Attaches to ChargePoint of the ``ocpp`` library: the only module that imports it.

Hides the patched methods and what counts as one frame when subclasses override them: the outermost call of what is
received, the innermost of what is sent, each once. Promises that with recording on the host gets the same results,
exceptions and order as without, that nothing of ours raises into it, and that ``disable`` restores every class.
Frames that an adapter below ChargePoint drops or answers itself are out of reach here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import json
import logging
import os
import threading
import time
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Protocol

from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.frames import Frame, Origin, Session, SessionChange, new_session_id, normalise_version

logger = logging.getLogger("ocpp_mongo_plugin")

_METHODS = ("_send", "route_message", "start")
_ORDERLY = frozenset({1000, 1001, 1005})
_ADAPTED = ("ws", "_ws", "websocket", "_websocket", "_connection", "connection", "socket")
_OPEN_STATES = frozenset({"OPEN", "CONNECTED"})
_CLOSED_STATES = frozenset({"CLOSED", "CLOSING", "DISCONNECTED"})
_SAY_AGAIN_AFTER = 60.0
_OTHER: dict[Origin, Origin] = {"station": "csms", "csms": "station"}


class Recorder(Protocol):
    """What is told of everything that crosses a wire, in the host's turn."""

    def frame(self, frame: Frame) -> None:
        """A frame was received, or is about to be sent."""

    def session(self, change: SessionChange) -> None:
        """A session opened, became connected, failed, or closed."""

    def undelivered(self, frame: Frame) -> None:
        """Sending that frame raised."""


class Capture:
    """What one plugin records of the ChargePoints of this process."""

    def __init__(self, recorder: Recorder, *, record_all: bool) -> None:
        """Report to ``recorder``; without ``record_all`` only what ``attach`` is given."""
        self._recorder = recorder
        self._record_all = record_all
        self._lock = threading.RLock()
        self._attached: dict[int, Callable[[], object]] = {}
        self._lines: dict[int, _Line] = {}
        self._by_hand: dict[tuple[str, str | None], _Line] = {}
        self._sessions_of: Counter[str] = Counter()

    # -- on and off --------------------------------------------------------------------------------------------

    def enable(self) -> None:
        """Begin to record."""
        _seam.add(self)

    def disable(self) -> None:
        """Stop recording; the last capture to leave restores every class."""
        _seam.remove(self)
        with self._lock:
            lines = [*self._lines.values()]
            self._lines.clear()
            self._by_hand.clear()
        for line in lines:
            line.unwatch()

    def attach(self, charge_point: object) -> None:
        """Record this ChargePoint, and open its session if it has a connection."""
        with self._lock:
            self._attached[id(charge_point)] = _reference(charge_point)
        if getattr(charge_point, "_connection", None) is not None and self in _seam.captures:
            _guarded(self._line, charge_point)

    def wants(self, charge_point: object) -> bool:
        """Whether this ChargePoint is recorded."""
        if self._record_all:
            return True
        known = self._attached.get(id(charge_point))
        return known is not None and known() is charge_point

    # -- by hand -----------------------------------------------------------------------------------------------

    def record(
        self,
        station_id: str,
        direction: str,
        text: str | bytes,
        protocol_version: str | None,
        *,
        session: str | None = None,
        timestamp: datetime | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Record one frame of a program that has no ChargePoint.

        Raises:
            ArgumentError: an argument is wrong.
        """
        _check_by_hand(station_id, direction, text, timestamp, origin)
        with self._lock:
            line = self._by_hand.get((station_id, session))
            if line is None:
                line = _Line(self, self._new_session(station_id, None, None, "manual", status="connected"))
                self._by_hand[station_id, session] = line
                line.announce()
        line.role = line.role or (origin if direction == "sent" or origin is None else _OTHER[origin])
        line.record(direction, _as_text(text), normalise_version(protocol_version), timestamp)

    def end(self, station_id: str, session: str | None = None) -> None:
        """Close a session that was recorded by hand."""
        with self._lock:
            line = self._by_hand.pop((station_id, session), None)
        if line is not None:
            line.close(None, None, None)

    # -- sessions ----------------------------------------------------------------------------------------------

    def open_sessions(self) -> list[Session]:
        """Return the sessions that are open."""
        with self._lock:
            return [line.session for line in self._all_lines() if not line.closed]

    def close_sessions(self, reason: str) -> None:
        """Close every session, since recording ends."""
        with self._lock:
            lines = list(self._all_lines())
        for line in lines:
            _guarded(line.close, None, reason, None)

    def poll(self) -> None:
        """Close the sessions whose connection has closed, or is gone, without anybody saying so."""
        with self._lock:
            lines = list(self._lines.items())
        for key, line in lines:
            _guarded(self._look_at, key, line)

    def _look_at(self, key: int, line: _Line) -> None:
        connection = line.connection()
        if line.charge_point() is None and (connection is None or line.closed):
            line.close(None, None, None)
            with self._lock:
                if self._lines.get(key) is line:
                    del self._lines[key]
        elif _state(connection) in _CLOSED_STATES:
            line.close_as(connection)

    def _all_lines(self) -> Iterator[_Line]:
        return itertools.chain(self._lines.values(), self._by_hand.values())

    def _new_session(
        self,
        station_id: str,
        role: Origin | None,
        connection: object,
        source: Any,
        *,
        status: Any,
        version: str | None = None,
    ) -> Session:
        attempts = self._sessions_of[station_id]
        self._sessions_of[station_id] += 1
        subprotocol = _text_of(connection, "subprotocol")
        return Session(
            session_id=new_session_id(_ticks.next(), os.urandom(5)),
            station_id=station_id,
            role=role,
            opened_at=_now(),
            status=status,
            protocol_version=version or normalise_version(subprotocol),
            subprotocol=subprotocol,
            remote_address=_address(connection),
            reconnect_attempts=attempts,
            source=source,
        )

    # -- what the seam reports ---------------------------------------------------------------------------------

    def _line(self, charge_point: Any, *, anew: bool = False) -> _Line:
        """Return the line of this ChargePoint's connection; a new one when it has another connection."""
        known = self._lines.get(id(charge_point))
        connection = getattr(charge_point, "_connection", None)
        if known is not None and known.charge_point() is charge_point:
            if known.connection() is connection and not (anew and known.closed):
                return known
            known.close_as(known.connection())
        return self._open(charge_point, connection)

    def _open(self, charge_point: Any, connection: object) -> _Line:
        _seam.cover(type(charge_point))
        station_id = _as_text(getattr(charge_point, "id", ""))
        is_open = _state(connection) in _OPEN_STATES
        session = self._new_session(
            station_id,
            _role(connection),
            connection,
            "websocket",
            status="connected" if is_open else "connecting",
            version=normalise_version(_text_of(charge_point, "_ocpp_version")),
        )
        line = _Line(self, session, charge_point, connection)
        with self._lock:
            self._lines[id(charge_point)] = line
        line.announce()
        line.watch()
        return line

    def received(self, charge_point: Any, text: object) -> None:
        """A frame came in."""
        line = self._line(charge_point)
        line.settle()
        line.record("received", _as_text(text), line.version_of(charge_point))

    def sent(self, charge_point: Any, text: object) -> Frame:
        """A frame goes out."""
        line = self._line(charge_point)
        return line.record("sent", _as_text(text), line.version_of(charge_point))

    def put_off(self, charge_point: Any, call: _Call) -> None:
        """A frame goes out, and a call further in will say its final text."""
        self._line(charge_point).deferred.append(call)

    def undelivered(self, charge_point: Any, frame: Frame, error: BaseException) -> None:
        """Sending that frame raised."""
        self._recorder.undelivered(frame)
        if isinstance(error, Exception):
            self._line(charge_point).fail(f"{type(error).__name__} while sending")

    def starting(self, charge_point: Any) -> None:
        """The read loop of this ChargePoint begins."""
        self._line(charge_point, anew=True)

    def ended(self, charge_point: Any, error: BaseException | None) -> None:
        """The read loop of this ChargePoint is over; its session only if the connection is."""
        line = self._line(charge_point)
        connection = line.connection()
        state = _state(connection)
        if state in _OPEN_STATES or line.is_watched:
            # The connection itself will say when it is closed, and how.
            if state in _OPEN_STATES and isinstance(error, Exception):
                line.fail(f"{type(error).__name__} ended start()")
            return
        line.close_as(connection, error)


class _Line:
    """One session as this process sees it."""

    def __init__(
        self, capture: Capture, session: Session, charge_point: object = None, connection: object = None
    ) -> None:
        self._capture = capture
        self._recorder = capture._recorder  # noqa: SLF001 - one piece in two classes
        self._lock = threading.RLock()
        self.session = session
        self.role = session.role
        self.charge_point = _reference(charge_point)
        self.connection = _reference(connection)
        self.deferred: list[_Call] = []
        self.closed = False
        self._sequence = 0
        self._version: tuple[object, str | None] = (None, session.protocol_version)
        self._waiter: Any = None

    def announce(self) -> None:
        """Say that the session is there."""
        self._recorder.session(SessionChange("opened", self.session, self.session.opened_at))

    def record(self, direction: Any, text: str, version: str | None, timestamp: datetime | None = None) -> Frame:
        """Give the frame its place on the wire, and hand it on in that order."""
        session, role = self.session, self.role
        origin = None if role is None else role if direction == "sent" else _OTHER[role]
        with self._lock:
            if self.session.status == "connecting":
                self._change("connected", status="connected", protocol_version=version)
            frame = Frame(
                session.station_id,
                session.session_id,
                self._sequence,
                direction,
                origin,
                version,
                timestamp or _now(),
                text,
            )
            self._sequence += 1
            self._recorder.frame(frame)
        return frame

    def version_of(self, charge_point: Any) -> str | None:
        """Return the protocol version: some programs set it after ``__init__``."""
        said = getattr(charge_point, "_ocpp_version", None)
        if said is not self._version[0]:
            name = said if isinstance(said, str) else self.session.subprotocol
            self._version = (said, normalise_version(name))
        return self._version[1]

    def settle(self) -> None:
        """Record what was put off, before something else takes its place on the wire."""
        while self.deferred:
            self.deferred.pop(0).settle()

    def fail(self, error: str) -> None:
        """Say that something failed while the session goes on."""
        with self._lock:
            if not self.closed:
                self._change("failed", error=error)

    def close_as(self, connection: object, error: BaseException | None = None) -> None:
        """Close the session as its connection says, or else the error that ended it."""
        code, reason = _close_of(connection, error)
        said = None
        if isinstance(error, Exception) and code not in _ORDERLY:
            said = f"{type(error).__name__}{f': closed with code {code}' if code is not None else ''}"
        elif code is not None and code not in _ORDERLY:
            said = f"connection closed with code {code}{f': {reason}' if reason else ''}"
        self.close(code, reason, said)

    def close(self, code: int | None, reason: str | None, error: str | None) -> None:
        """Say that the session is over."""
        self.unwatch()
        with self._lock:
            if self.closed:
                return
            self.closed = True
            at = _now()
            end = {"status": "disconnected", "closed_at": at, "close_code": code, "close_reason": reason}
            self._change("closed", at, error=error, **end)

    def watch(self) -> None:
        """Have the connection say when it is lost: a callback on its future, no task."""
        waiter = getattr(self.connection(), "connection_lost_waiter", None)
        if isinstance(waiter, asyncio.Future):
            self._waiter = waiter
            waiter.add_done_callback(self._lost)

    @property
    def is_watched(self) -> bool:
        """Whether the connection will say when it is lost."""
        return self._waiter is not None and not self._waiter.done()

    def unwatch(self) -> None:
        """Take that callback back."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                waiter.remove_done_callback(self._lost)

    def _lost(self, _waiter: object) -> None:
        _guarded(self.close_as, self.connection())

    def _change(self, kind: Any, at: datetime | None = None, **values: Any) -> None:
        known = {name: value for name, value in values.items() if value is not None or name == "error"}
        self.session = replace(self.session, **known)
        self._recorder.session(SessionChange(kind, self.session, at or _now()))


class _Call:
    """One call of a patched method, as its context remembers it."""

    __slots__ = ("charge_point", "cls", "frames", "given", "method", "parent", "recorded", "task", "text")

    def __init__(self, cls: type, method: str, charge_point: Any, text: object, parent: _Call | None) -> None:
        self.cls = cls
        self.method = method
        self.charge_point = charge_point
        self.text = text
        self.parent = parent
        self.task = _current_task()
        self.frames: list[tuple[Capture, Frame]] = []
        self.recorded = False
        """Whether its frame is on record."""
        self.given = 0
        """Frames recorded here on behalf of a call further in that has not come yet."""

    def enclosing(self) -> _Call | None:
        """Return the call that this one is an inner part of, or None when it is a frame of its own."""
        outer = self.parent
        while outer is not None and not (outer.charge_point is self.charge_point and outer.method == self.method):
            outer = outer.parent
        if outer is None:
            return None
        if outer.cls is self.cls:
            return outer if outer.task is self.task and outer.text == self.text else None
        order = type(self.charge_point).__mro__
        inner = outer.cls in order and self.cls in order and order.index(outer.cls) < order.index(self.cls)
        return outer if inner else None

    def record(self) -> None:
        """Put its frame on record."""
        self.recorded = True
        for capture in _seam.captures:
            if capture.wants(self.charge_point):
                self.frames.append((capture, capture.sent(self.charge_point, self.text)))

    def settle(self) -> None:
        """Put its frame on record now, if no call further in did."""
        if not self.recorded:
            self.given += 1
            self.record()

    def failed(self, error: BaseException) -> None:
        """Say that the frame did not go out."""
        frames, self.frames = self.frames, []
        for capture, frame in frames:
            capture.undelivered(self.charge_point, frame, error)


_enclosing: ContextVar[_Call | None] = ContextVar("ocpp_mongo_enclosing", default=None)


class _Seam:
    """The patched classes, and who records."""

    def __init__(self) -> None:
        self.captures: tuple[Capture, ...] = ()
        self._lock = threading.RLock()
        self._patches: list[tuple[weakref.ref[type], str, object, object]] = []
        self._covered: weakref.WeakSet[type] = weakref.WeakSet()

    def add(self, capture: Capture) -> None:
        with self._lock:
            if capture in self.captures:
                return
            if not self.captures:
                self._install()
            self.captures = (*self.captures, capture)

    def remove(self, capture: Capture) -> None:
        with self._lock:
            if capture not in self.captures:
                return
            self.captures = tuple(c for c in self.captures if c is not capture)
            if not self.captures:
                self._restore()

    def _install(self) -> None:
        from ocpp.charge_point import ChargePoint  # noqa: PLC0415 - importing us must stay light

        if "__init_subclass__" not in ChargePoint.__dict__:
            self._put(ChargePoint, "__init_subclass__", classmethod(_base_init_subclass(ChargePoint)))
        for cls in _family(ChargePoint):
            self._patch(cls)

    def cover(self, cls: type) -> None:
        """Patch what was put on a class after it was made; called once for each class that is seen."""
        if cls in self._covered:
            return
        with self._lock:
            for one in cls.__mro__:
                if one is not object:
                    self._patch(one)
            self._covered.add(cls)

    def patch_new(self, cls: type) -> None:
        """Patch a class that was just made."""
        with self._lock:
            if self.captures:
                self._patch(cls)

    def _patch(self, cls: type) -> None:
        for name in _METHODS:
            original = cls.__dict__.get(name)
            if isinstance(original, types.FunctionType) and not hasattr(original, "__ocpp_mongo_seam__"):
                self._put(cls, name, _WRAP[name](cls, original))
        own = cls.__dict__.get("__init_subclass__")
        if isinstance(own, classmethod) and not hasattr(own.__func__, "__ocpp_mongo_seam__"):
            self._put(cls, "__init_subclass__", classmethod(_own_init_subclass(own.__func__)))

    def _put(self, cls: type, name: str, value: object) -> None:
        original = cls.__dict__.get(name, _ABSENT)
        try:
            setattr(cls, name, value)
        except (TypeError, AttributeError):
            return  # a class that cannot be changed
        self._patches.append((weakref.ref(cls), name, value, original))

    def _restore(self) -> None:
        while self._patches:
            reference, name, value, original = self._patches.pop()
            cls = reference()
            if cls is None or cls.__dict__.get(name) is not value:
                continue  # gone, or somebody put something over ours: ours only passes through now
            if original is _ABSENT:
                delattr(cls, name)
            else:
                setattr(cls, name, original)
        self._covered = weakref.WeakSet()

    def forked(self) -> None:
        """Record nothing in a child process: its connections are copies, and our thread is not there."""
        self._lock = threading.RLock()
        self.captures = ()


_ABSENT = object()
_seam = _Seam()
os.register_at_fork(after_in_child=_seam.forked)


def _family(cls: Any) -> Iterator[type]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _family(subclass)


def _base_init_subclass(base: Any) -> Callable[..., None]:
    def __init_subclass__(cls: Any, **keywords: Any) -> None:  # noqa: N807 - it is that method
        super(base, cls).__init_subclass__(**keywords)
        _guarded(_seam.patch_new, cls)

    __init_subclass__.__ocpp_mongo_seam__ = True  # type: ignore[attr-defined]
    return __init_subclass__


def _own_init_subclass(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init_subclass__(cls: type, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        original(cls, *arguments, **keywords)
        _guarded(_seam.patch_new, cls)

    __init_subclass__.__ocpp_mongo_seam__ = True  # type: ignore[attr-defined]
    return __init_subclass__


# -- the wrappers -----------------------------------------------------------------------------------------------


class _Watch:
    """What happens before and after one call of a patched method."""

    __slots__ = ("_call", "_token")

    def __init__(self, call: _Call | None) -> None:
        self._call = call
        self._token = None if call is None else _enclosing.set(call)

    def done(self, error: BaseException | None) -> None:
        if self._token is not None:
            with contextlib.suppress(ValueError):  # closed from another context, as a discarded coroutine is
                _enclosing.reset(self._token)
        if self._call is not None:
            _guarded(_AFTER[self._call.method], self._call, error)


def _wrapped(cls: type, method: str, original: Any, before: Callable[[_Call, Any], None]) -> Any:
    """Return a function that stands in for ``original``, coroutine function or not, and reports its calls."""

    def begin(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> _Watch:
        call = _guarded(_entered, cls, method, original, before, arguments, keywords) if _seam.captures else None
        return _Watch(call)

    async def follow(watch: _Watch, awaitable: Any) -> Any:
        try:
            result = await awaitable
        except BaseException as error:
            watch.done(error)
            raise
        watch.done(None)
        return result

    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def wrapper(*arguments: Any, **keywords: Any) -> Any:
            return await follow(begin(arguments, keywords), original(*arguments, **keywords))

    else:

        @functools.wraps(original)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            watch = begin(arguments, keywords)
            try:
                result = original(*arguments, **keywords)
            except BaseException as error:
                watch.done(error)
                raise
            if isinstance(result, types.CoroutineType):
                return follow(watch, result)
            watch.done(None)
            return result

    wrapper.__ocpp_mongo_seam__ = True  # type: ignore[attr-defined]
    return wrapper


def _entered(
    cls: type,
    method: str,
    original: Any,
    before: Callable[[_Call, Any], None],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
) -> _Call | None:
    if not arguments:
        return None
    charge_point, *given = arguments
    text = given[0] if given else next(iter(keywords.values()), None)
    if not any(capture.wants(charge_point) for capture in _seam.captures):
        return None
    call = _Call(cls, method, charge_point, text, _enclosing.get())
    before(call, original)
    return call


def _before_send(call: _Call, original: Any) -> None:
    outer = call.enclosing()
    root = outer
    while root is not None and (further := root.enclosing()) is not None:
        root = further
    if root is not None and root.given:
        root.given -= 1
        call.recorded = root.recorded = True  # it was put on record when something else came between
        return
    if _is_nearest_the_wire(call, original):
        call.record()
        if root is not None:
            root.recorded = True
    elif root is not None:
        root.text = call.text
        call.recorded = True
    else:
        for capture in _seam.captures:
            if capture.wants(call.charge_point):
                capture.put_off(call.charge_point, call)


def _after_send(call: _Call, error: BaseException | None) -> None:
    for capture in _seam.captures:
        if capture.wants(call.charge_point):
            deferred = capture._line(call.charge_point).deferred  # noqa: SLF001 - one piece
            if call in deferred:
                deferred.remove(call)
    call.settle()
    if error is not None:
        call.failed(error)


def _before_route(call: _Call, _original: Any) -> None:
    if call.enclosing() is None:
        for capture in _seam.captures:
            if capture.wants(call.charge_point):
                capture.received(call.charge_point, call.text)


def _before_start(call: _Call, _original: Any) -> None:
    call.recorded = call.enclosing() is not None
    if not call.recorded:
        for capture in _seam.captures:
            if capture.wants(call.charge_point):
                capture.starting(call.charge_point)


def _after_start(call: _Call, error: BaseException | None) -> None:
    if not call.recorded:
        for capture in _seam.captures:
            if capture.wants(call.charge_point):
                capture.ended(call.charge_point, error)


def _after_route(_call: _Call, _error: BaseException | None) -> None:
    return None


def _is_nearest_the_wire(call: _Call, original: Any) -> bool:
    """Whether no call further in will send this: no class behind defines the method, or this one never asks it."""
    order = type(call.charge_point).__mro__
    behind = order[order.index(call.cls) + 1 :] if call.cls in order else ()
    if not any(call.method in cls.__dict__ for cls in behind):
        return True
    code = inspect.unwrap(original).__code__
    names = {*code.co_names, *code.co_freevars}
    inside = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    names.update(name for one in inside for name in (*one.co_names, *one.co_freevars))
    return not names & {"super", "__class__", call.method}


_WRAP: dict[str, Callable[[type, Any], Any]] = {
    "_send": lambda cls, original: _wrapped(cls, "_send", original, _before_send),
    "route_message": lambda cls, original: _wrapped(cls, "route_message", original, _before_route),
    "start": lambda cls, original: _wrapped(cls, "start", original, _before_start),
}
_AFTER: dict[str, Callable[[_Call, BaseException | None], None]] = {
    "_send": _after_send,
    "route_message": _after_route,
    "start": _after_start,
}


# -- reading what the host has ----------------------------------------------------------------------------------


class _Ticks:
    """Microseconds since 1970 that never repeat in this process, so that sessions sort as they opened."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


_ticks = _Ticks()


def _state(connection: object) -> str | None:
    """Return the name of the state of a connection, where it has one."""
    for place in (connection, *_adapted(connection)):
        for attribute in ("state", "client_state"):
            name = getattr(getattr(place, attribute, None), "name", None)
            if isinstance(name, str):
                return name
    return None


def _role(connection: object) -> Origin | None:
    """Return which end of the connection this process is."""
    for place in (connection, *_adapted(connection)):
        side = getattr(getattr(getattr(place, "protocol", None), "side", None), "name", None)
        if side in ("SERVER", "CLIENT"):
            return "csms" if side == "SERVER" else "station"
        is_client = getattr(place, "is_client", None)
        if isinstance(is_client, bool):
            return "station" if is_client else "csms"
        module, kind = type(place).__module__, type(place).__name__
        if module.startswith(("starlette.", "fastapi.")) or kind == "WebSocketResponse":
            return "csms"
        if module.startswith("aiohttp.") and kind == "ClientWebSocketResponse":
            return "station"
    return None


def _adapted(connection: object) -> list[object]:
    """Return the objects that an adapter holds under a usual name."""
    inside = getattr(connection, "__dict__", {})
    return [inside[name] for name in _ADAPTED if isinstance(inside, dict) and inside.get(name) is not None]


def _text_of(owner: object, attribute: str) -> str | None:
    for place in (owner, *_adapted(owner)):
        value = getattr(place, attribute, None)
        if isinstance(value, str):
            return str(value)
    return None


def _address(connection: object) -> str | None:
    for place in (connection, *_adapted(connection)):
        value = getattr(place, "remote_address", None)
        if isinstance(value, str):
            return value
        if isinstance(value, tuple) and len(value) > 1:
            return f"[{value[0]}]:{value[1]}" if ":" in str(value[0]) else f"{value[0]}:{value[1]}"
    return None


def _close_of(connection: object, error: BaseException | None) -> tuple[int | None, str | None]:
    """Return close code and reason, from the connection or from websockets' exception."""
    frame = getattr(error, "rcvd", None) or getattr(error, "sent", None)
    places = (frame, connection, *_adapted(connection))
    codes = (getattr(place, name, None) for place in places for name in ("close_code", "code"))
    reasons = (getattr(place, name, None) for place in places for name in ("close_reason", "reason"))
    code = next((int(c) for c in codes if isinstance(c, int) and not isinstance(c, bool)), None)
    return code, next((r for r in reasons if isinstance(r, str) and r), None)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return str(value) if isinstance(value, int) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _reference(thing: object) -> Callable[[], object]:
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: thing


def _current_task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return threading.current_thread()


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _check_by_hand(station_id: object, direction: object, text: object, timestamp: object, origin: object) -> None:
    if not isinstance(station_id, str):
        raise ArgumentError(f"station_id takes a text, not {type(station_id).__name__}")
    if direction not in ("sent", "received"):
        raise ArgumentError(f'direction is "sent" or "received", not {direction!r}')
    if not isinstance(text, str | bytes):
        raise ArgumentError(f"text takes the exact text of the frame, not {type(text).__name__}")
    if origin not in (None, "station", "csms"):
        raise ArgumentError(f'origin is "station" or "csms", not {origin!r}')
    if timestamp is not None and not (isinstance(timestamp, datetime) and timestamp.tzinfo is not None):
        raise ArgumentError("timestamp takes a datetime with a time zone")


_said: dict[str, float] = {}


def _guarded(step: Callable[..., Any], *arguments: Any) -> Any:
    """Do a step of ours in the host's turn: whatever goes wrong is said once, and costs the host nothing."""
    try:
        return step(*arguments)
    except Exception as error:  # noqa: BLE001 - the one place where errors of ours end
        kind = f"{type(error).__name__} in {getattr(step, '__name__', 'capture')}"
        now = time.monotonic()
        if now - _said.get(kind, -_SAY_AGAIN_AFTER) >= _SAY_AGAIN_AFTER:
            _said[kind] = now
            logger.warning("ocpp-mongo-plugin could not record something: %s", kind)
        return None
