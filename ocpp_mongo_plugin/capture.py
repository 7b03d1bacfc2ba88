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
import sys
import threading
import time
import types
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, NamedTuple, Protocol

from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.frames import (
    Direction,
    Frame,
    Origin,
    Session,
    SessionChange,
    new_session_id,
    normalise_version,
)

logger = logging.getLogger("ocpp_mongo_plugin")
# Without a handler anywhere, logging would print our warnings into the host's terminal.

_DIRECTIONS: dict[str, Direction] = {"_send": "sent", "route_message": "received"}
_METHODS = (*_DIRECTIONS, "start")
_TEXTS = {"_send": "message", "route_message": "raw_msg"}
"""How the library calls the text."""
_ORDERLY = frozenset({1000, 1001, 1005})
_ABNORMAL = 1006
_CLOSE_CODES = range(1000, 5000)
_ADAPTED = ("ws", "_ws", "websocket", "_websocket", "_connection", "connection", "socket")
_OPEN_STATES = frozenset({"OPEN", "CONNECTED"})
_CLOSED_STATES = frozenset({"CLOSED", "DISCONNECTED"})
_STATES = _OPEN_STATES | _CLOSED_STATES | {"CONNECTING", "CLOSING"}
_SAY_AGAIN_AFTER = 60.0
_READING = ("recv", "receive_text", "receive_str")
_SEARCH_DEPTH = 4
_SPAWNING = frozenset({"create_task", "ensure_future", "Task", "start_soon", "call_soon", "gather"})
_OTHER: dict[Origin, Origin] = {"station": "csms", "csms": "station"}


class Recorder(Protocol):
    """What is told of everything that crosses a wire, in the host's turn."""

    holds_up: bool
    """Whether ``pace`` or ``durable`` may ever return something."""

    def frame(self, frame: Frame) -> None:
        """A frame was received, or is about to be sent."""

    def session(self, change: SessionChange) -> None:
        """A session opened, became connected, failed, or closed."""

    def undelivered(self, frame: Frame) -> None:
        """Sending that frame raised."""

    def pace(self) -> Awaitable[None] | None:
        """Return what the host's send or receive is awaited for before its frame is recorded; mostly None."""

    def durable(self) -> Awaitable[None] | None:
        """Return what it is awaited for once its frame is recorded, and before it goes on; mostly None."""


class Capture:
    """What one plugin records of the ChargePoints of this process.

    Locks are taken in one order, a session's own before the one here, since a hook may record by hand.
    """

    def __init__(self, recorder: Recorder, *, record_all: bool) -> None:
        """Report to ``recorder``; without ``record_all`` only what ``attach`` is given."""
        self.recorder = self._recorder = recorder
        self._record_all = record_all
        self.gives_way_to: tuple[Capture, ...] = ()
        """Whoever records a ChargePoint instead of this one, as long as they do."""
        self._lock = threading.Lock()
        self._attached: dict[int, Callable[[], object]] = {}
        self._lines: dict[int, _Line] = {}
        self._by_hand: dict[tuple[str, str | None], _Line] = {}
        self._sessions_of: Counter[tuple[str, Origin | None]] = Counter()

    # -- on and off --------------------------------------------------------------------------------------------

    def enable(self) -> None:
        """Begin to record."""
        if not _seam.add(self):
            return
        with self._lock:
            attached = [refer() for refer in self._attached.values()]
        for charge_point in attached:
            _guarded(self._greet, charge_point)

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
        if self in _seam.captures:
            _guarded(self._greet, charge_point)

    def wants(self, charge_point: object) -> bool:
        """Whether this ChargePoint is recorded."""
        if self._record_all:
            return True
        known = self._attached.get(id(charge_point))
        return known is not None and known() is charge_point

    def _greet(self, charge_point: object) -> None:
        _seam.cover(type(charge_point))
        if _peek(charge_point, "_connection") is not None:
            self._line(charge_point)

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
        way = _check_by_hand(station_id, direction, text, protocol_version, session, origin)
        at = None if timestamp is None else _utc(timestamp)
        role = origin if origin is None or way == "sent" else _OTHER[origin]
        version = normalise_version(protocol_version)
        self._line_by_hand(station_id, session, role, version).record(way, _as_text(text), version, at, origin)

    def _line_by_hand(self, station_id: str, session: str | None, role: Origin | None, version: str | None) -> _Line:
        known = self._by_hand.get((station_id, session))
        if known is not None:
            return known
        line = _Line(
            self._recorder,
            Session(
                *self._opening(station_id, role),
                status="connected",
                protocol_version=version,
                source="manual",
                reconnect_attempts=self._count(station_id, role),
            ),
        )
        with line.lock:
            with self._lock:
                other = self._by_hand.setdefault((station_id, session), line)
            if other is line:
                line.announce()
        return other

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
            for key in [key for key, refer in self._attached.items() if refer() is None]:
                del self._attached[key]
        for key, line in lines:
            _guarded(self._look_at, key, line)

    def _look_at(self, key: int, line: _Line) -> None:
        connection = line.connection()
        state = _state(connection)
        if line.is_orphan() or state in _CLOSED_STATES:
            line.close_as(connection)
        elif state in _OPEN_STATES:
            line.connect()
            line.found_socket()
        # What cannot be referred to weakly would stay for ever; what can is remembered as long as it lives.
        if line.closed and (line.charge_point() is None or not isinstance(line.charge_point, weakref.ref)):
            with self._lock:
                if self._lines.get(key) is line:
                    del self._lines[key]

    def _all_lines(self) -> Iterator[_Line]:
        return itertools.chain(self._lines.values(), self._by_hand.values())

    def _opening(self, station_id: str, role: Origin | None) -> tuple[str, str, Origin | None, datetime]:
        return new_session_id(_ticks.next(), os.urandom(5)), station_id, role, _now()

    def _count(self, station_id: str, role: Origin | None) -> int:
        """Return how many sessions this end of the station has had; both ends may be in one process."""
        with self._lock:
            self._sessions_of[station_id, role] += 1
            return self._sessions_of[station_id, role] - 1

    # -- what the seam reports ---------------------------------------------------------------------------------

    def _line(self, charge_point: Any, *, anew: bool = False) -> _Line:
        """Return the line of this ChargePoint's connection; a new one when it has another connection."""
        known = self._lines.get(id(charge_point))
        connection = _peek(charge_point, "_connection")
        if known is not None:
            same = known.charge_point() is charge_point and (known.follows(connection) or known.goes_on_in(connection))
            if same and not (anew and known.closed):
                return known
            known.close_as(known.connection())
        return self._open(charge_point, connection, known)

    def _open(self, charge_point: Any, connection: object, known: _Line | None) -> _Line:
        _guarded(_seam.cover, type(charge_point))
        role = _role(connection)
        station_id = _name_of(charge_point)
        subprotocol = _text_of(connection, "subprotocol")
        session = Session(
            *self._opening(station_id, role),
            status="connected" if _state(connection) in _OPEN_STATES else "connecting",
            protocol_version=normalise_version(_text_of(charge_point, "_ocpp_version") or subprotocol),
            subprotocol=subprotocol,
            remote_address=_address(connection),
            reconnect_attempts=self._count(station_id, role),
        )
        line = _Line(self._recorder, session, charge_point, connection)
        with line.lock:
            with self._lock:
                other = self._lines.get(id(charge_point))
                if other is not None and other is not known:
                    return other  # another thread was first
                self._lines[id(charge_point)] = line
            line.announce()
        _guarded(line.watch)
        return line

    def plain_line(self, charge_point: Any) -> tuple[_Line, str | None] | None:
        """Return line and version of a frame that can be recorded the short way, as nearly all can be; else None.

        That is where the session is known, and no class between the library's own and the ChargePoint's has a word in
        the matter: then no other call can be part of this one.
        """
        line = self._lines.get(id(charge_point))
        if (
            line is None
            or not line.is_plain
            or line.deferred
            or line.charge_point() is not charge_point
            or not line.follows(getattr(charge_point, "_connection", None))
        ):
            return None
        said, version = line.version
        if getattr(charge_point, "_ocpp_version", None) is not said:
            version = line.version_of(charge_point)
        return line, version

    def received(self, charge_point: Any, text: object) -> None:
        """A frame came in."""
        line = self._line(charge_point)
        if line.deferred:
            line.settle()
        line.read_from(charge_point)
        line.record("received", _as_text(text), line.version_of(charge_point))

    def sent(self, charge_point: Any, text: object) -> tuple[_Line, Frame]:
        """A frame goes out."""
        line = self._line(charge_point)
        return line, line.record("sent", _as_text(text), line.version_of(charge_point))

    def put_off(self, charge_point: Any, call: _Call) -> None:
        """A frame goes out, and a call further in will say its final text."""
        self._line(charge_point).put_off(call)

    def starting(self, charge_point: Any) -> None:
        """The read loop of this ChargePoint begins."""
        self._line(charge_point, anew=True).found_socket()

    def ended(self, charge_point: Any, error: BaseException | None) -> None:
        """The read loop of this ChargePoint is over; its session only if the connection is."""
        line = self._lines.get(id(charge_point))
        if line is None or line.charge_point() is not charge_point:
            return
        connection = line.connection()
        if _state(connection) not in _OPEN_STATES:
            line.close_as(connection, error)
        elif isinstance(error, Exception):
            line.fail(f"start() ended: {_described(error)}")

    def look_again(self) -> None:
        """Ask anew which ChargePoints send and receive as the library does: somebody has put a method on a class."""
        with self._lock:
            lines = [*self._lines.values()]
        for line in lines:
            line.look_again()

    def forked(self) -> None:
        """Forget in a child process what belongs to its parent: the child's frames are sessions of their own."""
        self._lock = threading.Lock()
        for line in self._all_lines():
            line.abandon()
        self._lines = {}
        self._by_hand = {}


class _Line:
    """One session as this process sees it."""

    def __init__(
        self, recorder: Recorder, session: Session, charge_point: object = None, connection: object = None
    ) -> None:
        self._recorder = recorder
        self.lock = threading.RLock()
        self.session = session
        self.charge_point = _reference(charge_point)
        self.connection = _reference(connection)
        self.deferred: list[_Call] = []
        self.closed = False
        self.seen_on_socket = True
        """Whether somebody was seen who reads a socket, or nothing speaks against it yet."""
        self._knows_socket = _state(connection) in _OPEN_STATES
        self._is_simple = not recorder.holds_up and _seam.is_plain(type(charge_point))
        self.is_plain = self._is_simple and self._knows_socket
        """Whether its frames can be recorded the short way."""
        self._has_connection = connection is not None
        self._inside = [_reference(one) for one in _adapted(connection) if _is_read_from(one)]
        self._sequence = 0
        self.version: tuple[object, str | None] = (None, session.protocol_version)
        """What the ChargePoint last said, and what that means."""
        role = session.role
        self._origins: dict[Direction, Origin | None] = {"sent": role, "received": role and _OTHER[role]}
        self._waiter: asyncio.Future[Any] | None = None

    def announce(self) -> None:
        """Say that the session is there."""
        _guarded(self._recorder.session, SessionChange("opened", self.session, self.session.opened_at))

    def follows(self, connection: object) -> bool:
        """Whether this is the session of that connection."""
        own = self.connection()
        return own is connection and (own is not None or not self._has_connection)

    def goes_on_in(self, connection: object) -> bool:
        """Whether that is another adapter around the same socket; what is inside is followed from then on."""
        for one in _adapted(connection):
            if any(refer() is one for refer in self._inside):
                self.connection = _reference(one)
                return True
        return False

    def found_socket(self) -> None:
        """Remember that somebody reads a socket: ``start`` runs, or the connection says that it is open."""
        self.seen_on_socket = self._knows_socket = True
        self.is_plain = self._is_simple

    def read_from(self, charge_point: Any) -> None:
        """Find out, at the first text that comes without a ``start``, whether a socket is to be seen."""
        if self._knows_socket:
            return
        self.seen_on_socket = _state(_peek(charge_point, "_connection")) in _OPEN_STATES
        self._knows_socket = True
        self.is_plain = self._is_simple

    def look_again(self) -> None:
        """Give up the short way if a class has a method now that it had not."""
        self._is_simple = self._is_simple and _seam.is_plain(type(self.charge_point()))
        self.is_plain = self.is_plain and self._is_simple

    def is_orphan(self) -> bool:
        """Whether its ChargePoint or its connection is gone."""
        return self.charge_point() is None or (self._has_connection and self.connection() is None)

    def record(
        self,
        direction: Direction,
        text: str,
        version: str | None,
        timestamp: datetime | None = None,
        origin: Origin | None = None,
    ) -> Frame:
        """Give the frame its place on the wire, and hand it on in that order."""
        with self.lock:
            session = self.session
            if session.status == "connecting":
                self.connect(version)
            frame = _new_frame(
                (
                    session.station_id,
                    session.session_id,
                    self._sequence,
                    direction,
                    origin or self._origins[direction],
                    version,
                    timestamp or _now(),
                    text,
                    (),
                    self.seen_on_socket,
                )
            )
            self._sequence += 1
            _guarded(self._recorder.frame, frame)
        return frame

    def undelivered(self, frame: Frame, error: BaseException) -> None:
        """Say that sending that frame raised."""
        _guarded(self._recorder.undelivered, frame)
        if isinstance(error, Exception):
            self.fail(f"a send failed: {_described(error)}")

    def never_crossed(self, frame: Frame) -> None:
        """Say that the frame did not cross the wire, while nothing failed."""
        _guarded(self._recorder.undelivered, frame)

    def version_of(self, charge_point: Any) -> str | None:
        """Return the protocol version: some programs set it after ``__init__``."""
        said = _peek(charge_point, "_ocpp_version")
        if said is not self.version[0]:
            name = said if isinstance(said, str) else self.session.subprotocol
            self.version = (said, normalise_version(name))
        return self.version[1]

    def settle(self) -> None:
        """Record what was put off, before something else takes its place on the wire."""
        for call in self._taken():
            call.settle(call.waiting)

    def _taken(self) -> list[_Call]:
        with self.lock:  # a session may also be closed by the thread that stores
            calls, self.deferred = self.deferred, []
        return calls

    def put_off(self, call: _Call) -> None:
        """Leave the text of a call to one further in."""
        with self.lock:
            self.deferred.append(call)
        call.waiting.append(self)

    def take_back(self, call: _Call) -> None:
        """Forget a call that was put off."""
        with self.lock:
            self.deferred = [other for other in self.deferred if other is not call]

    def connect(self, version: str | None = None) -> None:
        """Say that the connection is there."""
        with self.lock:
            if self.session.status == "connecting":
                known = version or self.session.protocol_version
                self._change("connected", status="connected", protocol_version=known)

    def fail(self, error: str) -> None:
        """Say that something failed while the session goes on."""
        with self.lock:
            if not self.closed:
                self._change("failed", error=error)

    def close_as(self, connection: object, error: BaseException | None = None) -> None:
        """Close the session as its connection says, or else the error that ended it."""
        if self.closed:
            return
        code, reason = _close_of(connection, error)
        said = None
        if isinstance(error, Exception) and not (code in _ORDERLY and _closing_of(error) is not None):
            said = _described(error)
        elif code is not None and code not in _ORDERLY:
            said = f"connection closed with code {code}{f': {reason[:100]}' if reason else ''}"
        self.close(code, reason, said)

    def close(self, code: int | None, reason: str | None, error: str | None) -> None:
        """Say that the session is over."""
        self.unwatch()
        for call in self._taken():
            call.settle(call.waiting)
            if not call.over:
                call.withdraw()  # as far as anybody can know; it may still go out, on another connection
        with self.lock:
            if self.closed:
                return
            self.closed = True
            at = _now()
            self._change(
                "closed",
                at,
                status="disconnected",
                closed_at=at,
                close_code=code,
                close_reason=reason,
                error=error,
            )

    def watch(self) -> None:
        """Have the connection say when it is lost: a callback on its future, no task."""
        connection = self.connection()
        for place in (connection, *_adapted(connection)):
            waiter = _peek(place, "connection_lost_waiter")
            if isinstance(waiter, asyncio.Future):
                self._waiter = waiter
                waiter.add_done_callback(self._lost)
                return

    def unwatch(self) -> None:
        """Take that callback back."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            _guarded(waiter.remove_done_callback, self._lost)

    def abandon(self) -> None:
        """Be silent from now on: the session belongs to the parent process."""
        self.closed = True
        self.lock = threading.RLock()
        self.unwatch()

    def _lost(self, _waiter: object) -> None:
        _guarded(self.close_as, self.connection())

    def _change(self, kind: Any, at: datetime | None = None, **values: Any) -> None:
        self.session = replace(self.session, **values)
        _guarded(self._recorder.session, SessionChange(kind, self.session, at or _now()))


class _Call:
    """One call of a patched method, as its context remembers it."""

    __slots__ = (
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
        "root",
        "spawns",
        "task",
        "text",
        "waiting",
    )

    def __init__(self, way: _Way, charge_point: Any, text: object, parent: _Call | None) -> None:
        self.cls = way.cls
        self.layer = way.layer
        self.method = way.method
        self.spawns = way.spawns
        self.charge_point = charge_point
        self.text = text
        self.parent = parent
        self.task = _current_task()
        self.frames: list[tuple[_Line, Frame]] = []
        self.waiting: list[_Line] = []
        self.recorded = False
        """Whether its frame is on record."""
        self.given = False
        """Whether its frame was recorded here on behalf of a call further in that has not come yet."""
        self.inside = 0
        """How many calls further in that go on inward are on their way, and how often it is to be finished."""
        self.is_inside = False
        self.over = False
        self.outer = self._enclosing()
        """The call that this one is an inner part of, or None when it is a frame of its own."""
        self.root: _Call = self if self.outer is None else self.outer.root

    def _enclosing(self) -> _Call | None:
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

    def record(self) -> None:
        """Put its frame on record."""
        self.recorded = True
        for capture in _seam.recording(self.charge_point):
            sent = _guarded(capture.sent, self.charge_point, self.text)
            if sent is not None:
                self.frames.append(sent)

    def settle(self, lines: list[_Line] | None = None) -> None:
        """Put its frame on record now, if no call further in did; on those lines, or on that of the connection."""
        if self.recorded:
            return
        self.given = True
        if not lines:
            self.record()
            return
        self.recorded = True
        for line in lines:
            frame = _guarded(line.record, "sent", _as_text(self.text), line.version_of(self.charge_point))
            if frame is not None:
                self.frames.append((line, frame))

    def finish_soon(self) -> bool:
        """Finish when the tasks that were just made have begun; return False when there is no loop for that."""
        try:
            asyncio.get_running_loop().call_soon(_guarded, self.finish)
        except RuntimeError:
            return False
        self.inside += 1
        return True

    def finish(self) -> None:
        """Wait for no call further in any more, unless one is on its way."""
        self.inside -= 1
        if self.inside:
            return
        for line in self.waiting:
            line.take_back(self)
        self.settle()

    def is_given_as(self, text: object) -> bool:
        """Whether what was recorded on behalf of a call further in is what that says."""
        said = _as_text(text)
        return all(frame.text == said for _, frame in self.frames)

    def withdraw(self) -> None:
        """Say that what was recorded did not cross the wire as it was; a call further in will record anew."""
        self.given = False
        while self.frames:
            line, frame = self.frames.pop()
            line.never_crossed(frame)

    def end(self) -> None:
        """Keep nothing alive: a context outlives its calls, and each timer that is set in one inherits it."""
        self.over = True
        self.parent = None


_enclosing: ContextVar[_Call | None] = ContextVar("ocpp_mongo_enclosing", default=None)


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
        self.captures: tuple[Capture, ...] = ()
        self.only: Capture | None = None
        """The one that records, where there is just one."""
        self.charge_point: type = type(None)
        self._lock = threading.RLock()
        # By id, since a metaclass may have its classes equal, or without a hash. An id used again takes its place.
        self._patched: dict[tuple[int, str], weakref.ref[type]] = {}
        self._is_layered = False
        """Whether somebody put a function over one of ours on the library's own class."""

    def add(self, capture: Capture) -> bool:
        """Record for this capture too; return False when that was so already."""
        with self._lock:
            if capture in self.captures:
                return False
            if not self.captures:
                self._install()
            self._let_record((*self.captures, capture))
            return True

    def remove(self, capture: Capture) -> None:
        with self._lock:
            if capture not in self.captures:
                return
            self._let_record(tuple(c for c in self.captures if c is not capture))
            if not self.captures:
                self._restore()

    def _let_record(self, captures: tuple[Capture, ...]) -> None:
        self.captures = captures
        self.only = captures[0] if len(captures) == 1 else None

    def recording(self, charge_point: object) -> list[Capture]:
        """Return who records this ChargePoint: whoever wants to, unless one it gives way to does."""
        captures = self.captures
        wanting = [capture for capture in captures if capture.wants(charge_point)]
        return [capture for capture in wanting if not any(other in wanting for other in capture.gives_way_to)]

    def is_plain(self, cls: type) -> bool:
        """Whether only the library's own class says how ChargePoints of this one send and receive."""
        return not self._is_layered and not any(
            name in one.__dict__ for one in cls.__mro__ if one is not self.charge_point for name in _DIRECTIONS
        )

    def _install(self) -> None:
        from ocpp.charge_point import ChargePoint  # noqa: PLC0415 - importing us must stay light

        self.charge_point = ChargePoint
        if "__init_subclass__" not in ChargePoint.__dict__:
            self._put(ChargePoint, "__init_subclass__", _base_init_subclass(ChargePoint), _ABSENT)
        if isinstance(made := self._original(ChargePoint, "__init__"), types.FunctionType):
            self._put(ChargePoint, "__init__", _covering_init(made), made)
        for cls in _family(ChargePoint):
            _guarded(self.cover, cls)

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
        for name in _METHODS:
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
        way = _Way(cls, name, next(_layers), *_inward(original, name, cls), *_text_place(original, name))
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
        recorders = (c.recorder for c in self.recording(charge_point))
        return next((wait for r in recorders if (wait := _guarded(r.pace)) is not None), None)

    def durable(self, charge_point: object) -> Awaitable[None] | None:
        """Return what a recorder of this ChargePoint wants to be awaited now that it has the frame, if any does."""
        recorders = (c.recorder for c in self.recording(charge_point))
        return next((wait for r in recorders if (wait := _guarded(r.durable)) is not None), None)

    def forked(self) -> None:
        """Begin anew in a child process: a lock of the parent may be held by a thread that is not there."""
        self._lock = threading.RLock()
        for capture in self.captures:
            capture.forked()
        _ticks.forked()


_ABSENT = object()
_STANDARD = frozenset(sys.stdlib_module_names)
_seam = _Seam()
os.register_at_fork(after_in_child=_seam.forked)


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


def _covering_init(original: Callable[..., None]) -> Callable[..., None]:
    """Return an ``__init__`` that sees each class, also one whose ``__init_subclass__`` told nobody."""

    @functools.wraps(original)
    def __init__(self: object, *arguments: Any, **keywords: Any) -> None:  # noqa: N807 - it is that method
        if _seam.captures:
            _guarded(_seam.cover, type(self))
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
        _guarded(_seam.cover_new, cls)

    return __init_subclass__


def _own_init_subclass(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init_subclass__(cls: type, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        try:
            original(cls, *arguments, **keywords)
        except BaseException as error:
            _step_out(error)
            raise
        _guarded(_seam.cover_new, cls)

    return __init_subclass__


# -- the wrappers -----------------------------------------------------------------------------------------------


async def _follow(call: _Call, awaitable: Any) -> Any:
    """Await what the host's method returned, with the call as its context."""
    token = _enclosing.set(call)
    try:
        if (durable := _seam.durable(call.charge_point)) is not None:
            try:
                await durable
            except BaseException:
                if hasattr(awaitable, "close"):
                    awaitable.close()  # it never began
                raise
        result = await awaitable
    except BaseException as error:
        _guarded(_left, call, error)
        _step_out(error)
        raise
    else:
        _guarded(_left, call, None)
        return result
    finally:
        with contextlib.suppress(ValueError):  # closed from another context, as a discarded coroutine is
            _enclosing.reset(token)


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
    enter = functools.partial(_guarded, _entered, way)
    wrap = _wrapped_coroutine if inspect.iscoroutinefunction(original) else _wrapped_plain
    wrapper = wrap(way.method, _as_function(original), enter)
    return functools.wraps(original)(wrapper)


def _wrapped_coroutine(method: str, function: Any, enter: Callable[..., _Call | None]) -> Any:
    async def wrapper(*arguments: Any, **keywords: Any) -> Any:
        if _seam.captures and arguments and not _is_inner(method, arguments):
            pace = _seam.pace(arguments[0])
            if pace is not None:
                await pace
        try:
            coroutine = function(*arguments, **keywords)
            call = enter(arguments, keywords) if _seam.captures else None
            return await (coroutine if call is None else _follow(call, coroutine))
        except BaseException as error:
            _step_out(error)
            raise

    return wrapper


def _wrapped_plain(method: str, function: Any, enter: Callable[..., _Call | None]) -> Any:
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        call = enter(arguments, keywords) if _seam.captures else None
        token = _enclosing.set(call) if call is not None else None
        try:
            result = function(*arguments, **keywords)
        except BaseException as error:
            if call is not None:
                _guarded(_left, call, error)
            _step_out(error)
            raise
        finally:
            if token is not None:
                _enclosing.reset(token)
        if call is None:
            return result
        if isinstance(result, Coroutine):
            return _follow(call, result)
        if method != "start":  # a start() that is not awaited only sets something going
            call.root.spawns = call.root.spawns or inspect.isawaitable(result)
            _guarded(_left, call, None)
        return result

    return wrapper


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

    @functools.wraps(original)
    async def wrapper(*arguments: Any, **keywords: Any) -> Any:
        frame = None
        try:
            only = _seam.only
            if only is None or keywords or len(arguments) != 2 or type(arguments[1]) is not str:  # noqa: PLR2004
                return await long_way(*arguments, **keywords)
            plain = _guarded(only.plain_line, arguments[0])
            if plain is None:
                return await long_way(*arguments)
            line, version = plain
            frame = _guarded(line.record, direction, arguments[1], version)
            return await original(*arguments)
        except BaseException as error:
            if direction == "sent" and frame is not None:
                _guarded(line.undelivered, frame, error)
            _step_out(error)
            raise

    return wrapper


def _entered(way: _Way, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> _Call | None:
    if not arguments or not isinstance(arguments[0], _seam.charge_point):
        return None
    charge_point = arguments[0]
    wanted = _seam.recording(charge_point)
    if not wanted:
        return None
    call = _Call(way, charge_point, way.text(arguments, keywords), _enclosing.get())
    if way.method == "_send":
        _enter_send(call, way.calls_ours or (way.asks_inward and _is_defined_behind(call)), wanted)
    elif call.outer is None:
        for capture in wanted:
            if way.method == "start":
                _guarded(capture.starting, charge_point)
            else:
                _guarded(capture.received, charge_point, call.text)
    return call


def _enter_send(call: _Call, goes_inward: bool, wanted: list[Capture]) -> None:
    """Record what is sent before it is, or an answer could overtake it; unless a call further in knows better."""
    root = call.root
    if root is call:
        if goes_inward:
            for capture in wanted:
                _guarded(capture.put_off, call.charge_point, call)
        else:
            call.settle()
    elif call.outer is not None and call.outer.cls is call.cls and call.outer.layer == call.layer:
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
        if root.given:
            root.withdraw()
        call.record()
        root.recorded = True


def _left(call: _Call, error: BaseException | None) -> None:
    call.end()
    if call.method == "_send":
        root = call.root
        if call.is_inside:
            root.inside -= 1
        if root.over and not root.recorded and error is None and root.spawns and root.finish_soon():
            return  # what it has left to a task will say its text
        _leave_send(call, error)
    elif call.method == "start" and call.outer is None:
        for capture in _seam.captures:
            if capture.wants(call.charge_point):
                _guarded(capture.ended, call.charge_point, error)


def _leave_send(call: _Call, error: BaseException | None) -> None:
    for line in call.waiting:
        line.take_back(call)
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


def _is_defined_behind(call: _Call) -> bool:
    return any(call.method in cls.__dict__ for cls in _behind(call.cls, type(call.charge_point)))


def _inward(original: Any, method: str, cls: type) -> tuple[bool, bool, bool]:
    """Return whether a method may ask for the same one further in, or call ours, and whether it makes tasks.

    Read from the names in its code, in that of the functions that it encloses or decorates, and in that of the
    methods of its class that it calls. What is no function may do anything.
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
        if function is not original and _undo_of(function) is not None:
            asks = ours = True
            continue
        names = _names_of(function)
        asks = asks or bool({"super", "__class__", method} & names)
        spawns = spawns or bool(_SPAWNING & names)
        waiting += [(one, depth + 1) for one in _within(function, names, method, cls)]
    return asks, ours, spawns


def _names_of(function: types.FunctionType) -> set[str]:
    """Return the names in the code of a function, and in that of the functions that it makes."""
    codes, names = [function.__code__], set[str]()
    for code in codes:
        names |= {*code.co_names, *code.co_freevars}
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    return names


def _within(function: types.FunctionType, names: set[str], method: str, cls: type) -> Iterator[types.FunctionType]:
    """Yield the functions that it decorates or encloses, those of ours it knows, and methods of its class that ask."""
    empty = types.CellType()
    inside = [cell.cell_contents for cell in function.__closure__ or () if cell != empty]
    inside.append(function.__dict__.get("__wrapped__"))
    yield from (one for one in inside if type(one) is types.FunctionType)
    told = (function.__globals__.get(name) for name in names)
    yield from (one for one in told if type(one) is types.FunctionType and _undo_of(one) is not None)
    for one in cls.__mro__:
        if one is _seam.charge_point:
            return
        called = (one.__dict__.get(name) for name in names if name not in _METHODS)
        yield from (it for it in called if type(it) is types.FunctionType and method in _names_of(it))


def _text_place(original: Any, method: str) -> tuple[int, str]:
    """Return which argument of a method is the text, and its name: as the library calls it, or else the first."""
    code = original.__code__ if type(original) is types.FunctionType else None
    own = _TEXTS.get(method, "")
    if code is None:
        return 1, own
    taken = code.co_varnames[: code.co_argcount]
    if own in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return (taken.index(own) if own in taken else 1), own
    return 1, taken[1] if len(taken) > 1 else own


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

    def forked(self) -> None:
        self._lock = threading.Lock()


_ticks = _Ticks()


def _peek(owner: object, attribute: str) -> Any:
    """Return an attribute of an object of the host; None when it has none or its property fails."""
    with contextlib.suppress(Exception):  # that is the host's matter: nothing failed to be recorded
        return getattr(owner, attribute, None)
    return None


def _name_of(charge_point: object) -> str:
    with contextlib.suppress(Exception):
        identity = getattr(charge_point, "id", "")
        return str.__str__(identity) if isinstance(identity, str) else str(identity)
    return ""


def _state(connection: object) -> str | None:
    """Return the name of the state of a connection, where it has one."""
    for place in (connection, *_adapted(connection)):
        for attribute in ("state", "client_state"):
            name = _peek(_peek(place, attribute), "name")
            if isinstance(name, str) and name in _STATES:
                return name
        closed = _peek(place, "closed")
        if isinstance(closed, bool):
            return "CLOSED" if closed else "OPEN"
    return None


def _role(connection: object) -> Origin | None:
    """Return which end of the connection this process is."""
    for place in (connection, *_adapted(connection)):
        side = _peek(_peek(_peek(place, "protocol"), "side"), "name")
        if side in ("SERVER", "CLIENT"):
            return "csms" if side == "SERVER" else "station"
        is_client = _peek(place, "is_client")
        if isinstance(is_client, bool):
            return "station" if is_client else "csms"
        for kind in type(place).__mro__:
            library = kind.__module__.partition(".")[0]
            if library in ("starlette", "fastapi") or (library, kind.__name__) == ("aiohttp", "WebSocketResponse"):
                return "csms"
            if (library, kind.__name__) == ("aiohttp", "ClientWebSocketResponse"):
                return "station"
    return None


def _adapted(connection: object) -> list[object]:
    """Return the objects that an adapter holds under a usual name."""
    inside = _peek(connection, "__dict__")
    if isinstance(inside, dict):
        found = [inside.get(name) for name in _ADAPTED]
        found += [one for one in [*inside.values()] if _is_read_from(one)]
    else:
        kind = type(connection)
        slots = [name for name in _ADAPTED if isinstance(getattr(kind, name, None), types.MemberDescriptorType)]
        found = [_peek(connection, name) for name in slots]
    return [one for one in found if one is not None]


def _is_read_from(thing: object) -> bool:
    """Whether an object of that class is read from as sockets are."""
    return any(hasattr(type(thing), name) for name in _READING)


def _text_of(owner: object, attribute: str) -> str | None:
    for place in (owner, *_adapted(owner)):
        value = _peek(place, attribute)
        if isinstance(value, str):
            return str(value)
    return None


def _address(connection: object) -> str | None:
    for place in (connection, *_adapted(connection)):
        for attribute in ("remote_address", "client"):
            value = _peek(place, attribute)
            if isinstance(value, str):
                return value
            if isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], str):
                return f"[{value[0]}]:{value[1]}" if ":" in value[0] else f"{value[0]}:{value[1]}"
    return None


def _closing_of(error: BaseException | None) -> tuple[int, str | None] | None:
    """Return code and reason of websockets' ConnectionClosed or what looks like it, else None.

    Its own ``code`` is not read where it has frames: that is deprecated, and warns in the host's name.
    """
    if error is None:
        return None
    absent = object()
    received = getattr(error, "rcvd", absent)
    if received is not absent:
        close = received if received is not None else getattr(error, "sent", None)
        code = _ABNORMAL if received is None else _code(getattr(received, "code", None))
    else:
        close, code = error, _code(getattr(error, "code", None))
    reason = getattr(close, "reason", None)
    return None if code is None else (code, reason if isinstance(reason, str) and reason else None)


def _close_of(connection: object, error: BaseException | None) -> tuple[int | None, str | None]:
    """Return close code and reason, from websockets' exception or else from the connection."""
    closing = _closing_of(error)
    if closing is not None:
        return closing
    for place in (connection, *_adapted(connection)):
        code = _code(_peek(place, "close_code"))
        if code is not None:
            reason = _peek(place, "close_reason")
            return code, reason if isinstance(reason, str) and reason else None
    return None, None


def _code(value: object) -> int | None:
    """Return a close code of RFC 6455, section 7.4, else None."""
    return int(value) if isinstance(value, int) and value in _CLOSE_CODES else None


def _described(error: BaseException) -> str:
    """Return one line without the error's own text, which may quote what crossed the wire."""
    closing = _closing_of(error)
    if closing is None:
        return type(error).__name__
    code, reason = closing
    return f"{type(error).__name__}: closed with code {code}{f': {reason[:100]}' if reason else ''}"


def _as_text(value: object) -> str:
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if type(value) in (list, dict):
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            return json.dumps(value)
    shown = _guarded(repr, value)
    return shown if isinstance(shown, str) else f"<{type(value).__name__}>"


def _reference(thing: object) -> Callable[[], object]:
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: thing


def _current_task() -> int:
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return threading.get_ident()


_UTC = timezone.utc
_now = functools.partial(datetime.now, _UTC)
# As ``Frame(...)``, in less time.
_new_frame: Callable[[tuple[Any, ...]], Frame] = functools.partial(tuple.__new__, Frame)


def _utc(timestamp: object) -> datetime:
    if not isinstance(timestamp, datetime) or timestamp.utcoffset() is None:
        raise ArgumentError("timestamp takes a datetime with a time zone")
    try:
        return timestamp.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ArgumentError("timestamp is out of the range of years 1 to 9999 in UTC") from None


def _check_by_hand(
    station_id: object,
    direction: object,
    text: object,
    protocol_version: object,
    session: object,
    origin: object,
) -> Direction:
    if not isinstance(station_id, str):
        raise ArgumentError(f"station_id takes a text, not {type(station_id).__name__}")
    if not isinstance(text, str | bytes | bytearray | memoryview):
        raise ArgumentError(f"text takes the exact text of the frame, not {type(text).__name__}")
    if protocol_version is not None and not isinstance(protocol_version, str):
        raise ArgumentError(f"protocol_version takes a text, not {type(protocol_version).__name__}")
    if session is not None and not isinstance(session, str):
        raise ArgumentError(f"session takes a text, not {type(session).__name__}")
    if origin is not None and origin not in ("station", "csms"):
        raise ArgumentError(f'origin is "station" or "csms", not {origin!r}')
    if direction == "sent":
        return "sent"
    if direction == "received":
        return "received"
    raise ArgumentError(f'direction is "sent" or "received", not {direction!r}')


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
