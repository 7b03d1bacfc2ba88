"""The buffer: whatever happens, order and account are kept, and what is lost is lost as the policy says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_segments import SESSION, frame, opened

from ocpp_mongo_plugin.buffer import FULL, INTERNAL, REFUSED, SHUTDOWN, UNREADABLE, Buffer
from ocpp_mongo_plugin.facts import TransactionEdit
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.journal import Journal, Target
from ocpp_mongo_plugin.settings import read_settings

TARGET = Target("localhost:27017", "lab")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Buffer]]:
    journals: list[Journal] = []

    def make(*, journal: bool = False, **values: Any) -> Buffer:
        chosen = read_settings({"buffer_size": 5, **values})
        kept = None
        if journal:
            kept = Journal(tmp_path, TARGET, f"h:{len(journals)}:a", most_bytes=1 << 20, fsync_interval=3600)
            kept.open()
            journals.append(kept)
        return Buffer(chosen, kept, lambda item: item, lambda frames, reason: None)

    yield make
    for one in journals:
        one.close()


def balance(buffer: Buffer) -> None:
    counts = buffer.counts
    assert buffer.captured == counts["stored"] + buffer.waiting + counts["dead"] + sum(buffer.lost.values())


def numbers(entries: list[Any]) -> list[int]:
    return [entry.item.sequence for entry in entries if isinstance(entry.item, Frame)]


def store(buffer: Buffer, most: int = 1000) -> list[int]:
    taken = numbers(buffer.take(most))
    buffer.settle(stored=len(taken), dead=0, left_out=0)
    buffer.release()
    balance(buffer)
    return taken


def drain(buffer: Buffer, most: int = 1000) -> list[int]:
    found: list[int] = []
    while len(buffer):
        found += store(buffer, most)
    return found


def test_the_newest_is_lost_when_memory_is_full(made: Any):
    buffer = made()
    assert [buffer.offer(frame(n)) for n in range(8)] == [True] * 5 + [False] * 3
    assert drain(buffer) == [0, 1, 2, 3, 4]
    assert buffer.lost == {FULL: 3}


def test_or_the_oldest_by_setting(made: Any):
    buffer = made(overflow="drop-oldest")
    for n in range(8):
        buffer.offer(frame(n))
    assert drain(buffer) == [3, 4, 5, 6, 7]
    assert buffer.lost == {FULL: 3}


def test_a_gap_says_which_and_is_told_once(made: Any):
    buffer = made()
    for n in range(8):
        buffer.offer(frame(n))
    (gap,) = buffer.gaps()
    assert (gap.session_id, gap.reason, gap.frames, gap.first_sequence, gap.last_sequence) == (SESSION, FULL, 3, 5, 7)
    assert gap.first_at == frame(5).timestamp
    assert gap.last_at == frame(7).timestamp
    assert buffer.gaps() == []
    buffer.offer(frame(8))
    (later,) = buffer.gaps()
    document, other = gap.document("h:1:a", gap.first_at), later.document("h:1:a", gap.first_at)
    assert document["_id"] != other["_id"]


def test_with_a_journal_nothing_is_lost_when_memory_is_full_and_order_is_kept(made: Any):
    buffer = made(journal=True)
    assert all(buffer.offer(frame(n)) for n in range(50))
    assert buffer.on_disk_alone == 45
    assert store(buffer, 3) == [0, 1, 2]
    buffer.offer(frame(50))  # memory has room again, and older ones are on disk
    assert drain(buffer, 7) == list(range(3, 51))
    assert buffer.on_disk_alone == 0
    buffer.offer(frame(51))
    assert buffer.on_disk_alone == 0
    assert drain(buffer) == [51]


def test_when_the_journal_is_full_too_the_policy_says_what_is_lost(made: Any):
    for policy in ("drop-newest", "drop-oldest"):
        buffer = made(journal=True, overflow=policy)
        buffer.offer(opened())
        text = "x" * 50_000
        for n in range(60):
            buffer.offer(frame(n, text))
            balance(buffer)
        lost = buffer.lost[FULL]
        assert lost > 0
        kept = drain(buffer, 4)
        assert kept == sorted(kept)
        assert len(kept) == 60 - lost
        assert (0 in kept) is (policy == "drop-newest")
        assert (59 in kept) is (policy == "drop-oldest")


def test_frames_that_only_memory_has_wait_behind_those_on_disk(made: Any):
    buffer = made(journal=True, buffer_size=3)
    for n in range(10):
        buffer.offer(frame(n))
    buffer.journal.trouble = "EIO: a disk that fails"
    buffer.journal._next_try = float("inf")
    assert store(buffer, 2) == [0, 1]
    assert buffer.offer(frame(10))
    assert drain(buffer, 4) == list(range(2, 11))


def test_what_cannot_be_read_back_is_lost_under_its_reason(made: Any):
    buffer = made(journal=True)
    for n in range(20):
        buffer.offer(frame(n))
    for segment in buffer.journal._segments:
        segment.path.unlink()
    assert drain(buffer) == [0, 1, 2, 3, 4]
    assert buffer.lost == {UNREADABLE: 15}
    balance(buffer)


def test_one_that_only_memory_has_does_not_end_spilling(made: Any):
    buffer = made(journal=True)
    for n in range(20):
        buffer.offer(frame(n))
    edit = TransactionEdit("update", "CP1", 7, {}, frame(0).timestamp)
    assert buffer.offer(edit)
    assert all(buffer.offer(frame(n)) for n in range(20, 60))
    assert drain(buffer, 7) == list(range(60))
    assert not buffer.lost


def test_a_frame_that_could_never_fit_costs_no_other(made: Any):
    buffer = made(overflow="drop-oldest", buffer_bytes=64 * 1024)
    for n in range(5):
        buffer.offer(frame(n))
    assert not buffer.offer(frame(5, "x" * 100_000))
    assert drain(buffer) == [0, 1, 2, 3, 4]


def test_a_frame_that_could_be_kept_nowhere_is_a_loss_with_a_gap(made: Any):
    buffer = made()
    buffer.offer(frame(0))
    buffer.offer(frame(1))
    first, _ = buffer.take(10)
    buffer.settle(stored=1, dead=0, left_out=0, lost=[(first.item, REFUSED)])
    assert buffer.lost == {REFUSED: 1}
    assert [(gap.reason, gap.first_sequence) for gap in buffer.gaps()] == [(REFUSED, 0)]
    balance(buffer)


def test_an_error_of_ours_is_a_loss_with_a_gap(made: Any):
    buffer = made()
    buffer.offer(frame(0))
    buffer.take(10)
    buffer.lose(INTERNAL)
    assert buffer.lost == {INTERNAL: 1}
    assert [gap.reason for gap in buffer.gaps()] == [INTERNAL]
    balance(buffer)


def test_at_the_end_memory_is_lost_and_disk_is_kept(made: Any):
    plain, safe = made(), made(journal=True)
    for n in range(9):
        plain.offer(frame(n))
        safe.offer(frame(n))
    safe.take(2)
    assert plain.close(SHUTDOWN) == 0
    assert plain.lost == {FULL: 4, SHUTDOWN: 5}
    assert safe.close(SHUTDOWN) == 9
    assert not safe.lost
    assert not safe.offer(frame(9))
    assert safe.lost == {SHUTDOWN: 1}
    for buffer in (plain, safe):
        balance(buffer)


def test_session_changes_have_room_of_their_own_but_not_without_end(made: Any):
    buffer = made()
    for n in range(5):
        buffer.offer(frame(n))
    assert [buffer.offer(opened()) for _ in range(7)] == [True] * 5 + [False] * 2
    assert buffer.counts["lost_changes"] == 2


@given(st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_and_account_hold_whatever_comes(made: Any, data: Any):
    policy = data.draw(st.sampled_from(["drop-newest", "drop-oldest"]))
    buffer = made(journal=data.draw(st.booleans()), overflow=policy, buffer_size=data.draw(st.integers(1, 6)))
    offered, taken = 0, []
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["offer", "offer", "burst", "store", "fail", "mend"])):
            case "offer":
                buffer.offer(frame(offered))
                offered += 1
            case "burst":
                for _ in range(12):
                    buffer.offer(frame(offered, "x" * 9000))
                    offered += 1
            case "store":
                taken += store(buffer, data.draw(st.integers(1, 9)))
            case "fail" if buffer.journal is not None:
                buffer.journal.trouble, buffer.journal._next_try = "EIO", float("inf")
            case "mend" if buffer.journal is not None:
                buffer.journal._next_try = 0.0
        balance(buffer)
    taken += drain(buffer)
    assert taken == sorted(set(taken))
    assert len(taken) + sum(buffer.lost.values()) == offered
    assert buffer.offered == buffer.taken
