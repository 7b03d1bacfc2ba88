"""Assertions about what is on record, in the words of OCPP: ``recording.station("CP001").answered("Heartbeat")``.

Hides flushing, reading without a loop, and that a test which holds both ends of a connection has each frame on record
twice: an assertion looks at one end, the CSMS's where it was recorded. Promises that each assertion looks at what is
stored of all that was captured before it, works in tests with a loop and without one, and fails with what was
expected, what is on record instead, and a short table of the frames in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ocpp_mongo_plugin.testing.tables import frame_table, named, named_frame, shown, transaction_table, where

if TYPE_CHECKING:
    from ocpp_mongo_plugin.documents import Message, MeterValue, Station, Transaction
    from ocpp_mongo_plugin.plugin import MongoPlugin

_NUMBERS = {0: "no", 1: "one", 2: "two", 3: "three"}
_MARK = "_ocpp_told"


@dataclass(frozen=True)
class Exchange:
    """A call and what was answered."""

    call: Message
    answer: Message | None
    """None while there is none."""


class OcppRecording:
    """What is on record: of every station, or of one (``station``); as one end saw it (``seen_from``).

    What asserts raises an ``AssertionError`` where that does not hold. All that looks at the database raises a
    ``StoreUnavailableError`` where what was captured could not be stored in time.
    """

    def __init__(self, plugin: MongoPlugin, database: Any, place: Callable[[str, int], int], patience: float) -> None:
        """Look at what ``plugin`` stores in ``database``.

        Args:
            plugin: which is started.
            database: the one that it stores in, through a synchronous driver.
            place: of session and sequence of a frame, its place among all frames of the test.
            patience: seconds that storing may take.
        """
        self.plugin = plugin
        """The ``MongoPlugin`` that records."""
        self._database = database
        self._patience = patience
        self._station_id: str | None = None
        self._end: Literal["station", "csms"] | None = None
        self._place = place

    def station(self, station_id: str) -> OcppRecording:
        """Return what is on record of that station alone."""
        narrowed = copy(self)
        narrowed._station_id = station_id  # noqa: SLF001 - it is one of ours
        return narrowed

    def seen_from(self, end: Literal["station", "csms"]) -> OcppRecording:
        """Return what that end of the connection recorded, where the test holds both.

        Raises:
            ArgumentError: there is no such end.
        """
        if end not in ("station", "csms"):
            from ocpp_mongo_plugin.errors import ArgumentError  # noqa: PLC0415 - loading the fixture loads nothing

            raise ArgumentError(f'seen_from takes "station" or "csms", not {end!r}')
        narrowed = copy(self)
        narrowed._end = end  # noqa: SLF001 - it is one of ours
        return narrowed

    @property
    def database(self) -> Any:
        """The database, through a synchronous driver (of mongomock where it is in memory), after a flush."""
        self.plugin.flush_now(self._patience)
        return self._database

    # -- what is stored --------------------------------------------------------------------------------------------

    def messages(self, action: str | None = None) -> list[Message]:
        """Return the stored frames in the order in which they crossed; of an action, its calls and their answers."""
        found = [one for one in self._all_messages() if action in (None, one.action)]
        return self._one_end(found)

    def transactions(self) -> list[Transaction]:
        """Return the stored transactions, the first started first."""
        from ocpp_mongo_plugin.documents import Transaction  # noqa: PLC0415 - it takes Beanie

        found = self._stored("transactions", Transaction)
        return sorted(found, key=lambda one: (str(one.start_received_at or one.created_at), str(one.id)))

    def meter_values(self, measurand: str | None = None) -> list[MeterValue]:
        """Return the stored meter values, as they were sampled; of one measurand, or all."""
        from ocpp_mongo_plugin.documents import MeterValue  # noqa: PLC0415 - it takes Beanie

        found = self._stored("meter_values", MeterValue, "metadata.station_id")
        return [one for one in found if measurand in (None, one.metadata.measurand)]

    def stations(self) -> list[Station]:
        """Return the stored stations."""
        from ocpp_mongo_plugin.documents import Station  # noqa: PLC0415 - it takes Beanie

        return self._stored("stations", Station)

    def exchanges(self, action: str | None = None) -> list[Exchange]:
        """Return the calls, of an action or all, each with what was answered."""
        messages = self.messages()
        answers = {one.correlation_id: one for one in messages if one.message_type in ("CallResult", "CallError")}
        return [
            Exchange(one, answers.get(one.correlation_id))
            for one in messages
            if one.message_type == "Call" and action in (None, one.action)
        ]

    def table(self) -> str:
        """Return the frames that are on record as a table for people."""
        return frame_table(self._all_messages(), self.messages(), self._station_id)

    # -- assertions: frames ------------------------------------------------------------------------------------------

    def called(
        self, action: str, fields: Mapping[str, Any] | None = None, /, *, times: int | None = None, **more: Any
    ) -> list[Message]:
        """Assert that this call was made, by either end; return the calls.

        Args:
            action: as on the wire, "StartTransaction".
            fields: of the payload, as on the wire or in snake_case, with their values; objects may be given in part.
            times: exactly so often; at least once when None.
            more: further fields.
        """
        __tracebackhide__ = True
        wanted = {**(fields or {}), **more}
        found = [one.call for one in self.exchanges(action) if _holds(one.call.payload, wanted)]
        if not _enough(found, times):
            self._fail(f"{_count(times)} {action}{_with(wanted)}{self._of()} to be called", self._calls(action))
        return found

    def answered(
        self, action: str, fields: Mapping[str, Any] | None = None, /, *, times: int | None = None, **more: Any
    ) -> list[Exchange]:
        """Assert that this call was answered with these fields; return the calls with their answers.

        Arguments are those of ``called``, of the answer's payload.
        """
        __tracebackhide__ = True
        wanted = {**(fields or {}), **more}
        found = [
            one
            for one in self.exchanges(action)
            if one.answer is not None and one.answer.message_type == "CallResult" and _holds(one.answer.payload, wanted)
        ]
        if not _enough(found, times):
            self._fail(f"{_count(times)} {action}{self._of()} to be answered{_with(wanted)}", self._calls(action))
        return found

    def refused(self, action: str, code: str | None = None, *, times: int | None = None) -> list[Exchange]:
        """Assert that this call was answered with a CallError, of that code or any; return them with their calls."""
        __tracebackhide__ = True
        found = [
            one
            for one in self.exchanges(action)
            if one.answer is not None
            and one.answer.message_type == "CallError"
            and code in (None, one.answer.error_code)
        ]
        if not _enough(found, times):
            of_code = f" with {code}" if code else ""
            self._fail(f"{_count(times)} {action}{self._of()} to be refused{of_code}", self._calls(action))
        return found

    def never_called(self, action: str, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Assert that nobody made this call; arguments are those of ``called``.

        Raises:
            ArgumentError: no version of OCPP has such an action, so that it was never called says nothing.
        """
        __tracebackhide__ = True
        from ocpp_mongo_plugin import dialects  # noqa: PLC0415 - loading the fixture loads nothing

        if action != "DataTransfer" and dialects.origin_of(action, None) is None:
            from ocpp_mongo_plugin.errors import ArgumentError  # noqa: PLC0415 - as above

            raise ArgumentError(f"no version of OCPP has an action {action!r}: never_called would always hold")
        self.called(action, fields, times=0, **more)

    def in_order(self, *expected: str, only: bool = False) -> None:
        """Assert that frames crossed in this order, others between them.

        Args:
            expected: an action for its call; "BootNotification answered" or "BootNotification refused" for what came
                back.
            only: no other frames crossed; answers count only where an answer is among those expected.
        """
        __tracebackhide__ = True
        names = [named_frame(one) for one in self.messages()]
        if only:
            with_answers = any(" " in one for one in expected)
            crossed = [one for one in names if with_answers or " " not in one]
            if crossed == list(expected):
                return
            self._fail(f"exactly these frames{self._of()}: {', '.join(expected)}", f"{', '.join(crossed) or 'none'}")
        missing = _first_missing(names, expected)
        if missing is not None:
            before = f" after {expected[missing - 1]}" if missing else ""
            self._fail(f"frames{self._of()} in this order: {', '.join(expected)}", f"no {expected[missing]}{before}")

    def nothing_unanswered(self) -> None:
        """Assert that every call was answered, with a result or an error; of a station, that there were frames."""
        __tracebackhide__ = True
        self._expect_frames()
        open_ = [one.call for one in self.exchanges() if one.answer is None]
        if open_:
            self._fail(f"every call{self._of()} to be answered", f"no answer to {', '.join(map(shown, open_))}")

    def no_anomalies(self) -> None:
        """Assert that nothing was odd: no anomaly of a transaction, no frame that is no OCPP message, none lost.

        Of a station, that there were frames, too: of one whose id is misspelt nothing would ever be odd.
        """
        __tracebackhide__ = True
        self._expect_frames()
        odd = [f"{named(one)}: {'; '.join(one.anomalies)}" for one in self.transactions() if one.anomalies]
        odd += [f"{shown(one)}: {one.error_description}" for one in self.messages() if one.message_type == "Malformed"]
        settings = self.plugin.settings
        for gap in self.database[settings.gaps_collection].find(self._query()):
            odd.append(f"{gap['frames']} frame(s) of {gap['station_id']!r} are missing: {gap['reason']}")
        for letter in self.database[settings.dead_letters_collection].find(self._query()):
            odd.append(f"a frame of {letter.get('station_id')!r} was refused: {letter.get('reason')}")
        if odd:
            self._fail(f"nothing odd{self._of()}", "\n  ".join(odd))

    def nothing_recorded(self) -> None:
        """Assert that no frame crossed."""
        __tracebackhide__ = True
        count = len(self.messages())
        if count:
            self._fail(f"no frame{self._of()}", f"{count}")

    # -- assertions: what follows from frames -------------------------------------------------------------------------

    def has_status(self, status: str, *, connector: int | None = None, evse: int | None = None) -> None:
        """Assert that a connector has this status, or without one, the whole station (connector 0 in OCPP 1.6)."""
        __tracebackhide__ = True
        place = where(connector, evse)
        found = self._statuses(connector, evse)
        if list(found.values()) != [status]:
            told = ", ".join(f"{station!r} {value or 'without one'}" for station, value in found.items())
            self._fail(f"{place or 'the station'}{self._of()} to be {status}", told or f"no status of {place or 'it'}")

    def transaction(
        self,
        *,
        connector: int | None = None,
        evse: int | None = None,
        id: int | str | None = None,  # noqa: A002
    ) -> TransactionOnRecord:
        """Assert that there is one such transaction, and return it for further assertions."""
        __tracebackhide__ = True
        wanted = {"connector_id": connector, "evse_id": evse, "transaction_id": id}
        told = {name: value for name, value in wanted.items() if value is not None}
        every = self.transactions()
        found = [one for one in every if all(getattr(one, name) == value for name, value in told.items())]
        if len(found) != 1:
            told_id = f" {id!r}" if id is not None else ""
            place = f" on {where(connector, evse)}" if where(connector, evse) else ""
            self._fail(f"one transaction{told_id}{place}{self._of()}", transaction_table(every))
        return TransactionOnRecord(found[0], self._fail)

    # -- inside ------------------------------------------------------------------------------------------------------

    def shown_unless_told(self, error: BaseException | None) -> str:
        """Return the table for the report of a failed test; empty where its error has told it, or there is none."""
        if getattr(error, _MARK, False):
            return ""
        try:
            return self.table()
        except Exception as problem:  # noqa: BLE001 - a report of one failure must not fail for another
            return f"cannot be read: {type(problem).__name__}"

    def _expect_frames(self) -> None:
        __tracebackhide__ = True
        if self._station_id is None or self.messages():
            return
        collection = self.database[self.plugin.settings.messages_collection]
        others = sorted(collection.distinct("station_id"))
        self._fail(f"frames{self._of()}", f"none; stations are {', '.join(map(repr, others)) or 'none'}")

    def _fail(self, expected: str, instead: str) -> None:
        __tracebackhide__ = True
        error = AssertionError(f"expected {expected}\non record: {instead}\n{self.table()}")
        setattr(error, _MARK, True)
        raise error

    def _of(self) -> str:
        end = f" as seen from the {self._end}" if self._end else ""
        return f" of station {self._station_id!r}{end}" if self._station_id is not None else end

    def _query(self, field_name: str = "station_id") -> dict[str, Any]:
        return {} if self._station_id is None else {field_name: {"$eq": self._station_id}}

    def _stored(self, kind: str, model: Any, field_name: str = "station_id") -> list[Any]:
        collection = self.database[getattr(self.plugin.settings, f"{kind}_collection")]
        return [model.model_validate(one) for one in collection.find(self._query(field_name))]

    def _all_messages(self) -> list[Message]:
        from ocpp_mongo_plugin.documents import Message  # noqa: PLC0415 - it takes Beanie

        found = self._stored("messages", Message)
        return sorted(found, key=lambda one: (self._place(one.session_id, one.sequence), one.session_id, one.sequence))

    def _one_end(self, messages: Iterable[Message]) -> list[Message]:
        messages = list(messages)
        if self._end is not None:
            return [one for one in messages if _end_of(one) == self._end]
        with_csms = {one.station_id for one in messages if _end_of(one) == "csms"}
        return [one for one in messages if one.station_id not in with_csms or _end_of(one) == "csms"]

    def _calls(self, action: str) -> str:
        exchanges = self.exchanges(action)
        if not exchanges:
            return f"no {action}"
        told = [
            f"{shown(one.call)}, {shown(one.answer) if one.answer is not None else 'not answered'}" for one in exchanges
        ]
        return "\n  ".join([f"{len(told)} {action}", *told])

    def _statuses(self, connector: int | None, evse: int | None) -> dict[str, str | None]:
        if connector is None and evse is None:
            return {station.station_id: station.status for station in self.stations()}
        return {
            station.station_id: one.status
            for station in self.stations()
            for one in station.connectors
            if connector in (None, one.connector_id) and evse in (None, one.evse_id)
        }


class TransactionOnRecord:
    """One stored transaction, and assertions about it; each returns it, so that they can be put in a row.

    What asserts raises an ``AssertionError`` where that does not hold.
    """

    def __init__(self, document: Transaction, fail: Callable[[str, str], None]) -> None:
        """Speak of ``document``; ``fail`` raises with what was expected and what there is."""
        self.document = document
        """As it was stored when it was asked for: energies in Wh."""
        self._fail = fail

    def delivered(
        self, *, kwh: float | None = None, wh: float | None = None, within_wh: float = 0.5
    ) -> TransactionOnRecord:
        """Assert how much energy it took, in kWh or in Wh; ``within_wh`` more or less.

        Raises:
            AssertionError: it took another energy, or nobody knows which.
            TypeError: neither or both of ``kwh`` and ``wh`` are given.
        """
        __tracebackhide__ = True
        if (kwh is None) == (wh is None):
            raise TypeError("delivered takes kwh or wh")
        expected = kwh * 1000 if kwh is not None else wh or 0
        told = f"{kwh:g} kWh" if kwh is not None else f"{wh:g} Wh"
        found = self.document.energy_consumed
        if found is None or abs(found - expected) > within_wh:
            energy = "an unknown energy" if found is None else f"{found / 1000:g} kWh ({found:g} Wh)"
            meters = f"meter from {self.document.meter_start} to {self.document.meter_stop} Wh"
            self._fail(f"{named(self.document)} to have delivered {told}", f"{energy}, {meters}")
        return self

    def is_active(self) -> TransactionOnRecord:
        """Assert that it goes on."""
        __tracebackhide__ = True
        return self._has_status("active")

    def completed(self, reason: str | None = None) -> TransactionOnRecord:
        """Assert that it was stopped, for that reason or any."""
        __tracebackhide__ = True
        self._has_status("completed")
        if reason is not None and self.document.reason != reason:
            self._fail(f"{named(self.document)} to be completed for {reason}", str(self.document.reason))
        return self

    def failed(self) -> TransactionOnRecord:
        """Assert that it ended without a stop of its own."""
        __tracebackhide__ = True
        return self._has_status("failed")

    def started_by(self, id_tag: str) -> TransactionOnRecord:
        """Assert whose id tag (idToken in OCPP 2.x) started it."""
        __tracebackhide__ = True
        if self.document.id_tag != id_tag:
            self._fail(f"{named(self.document)} to be started by {id_tag!r}", repr(self.document.id_tag))
        return self

    def no_anomalies(self) -> TransactionOnRecord:
        """Assert that nothing about it was odd."""
        __tracebackhide__ = True
        if self.document.anomalies:
            self._fail(f"nothing odd about {named(self.document)}", "; ".join(self.document.anomalies))
        return self

    def _has_status(self, status: str) -> TransactionOnRecord:
        __tracebackhide__ = True
        if self.document.status != status:
            why = f" ({self.document.failure})" if self.document.failure else ""
            self._fail(f"{named(self.document)} to be {status}", f"it is {self.document.status}{why}")
        return self


def _holds(found: Any, wanted: Any) -> bool:
    """Whether what was found has what is wanted: of objects, at least these fields."""
    if not isinstance(wanted, Mapping):
        return bool(found == wanted)
    if not isinstance(found, Mapping):
        return not wanted
    for name, value in wanted.items():
        key = name if name in found else _on_the_wire(name)
        if key not in found or not _holds(found[key], value):
            return False
    return True


def _on_the_wire(name: str) -> str:
    first, *others = str(name).split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _enough(found: list[Any], times: int | None) -> bool:
    return bool(found) if times is None else len(found) == times


def _count(times: int | None) -> str:
    return "a" if times is None else _NUMBERS.get(times, str(times))


def _with(wanted: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{name}={value!r}' for name, value in wanted.items())}" if wanted else ""


def _first_missing(names: list[str], expected: tuple[str, ...]) -> int | None:
    """Return which of those expected is not among the names in its turn; None when all are."""
    rest = iter(names)
    return next((place for place, one in enumerate(expected) if one not in rest), None)


def _end_of(message: Message) -> Literal["station", "csms"] | None:
    """Return which end of the connection recorded this frame."""
    if message.origin is None or message.direction == "sent":
        return message.origin
    return "csms" if message.origin == "station" else "station"
