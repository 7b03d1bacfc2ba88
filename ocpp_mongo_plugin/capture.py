"""Makes sessions and frames of what the seam in ChargePoint, or a program by hand, reports.

Hides which connection a ChargePoint has, since when and until when. Promises one sequence for each session, in the
order of the wire, and that a session follows its connection, not the object.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Protocol

from ocpp_mongo_plugin.connections import (
    CLOSED_STATES,
    OPEN_STATES,
    ORDERLY,
    adapted,
    address_of,
    as_text,
    close_of,
    closing_of,
    described,
    is_read_from,
    name_of,
    peek,
    role_of,
    state_of,
    text_of,
)
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
from ocpp_mongo_plugin.seam import SEAM, Call, guarded

_STOPPED = "recording stopped"
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
        self._recorder = recorder
        self._record_all = record_all
        self.holds_up = recorder.holds_up
        """Whether the recorder may have the host awaited."""
        self.gives_way_to: tuple[Capture, ...] = ()
        """Whoever records a ChargePoint instead of this one, as long as they do."""
        # Reentrant, as all locks of the host's turn: its signal handler may record, or close.
        self._lock = threading.RLock()
        self._is_over = False
        self._attached: dict[int, Callable[[], object]] = {}
        self._lines: dict[int, _Line] = {}
        self._by_hand: dict[tuple[str, str | None], _Line] = {}
        self._sessions_of: Counter[tuple[str, Origin | None]] = Counter()

    # -- on and off --------------------------------------------------------------------------------------------

    def enable(self) -> None:
        """Begin to record."""
        with self._lock:
            self.let_go()
            self._is_over = False
        if not SEAM.add(self):
            return
        with self._lock:
            attached = [refer() for refer in self._attached.values()]
        for charge_point in attached:
            guarded(self._greet, charge_point)

    def disable(self) -> None:
        """Stop recording, and close every session; the last capture to leave restores every class.

        A call that is under way in another thread still finds its session, so that its frame is not lost.
        """
        SEAM.remove(self)
        with self._lock:
            self._is_over = True
            lines = [*self._all_lines()]
        for line in lines:
            guarded(line.close, None, _STOPPED, None)

    def let_go(self) -> None:
        """Forget the sessions of a recording that has ended."""
        with self._lock:
            if self._is_over:
                self._lines.clear()
                self._by_hand.clear()

    def attach(self, charge_point: object) -> None:
        """Record this ChargePoint, and open its session if it has a connection."""
        with self._lock:
            self._attached[id(charge_point)] = _reference(charge_point)
        if self in SEAM.captures:
            guarded(self._greet, charge_point)

    def wants(self, charge_point: object) -> bool:
        """Whether this ChargePoint is recorded."""
        if self._record_all:
            return True
        known = self._attached.get(id(charge_point))
        return known is not None and known() is charge_point

    def _greet(self, charge_point: object) -> None:
        SEAM.cover(type(charge_point))
        if peek(charge_point, "_connection") is not None:
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
        self._line_by_hand(station_id, session, role, version).record(way, as_text(text), version, at, origin)

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
                self._announce(line)
        return other

    def end(self, station_id: str, session: str | None = None) -> None:
        """Close a session that was recorded by hand."""
        with self._lock:
            line = self._by_hand.pop((station_id, session), None)
        if line is not None:
            line.close(None, None, None)

    # -- sessions ----------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Close the sessions whose connection has closed, or is gone, without anybody saying so."""
        with self._lock:
            lines = list(self._lines.items())
            for key in [key for key, refer in self._attached.items() if refer() is None]:
                del self._attached[key]
        for key, line in lines:
            guarded(self._look_at, key, line)

    def _look_at(self, key: int, line: _Line) -> None:
        connection = line.connection()
        state = state_of(connection)
        if line.is_orphan() or state in CLOSED_STATES:
            line.close_as(connection)
        elif state in OPEN_STATES:
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
        connection = peek(charge_point, "_connection")
        if known is not None:
            same = known.charge_point() is charge_point and (known.follows(connection) or known.goes_on_in(connection))
            if same and not (anew and known.closed):
                return known
            known.close_as(known.connection())
        return self._open(charge_point, connection, known)

    def _open(self, charge_point: Any, connection: object, known: _Line | None) -> _Line:
        if not self._is_over:
            guarded(SEAM.cover, type(charge_point))
        role = role_of(connection)
        station_id = name_of(charge_point)
        subprotocol = text_of(connection, "subprotocol")
        session = Session(
            *self._opening(station_id, role),
            status="connected" if state_of(connection) in OPEN_STATES else "connecting",
            protocol_version=normalise_version(text_of(charge_point, "_ocpp_version") or subprotocol),
            subprotocol=subprotocol,
            remote_address=address_of(connection),
            reconnect_attempts=self._count(station_id, role),
        )
        line = _Line(self._recorder, session, charge_point, connection)
        with line.lock:
            with self._lock:
                other = self._lines.get(id(charge_point))
                if other is not None and other is not known:
                    return other  # another thread was first
                self._lines[id(charge_point)] = line
            self._announce(line)
        guarded(line.watch)
        return line

    def _announce(self, line: _Line) -> None:
        line.announce()
        if self._is_over:
            line.close(None, _STOPPED, None)

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
        line.record("received", as_text(text), line.version_of(charge_point))

    def sent(self, charge_point: Any, text: object) -> tuple[_Line, Frame]:
        """A frame goes out."""
        line = self._line(charge_point)
        return line, line.record("sent", as_text(text), line.version_of(charge_point))

    def put_off(self, charge_point: Any, call: Call) -> None:
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
        if state_of(connection) not in OPEN_STATES:
            line.close_as(connection, error)
        elif isinstance(error, Exception):
            line.fail(f"start() ended: {described(error)}")

    def look_again(self) -> None:
        """Ask anew which ChargePoints send and receive as the library does: somebody has put a method on a class."""
        with self._lock:
            lines = [*self._lines.values()]
        for line in lines:
            line.look_again()

    def pace(self) -> Awaitable[None] | None:
        """Return what the recorder wants to be awaited before it takes another frame, if anything."""
        return self._recorder.pace()

    def durable(self) -> Awaitable[None] | None:
        """Return what the recorder wants to be awaited now that it has the frame, if anything."""
        return self._recorder.durable()

    def forked(self) -> None:
        """Forget in a child process what belongs to its parent: the child's frames are sessions of their own."""
        self._lock = threading.RLock()
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
        self.deferred: list[Call] = []
        self.closed = False
        self.seen_on_socket = True
        """Whether somebody was seen who reads a socket, or nothing speaks against it yet."""
        self._knows_socket = state_of(connection) in OPEN_STATES
        self._is_simple = not recorder.holds_up and SEAM.is_plain(type(charge_point))
        self.is_plain = self._is_simple and self._knows_socket
        """Whether its frames can be recorded the short way."""
        self._has_connection = connection is not None
        self._inside = [_reference(one) for one in adapted(connection) if is_read_from(one)]
        self._sequence = 0
        self.version: tuple[object, str | None] = (None, session.protocol_version)
        """What the ChargePoint last said, and what that means."""
        role = session.role
        self._origins: dict[Direction, Origin | None] = {"sent": role, "received": role and _OTHER[role]}
        self._waiter: asyncio.Future[Any] | None = None

    def announce(self) -> None:
        """Say that the session is there."""
        guarded(self._recorder.session, SessionChange("opened", self.session, self.session.opened_at))

    def follows(self, connection: object) -> bool:
        """Whether this is the session of that connection."""
        own = self.connection()
        return own is connection and (own is not None or not self._has_connection)

    def goes_on_in(self, connection: object) -> bool:
        """Whether that is another adapter around the same socket; what is inside is followed from then on."""
        for one in adapted(connection):
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
        self.seen_on_socket = state_of(peek(charge_point, "_connection")) in OPEN_STATES
        self._knows_socket = True
        self.is_plain = self._is_simple

    def look_again(self) -> None:
        """Give up the short way if a class has a method now that it had not."""
        self._is_simple = self._is_simple and SEAM.is_plain(type(self.charge_point()))
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
            guarded(self._recorder.frame, frame)
        return frame

    def undelivered(self, frame: Frame, error: BaseException) -> None:
        """Say that sending that frame raised."""
        guarded(self._recorder.undelivered, frame)
        if isinstance(error, Exception):
            self.fail(f"a send failed: {described(error)}")

    def never_crossed(self, frame: Frame) -> None:
        """Say that the frame did not cross the wire, while nothing failed."""
        guarded(self._recorder.undelivered, frame)

    def version_of(self, charge_point: Any) -> str | None:
        """Return the protocol version: some programs set it after ``__init__``."""
        said = peek(charge_point, "_ocpp_version")
        if said is not self.version[0]:
            name = said if isinstance(said, str) else self.session.subprotocol
            self.version = (said, normalise_version(name))
        return self.version[1]

    def settle(self) -> None:
        """Record what was put off, before something else takes its place on the wire."""
        for call in self._taken():
            call.settle(call.waiting)

    def _taken(self) -> list[Call]:
        with self.lock:  # a session may also be closed by the thread that stores
            calls, self.deferred = self.deferred, []
        return calls

    def put_off(self, call: Call) -> None:
        """Leave the text of a call to one further in."""
        call.waiting.append(self)
        with self.lock:
            self.deferred.append(call)

    def take_back(self, call: Call) -> None:
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
        code, reason = close_of(connection, error)
        said = None
        if isinstance(error, Exception) and not (code in ORDERLY and closing_of(error) is not None):
            said = described(error)
        elif code is not None and code not in ORDERLY:
            said = f"connection closed with code {code}{f': {reason[:100]}' if reason else ''}"
        self.close(code, reason, said)

    def close(self, code: int | None, reason: str | None, error: str | None) -> None:
        """Say that the session is over."""
        self.unwatch()
        for call in self._taken():
            call.lose()
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
        for place in (connection, *adapted(connection)):
            waiter = peek(place, "connection_lost_waiter")
            if isinstance(waiter, asyncio.Future):
                self._waiter = waiter
                waiter.add_done_callback(self._lost)
                return

    def unwatch(self) -> None:
        """Take that callback back."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            guarded(waiter.remove_done_callback, self._lost)

    def abandon(self) -> None:
        """Be silent from now on: the session belongs to the parent process."""
        self.closed = True
        self.lock = threading.RLock()
        self.unwatch()

    def _lost(self, _waiter: object) -> None:
        guarded(self.close_as, self.connection())

    def _change(self, kind: Any, at: datetime | None = None, **values: Any) -> None:
        self.session = replace(self.session, **values)
        guarded(self._recorder.session, SessionChange(kind, self.session, at or _now()))


class _Ticks:
    """Microseconds since 1970 that never repeat in this process, so that sessions sort as they opened."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.RLock()

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last

    def forked(self) -> None:
        self._lock = threading.RLock()


_ticks = _Ticks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ticks.forked)


def _reference(thing: object) -> Callable[[], object]:
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: thing


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
