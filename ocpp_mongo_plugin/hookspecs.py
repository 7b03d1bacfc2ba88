"""What plugins of others may listen to: the hooks of the pluggy project ``ocpp``, and the value of each.

Hides nothing: this is the list. Promises that every hook takes exactly one frozen value, so that a value can
grow and no plugin has to change, and that what a hook returns is not looked at, but for ``ocpp_redact``.
docs/hooks.md says when each is called and in which thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import pluggy

from ocpp_mongo_plugin.facts import Fact, TransactionId
from ocpp_mongo_plugin.frames import Frame, Session

hookspec = pluggy.HookspecMarker("ocpp")
hookimpl = pluggy.HookimplMarker("ocpp")


@dataclass(frozen=True, slots=True)
class TransactionView:
    """One charging transaction, as it is stored."""

    key: str
    """The ``_id`` of its document: 24 hexadecimal digits, the same whenever this transaction is named."""
    transaction_id: TransactionId | None
    """An integer in OCPP 1.6, a string in 2.0.1 and 2.1; None while the CSMS has given none."""
    station_id: str
    """Identity of the charging station."""
    connector_id: int | None = None
    """The connector, from 1, as the station numbers them; None when it was never said."""
    evse_id: int | None = None
    """The EVSE, from 1 (OCPP 2.x); None in 1.6."""
    id_tag: str | None = None
    """The idTag (1.6) or idToken (2.x) that started it: personal data."""
    start_timestamp: datetime | None = None
    """When it started by the station's clock, UTC."""
    stop_timestamp: datetime | None = None
    """When it stopped by the station's clock, UTC; None while it runs."""
    meter_start: int | float | None = None
    """The energy register at the start, in Wh."""
    meter_stop: int | float | None = None
    """The energy register at the stop, in Wh."""
    meter_latest: int | float | None = None
    """The latest reading of the energy register, in Wh."""
    energy_consumed: int | float | None = None
    """Energy delivered so far, in Wh; None when it is unknown."""
    reason: str | None = None
    """Why it stopped, as the station named it."""
    status: Literal["active", "completed", "failed"] = "active"
    """Whether it runs, was stopped, or ended without a stop that belongs to it."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"."""
    anomalies: tuple[str, ...] = ()
    """What was odd about it, in plain words ("stop without start")."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> TransactionView:
        """Return the view of a document of the collection ``transactions``."""
        return cls(
            key=str(document["_id"]),
            transaction_id=document.get("transaction_id"),
            station_id=document["station_id"],
            connector_id=document.get("connector_id"),
            evse_id=document.get("evse_id"),
            id_tag=document.get("id_tag"),
            start_timestamp=_utc(document.get("start_timestamp")),
            stop_timestamp=_utc(document.get("stop_timestamp")),
            meter_start=document.get("meter_start"),
            meter_stop=document.get("meter_stop"),
            meter_latest=document.get("meter_latest"),
            energy_consumed=document.get("energy_consumed"),
            reason=document.get("reason"),
            status=document.get("status") or "active",
            protocol_version=document.get("protocol_version"),
            anomalies=tuple(document.get("anomalies") or ()),
        )


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """One connector of a station, as it is stored."""

    connector_id: int | None
    """The connector, from 1, as the station numbers them; 0 is the whole station in OCPP 1.6."""
    evse_id: int | None = None
    """The EVSE, from 1 (OCPP 2.x); None in 1.6."""
    status: str | None = None
    """The status that the station reported last, in its own word ("Charging", "Occupied")."""
    current_transaction_id: TransactionId | None = None
    """The transaction that runs on it; None when there is none."""

    @classmethod
    def of(cls, element: Mapping[str, Any]) -> ConnectorView:
        """Return the view of one element of a station document's ``connectors``."""
        return cls(
            connector_id=element.get("connector_id"),
            evse_id=element.get("evse_id"),
            status=element.get("status"),
            current_transaction_id=element.get("current_transaction_id"),
        )


@dataclass(frozen=True, slots=True)
class StationView:
    """One charging station, as it is stored."""

    station_id: str
    """Identity of the charging station."""
    connection_status: Literal["connecting", "connected", "disconnected"] | None = None
    """How its connection is; None for a station that was configured and never seen."""
    connected_at: datetime | None = None
    """When it last connected, UTC; kept after it disconnects."""
    last_heartbeat: datetime | None = None
    """When its last Heartbeat was recorded, UTC."""
    last_error: str | None = None
    """One line that says what failed last; None again once it connects."""
    protocol_version: str | None = None
    """"1.6", "2.0.1" or "2.1"."""
    vendor: str | None = None
    """Who made it, from BootNotification."""
    model: str | None = None
    """Its model, from BootNotification."""
    firmware_version: str | None = None
    """Its firmware, from BootNotification."""
    connectors: tuple[ConnectorView, ...] = ()
    """The connectors that it has spoken of."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> StationView:
        """Return the view of a document of the collection ``stations``."""
        return cls(
            station_id=document["station_id"],
            connection_status=document.get("connection_status"),
            connected_at=_utc(document.get("connected_at")),
            last_heartbeat=_utc(document.get("last_heartbeat")),
            last_error=document.get("last_error"),
            protocol_version=document.get("protocol_version"),
            vendor=document.get("vendor"),
            model=document.get("model"),
            firmware_version=document.get("firmware_version"),
            connectors=tuple(ConnectorView.of(element) for element in document.get("connectors") or ()),
        )


@dataclass(frozen=True, slots=True)
class FrameLoss:
    """Frames of one session that were captured and will not be stored."""

    station_id: str
    """Identity of the charging station."""
    session_id: str
    """The session that they crossed: 24 hexadecimal digits."""
    count: int
    """How many frames."""
    reason: str
    """Why, in the word under which the statistics count them."""
    first_sequence: int | None
    """The lowest sequence number among them; None when it is not known."""
    last_sequence: int | None
    """The highest sequence number among them; None when it is not known."""
    at: datetime
    """When the loss was noticed, UTC."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message before it is stored, without the credentials that this package knows."""

    station_id: str
    """Identity of the charging station."""
    session_id: str
    """The session that it crossed: 24 hexadecimal digits."""
    direction: Literal["sent", "received", "unknown"]
    """As seen from the process that records."""
    protocol_version: str | None
    """"1.6", "2.0.1", "2.1", or None when nobody said."""
    message_type: Literal["Call", "CallResult", "CallError", "CallResultError", "Send", "Malformed"]
    """What kind of message it is."""
    message_id: str | None
    """The message id as text."""
    action: str | None
    """The action of a call; None on answers."""
    payload: Any
    """The payload as JSON has it: a copy, the hook's own."""


@dataclass(frozen=True, slots=True)
class ProjectedFact:
    """One fact that a message stated, and where it comes from."""

    fact: Fact
    """One of the values of ``ocpp_mongo_plugin.facts``; energies in Wh, times in UTC."""
    station_id: str
    """Identity of the charging station."""
    session_id: str
    """The session that the message crossed: 24 hexadecimal digits."""
    message_key: str
    """The ``_id`` of the message in ``ocpp_messages``: 24 hexadecimal digits."""
    protocol_version: str | None
    """"1.6", "2.0.1", "2.1", or None when nobody said."""
    received_at: datetime | None
    """When the message was captured, UTC; None for an imported one without a time."""


@hookspec
def ocpp_frame_sent(frame: Frame) -> None:
    """Called in the host's turn with a frame that the recorded program sends."""


@hookspec
def ocpp_frame_received(frame: Frame) -> None:
    """Called in the host's turn with a frame that the recorded program received."""


@hookspec
def ocpp_session_opened(session: Session) -> None:
    """Called when a session of a station has opened."""


@hookspec
def ocpp_session_closed(session: Session) -> None:
    """Called when a session of a station has closed."""


@hookspec
def ocpp_transaction_started(transaction: TransactionView) -> None:
    """Called when a transaction has become known."""


@hookspec
def ocpp_transaction_updated(transaction: TransactionView) -> None:
    """Called when something more has become known of a transaction."""


@hookspec
def ocpp_transaction_ended(transaction: TransactionView) -> None:
    """Called when a transaction was completed or has failed."""


@hookspec
def ocpp_station_changed(station: StationView) -> None:
    """Called when a station's connection, identity, last error or one of its connectors has changed."""


@hookspec
def ocpp_frames_lost(loss: FrameLoss) -> None:
    """Called when captured frames had to be given up."""


@hookspec
def ocpp_redact(message: MessageView) -> list[str] | None:
    """Called with each message before it is stored; returns the paths of what is to be masked in it, if any."""


@hookspec
def ocpp_project(fact: ProjectedFact) -> None:
    """Called with each fact that the messages state, in the order of the wire within a session."""


def _utc(moment: datetime | None) -> datetime | None:
    """Return the moment with its zone: a MongoDB client gives UTC without one unless it is told otherwise."""
    return moment.replace(tzinfo=timezone.utc) if moment is not None and moment.tzinfo is None else moment
