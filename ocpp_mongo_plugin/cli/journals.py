"""``ocpp-mongo journal ls`` and ``verify``: what waits on this disk, and whether it can be read.

Hides directories, locks and segments. Promises to only read: no lock is taken away from anybody, since only a shared
one is asked for and given back at once, and what a living process writes meanwhile is no damage.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where there are no journals
    fcntl = None  # type: ignore[assignment]

from ocpp_mongo_plugin.cli.server import settings_of
from ocpp_mongo_plugin.cli.terminal import out, print_json, readable
from ocpp_mongo_plugin.destination import journal_root
from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.journal import LOCK, QUARANTINE, owner_directories, segment_paths
from ocpp_mongo_plugin.segments import Damage, Header, UnknownVersionError, item_of, scan

_PATTERN = "*.journal"
_UNKNOWN = "a record of a kind that this version does not know"


@dataclass(slots=True)
class Segment:
    """What one segment holds."""

    path: Path
    bytes: int = 0
    header: Header | None = None
    records: int = 0
    """Whole records besides the header."""
    frames: int = 0
    oldest: datetime | None = None
    """When the first of its frames was captured."""
    damaged: list[Damage] = field(default_factory=list)
    torn: list[Damage] = field(default_factory=list)
    """An end that its writer did not finish: nothing that was captured."""
    trouble: str | None = None
    """Why it cannot be read."""

    @property
    def is_sound(self) -> bool:
        """Whether all that it ever held can be read."""
        return not self.damaged and self.trouble is None


@dataclass(slots=True)
class Owned:
    """The directory of one process."""

    directory: Path
    alive: bool
    segments: list[Segment]

    @property
    def header(self) -> Header | None:
        """Who wrote it, for whom; None when no segment says so."""
        return next((s.header for s in self.segments if s.header is not None), None)

    @property
    def frames(self) -> int:
        """Frames in its segments; of a living process, some of them are stored already."""
        return sum(s.frames for s in self.segments)

    @property
    def holds_something(self) -> bool:
        """Whether there is anything to store, or to look at."""
        return any(s.records or not s.is_sound for s in self.segments)


def read_segment(path: Path) -> Segment | None:
    """Read a segment; None when it is gone, as those of a living process are once they are stored."""
    segment = Segment(path)
    try:
        data = path.read_bytes()
        segment.bytes = len(data)
        for one in scan(data):
            if isinstance(one, Damage):
                (segment.torn if one.torn else segment.damaged).append(one)
                continue
            item = item_of(one.document)
            if isinstance(item, Header):
                segment.header = segment.header or item
                continue
            segment.records += 1
            if item is None:
                segment.damaged.append(Damage(one.offset, one.end - one.offset, torn=False, reason=_UNKNOWN))
            elif isinstance(item, Frame):
                segment.frames += 1
                segment.oldest = earliest([segment.oldest, item.timestamp])
    except FileNotFoundError:
        return None
    except OSError as error:
        segment.trouble = f"it cannot be read: {error.strerror or type(error).__name__}"
    except UnknownVersionError as error:
        segment.trouble = str(error)
    return segment


def read_segments(paths: Iterable[Path]) -> list[Segment]:
    """Read those segments that are still there."""
    return [segment for path in paths if (segment := read_segment(path)) is not None]


def owned_in(parent: Path) -> list[Owned]:
    """Return the directories of single processes in the directory of one target."""
    found = []
    for directory in owner_directories(parent):
        alive = is_alive(directory)
        found.append(Owned(directory, alive, read_segments(segment_paths(directory))))
    return found


def targets_in(root: Path) -> list[Path]:
    """Return the directories of all targets."""
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def quarantined_in(parent: Path) -> list[Path]:
    """Return the segments of one target that were put aside because they are damaged."""
    return sorted((parent / QUARANTINE).glob(_PATTERN))


def is_alive(directory: Path) -> bool:
    """Whether the process of a directory lives."""
    if fcntl is None:
        return False
    with contextlib.suppress(OSError):
        file = os.open(directory / LOCK, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
    return False


def earliest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the earliest of the times that are known."""
    return min((time for time in times if time is not None), default=None)


# -- ls ---------------------------------------------------------------------------------------------------------


def show(*, directory: Path | None, as_json: bool) -> int:
    """Print every journal under the root; return the exit code."""
    root = journal_root(settings_of(None, None, journals=directory))
    targets = targets_in(root)
    journals = [owned for target in targets for owned in owned_in(target)]
    aside = read_segments(path for target in targets for path in quarantined_in(target))
    if as_json:
        print_json(
            {
                "root": root,
                "journals": [_journal_figures(owned) for owned in journals],
                "quarantined": [_segment_figures(segment) for segment in aside],
            }
        )
        return 0
    if not journals and not aside:
        out.print(f"{root}: there is no journal")
        return 0
    for owned in journals:
        _print_journal(owned)
    for segment in aside:
        out.print(f"{segment.path} (put aside: damaged)")
        out.print(f"  {_for_whom(segment.header)}")
        out.print(f"  {_amounts([segment])}")
    waiting = sum(owned.holds_something and not owned.alive for owned in journals)
    if waiting:
        out.print(f"{waiting} of dead processes: 'ocpp-mongo journal replay' stores those for its server and database")
    return 0


def _print_journal(owned: Owned) -> None:
    out.print(f"{owned.directory} ({'alive' if owned.alive else 'dead'})")
    out.print(f"  {_for_whom(owned.header)}")
    stored = "; what of it is stored already goes with its segment" if owned.alive else ""
    out.print(f"  {_amounts(owned.segments)}{stored}")


def _for_whom(header: Header | None) -> str:
    if header is None:
        return "nothing says for which server it is"
    return readable(f"for {header.server}, database {header.database}; recorded by {header.recorder}")


def _amounts(segments: Sequence[Segment]) -> str:
    oldest = earliest(s.oldest for s in segments)
    since = "" if oldest is None else f", the oldest of {oldest.isoformat(timespec='seconds')}"
    damaged = sum(not s.is_sound for s in segments)
    told = f"; {damaged} cannot be read in full: ocpp-mongo journal verify" if damaged else ""
    size, frames = sum(s.bytes for s in segments), sum(s.frames for s in segments)
    return f"{len(segments)} segment(s), {size:,} bytes, {frames:,} frame(s){since}{told}"


def _journal_figures(owned: Owned) -> dict[str, Any]:
    header = owned.header
    return {
        "directory": owned.directory,
        "server": header and header.server,
        "database": header and header.database,
        "recorder": header and header.recorder,
        "alive": owned.alive,
        "segments": len(owned.segments),
        "bytes": sum(s.bytes for s in owned.segments),
        "frames": owned.frames,
        "oldest": earliest(s.oldest for s in owned.segments),
        "sound": all(s.is_sound for s in owned.segments),
    }


def _segment_figures(segment: Segment) -> dict[str, Any]:
    header = segment.header
    return {
        "file": segment.path,
        "server": header and header.server,
        "database": header and header.database,
        "recorder": header and header.recorder,
        "bytes": segment.bytes,
        "records": segment.records,
        "frames": segment.frames,
        "oldest": segment.oldest,
        "trouble": segment.trouble,
        "damaged": [_damage_figures(damage) for damage in segment.damaged],
        "torn": [_damage_figures(damage) for damage in segment.torn],
    }


def _damage_figures(damage: Damage) -> dict[str, Any]:
    return {"offset": damage.offset, "bytes": damage.length, "reason": damage.reason}


# -- verify -----------------------------------------------------------------------------------------------------


def segments_of(paths: Sequence[Path]) -> list[Path]:
    """Return the segments that were given, and those in directories that were given, each once.

    Raises:
        ArgumentError: there is no such file, or no segment in that directory.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(_PATTERN))
            if not inside:
                raise ArgumentError(f"{path} holds no journal: no file of it is named {_PATTERN}")
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        else:
            raise ArgumentError(f"{path} does not exist; 'ocpp-mongo journal ls' says what there is")
    return list(found)


def verify(paths: Sequence[Path], *, directory: Path | None, as_json: bool) -> int:
    """Check every record, and print what each segment holds; return 1 when something cannot be read."""
    root = journal_root(settings_of(None, None, journals=directory))
    if not paths:
        targets = targets_in(root)
        paths = [path for target in targets for owner in owner_directories(target) for path in segment_paths(owner)]
        paths += [path for target in targets for path in quarantined_in(target)]
    else:
        paths = segments_of(paths)
    living = {parent for parent in {path.parent for path in paths} if is_alive(parent)}
    checked = read_segments(paths)
    sound = all(segment.is_sound for segment in checked)
    if as_json:
        print_json({"ok": sound, "segments": [_segment_figures(segment) for segment in checked]})
        return int(not sound)
    if not checked:
        out.print(f"{root}: there is no journal")
    for segment in checked:
        _print_check(segment, being_written=segment.path.parent in living)
    return int(not sound)


def _print_check(segment: Segment, *, being_written: bool) -> None:
    verdict = "OK" if segment.is_sound else "DAMAGED"
    if segment.trouble is not None:
        out.print(f"{verdict:<7}  {segment.path}: {segment.trouble}")
        return
    out.print(f"{verdict:<7}  {segment.path}: {segment.records:,} record(s), {segment.frames:,} frame(s)")
    for damage in segment.damaged:
        out.print(f"         {_stretch(damage)}")
    for damage in segment.torn:
        why = "it is being written" if being_written else "harmless, its writer died before it was captured"
        out.print(f"         {_stretch(damage)} ({why})")


def _stretch(damage: Damage) -> str:
    return f"offset {damage.offset:,}, {damage.length:,} byte(s): {damage.reason}"
