"""The interchange format: any line is a frame or a bad line, and a session has the same id at every import."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_mongo_plugin.errors import ImportFormatError
from ocpp_mongo_plugin.frames import Frame, SessionChange
from ocpp_mongo_plugin.interchange import BadLine, Contents, Line, open_interchange, parse_line, parse_time, read_lines

UTC = timezone.utc
HEX = "0650a1b2c3d4e5f60718293a"


def line(raw: str = '[2,"1","Heartbeat",{}]', **more: object) -> dict[str, object]:
    return {
        "station": "CP1",
        "protocol_version": "1.6",
        "direction": "received",
        "ts": "2026-02-16 18:06:46.507",
        "raw": raw,
        **more,
    }


def text_of(lines: Iterable[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


class Stored:
    """A store of texts by session and sequence."""

    def __init__(self) -> None:
        self.texts: dict[str, dict[int, str | None]] = {}

    async def __call__(self, session_id: str) -> AsyncIterator[tuple[int, str | None]]:
        for item in self.texts.get(session_id, {}).items():
            yield item

    async def import_(self, data: bytes) -> tuple[Contents, list[Frame]]:
        contents = Contents()
        for item in read_lines(BytesIO(data)):
            contents.add(item)
        await contents.identify(self)
        frames = [item for item in contents.replay(read_lines(BytesIO(data))) if isinstance(item, Frame)]
        for frame in frames:
            self.texts.setdefault(frame.session_id, {}).setdefault(frame.sequence, frame.text)
        return contents, frames

    @property
    def count(self) -> int:
        return sum(map(len, self.texts.values()))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": ' + b"1" * 5000 + b"}", "number too long"),
        (b"{}", '"direction" is missing'),
        (text_of([line(direction="up")]), '"direction" is none of sent, received, unknown'),
        (text_of([line(raw=None)]), '"raw" is missing'),
        (text_of([line(raw=[2, "1"])]), '"raw" is not a string'),
        (text_of([line(station=None)]), '"station" is missing'),
        (text_of([line(ts="yesterday")]), '"ts" is not a date and time'),
        (text_of([line(ts=1700000000)]), '"ts" is not a string'),
        (text_of([line(side="left")]), '"side" is none of'),
        (text_of([line(origin=1)]), '"origin" is not a string'),
        (text_of([line(sequence=-1)]), '"sequence" is not a whole number'),
        (text_of([line(sequence=True)]), '"sequence" is not a whole number'),
    ],
)
def test_a_corrupt_line_is_named_with_its_reason(data: bytes, reason: str) -> None:
    bad = parse_line(17, data)
    assert isinstance(bad, BadLine)
    assert bad.number == 17
    assert reason in bad.reason
    assert "\n" not in bad.reason


@given(st.binary())
def test_any_bytes_are_a_line_or_a_bad_line(data: bytes) -> None:
    assert isinstance(parse_line(1, data), Line | BadLine)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.dictionaries(st.sampled_from([*line(), "side", "session", "sequence", "origin"]), JSON))
def test_any_object_is_a_line_or_a_bad_line(values: dict[str, object]) -> None:
    assert isinstance(parse_line(1, json.dumps(values).encode()), Line | BadLine)


def test_a_corrupt_line_costs_nothing_else() -> None:
    data = text_of([line("a")]) + b"garbage\n\n\xff\n" + text_of([line("b")])
    found = list(read_lines(BytesIO(data)))
    assert [item.number for item in found] == [1, 2, 4, 5]
    assert [item.text for item in found if isinstance(item, Line)] == ["a", "b"]


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    data = b"\xef\xbb\xbf" + text_of([line("a"), line("b")]).replace(b"\n", b"\r\n")
    assert [item.text for item in read_lines(BytesIO(data)) if isinstance(item, Line)] == ["a", "b"]


def test_a_last_line_without_its_end_is_read() -> None:
    assert len(list(read_lines(BytesIO(text_of([line(), line()])[:-1])))) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-16 18:06:46.507", datetime(2026, 2, 16, 18, 6, 46, 507000, UTC)),
        ("2026-02-16T18:06:46Z", datetime(2026, 2, 16, 18, 6, 46, 0, UTC)),
        ("2026-02-16T18:06:46+02", datetime(2026, 2, 16, 16, 6, 46, 0, UTC)),
        ("2026-02-16T18:06:46-05:30", datetime(2026, 2, 16, 23, 36, 46, 0, UTC)),
        ("2026-02-16T18:06:46.123456789+0000", datetime(2026, 2, 16, 18, 6, 46, 123456, UTC)),
        ("2026-02-16T18:06", datetime(2026, 2, 16, 18, 6, 0, 0, UTC)),
        ("2026-02-30T18:06:46Z", None),
        ("0001-01-01T00:00:00+02:00", None),
        ("2026-02-16", None),
        ("", None),
    ],
)
def test_times_are_utc(text: str, expected: datetime | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("direction", "more", "origin"),
    [
        ("received", {}, "station"),
        ("sent", {}, "csms"),
        ("received", {"side": "station"}, "csms"),
        ("sent", {"side": "station"}, "station"),
        ("unknown", {}, None),
        ("unknown", {"origin": "csms"}, "csms"),
        ("sent", {"origin": "station"}, "station"),
    ],
)
def test_the_origin_follows_from_direction_and_side(direction: str, more: dict[str, object], origin: str) -> None:
    found = parse_line(1, text_of([line(direction=direction, **more)]))
    assert isinstance(found, Line)
    assert (found.direction, found.origin) == (direction, origin)


async def test_a_second_import_has_the_same_frames_and_finds_all_of_them_stored() -> None:
    stored = Stored()
    data = text_of([line(str(n), station=f"CP{n % 3}") for n in range(30)])
    _, first = await stored.import_(data)
    contents, second = await stored.import_(data)
    assert second == first
    assert len({frame.session_id for frame in first}) == 3
    assert (contents.already, stored.count) == (30, 30)


async def test_a_file_that_has_grown_adds_only_what_is_new() -> None:
    stored = Stored()
    await stored.import_(text_of([line(str(n)) for n in range(5)]))
    contents, frames = await stored.import_(text_of([line(str(n)) for n in range(8)]))
    assert (contents.frames, contents.already, stored.count) == (8, 5, 8)
    assert [frame.sequence for frame in frames] == list(range(8))


async def test_two_files_that_begin_alike_do_not_lose_each_others_frames() -> None:
    stored = Stored()
    one, other = text_of([line("same"), line("one")]), text_of([line("same"), line("other")])
    for data in (one, other, one, other):
        contents, _ = await stored.import_(data)
    assert contents.already == 2
    assert sorted(text or "" for texts in stored.texts.values() for text in texts.values()) == [
        "one",
        "other",
        "same",
        "same",
    ]


async def test_an_interrupted_import_is_completed_by_the_next() -> None:
    stored = Stored()
    data = text_of([line(str(n)) for n in range(6)])
    _, frames = await stored.import_(data)
    for frame in frames[2:]:
        del stored.texts[frame.session_id][frame.sequence]
    contents, _ = await stored.import_(data)
    assert (contents.already, stored.count, len(stored.texts)) == (2, 6, 1)


async def test_a_text_that_could_not_be_stored_as_it_was_contradicts_nothing() -> None:
    stored = Stored()
    data = text_of([line("\ud800"), line("b")])
    _, frames = await stored.import_(data)
    stored.texts[frames[0].session_id][0] = None
    contents, again = await stored.import_(data)
    assert contents.already == 2
    assert again == frames


async def test_a_session_id_of_ours_is_kept_unless_other_frames_have_it() -> None:
    stored = Stored()
    _, frames = await stored.import_(text_of([line("a", session=HEX, sequence=3), line("b", session=HEX, sequence=4)]))
    assert [(f.session_id, f.sequence) for f in frames] == [(HEX, 3), (HEX, 4)]
    _, others = await stored.import_(text_of([line("x", session=HEX, sequence=3)]))
    assert others[0].session_id != HEX


async def test_a_named_session_that_learns_its_version_late_is_one_session() -> None:
    lines = [line("a", session="s", protocol_version=None), line("b", session="s")]
    _, frames = await Stored().import_(text_of(lines))
    assert len({f.session_id for f in frames}) == 1
    assert [f.protocol_version for f in frames] == [None, "1.6"]


async def test_a_line_that_contradicts_an_earlier_one_is_bad_and_a_repeated_one_is_the_same_frame() -> None:
    data = text_of([line("a", sequence=0), line("a", sequence=0), line("b", sequence=0), line("c", sequence=1)])
    contents, frames = await Stored().import_(data)
    assert (contents.lines, contents.frames, contents.bad) == (4, 2, 1)
    assert {(f.sequence, f.text) for f in frames} == {(0, "a"), (1, "c")}


async def test_numbers_that_are_not_given_go_on_after_the_highest() -> None:
    _, frames = await Stored().import_(text_of([line("a", sequence=7), line("b"), line("c", sequence=2), line("d")]))
    assert [f.sequence for f in frames] == [7, 8, 2, 9]


async def test_session_ids_rise_with_time_and_a_null_time_stays_null() -> None:
    early = text_of([line("a", ts="2020-01-01T00:00:00Z")])
    late = text_of([line("a", ts="2020-01-01T00:00:01Z")])
    (_, [first]), (_, [second]), (_, [timeless]) = [
        await Stored().import_(data) for data in (early, late, text_of([line("a", ts=None)]))
    ]
    assert timeless.session_id[:14] == "0" * 14
    assert timeless.session_id < first.session_id < second.session_id
    assert timeless.timestamp is None
    opened = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(first.session_id[:14], 16))
    assert opened == first.timestamp


async def test_a_session_is_announced_before_its_first_frame() -> None:
    data = text_of([line("a"), line("b", station="CP2", direction="unknown"), line("c")])
    contents = Contents()
    for item in read_lines(BytesIO(data)):
        contents.add(item)
    await contents.identify(Stored())
    items = list(contents.replay(read_lines(BytesIO(data))))
    assert [type(item) for item in items] == [SessionChange, Frame, SessionChange, Frame, Frame]
    first, second = (item for item in items if isinstance(item, SessionChange))
    assert (first.kind, first.session.source, first.session.status) == ("opened", "import", "disconnected")
    assert (first.session.role, second.session.role) == ("csms", None)


STREAM = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["x", "y", "z"])), min_size=1, max_size=12)


@given(STREAM, st.integers(0, 12))
async def test_whatever_was_imported_before_every_frame_ends_up_stored_once(
    stream: list[tuple[str, str]], cut: int
) -> None:
    stored = Stored()
    lines = [line(raw, station=station) for station, raw in stream]
    for data in (text_of(lines[:cut]), text_of(lines), text_of(lines)):
        await stored.import_(data)
    texts = sorted(text or "" for session in stored.texts.values() for text in session.values())
    assert texts == sorted(raw for _, raw in stream)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00", "gzip data, not UTF-8"),
        ("{}".encode("utf-16"), "UTF-16 text, not UTF-8"),
    ],
)
def test_a_file_that_is_no_interchange_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImportFormatError, match=words) as caught:
        open_interchange(path)
    assert str(caught.value).startswith(str(path))


def test_a_directory_and_an_impossible_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match=r"is a directory; ") as caught:
        open_interchange(tmp_path)
    assert str(caught.value).count(str(tmp_path)) == 1
    with pytest.raises(ImportFormatError, match="cannot be read"):
        open_interchange(Path("a\0b"))
