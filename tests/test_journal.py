"""The journal of a process: what a disk does, who owns a directory, and what comes back of it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_segments import SESSION, frame, opened
from waiting import wait_until

from ocpp_mongo_plugin import journal as module
from ocpp_mongo_plugin.frames import Frame, SessionChange
from ocpp_mongo_plugin.journal import FULL, Journal, JournalError, Place, Target, adopt, owner_directories
from ocpp_mongo_plugin.recording import ABANDONED
from ocpp_mongo_plugin.segments import encode

TARGET = Target("localhost:27017", "lab")
BIG = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


@pytest.fixture
def opened_journal(root: Path) -> Iterator[Callable[..., Journal]]:
    journals: list[Journal] = []

    def make(recorder: str = "host:1:a", **values: Any) -> Journal:
        made = Journal(root, TARGET, recorder, **{"most_bytes": BIG, "fsync_interval": 0.01, **values})
        made.open()
        journals.append(made)
        return made

    yield make
    for journal in journals:
        journal.close()


def leave(journal: Journal) -> None:
    """End as a process does that is killed: its files are closed, and nothing is written."""
    journal._stop.set()
    journal._dirty.set()
    journal._syncer.join()
    for file, _ in journal._unsynced.values():
        os.close(file)
    os.close(journal._lock_file)
    journal._unsynced, journal._lock_file, journal._file = {}, None, None


def left_by_the_dead(root: Path, most: int = 1000) -> list[Any]:
    found = []
    for abandoned in adopt(root, TARGET):
        for chunk in abandoned.chunks(most):
            found += chunk.items
            abandoned.settle(chunk)
        abandoned.close()
    return found


def frames_of(items: list[Any]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def test_what_a_dead_process_captured_comes_back_in_order_and_once(opened_journal: Any, root: Path):
    journal = opened_journal()
    frames = [frame(number) for number in range(50)]
    for one in [opened(), *frames]:
        assert journal.append(encode(one)) is not None
    leave(journal)
    items = left_by_the_dead(root, most=7)
    assert frames_of(items) == frames
    first, last = items[0], items[-1]
    assert first.session.recorder == "host:1:a"
    assert (last.kind, last.session.error, last.at) == ("closed", ABANDONED, frames[-1].timestamp)
    assert left_by_the_dead(root) == []
    assert not list(root.rglob("*.journal"))


def test_a_session_whose_opening_was_let_go_is_still_told_of(opened_journal: Any, root: Path):
    journal = opened_journal()
    journal.append(encode(frame(7)))
    leave(journal)
    before, _, after = left_by_the_dead(root)
    assert isinstance(before, SessionChange)
    assert (before.kind, before.session.session_id, before.session.recorder) == ("opened", SESSION, "host:1:a")
    assert after.session.status == "disconnected"


def test_a_living_process_is_left_alone(opened_journal: Any, root: Path):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    assert left_by_the_dead(root) == []
    assert owner_directories(journal.root) == [journal.directory]


def test_two_who_adopt_get_each_directory_once(opened_journal: Any, root: Path):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    leave(journal)
    (first,) = adopt(root, TARGET)
    assert list(adopt(root, TARGET)) == []
    first.close()
    assert len(left_by_the_dead(root)) == 3


def test_frames_for_one_database_never_come_back_for_another(opened_journal: Any, root: Path):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    leave(journal)
    assert list(adopt(root, Target("localhost:27017", "other"))) == []
    assert list(adopt(root, Target("elsewhere:27017", "lab"))) == []


def test_nobody_else_may_read_it(opened_journal: Any):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [journal.directory, *journal.directory.iterdir()]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_what_is_stored_is_let_go_and_an_empty_directory_goes_with_its_owner(opened_journal: Any, root: Path):
    journal = opened_journal(most_bytes=1024 * 1024)
    text = "x" * 1000
    held = [journal.append(encode(frame(number, text))) for number in range(900)]
    assert len({segment.number for segment in held}) > 3
    before = journal.bytes
    for segment in held:
        journal.settle(segment, 1)
    assert journal.bytes < before / 3
    journal.close()
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert owner_directories(journal.root) == []


def test_a_full_journal_takes_nothing_more_until_something_is_stored(opened_journal: Any):
    journal = opened_journal(most_bytes=1024 * 1024)
    held = []
    while (segment := journal.append(encode(frame(0, "x" * 5000)))) is not None:
        held.append(segment)
    assert journal.trouble == FULL
    assert journal.bytes <= 1024 * 1024
    for segment in held:
        journal.settle(segment, 1)
    assert journal.append(encode(frame(1))) is not None
    assert journal.trouble is None


def test_what_memory_has_no_room_for_is_read_back_in_order(opened_journal: Any, monkeypatch: pytest.MonkeyPatch):
    journal = opened_journal(most_bytes=1024 * 1024)
    monkeypatch.setattr(module, "_READ_AT_ONCE", 10_000)
    frames = [frame(number, "x" * (30_000 if number % 50 == 7 else 3000)) for number in range(200)]
    for one in frames:
        journal.append(encode(one))
    found, place = [], Place(1, 0)
    while True:
        some, place = journal.read(place, 17)
        if not some:
            break
        found += [item for item, _ in some]
    assert found == frames
    journal.append(encode(frame(999)))
    assert [item.sequence for item, _ in journal.read(place, 17)[0]] == [999]


def test_a_damaged_segment_is_kept_aside_and_the_others_come_back(opened_journal: Any, root: Path):
    journal = opened_journal(most_bytes=1024 * 1024)
    frames = [frame(number, "x" * 3000) for number in range(100)]
    for one in frames:
        journal.append(encode(one))
    leave(journal)
    first = module.segment_paths(journal.directory)[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 255
    first.write_bytes(data)
    (journal.directory / "00000099.journal").write_bytes(b"this is somebody else's file, by whatever name")
    (journal.directory / "notes.txt").write_text("not ours")
    found = frames_of(left_by_the_dead(root))
    assert len(found) == len(frames) - 1
    aside = {path.name.rpartition("-")[2] for path in (journal.root / module.QUARANTINE).iterdir()}
    assert aside == {first.name, "00000099.journal"}


def test_a_segment_of_a_later_version_stays_where_it_is(opened_journal: Any, root: Path, caplog: Any):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    leave(journal)
    (path,) = module.segment_paths(journal.directory)
    data = bytearray(path.read_bytes())
    data[7] = 9
    path.write_bytes(data)
    assert left_by_the_dead(root) == []
    assert left_by_the_dead(root) == []
    assert path.read_bytes() == data
    assert caplog.text.count("format 9") == 1


# -- disks that fail --------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB, for this test alone."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root can mount a small file system; a quota in the test below stands for it")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_costs_durability_for_a_while_and_no_frame(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_RETRY", 0.0)
    journal = Journal(small_disk / "journal", TARGET, "host:1:a", most_bytes=BIG, fsync_interval=0.01)
    journal.open()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    taken = [n for n in range(400) if journal.append(encode(frame(n, "x" * 3000))) is not None]
    assert 0 < len(taken) < 400
    assert "ENOSPC" in journal.trouble
    ballast.unlink()
    assert journal.append(encode(frame(1000))) is not None
    leave(journal)
    assert [one.sequence for one in frames_of(left_by_the_dead(small_disk / "journal"))] == [*taken, 1000]


def test_a_write_that_is_cut_short_leaves_no_half_record(tmp_path: Path):
    """By a limit of the process on the size of files: the system then writes what fits, as a full disk does."""
    program = f"""
import resource, signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
from ocpp_mongo_plugin import journal as module
from test_segments import encode, frame
module._RETRY = 0.0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
target = module.Target("localhost:27017", "lab")
journal = module.Journal(Path({str(tmp_path)!r}), target, "host:1:a", most_bytes=1 << 30, fsync_interval=0.01)
journal.open()
print([n for n in range(100) if journal.append(encode(frame(n, "x" * 1000))) is not None], flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    taken = [int(number) for number in done.stdout.strip()[1:-1].split(", ")]
    assert len(taken) > 80
    assert [one.sequence for one in frames_of(left_by_the_dead(tmp_path))] == taken


def test_a_sync_that_failed_is_not_trusted_and_not_repeated_on_the_same_file(
    opened_journal: Any, root: Path, monkeypatch: pytest.MonkeyPatch
):
    journal = opened_journal(fsync_interval=3600)
    frames = [frame(number) for number in range(10)]
    held = [journal.append(encode(one)) for one in frames]
    calls: list[int] = []

    def failing(file: int) -> None:
        calls.append(os.fstat(file).st_ino)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    journal.sync()
    first = held[0].path.stat().st_ino
    assert calls == [first]
    assert journal.synced == 0
    journal.sync()
    assert first not in calls[1:]
    assert journal.synced == len(frames)
    # Power fails now, and the first file never reached the disk: the second has all of it.
    second = module.segment_paths(journal.directory)[-1]
    leave(journal)
    held[0].path.unlink()
    assert second != held[0].path
    assert frames_of(left_by_the_dead(root)) == frames


def test_copies_go_when_the_frames_that_they_copy_are_stored(opened_journal: Any, monkeypatch: pytest.MonkeyPatch):
    journal = opened_journal(fsync_interval=3600)
    held = [journal.append(encode(frame(number))) for number in range(10)]
    monkeypatch.setattr(os, "fdatasync", lambda _file: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    journal.sync()
    monkeypatch.undo()
    for segment in held:
        journal.settle(segment, 1)
    assert [segment.unsettled for segment in journal._segments] == [0]


def test_a_directory_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path):
    place = tmp_path / "file"
    place.write_text("in the way")
    journal = Journal(place, TARGET, "host:1:a", most_bytes=BIG, fsync_interval=1)
    with pytest.raises(JournalError, match="no journal can be kept in"):
        journal.open()


def test_journal_sync_says_when_the_disk_has_it(opened_journal: Any):
    journal = opened_journal(fsync_interval=None)
    for number in range(100):
        journal.append(encode(frame(number)))
    synced = threading.Event()
    journal.expect_synced(lambda _done: synced.set())
    assert synced.wait(10)
    assert journal.synced == 100


def test_the_disk_has_what_was_captured_soon_without_being_asked(opened_journal: Any):
    journal = opened_journal(fsync_interval=0.01)
    journal.append(encode(frame(0)))
    wait_until(lambda: journal.synced == 1)


@given(st.data())
@settings(max_examples=60)
def test_after_a_power_failure_there_is_what_was_synced_and_never_garbage(
    tmp_path_factory: pytest.TempPathFactory, data: Any
):
    """F10: the file system keeps what was synced, and of the rest any prefix, or zeros where it was."""
    root = tmp_path_factory.mktemp("power")
    journal = Journal(root, TARGET, "host:1:a", most_bytes=1024 * 1024, fsync_interval=3600)
    journal.open()
    frames: list[Frame] = []
    safe, sizes = 0, {}
    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(data.draw(st.integers(0, 30))):
            frames.append(frame(len(frames), "x" * data.draw(st.sampled_from([10, 500, 9000]))))
            assert journal.append(encode(frames[-1])) is not None
        if data.draw(st.booleans()):
            journal.sync()
            safe = len(frames)
            sizes = {path: path.stat().st_size for path in module.segment_paths(journal.directory)}
    leave(journal)
    for path in module.segment_paths(journal.directory):
        whole = path.read_bytes()
        kept = data.draw(st.integers(sizes.get(path, 0), len(whole)))
        zeros = data.draw(st.booleans()) and len(whole) - kept
        path.write_bytes(whole[:kept] + b"\0" * zeros)
    found = frames_of(left_by_the_dead(root))
    assert found[:safe] == frames[:safe]
    assert all(one in frames for one in found)
    assert [one.sequence for one in found] == sorted({one.sequence for one in found})


def test_other_collections_of_one_database_are_another_target(opened_journal: Any, root: Path):
    journal = opened_journal()
    journal.append(encode(frame(0)))
    leave(journal)
    assert list(adopt(root, TARGET._replace(collections=("other",)))) == []
    assert len(left_by_the_dead(root)) == 3
