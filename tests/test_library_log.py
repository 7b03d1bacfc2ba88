"""Logs of the ``ocpp`` library: real-looking lines of many formatters, real ones of a real conversation, any text."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from waiting import wait_until_async
from wire import End, join

from ocpp_mongo_plugin.interchange import Contents, Line, LogFile, LogReading, form_of
from ocpp_mongo_plugin.library_log import Log, LoggedFrame, LogLine, OtherLine
from ocpp_mongo_plugin.log_prefix import instant, time_of

UTC = timezone.utc
BOOT = '[2,"1","BootNotification",{"chargePointVendor":"v","chargePointModel":"m"}]'
ACCEPTED = '[3,"1",{"currentTime":"2026-03-01T12:00:00Z","interval":10,"status":"Accepted"}]'
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MILLIS = AT + timedelta(milliseconds=123)


def lines_of(text: str) -> list[LogLine]:
    return [LogLine(number, line) for number, line in enumerate(text.split("\n"), 1)]


def read(text: str, **known: Any) -> list[LoggedFrame | OtherLine]:
    log = Log(**known)
    log.learn_form(lines_of(text))
    return list(log.frames(lines_of(text)))


def frames(text: str, **known: Any) -> list[LoggedFrame]:
    return [item for item in read(text, **known) if isinstance(item, LoggedFrame)]


def others(text: str, **known: Any) -> list[OtherLine]:
    return [item for item in read(text, **known) if isinstance(item, OtherLine)]


def written(prefix: str, station_id: str = "CP001", between: Iterable[str] = ()) -> str:
    lines = [f"{prefix}{station_id}: receive message {BOOT}", *between, f"{prefix}{station_id}: send {ACCEPTED}"]
    return "\n".join(lines)


PREFIXES: list[tuple[str, datetime | None]] = [
    ("", None),
    ("INFO:ocpp:", None),
    ("INFO:central_system:", None),
    ("INFO:     ", None),
    ("[INFO] ", None),
    ("INFO     ocpp:charge_point.py:293 ", None),
    ("12:00:00,123 ", None),
    ("01.03.2026 12:00:00 ", None),
    ("01/03/2026 12:00:00 INFO ", None),
    ("2026-03-01 12:00:00,123 - ocpp - INFO - ", MILLIS),
    ("2026-03-01 12:00:00,123 - central - INFO - ", MILLIS),
    ("2026-03-01 12:00:00,123 INFO central: ", MILLIS),
    ("2026-03-01 12:00:00,123 ocpp INFO ", MILLIS),
    ("2026-03-01 12:00:00,123 [INFO] ocpp: ", MILLIS),
    ("2026-03-01 12:00:00,123 [1234] [MainThread] INFO ", MILLIS),
    ("2026-03-01 12:00:00.123 INFO (MainThread) [ocpp] ", MILLIS),
    ("homeassistant  | 2026-03-01 12:00:00.123 INFO (MainThread) [ocpp] ", MILLIS),
    ("2026-03-01 12:00:00,123 | INFO | ", MILLIS),
    ("2026-03-01 12:00:00.123 | INFO     | ocpp.charge_point:start:293 - ", MILLIS),
    ("2026-03-01 12:00:00 [info     ] ", AT),
    ("[2026-03-01 12:00:00] {charge_point.py:293} INFO - ", AT),
    ("[I 2026-03-01 12:00:00] ", AT),
    ("2026/03/01 12:00:00 ", AT),
    ("2026-03-01T12:00:00Z INFO ", AT),
    ("2026-03-01T14:00:00+0200 INFO ", AT),
    ("2026-03-01T14:00:00+02:00 INFO ", AT),
    ("2026-03-01 12:00:00.123456789 UTC ", AT + timedelta(microseconds=123456)),
    ("Sun Mar  1 12:00:00 2026 ", AT),
    ("[01/Mar/2026:13:00:00 +0100] ", AT),
    ("1772366400.123 ", MILLIS),
    ("Mar  1 12:00:00 host python[12]: INFO:ocpp:", None),
    ("Mar  1 12:00:00 host csms.service: ", None),
    ("2026-03-01T12:00:00+0000 host python3[12]: ", AT),
    ("<14>1 2026-03-01T12:00:00Z host csms 12 - - INFO:ocpp:", AT),
    ("2026-03-01T12:00:00.123000000Z stdout F INFO:ocpp:", MILLIS),
    ("csms-1  | INFO:ocpp:", None),
    ("csms | 2026-03-01 12:00:00,123 INFO ", MILLIS),
    ("\x1b[32mINFO\x1b[0m:     ", None),
    ("\x1b[2m2026-03-01T12:00:00Z\x1b[0m [\x1b[32m\x1b[1minfo     \x1b[0m] \x1b[1m", AT),
]
STATION_IDS = [
    "CP001",
    "",
    "CP 1",
    "192.0.2.4:9000",
    "[::1]:9000",
    "a/b/CP",
    "Depot: 4",
    "CP%201",
    "é-ÿ",
    "00:11:22:aa:bb:cc",
    "7",
    "[x]",
]


@pytest.mark.parametrize("station_id", STATION_IDS)
@pytest.mark.parametrize(("prefix", "at"), PREFIXES, ids=[prefix for prefix, _ in PREFIXES])
def test_a_prefix_is_told_from_the_station_id(prefix: str, at: datetime | None, station_id: str) -> None:
    if station_id == "Depot: 4" and "ocpp" not in prefix and prefix.strip():
        return  # of one station alone, that reads as the name of a logger
    found = frames(written(prefix, station_id))
    assert [(one.station_id, one.direction, one.text) for one in found] == [
        (station_id, "received", BOOT),
        (station_id, "sent", ACCEPTED),
    ]
    assert [one.timestamp for one in found] == [at, at]


def test_names_that_differ_are_ids_and_names_that_do_not_are_names() -> None:
    same = "\n".join(f"INFO:csms:CP{n}: send {ACCEPTED}" for n in range(3))
    assert [one.station_id for one in frames(same)] == ["CP0", "CP1", "CP2"]
    differ = "\n".join(f"INFO:CP{n}:1: send {ACCEPTED}" for n in range(3))
    assert [one.station_id for one in frames(differ)] == ["CP0:1", "CP1:1", "CP2:1"]


def test_brackets_of_some_lines_only_are_of_the_id() -> None:
    text = f"INFO [a] one: send {ACCEPTED}\nINFO two: send {ACCEPTED}"
    assert [one.station_id for one in frames(text)] == ["[a] one", "two"]


def test_two_formats_in_one_file_are_each_understood() -> None:
    text = f"{written('INFO:ocpp:', 'A')}\n{written('2026-03-01 12:00:00,123 - x - INFO - ', 'B')}"
    assert [one.station_id for one in frames(text)] == ["A", "A", "B", "B"]


def test_a_prefix_of_ones_own_is_given() -> None:
    text = f">>> csms/7 CP 1: send {ACCEPTED}\nother CP 1: send {ACCEPTED}"
    found = read(text, prefix=re.compile(r">>> \S+ "))
    assert [getattr(one, "station_id", None) for one in found] == ["CP 1", None]


@pytest.mark.parametrize(
    ("zone", "offset"), [(UTC, 0), (timezone(timedelta(hours=2)), 2), (ZoneInfo("Europe/Paris"), 1)]
)
def test_times_without_a_zone_are_of_the_zone_that_is_said(zone: Any, offset: int) -> None:
    [one, _] = frames(written("2026-03-01 12:00:00,123 INFO "), zone=zone)
    assert one.timestamp == MILLIS - timedelta(hours=offset)
    [one, _] = frames(written("2026-03-01T12:00:00Z INFO "), zone=zone)
    assert one.timestamp == AT


# -- structured logs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        ({"message": "{}", "levelname": "INFO", "name": "ocpp"}, None),
        ({"event": "{}", "timestamp": "2026-03-01T12:00:00Z", "level": "info"}, AT),
        ({"msg": "{}", "time": 1772366400.123}, MILLIS),
        ({"msg": "{}", "ts": 1772366400123}, MILLIS),
        ({"@timestamp": "2026-03-01T12:00:00.123Z", "log.level": "info", "message": "{}"}, MILLIS),
        ({"asctime": "2026-03-01 12:00:00,123", "message": "INFO:ocpp:{}"}, MILLIS),
        ({"log": "2026-03-01 12:00:00,123 - ocpp - INFO - {}\n", "time": "2026-03-01T12:00:09Z"}, MILLIS),
        ({"log": "INFO:ocpp:{}\n", "stream": "stdout", "time": "2026-03-01T12:00:00Z"}, AT),
        ({"MESSAGE": "INFO:ocpp:{}", "__REALTIME_TIMESTAMP": "1772366400123000"}, MILLIS),
        ({"text": "x", "record": {"message": "{}", "time": {"timestamp": 1.0}}}, None),
    ],
)
def test_structured_logs(entry: dict[str, Any], at: datetime | None) -> None:
    def filled(value: Any, words: str) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner, words) for key, inner in value.items()}
        return value.replace("{}", words) if isinstance(value, str) else value

    lines = [
        json.dumps(filled(entry, words))
        for words in (f"CP 1: receive message {BOOT}", "hello", f"CP 1: send {ACCEPTED}")
    ]
    for text in ("\n".join(lines), "\n".join(f"csms-1  | {line}" for line in lines)):
        found = frames(text)
        assert [(one.station_id, one.text, one.timestamp) for one in found] == [
            ("CP 1", BOOT, at),
            ("CP 1", ACCEPTED, at),
        ]
        assert len(others(text)) == 1


# -- frames over several lines ----------------------------------------------------------------------------------

PRETTY = json.dumps(json.loads(BOOT), indent=2)


@pytest.mark.parametrize("prefix", ["", "INFO:ocpp:", "2026-03-01 12:00:00,123 - ocpp - INFO - "])
def test_a_pretty_printed_frame_is_whole_and_exact(prefix: str) -> None:
    text = f"{prefix}CP1: receive message {PRETTY}\n{prefix}CP1: send {ACCEPTED}\nafter"
    assert [one.text for one in frames(text)] == [PRETTY, ACCEPTED]
    assert [one.text for one in others(text)] == ["after"]


def test_what_collected_the_log_stands_before_each_line_of_a_frame() -> None:
    lines = f"INFO:ocpp:CP1: receive message {PRETTY}\nINFO:ocpp:CP1: send {ACCEPTED}".split("\n")
    for collector in ("csms-1  | ", "Mar  1 12:00:00 host python[12]: ", "2026-03-01T12:00:00Z stdout F "):
        assert [one.text for one in frames("\n".join(collector + line for line in lines))] == [PRETTY, ACCEPTED]


def test_a_frame_that_was_wrapped_in_the_middle_of_a_string_is_put_together() -> None:
    text = f"INFO:ocpp:CP1: receive message {BOOT[:40]}\n{BOOT[40:]}\nINFO:ocpp:CP1: send {ACCEPTED}"
    assert [one.text for one in frames(text)] == [BOOT, ACCEPTED]


def test_a_new_line_of_the_log_ends_a_frame_that_is_not_whole() -> None:
    for prefix in ("", "INFO:ocpp:"):
        text = f'{prefix}CP1: receive message [2,"1",\n{prefix}CP1: send {ACCEPTED}'
        assert [one.text for one in frames(text)] == ['[2,"1",', ACCEPTED]


def test_a_frame_that_was_cut_short_takes_nothing_of_what_follows() -> None:
    for cut in ('[2,"1","Boot...', '[2,"1","Boot…'):
        text = f"INFO:ocpp:CP1: receive message {cut}\nprinted by somebody\nINFO:ocpp:CP1: send {ACCEPTED}"
        assert [one.text for one in frames(text)] == [cut, ACCEPTED]
        assert [one.text for one in others(text)] == ["printed by somebody"]


def test_lines_after_a_frame_that_never_ends_stand_for_themselves_where_nothing_marks_lines() -> None:
    text = f'CP1: receive message [2,"1",\nprinted\nCP1: send {ACCEPTED}'
    assert [one.text for one in frames(text)] == ['[2,"1",', ACCEPTED]
    assert [one.text for one in others(text)] == ["printed"]


def test_what_a_formatter_writes_behind_messages_is_no_part_of_them() -> None:
    text = f"CP1: receive message {BOOT}  [ocpp] lineno=293\nCP1: send {ACCEPTED}  [ocpp] lineno=520"
    assert [one.text for one in frames(text)] == [BOOT, ACCEPTED]


# -- what is no frame -------------------------------------------------------------------------------------------


def test_prose_in_similar_words_is_no_frame() -> None:
    for prose in ("CP001: send failed", "worker: receive message from queue", "INFO:app:CP001: send later"):
        text = written("INFO:app:", between=[prose])
        assert [one.text for one in others(text)] == [prose]


def test_whatever_a_station_sends_is_a_frame() -> None:
    for prefix in ("", "INFO:ocpp:", "INFO:app:"):
        text = written(prefix, between=[f"{prefix}CP001: receive message AT+CSQ", f"{prefix}CP001: receive message "])
        assert [one.text for one in frames(text)] == [BOOT, "AT+CSQ", "", ACCEPTED]


def test_other_lines_of_the_library_are_known_as_such() -> None:
    lines = [
        "WARNING:ocpp:Received a CALLError: <CallError - unique_id=1>'",
        "ERROR:ocpp:Ignoring response with unknown unique id: <CallResult>",
        f"ERROR:ocpp:Unable to parse message: '{BOOT}', it doesn't seem to be valid OCPP: x",
        "ERROR:ocpp:Error while handling request '<Call>'",
        "Traceback (most recent call last):",
    ]
    found = others(written("INFO:ocpp:", between=lines))
    assert [one.of_library for one in found] == [True, True, True, True, False]
    assert [one.number for one in found] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("handlers", "kept"),
    [("ab", 1), ("abc", 1), ("aabb", 2), ("abab", 2), ("abba", 2), ("abb", 2), ("ababb", 3), ("aj", 1)],
)
def test_as_many_frames_crossed_as_one_handler_wrote(handlers: str, kept: int) -> None:
    words = f"CP1: send {ACCEPTED}"
    lines = {"a": words, "b": f"INFO:ocpp:{words}", "c": f"2026-03-01 12:00:00 INFO {words}"}
    lines["j"] = json.dumps({"message": words})
    found = read("\n".join(lines[one] for one in handlers))
    assert sum(isinstance(one, LoggedFrame) for one in found) == kept
    assert sum(isinstance(one, OtherLine) and one.is_copy for one in found) == len(handlers) - kept


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("INFO:ocpp:", "INFO:ocpp:"),
        ("2026-03-01 12:00:00 ", "2026-03-01 12:00:00 "),
        ("2026-03-01 12:00:00,123 INFO [7] ", "2026-03-01 12:00:00,123 INFO [12] "),
        ("Sat Feb 28 23:59:59 2026 ", "Sun Mar  1 00:00:00 2026 "),
        ("[28/Feb/2026:23:59:59 +0000] ", "[01/Mar/2026:00:00:00 +0000] "),
    ],
)
def test_equal_frames_in_lines_of_one_form_are_each_one(first: str, second: str) -> None:
    assert len(frames(f"{first}CP1: send {ACCEPTED}\n{second}CP1: send {ACCEPTED}")) == 2


def test_binary_frames_are_what_the_library_made_of_them() -> None:
    told = f"CP1: receive message {BOOT.encode()!r}"
    assert [one.text for one in frames(told)] == [BOOT]


# -- sides and versions -----------------------------------------------------------------------------------------


def lines_in(text: str, **known: Any) -> list[Line]:
    file = LogFile(BytesIO(text.encode()), LogReading(**known))
    for _ in file.learn():
        pass
    return [item for item in file.read() if isinstance(item, Line)]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (BOOT, "1.6"),
        ('[2,"1","Heartbeat",{}]', None),
        ('[2,"1","StartTransaction",{}]', "1.6"),
        ('[2,"1","BootNotification",{"chargingStation":{},"reason":"PowerUp"}]', "2.0.1"),
        ('[2,"1","TransactionEvent",{}]', "2.0.1"),
        ('[2,"1","NotifySettlement",{}]', "2.1"),
        ('[6,"1","NotifyPeriodicEventStream",{}]', "2.1"),
        ("AT+CSQ", None),
    ],
)
def test_the_version_follows_from_the_actions_unless_it_is_said(text: str, version: str | None) -> None:
    log = f'INFO:ocpp:CP1: receive message [2,"0","Authorize",{{}}]\nINFO:ocpp:CP1: receive message {text}'
    assert [line.protocol_version for line in lines_in(log)] == [version, version]
    assert {line.protocol_version for line in lines_in(log, protocol_version="2.1")} == {"2.1"}


def test_the_side_follows_from_the_actions_unless_it_is_said() -> None:
    as_csms, as_station = f"CP1: receive message {BOOT}", f"CP1: send {BOOT}"
    assert [(line.side, line.origin) for line in lines_in(as_csms)] == [("csms", "station")]
    assert [(line.side, line.origin) for line in lines_in(as_station)] == [("station", "station")]
    unknown = 'CP1: receive message [2,"1","DataTransfer",{}]'
    assert [(line.side, line.origin) for line in lines_in(unknown)] == [(None, None)]
    assert [(line.side, line.origin) for line in lines_in(unknown, side="station")] == [("station", "csms")]


def test_both_ends_in_one_log_are_two_recordings() -> None:
    reset, done = '[2,"r","Reset",{"type":"Soft"}]', '[3,"r",{"status":"Accepted"}]'
    text = "\n".join(
        f"INFO:ocpp:CP1: {way} {frame}"
        for frame in (BOOT, ACCEPTED, reset, done)
        for way in ("send", "receive message")
    )
    found = lines_in(text)
    assert [line.side for line in found] == ["station", "csms", "csms", "station", "csms", "station", "station", "csms"]
    assert [line.origin for line in found] == ["station"] * 2 + ["csms"] * 4 + ["station"] * 2
    for side in ("station", "csms"):
        assert [line.text for line in found if line.side == side] == [BOOT, ACCEPTED, reset, done]


# -- files ------------------------------------------------------------------------------------------------------


def test_windows_line_ends_a_byte_order_mark_and_bytes_that_are_no_utf8_are_read() -> None:
    text = written("INFO:ocpp:").replace("\n", "\r\n").encode()
    data = b"\xef\xbb\xbf" + text + b'\r\nINFO:ocpp:CP\xff: send [3,"\xfe",{}]\r\n'
    file = LogFile(BytesIO(data), LogReading())
    found = [item for item in file.read() if isinstance(item, Line)]
    assert [line.text for line in found] == [BOOT, ACCEPTED, '[3,"\\xfe",{}]']
    assert [line.station_id for line in found] == ["CP001", "CP001", "CP\\xff"]


def test_the_first_line_with_a_frame_decides_what_a_file_is() -> None:
    jsonl = json.dumps({"station": "a", "direction": "sent", "raw": "CP1: send [3]"}).encode()
    log = written("INFO:ocpp:").encode()
    assert form_of(BytesIO(b"hello\n" + log)) == "log"
    assert form_of(BytesIO(jsonl + b"\n" + log)) == "jsonl"
    assert form_of(BytesIO(log + b"\n" + jsonl)) == "log"
    assert form_of(BytesIO(b"hello\nCP1: send failed\n")) == "text"
    assert form_of(BytesIO(json.dumps({"event": f"CP1: send {ACCEPTED}"}).encode())) == "log"
    assert form_of(BytesIO(b'\xff\n{"raw": "[]"}\n')) == "jsonl"
    assert form_of(BytesIO(b"hello\nmore\0\n")) == form_of(BytesIO(b"hell\xf6\n")) == "data"
    assert form_of(BytesIO(b"\0" * 9 + b"\n" + log)) == "log"


def test_a_log_that_grew_is_the_same_session_also_when_it_tells_the_version_late() -> None:
    first = 'INFO:ocpp:CP1: receive message [2,"0","DataTransfer",{}]\n'
    grown = first + f"INFO:ocpp:CP1: receive message {BOOT}\n"

    def session(text: str) -> tuple[str | None, str]:
        contents = Contents()
        for line in lines_in(text):
            contents.add(line)
        (recording,) = contents.recordings.values()
        return recording.opened().session.protocol_version, recording.candidate(0)

    (none, before), (version, after) = session(first), session(grown)
    assert (none, version) == (None, "1.6")
    assert before == after


# -- the library itself -----------------------------------------------------------------------------------------


class Csms(ChargePoint):
    @on("BootNotification")
    async def boot(self, **_: Any) -> Any:
        return call_result.BootNotification(current_time="2026-03-01T12:00:00Z", interval=10, status="Accepted")


FORMATS = [
    "%(message)s",
    logging.BASIC_FORMAT,
    "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "%(asctime)s.%(msecs)03d %(levelname)s (%(threadName)s) [%(name)s] %(message)s",
    "%(levelname)-8s %(name)s:%(filename)s:%(lineno)d %(message)s",
    "[%(asctime)s] {%(pathname)s:%(lineno)d} %(levelname)s - %(message)s",
    "%(created)f %(process)d %(levelname)s %(message)s",
    '{"json": true}',
]


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"timestamp": record.created, "logger": record.name, "message": record.getMessage()})


async def converse(station_id: str, *, is_station_heard: bool) -> End:
    """Hold a conversation in which the station says odd things, too; return the CSMS's end."""
    one, other = join()
    station, csms = ChargePoint(station_id, one), Csms(station_id, other)
    if not is_station_heard:
        station.logger = logging.getLogger("elsewhere")
    ends = [asyncio.create_task(end.start()) for end in (station, csms)]
    await station.call(call.BootNotification(charge_point_vendor="v", charge_point_model="m"))
    for text in ODD_TEXTS:
        await station._send(text)

    def is_answered() -> bool:
        directions = [crossing.direction for crossing in other.crossed]
        return directions.count("received") == 1 + len(ODD_TEXTS) and directions.count("sent") == 1 + ANSWERED

    await wait_until_async(is_answered)
    one.close()
    await asyncio.gather(*ends, return_exceptions=True)
    return other


ODD_TEXTS = [
    '[2,"p","Heartbeat",\n{\n}\n]',
    "AT+CSQ",
    '[2, "é",  "Nonsense", {"a": "CP1: send [3]"}]',
    '[3,"nobody",{}]',
    "",
    json.dumps(json.loads(BOOT), indent=4),
    '[2,"x","Heartbeat"',
]
ANSWERED = 3
"""Of these, by the library: those that are calls."""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("station_id", ["CP001", "", "192.0.2.4:9000", "a b/c"])
@pytest.mark.parametrize("is_station_heard", [False, True])
async def test_what_the_library_logs_is_read_back_as_the_frames_that_crossed(
    form: str, station_id: str, is_station_heard: bool
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form.startswith("{") else logging.Formatter(form))
    logger = logging.getLogger("ocpp")
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        end = await converse(station_id, is_station_heard=is_station_heard)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True
    found = lines_in(stream.getvalue())
    assert {line.station_id for line in found} == {station_id}
    crossed = [(one.direction, one.text) for one in end.crossed]
    assert [(line.direction, line.text) for line in found if line.side == "csms"] == crossed
    assert len(crossed) > len(ODD_TEXTS)
    assert {line.side for line in found} == ({"csms", "station"} if is_station_heard else {"csms"})
    has_time = "time" in form or "created" in form or form.startswith("{")
    assert all((line.timestamp is not None) == has_time for line in found)


# -- any text ---------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "INFO:ocpp:",
        "CP1",
        ": send ",
        ": receive message ",
        "[",
        "]",
        "{",
        "}",
        '"',
        "\\",
        "\n",
        " ",
        BOOT,
        ACCEPTED,
        "2026-03-01 12:00:00,123 ",
        "[info] ",
        '{"message": "',
        "b'[",
        "'",
        "...",
        "\x1b[0m",
        "99999-99-99 99:99:99",
        "9" * 400,
        "Mar 99 99:99:99 9999 ",
        "\r",
    ]
)
ANY = st.lists(PIECES | st.text(max_size=5), max_size=20).map("".join)


@given(ANY, st.sampled_from([None, re.compile("INFO:"), re.compile("")]))
def test_any_text_is_frames_and_other_lines_and_none_of_it_is_lost(text: str, prefix: re.Pattern[str] | None) -> None:
    log = Log(prefix=prefix)
    log.learn_form(lines_of(text))
    found = list(log.frames(lines_of(text)))
    numbers = [one.number for one in found]
    assert numbers == sorted(set(numbers))
    for one in found:
        if isinstance(one, LoggedFrame):
            log.learn_frame(one)
    sides = log.sides()
    for one in found:
        if isinstance(one, LoggedFrame):
            sides.of(one)
            log.version(one.station_id)


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    file = LogFile(BytesIO(data), LogReading())
    list(file.learn())
    list(file.read())
    form_of(BytesIO(data))


@example(float("inf"))
@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=30), st.booleans()))
def test_any_value_is_a_time_or_none(value: object) -> None:
    assert isinstance(instant(value, ZoneInfo("Europe/Paris")), datetime | None)
    if isinstance(value, str):
        assert isinstance(time_of([value], UTC), datetime | None)


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12).filter(
    lambda name: name == name.lstrip()
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-999, 999)
    | st.text(st.characters(blacklist_categories=["Cs"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([prefix for prefix, _ in PREFIXES if "ocpp" in prefix and "[3" not in prefix]),
    NAMES,
    st.lists(
        st.tuples(st.sampled_from(["sent", "received"]), JSON, st.sampled_from([None, 2])), min_size=1, max_size=6
    ),
)
def test_frames_that_were_written_are_read(
    prefix: str, name: str, conversation: list[tuple[str, Any, int | None]]
) -> None:
    texts = [
        (direction, json.dumps([2, str(n), "DataTransfer", payload], indent=indent))
        for n, (direction, payload, indent) in enumerate(conversation)
    ]
    words = {"sent": "send", "received": "receive message"}
    log = "\n".join(f"{prefix}{name}: {words[direction]} {text}" for direction, text in texts)
    found = frames(log)
    assert [(one.direction, one.text) for one in found] == texts
