"""What plugins are told: of frames on their way in, and of what became of them.

Stands between capture and sink on one side and the hooks on the other. Hides which hook is called when, and with what.
Promises that a frame reaches the buffer whatever other plugins do, and that nothing is put together for a hook that
nobody has.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any, TypeAlias

from ocpp_mongo_plugin.buffer import SHUTDOWN
from ocpp_mongo_plugin.frames import Frame, SessionChange, Undelivered, decode
from ocpp_mongo_plugin.hooks import REDACT_HOOK, Hooks
from ocpp_mongo_plugin.hookspecs import FrameLoss, MessageView, ProjectedFact, StationView, TransactionView, hookimpl
from ocpp_mongo_plugin.ledger import Ledger
from ocpp_mongo_plugin.log import warn
from ocpp_mongo_plugin.masking import masked
from ocpp_mongo_plugin.recording import Batch, Decoded

_Waiting: TypeAlias = Callable[[], "Awaitable[None] | None"]

_SAY_AGAIN_AFTER = 60.0
"""Seconds."""
_UTC = timezone.utc


def taken_by_nobody(_item: object) -> bool:
    """Take no item, as long as there is no buffer for any."""
    return False


class Persistence:
    """Our own plugin of the frame hooks: what was captured goes into the buffer."""

    def __init__(self) -> None:
        self.offer: Callable[[Any], bool] = taken_by_nobody

    @hookimpl(tryfirst=True)
    def ocpp_frame_sent(self, frame: Frame) -> None:
        """Take a frame that is about to be sent."""
        self.offer(frame)

    @hookimpl(tryfirst=True)
    def ocpp_frame_received(self, frame: Frame) -> None:
        """Take a frame that came in."""
        self.offer(frame)


class Recorder:
    """What capture reports to: frames go through the hooks, the rest straight into the buffer."""

    def __init__(
        self, hooks: Hooks, persistence: Persistence, pace: _Waiting, durable: _Waiting, *, holds_up: bool
    ) -> None:
        self._hooks = hooks
        self._persistence = persistence
        self.pace = pace
        self.durable = durable
        self.holds_up = holds_up

    def frame(self, frame: Frame) -> None:
        """Hand a frame to the hooks, ours first; straight to ours where nobody else has any."""
        if self._hooks.only_ours:
            self._persistence.offer(frame)
        elif frame.direction == "sent":
            self._hooks.frame_sent(frame)
        else:
            self._hooks.frame_received(frame)

    def session(self, change: SessionChange) -> None:
        """Hand over what a session has become, and tell the hooks later."""
        if change.kind == "opened":
            self._hooks.load()
        self._persistence.offer(change)
        if change.kind == "opened":
            self._hooks.later("ocpp_session_opened", change.session)
        elif change.kind == "closed":
            self._hooks.later("ocpp_session_closed", change.session)

    def undelivered(self, frame: Frame) -> None:
        """Hand over that sending this frame raised."""
        self._persistence.offer(Undelivered(frame))


class Announcer:
    """Tells the hooks behind the sink what was stored or lost."""

    _TRANSACTION = {  # noqa: RUF012 - a constant table
        "started": "ocpp_transaction_started",
        "updated": "ocpp_transaction_updated",
        "ended": "ocpp_transaction_ended",
    }

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._say_again_at = 0.0

    def redacted(self, decoded: Decoded) -> Decoded:
        """Ask plugins what to mask; where one fails to say, all of the payload is masked."""
        self._hooks.wait_until_loaded()
        frame, message = decoded.item, decoded.message
        if message is None or not isinstance(frame, Frame) or not self._hooks.wants(REDACT_HOOK):
            return decoded
        view = MessageView(
            station_id=frame.station_id,
            session_id=frame.session_id,
            direction=frame.direction,
            protocol_version=frame.protocol_version,
            message_type=message.message_type,
            message_id=message.message_id,
            action=message.action,
            payload=decode(frame.text).payload,
        )
        paths, sound = self._hooks.redact(view)
        text, found = masked(frame.text, paths if sound else ["payload", "error_description"])
        if not found:
            return decoded
        return Decoded(frame._replace(text=text, redacted=(*frame.redacted, *found)), decode(text))

    @property
    def wants_facts(self) -> bool:
        """Whether a plugin is told of facts."""
        return self._hooks.wants("ocpp_project")

    def stored(self, batch: Batch, ledger: Ledger) -> None:
        """Tell of the facts, transactions and stations of a batch that is stored."""
        if batch.projected and self._hooks.wants("ocpp_project"):
            for fact, source in batch.projected:
                value = ProjectedFact(
                    fact=fact,
                    station_id=source.station_id,
                    session_id=source.session_id,
                    message_key=source.key,
                    protocol_version=source.protocol_version,
                    received_at=source.received_at,
                )
                self._hooks.later("ocpp_project", value)
        for kind, key in dict.fromkeys(batch.notices):
            self._notify(kind, key, ledger)

    def _notify(self, kind: str, key: str, ledger: Ledger) -> None:
        hook = self._TRANSACTION.get(kind, "ocpp_station_changed")
        if not self._hooks.wants(hook):
            return
        document = ledger.document("stations" if kind == "station" else "transactions", key)
        if document is None:
            return
        if kind == "station":
            self._hooks.later(hook, StationView.of(document))
        else:
            self._hooks.later(hook, TransactionView.of({**document, "_id": key}))

    def lost(self, frames: list[Frame], reason: str) -> None:
        """Say, once a minute at most, that frames are lost, and tell the hooks which."""
        now = time.monotonic()
        if reason != SHUTDOWN and now >= self._say_again_at:
            self._say_again_at = now + _SAY_AGAIN_AFTER
            warn("ocpp-mongo-plugin loses frames: %s; stats.lost counts them", reason)
        if not self._hooks.wants("ocpp_frames_lost"):
            return
        sessions: dict[str, list[Frame]] = {}
        for frame in frames:
            sessions.setdefault(frame.session_id, []).append(frame)
        for session_id, lost in sessions.items():
            numbers = [frame.sequence for frame in lost]
            value = FrameLoss(
                station_id=lost[0].station_id,
                session_id=session_id,
                count=len(lost),
                reason=reason,
                first_sequence=min(numbers),
                last_sequence=max(numbers),
                at=datetime.now(tz=_UTC),
            )
            self._hooks.later("ocpp_frames_lost", value)
