"""The whole pure way of a frame: decoded, paired, understood, projected.

Takes what was captured, in order, and returns what the store must write. Hides the conversations, the roles that are
inferred, and the counters of sessions. ``wanted`` says beforehand what must be looked up in the store, since an
answer's call or a stop's start may have been recorded by a process that died. Promises never to raise on anything
that was captured. Live capture, import and recovery enter here alike; time comes with the frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from ocpp_mongo_plugin import dialects, facts
from ocpp_mongo_plugin.changes import Amend, Document, Highest, Known, Latest, Merge
from ocpp_mongo_plugin.frames import (
    Conversation,
    Direction,
    Frame,
    Message,
    Origin,
    PendingCall,
    SessionChange,
    Undelivered,
    decode,
    message_key,
    wire_clock,
)
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.projections import Mention, MeterValues, Notice, Projection, Source, event_key, start_key
from ocpp_mongo_plugin.redaction import Redactor
from ocpp_mongo_plugin.transcription import transcribe

Item: TypeAlias = Frame | SessionChange | Undelivered | facts.TransactionEdit

ABANDONED = "the recording process ended without closing"
"""What is said of a session whose recorder died."""

_OTHER: dict[str, Origin] = {"station": "csms", "csms": "station"}


@dataclass(slots=True)
class Decoded:
    """A captured item and, for a frame, its message and what that says."""

    item: Item
    message: Message | None
    call: Message | None = None
    """The call in memory that it answers, before its batch is taken."""
    says: tuple[facts.Fact, ...] | None = None
    """What the message says, whoever wrote it; of an answer None until ``wanted`` has looked for its call."""


class WantedCall(NamedTuple):
    """The call that an answer belongs to: the newest of that id before it, from the other end."""

    session_id: str
    message_id: str
    before: int
    """Sequence number of the answer."""
    direction: str | None
    """Of the call; None when the answer's is unknown."""


@dataclass(slots=True)
class Wanted:
    """What a batch needs to know from the store before it is projected."""

    stations: set[str] = field(default_factory=set)
    """Their documents and active transactions."""
    mentions: set[Mention] = field(default_factory=set)
    """Transactions spoken of by an id that is not among the active ones in memory."""
    transactions: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    calls: set[WantedCall] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.stations or self.mentions or self.transactions or self.sessions or self.calls)


@dataclass(slots=True)
class Loaded:
    """What the store knew of it; documents have ``_id`` as text."""

    stations: list[Document] = field(default_factory=list)
    transactions: list[Document] = field(default_factory=list)
    sessions: list[Document] = field(default_factory=list)
    calls: list[Document] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What the store must write, in this order: new documents, amendments, then the ledger's revisions."""

    messages: list[Document] = field(default_factory=list)
    """New documents, with ``_id`` as 24 hexadecimal digits."""
    meter_values: list[MeterValues] = field(default_factory=list)
    amends: list[Amend] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    projected: list[tuple[facts.Fact, Source]] | None = None
    """What was understood; None where nobody asks for it."""
    frames: int = 0
    """Frames whose messages are or were among ``messages``."""
    left_out: int = 0
    """Frames that the record filter leaves out of the message log."""


@dataclass(slots=True)
class _Line:
    """What is remembered of one session while it lives."""

    conversation: Conversation
    role: Origin | None = None
    station_id: str = ""
    source: str = "websocket"
    foreign: bool = False
    """Whether a process that is dead recorded it: nothing of it is open or awaited here."""
    announced: bool = False
    """Whether its opening was told."""
    begun: bool = False
    """Whether a frame of it was seen."""
    last_sequence: int = -1
    sent: int = 0
    received: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    version: str | None = None
    """Of the last frame."""
    counted: bool = True
    """Whether the documents have these figures."""
    is_told: bool = False
    """Whether they ever had any."""


class Recording:
    """The state of recording: conversations, sessions, and the ledger."""

    def __init__(
        self,
        *,
        leave_out: Iterable[str] = (),
        recorder: str | None = None,
        lease: timedelta = timedelta(seconds=90),
    ) -> None:
        """Leave messages of the actions ``leave_out``, and their answers, out of the message log.

        ``recorder`` names this process on what is connected; without a renewal it is taken for dead after ``lease``.
        """
        self._lease = lease
        self.ledger = Ledger()
        self._leave_out = frozenset(leave_out)
        self._recorder = recorder
        self._lines: dict[str, _Line] = {}
        self._uncounted: dict[str, _Line] = {}
        self._untold: dict[str, _Line] = {}
        """Of those, the ones whose documents have no figures at all."""
        self._idle: set[str] = set()

    # -- before the store is asked -----------------------------------------------------------------------------

    def decode(self, item: Item, redactor: Redactor | None = None) -> Decoded:
        """Decode one captured item, and learn from it who is who in its session.

        ``redactor`` takes out what is personal, and not to be kept.
        """
        item = _storable_id(item)
        if redactor is not None:
            item = _without_personal(redactor, item)
        if not isinstance(item, Frame):
            return Decoded(item, None)
        message = decode(item.text)
        line = self._line(item)
        if line.role is None and message.action is not None and item.direction != "unknown":
            writer = item.origin or dialects.origin_of(message.action, item.protocol_version)
            if writer is not None:
                line.role = writer if item.direction == "sent" else _OTHER[writer]
        # What an answer says depends on its call; all else can be understood at once.
        says = None if message.is_answer else dialects.understand(message, None, item.protocol_version, None)
        return Decoded(item, message, None, says)

    def wanted(self, batch: Sequence[Decoded]) -> Wanted:
        """Return what must be looked up before these are taken."""
        wanted = Wanted()
        for one in batch:
            item = one.item
            if isinstance(item, Frame) and one.message is not None:
                self._frame_wants(item, one.message, one, wanted)
            elif isinstance(item, SessionChange) and item.kind == "opened":
                # Another process may have recorded this station since its last session here.
                self.ledger.reload(item.session.station_id)
                wanted.stations.add(item.session.station_id)
            elif isinstance(item, facts.TransactionEdit):
                wanted.mentions.add(Mention(item.station_id, item.transaction_id))
                self._station_wants(item.station_id, wanted)
        return wanted

    def _frame_wants(self, frame: Frame, message: Message, decoded: Decoded, wanted: Wanted) -> None:
        self._station_wants(frame.station_id, wanted)
        line = self._lines[frame.session_id]
        if not line.begun:
            line.begun = True
            if frame.sequence > 0:
                # Its beginning was recorded by an earlier process or batch.
                line.conversation.complete = False
                wanted.sessions.add(frame.session_id)
        if message.is_answer and not line.conversation.complete:
            message_id = message.message_id
            if message_id is not None and not line.conversation.holds(message_id):
                other = {"sent": "received", "received": "sent"}.get(frame.direction)
                wanted.calls.add(WantedCall(frame.session_id, message_id, frame.sequence, other))
        call = self._call_of(frame, message, line)
        if decoded.says is None or call is not decoded.call:
            decoded.call = call
            decoded.says = dialects.understand(message, call, frame.protocol_version, None)
        for fact in decoded.says:
            self._fact_wants(fact, frame.station_id, message, call, wanted)

    def _fact_wants(
        self, fact: facts.Fact, station_id: str, message: Message, call: Message | None, wanted: Wanted
    ) -> None:
        if isinstance(fact, facts.TransactionStarted):
            self._transaction_wants(start_key(station_id, fact, message), wanted)
        elif isinstance(fact, facts.TransactionIdentified) and call is not None:
            self._transaction_wants(start_key(station_id, fact.started, call), wanted)
        mentioned = getattr(fact, "transaction_id", None)
        if mentioned is None:
            return
        if isinstance(fact, facts.TransactionEvent):
            self._transaction_wants(event_key(station_id, fact.transaction_id), wanted)
        elif not self.ledger.has_active(station_id, mentioned):
            wanted.mentions.add(Mention(station_id, mentioned))

    def _call_of(self, frame: Frame, message: Message, line: _Line) -> Message | None:
        """Return the call that this answers, if it waits in memory."""
        if not message.is_answer:
            return None
        side = _opposite(_side(frame.direction, frame.origin))
        call = line.conversation.waiting(side, message.message_id)
        return call.message if call is not None else None

    def _transaction_wants(self, key: str, wanted: Wanted) -> None:
        if self.ledger.document("transactions", key) is None:
            wanted.transactions.add(key)

    def _station_wants(self, station_id: str, wanted: Wanted) -> None:
        if not self.ledger.is_loaded(station_id):
            wanted.stations.add(station_id)

    def learn(self, wanted: Wanted, loaded: Loaded) -> None:
        """Take what the store answered."""
        for document in loaded.stations:
            self.ledger.learn("stations", document["_id"], document)
        for document in loaded.transactions:
            self.ledger.learn("transactions", document["_id"], document)
        for document in loaded.sessions:
            self.ledger.learn("sessions", document["_id"], document)
            line = self._lines.get(document["_id"])
            if line is not None:
                # What is in memory may be newer than what is stored.
                document = self.ledger.document("sessions", document["_id"]) or document  # noqa: PLW2901
                last = document.get("last_sequence")
                line.last_sequence = -1 if last is None else last
                line.sent = document.get("messages_sent") or 0
                line.received = document.get("messages_received") or 0
        for station_id in wanted.stations:
            self.ledger.loaded(station_id)
        for document in loaded.calls:
            self._remember_stored(document)

    def _remember_stored(self, document: Document) -> None:
        line = self._lines.get(document["session_id"])
        if line is None:
            return
        frame = Frame(
            document["station_id"],
            document["session_id"],
            document["sequence"],
            document["direction"],
            document.get("origin"),
            document.get("protocol_version"),
            document.get("timestamp"),
            document["raw"],
        )
        message = decode(frame.text)
        line.conversation.remember(_side(frame.direction, frame.origin), PendingCall(frame, message))

    # -- taking ------------------------------------------------------------------------------------------------

    def take(self, decoded: Decoded, batch: Batch, now: datetime) -> None:
        """Take one decoded item into the batch, in its order."""
        item, message = decoded.item, decoded.message
        if isinstance(item, Frame) and message is not None:
            self._take_frame(item, message, decoded, batch, now)
        elif isinstance(item, SessionChange):
            self._take_session(item, batch, self._projection(batch))
        elif isinstance(item, Undelivered):
            key = message_key(item.frame.session_id, item.frame.sequence)
            batch.amends.append(Amend(key, {"delivered": False}))
        elif isinstance(item, facts.TransactionEdit):
            self._projection(batch).edit(item)

    def _projection(self, batch: Batch) -> Projection:
        return Projection(self.ledger, batch.meter_values, batch.notices)

    def _take_frame(self, frame: Frame, message: Message, decoded: Decoded, batch: Batch, now: datetime) -> None:
        line = self._line(frame)
        origin = self._origin(frame, message, line)
        call = self._pair(frame, message, origin, line, batch)
        document = transcribe(frame, message, origin, call, now)
        if document["action"] in self._leave_out:
            batch.left_out += 1
        else:
            batch.frames += 1
            batch.messages.append(document)
        self._count(frame, line)
        says = self._says(decoded, message, call, frame.protocol_version, origin)
        if says:
            self._project(says, self._source(frame, document["_id"], message, call), batch)

    def _says(
        self, decoded: Decoded, message: Message, call: PendingCall | None, version: str | None, origin: Origin | None
    ) -> tuple[facts.Fact, ...]:
        """Return the facts; what ``wanted`` understood counts if it knew the same call."""
        asked = call.message if call is not None else None
        if decoded.says is None or decoded.call is not asked:
            return dialects.understand(message, asked, version, origin)
        if not decoded.says or origin is None or dialects.is_believed(message, asked, version, origin):
            return decoded.says
        return ()

    def _source(self, frame: Frame, key: str, message: Message, call: PendingCall | None) -> Source:
        clock = wire_clock(frame.session_id, frame.sequence)
        version, at = frame.protocol_version, frame.timestamp
        return Source(frame.station_id, frame.session_id, key, clock, version, at, frame.text, message, call)

    def _project(self, says: Sequence[facts.Fact], source: Source, batch: Batch) -> None:
        projection = self._projection(batch)
        for fact in says:
            projection.project(fact, source)
            if batch.projected is not None:
                batch.projected.append((fact, source))

    def _pair(
        self, frame: Frame, message: Message, origin: Origin | None, line: _Line, batch: Batch
    ) -> PendingCall | None:
        side = _side(frame.direction, origin)
        if message.message_type == "Call":
            line.conversation.remember(side, PendingCall(frame, message))
            return None
        if not message.is_answer:
            return None
        call = line.conversation.answered(_opposite(side), message.message_id)
        if call is not None:
            outcome = "answered" if message.message_type == "CallResult" else "error"
            batch.amends.append(Amend(message_key(call.frame.session_id, call.frame.sequence), {"outcome": outcome}))
        return call

    def _origin(self, frame: Frame, message: Message, line: _Line) -> Origin | None:
        if frame.origin is not None:
            return frame.origin
        if frame.direction != "unknown":
            return None if line.role is None else line.role if frame.direction == "sent" else _OTHER[line.role]
        if message.action is not None:
            return dialects.origin_of(message.action, frame.protocol_version)
        caller = line.conversation.holds(message.message_id)
        return _OTHER.get(caller) if caller is not None else None

    # -- sessions ----------------------------------------------------------------------------------------------

    def _line(self, frame: Frame) -> _Line:
        line = self._lines.get(frame.session_id)
        if line is None:
            line = self._lines[frame.session_id] = _Line(Conversation(), station_id=frame.station_id)
            self._idle.discard(frame.station_id)
        return line

    def _count(self, frame: Frame, line: _Line) -> None:
        at = frame.timestamp
        if at is not None:
            line.first_at = line.first_at or at
            if line.last_at is None or at > line.last_at:
                line.last_at = at
        # Told again (recovery, second delivery): counted before.
        if frame.sequence > line.last_sequence:
            line.last_sequence = frame.sequence
            line.version = frame.protocol_version
            if frame.direction == "sent":
                line.sent += 1
            else:
                line.received += 1
        if line.counted:
            line.counted = False
            self._uncounted[frame.session_id] = line
            if not line.is_told:
                self._untold[frame.session_id] = line

    def tally(self, *, everything: bool) -> None:
        """Bring the counters of sessions, and when their stations were last seen, into the documents.

        ``everything`` is done before all is written, not with each frame, so that what a frame costs does not grow with
        the stations; else only sessions that have no figures yet, which are written anyway.
        """
        waiting = self._uncounted if everything else self._untold
        while waiting:
            session_id = next(iter(waiting))
            line = waiting[session_id]
            self._uncounted.pop(session_id, None)
            self._untold.pop(session_id, None)
            self._tally(session_id, line)

    def _tally(self, session_id: str, line: _Line) -> None:
        line.counted = line.is_told = True
        counts = {
            "messages_sent": line.sent,
            "messages_received": line.received,
            "last_sequence": line.last_sequence,
            "last_message_at": line.last_at,
        }
        parts = (
            Highest(counts),
            Known({"station_id": line.station_id, "opened_at": line.first_at, "role": line.role}),
            Latest("version", f"{line.last_sequence:010x}", {"protocol_version": line.version}),
        )
        self.ledger.merge(Merge("sessions", session_id, parts), urgent=False)
        seen = Merge("stations", line.station_id, (Highest({"last_seen": line.last_at}),))
        self.ledger.merge(seen, urgent=False)

    def _take_session(self, change: SessionChange, batch: Batch, projection: Projection) -> None:
        session = change.session
        line = self._lines.setdefault(session.session_id, _Line(Conversation(), station_id=session.station_id))
        line.role = line.role or session.role
        line.source = session.source
        line.announced = True
        line.foreign = session.recorder not in (None, self._recorder)
        if change.kind == "closed" and self._uncounted.pop(session.session_id, None) is not None:
            self._untold.pop(session.session_id, None)
            self._tally(session.session_id, line)
        self.ledger.merge(Merge("sessions", session.session_id, _session_parts(change, self._owner(change))))
        if session.source != "import":
            projection.station(session.station_id, *_connection_parts(change, self._owner(change)))
        if change.kind == "closed":
            for call in line.conversation.abandon():
                key = message_key(call.frame.session_id, call.frame.sequence)
                batch.amends.append(Amend(key, {"outcome": "unanswered"}, unless_known=True))
            self._lines.pop(session.session_id, None)
            self._idle.add(session.station_id)

    def _owner(self, change: SessionChange) -> Document:
        """Return who answers for it that a session is open."""
        if change.session.source == "import":
            return {"recorder": None, "lease_expires_at": None}
        if change.session.status == "disconnected":
            return {"recorder": change.session.recorder or self._recorder, "lease_expires_at": None}
        recorder = change.session.recorder or self._recorder
        return {"recorder": recorder, "lease_expires_at": change.at + self._lease}

    def expire(self, now: datetime, call_timeout: timedelta) -> list[Amend]:
        """Return what is to be said of calls that had no answer in time."""
        amends = []
        for line in self._lines.values():
            if line.source == "import" or line.foreign:
                continue
            late = line.conversation.expire(now - call_timeout)
            if late:
                line.conversation.complete = False
            for call in late:
                key = message_key(call.frame.session_id, call.frame.sequence)
                amends.append(Amend(key, {"outcome": "timeout"}, unless_known=True))
        return amends

    def living(self) -> list[tuple[str, str]]:
        """Return session and station of every connection that is open here."""
        own = [(k, line) for k, line in self._lines.items() if line.announced and not line.foreign]
        return [(key, line.station_id) for key, line in own if line.source != "import"]

    def forget(self, redactor: Redactor) -> None:
        """Take what is not to be kept of persons out of what is remembered; all that is known is in the store."""
        for line in self._lines.values():
            line.conversation.replace(lambda call: _impersonal(redactor, call))
        self.ledger.forget_written()

    def trim(self) -> None:
        """Forget what is written and over."""
        self.ledger.trim(self._idle)
        self._idle.clear()
        self.ledger.trim_sessions(self._lines)


def _session_parts(change: SessionChange, owner: Document) -> tuple[Known | Latest | Highest, ...]:
    session = change.session
    own = {
        "station_id": session.station_id,
        "role": session.role,
        "source": session.source,
        # An import without times says 1970.
        "opened_at": session.opened_at if session.opened_at.timestamp() > 0 else None,
        "subprotocol": session.subprotocol,
        "remote_address": session.remote_address,
    }
    attempts = Highest({"reconnect_attempts": session.reconnect_attempts})
    parts: list[Known | Latest | Highest] = [Known(own), attempts]
    parts.append(Latest("source", "", {"source": session.source}))
    rank = {"opened": "0", "connected": "1", "failed": "2", "closed": "3"}[change.kind]
    stamp = rank + change.at.isoformat()
    closed = session.status == "disconnected"
    state = {"status": "closed" if closed else "open", **owner}
    parts.append(Latest("status", "1" if closed else "0", state))
    if session.status == "connected":
        parts.append(Known({"connected_at": change.at}))
    if change.kind == "closed":
        end = {
            "closed_at": (session.closed_at or change.at) if change.at.timestamp() > 0 else None,
            "close_code": session.close_code,
            "close_reason": session.close_reason,
        }
        parts.append(Latest("close", stamp, end))
    if session.error is not None or change.kind == "closed":
        # An orderly close is none the less one for what was thought of it while nobody knew.
        parts.append(Latest("error", stamp, {"error": session.error}))
    return tuple(parts)


def _connection_parts(change: SessionChange, owner: Document) -> tuple[Latest | Known, ...]:
    """Return what a change of a session says of its station's connection; the latest session has the word."""
    session = change.session
    stamp = f"{session.session_id} {session.status} {change.at.isoformat()}"
    order = {"connecting": "0", "connected": "1", "disconnected": "2"}[session.status]
    parts: list[Latest | Known] = []
    if change.kind != "failed":
        connection: Document = {
            "connection_status": session.status,
            "session_id": session.session_id,
            **owner,
        }
        if session.status == "connected":
            connection |= {"connected_at": change.at, "disconnected_at": None}
        elif session.status == "disconnected":
            connection |= {"disconnected_at": session.closed_at or change.at}
        parts.append(Latest("connection", f"{session.session_id}{order}", connection))
    if session.protocol_version is not None:
        version = {"protocol_version": session.protocol_version}
        parts.append(Latest("version", f"{session.session_id}", version))
    if session.status == "connected" and change.kind != "failed":
        parts.append(Latest("error", f"{session.session_id}0", {"last_error": None}))
    elif session.error is not None:
        parts.append(Latest("error", f"{session.session_id}1{stamp}", {"last_error": session.error}))
    return tuple(parts)


def without_credentials(redactor: Redactor, item: Item) -> Item:
    """Return the item without what nobody may store; the live message is not touched."""
    if type(item) is Frame:
        text, paths = redactor.credentials(item.station_id, item.session_id, item.text)
        return item if text is item.text else item._replace(text=text, redacted=(*item.redacted, *paths))
    if isinstance(item, SessionChange) and (item.session.error or item.session.close_reason):
        session = item.session
        error, reason = redactor.prose(session.error), redactor.prose(session.close_reason)
        return item._replace(session=replace(session, error=error, close_reason=reason))
    return item


def _without_personal(redactor: Redactor, item: Item) -> Item:
    if not isinstance(item, Frame):
        return item
    text, paths = redactor.personal(item.station_id, item.session_id, item.text)
    return item if text is item.text else item._replace(text=text, redacted=(*item.redacted, *paths))


def _impersonal(redactor: Redactor, call: PendingCall) -> PendingCall:
    frame = _without_personal(redactor, call.frame)
    return call if frame is call.frame or not isinstance(frame, Frame) else PendingCall(frame, decode(frame.text))


def _storable_id(item: Item) -> Item:
    """Return the item with lone surrogates in its station id replaced: no query can hold them."""
    if isinstance(item, Undelivered):
        return item
    holder = item.session if isinstance(item, SessionChange) else item
    try:
        holder.station_id.encode()
    except UnicodeEncodeError:
        station_id = holder.station_id.encode("utf-8", "replace").decode()
        if isinstance(item, Frame):
            return item._replace(station_id=station_id)
        if isinstance(item, SessionChange):
            return item._replace(session=replace(item.session, station_id=station_id))
        return replace(item, station_id=station_id)
    return item


def _side(direction: Direction, origin: Origin | None) -> str:
    """Return which end wrote a frame: by its direction where that is known, so that it holds before the role is."""
    return direction if direction != "unknown" else origin or "unknown"


def _opposite(side: str) -> str:
    return {"sent": "received", "received": "sent", "station": "csms", "csms": "station"}.get(side, side)
