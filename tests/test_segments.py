"""The bytes of a journal segment: whatever happens to them, what is whole is found and nothing else is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_mongo_plugin import segments
from ocpp_mongo_plugin.frames import Frame, Session, SessionChange, Undelivered
from ocpp_mongo_plugin.segments import Damage, Header, Record, UnknownVersionError, encode, item_of, scan

AT = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=timezone.utc)
SESSION = "0661051d0017a86e9de9f719"
GOLDEN = Path(__file__).parent / "data"


def frame(number: int, text: str = '[2,"1","Heartbeat",{}]', **values: Any) -> Frame:
    at = AT + timedelta(seconds=number)
    return Frame("CP1", SESSION, number, "received", "station", "1.6", at, text)._replace(**values)


def opened() -> SessionChange:
    session = Session(SESSION, "CP1", "csms", AT, "connected", "1.6", "ocpp1.6", "127.0.0.1:5", 3)
    return SessionChange("opened", session, AT)


ITEMS = [
    opened(),
    frame(0),
    frame(1, '[3,"1",{"currentTime":"é"}]', direction="sent", origin=None, protocol_version=None),
    frame(2, "AT+CSQ \udcff\0", timestamp=None, direction="unknown"),
    frame(3, '[2,"3","ChangeConfiguration",{"key":"AuthorizationKey","value":"***"}]', redacted=("payload.value",)),
    Undelivered(frame(4, "", direction="sent", origin=None, protocol_version=None, timestamp=None)),
    SessionChange("closed", Session(SESSION, "CP1", None, AT, "disconnected", closed_at=AT, close_code=1006), AT),
]
HEADER = Header("host:1:abc", "localhost:27017", "lab", AT)


def segment(items: list[Any]) -> bytes:
    return segments.header(HEADER) + b"".join(encode(item) for item in items)


def read(data: bytes) -> tuple[list[Any], list[Damage]]:
    found = list(scan(data))
    items = [item_of(one.document) for one in found if isinstance(one, Record)]
    return items, [one for one in found if isinstance(one, Damage)]


def test_what_was_captured_comes_back_as_it_was():
    assert read(segment(ITEMS)) == ([HEADER, *ITEMS], [])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.journal")), ids=lambda path: path.name)
def test_a_segment_of_every_released_format_can_be_read(path: Path):
    assert read(path.read_bytes()) == ([HEADER, *ITEMS], [])


def test_there_is_a_golden_file_of_the_format_that_is_written():
    assert (GOLDEN / f"version-{segments.VERSION}.journal").read_bytes() == segment(ITEMS)


def test_what_cannot_be_text_in_bson_is_kept_as_near_as_it_can_be():
    items, damages = read(segment([frame(0, station_id="CP\udcff")]))
    assert items[1] == frame(0, station_id="CP?")
    assert not damages


def test_a_frame_that_no_socket_was_seen_for_says_so():
    by_hand = frame(0, seen_on_socket=False)
    assert read(segment([by_hand]))[0] == [HEADER, by_hand]


def test_a_bit_flipped_anywhere_costs_one_record_at_most_and_invents_none():
    data = segment(ITEMS)
    whole = [HEADER, *ITEMS]
    for place in range(len(data)):
        for bit in (0, 3, 7):
            spoilt = bytearray(data)
            spoilt[place] ^= 1 << bit
            if place == len(segments.SIGNATURE) - 1:
                continue  # the version, below
            items, damages = read(bytes(spoilt))
            assert all(item in whole for item in items), (place, bit)
            assert len(items) >= len(whole) - 1, (place, bit)
            assert damages, (place, bit)
            assert not any(damage.torn for damage in damages[:-1])


def test_a_segment_cut_anywhere_gives_all_that_was_whole_and_no_alarm():
    data = segment(ITEMS)
    ends = [one.end for one in scan(data)]
    for length in range(len(data)):
        items, damages = read(data[:length])
        assert len(items) == sum(end <= length for end in ends), length
        assert all(damage.torn for damage in damages), length


@pytest.mark.parametrize("place", [0, 100, 500])
def test_a_page_of_zeros_costs_what_it_covers_and_nothing_after_it(place: int):
    many = [frame(number) for number in range(100)]
    data = segment(many)
    spoilt = data[:place] + b"\0" * 512 + data[place + 512 :]
    items, damages = read(spoilt)
    covered = [one for one in scan(data) if one.end > place and one.offset < place + 512]
    assert len(items) == len(many) + 1 - len(covered)
    assert len(damages) == 1


def test_zeros_at_the_end_are_what_a_power_failure_leaves():
    items, damages = read(segment(ITEMS) + b"\0" * 4096)
    assert items == [HEADER, *ITEMS]
    assert [damage.torn for damage in damages] == [True]


@pytest.mark.parametrize("data", [b"hello, this is no journal", b"\x7fELF" + bytes(range(256)) * 9, b"OCPPX" * 50])
def test_a_foreign_file_holds_nothing(data: bytes):
    items, damages = read(data)
    assert items == []
    assert damages[0].length == len(data)


def test_an_empty_segment_holds_nothing_and_is_no_damage():
    assert read(b"") == ([], [])


def test_a_later_version_is_refused_and_not_misread():
    data = bytearray(segment(ITEMS))
    data[len(segments.SIGNATURE) - 1] = segments.VERSION + 1
    with pytest.raises(UnknownVersionError, match="format 2"):
        list(scan(bytes(data)))


def test_a_record_of_a_kind_from_a_later_version_is_no_item():
    (record,) = segments.records(segments.record({"k": "z", "new": 1}))
    assert item_of(record.document) is None


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_between_records_are_skipped_and_told(junk: bytes, more: bytes):
    first, second = frame(0), frame(1)
    data = segments.header(HEADER) + junk + encode(first) + more + encode(second)
    items, damages = read(data)
    assert [item for item in items if item in (HEADER, first, second)] == [HEADER, first, second]
    assert sum(damage.length for damage in damages) >= len(junk) + len(more)


if __name__ == "__main__":
    (GOLDEN / f"version-{segments.VERSION}.journal").write_bytes(segment(ITEMS))


@given(
    st.builds(
        Frame,
        st.text(max_size=8) | st.just("CP1"),
        st.just(SESSION),
        st.integers(-1, 2**32) | st.sampled_from([2**31 - 1, 2**31]),
        st.sampled_from(["sent", "received", "unknown"]),
        st.sampled_from(["station", "csms", None]),
        st.sampled_from(["1.6", "2.0.1", None]) | st.text(max_size=4),
        st.none() | st.datetimes(timezones=st.just(timezone.utc)),
        st.text(),
        st.sampled_from([(), ("payload.key",)]),
        st.booleans(),
    )
)
def test_a_frame_is_written_as_its_document_would_be(frame: Frame):
    """The bytes are put together by hand for speed; they are the same as those of the BSON library."""
    try:
        expected = segments.record(segments._frame_document(frame))
    except (bson.errors.BSONError, UnicodeError, OverflowError, ValueError):
        expected = segments.record(segments._frame_document(segments._plain(frame)))
    assert encode(frame) == expected
