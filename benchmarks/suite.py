"""Which lines there are, with their budgets: the one table of what is promised about speed.

Hides nothing. Each benchmark is a module of this package with a function ``measure(scale)`` that yields the results of
its lines.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from benchmarks.lines import Line
from benchmarks.resident import MIB
from benchmarks.scale import Scale

MEMORY_BUFFER = 16 * 1024 * 1024
"""``buffer_bytes`` where the growth of memory is measured."""
FLAT = 2.0
"""MiB that memory may grow by in the last half of a run, and still be flat."""

# Of the interpreter that they were taken with: others compile and allocate differently. Each is a tenth above what
# was measured, so that only a change of the code reaches it.
COUNTED_ON = (3, 11)
COUNT_LIMITS = {
    "bytecodes-sent": 385,
    "bytecodes-received": 385,
    "bytecodes-sent-journal": 830,
    "blocks-waiting": 3.5,
}


def _count(name: str, what: str) -> Line:
    limit = COUNT_LIMITS[name] if sys.version_info[:2] == COUNTED_ON else None
    return Line(name, what, at_most=limit, is_count=True)


def _growth(name: str, what: str, limit: float) -> Line:
    return Line(name, what, at_most=limit, unit="MiB", least_scale=Scale.NORMAL)


class Benchmark(NamedTuple):
    """A module, and the lines it measures."""

    module: str
    lines: tuple[Line, ...]

    def fits(self, words: list[str]) -> bool:
        """Whether one of the words is in its name or in that of a line."""
        names = [self.module, *(line.name for line in self.lines)]
        return not words or any(word.lower() in name for word in words for name in names)


SUITE = (
    Benchmark(
        "capture_cost",
        (
            Line(
                "capture-memory",
                "capture in the host's turn, memory mode : one INFO line of the ocpp logger to a file",
                at_most=0.5,
            ),
            Line("capture-memory-p99", "the same, p99 of single frames", at_most=25, unit="us"),
            Line("capture-journal", "capture with the journal : the same log line", at_most=1.0),
            Line("capture-journal-p99", "the same, p99 of single frames", unit="us"),
            Line("capture-overridden", "capture of a class that overrides and calls super, memory : the same log line"),
            Line("capture-only-sends", "capture where no socket is seen and nobody reads, memory : the same log line"),
        ),
    ),
    Benchmark(
        "frame_counts",
        (
            _count("bytecodes-sent", "Python bytecodes executed to capture a sent frame, memory mode"),
            _count("bytecodes-received", "the same of a received frame"),
            _count("bytecodes-sent-journal", "the same of a sent frame, journal on"),
            _count("blocks-waiting", "blocks of memory that stay allocated for a frame that waits, beside its text"),
        ),
    ),
    Benchmark(
        "round_trip",
        (
            Line(
                "round-trip-closed",
                "round trip recorded : not recorded, one recorded end, saturated closed loop",
                at_most=1.10,
            ),
            Line("round-trip-paced", "the same at 200 round trips a second, median latency", at_most=1.03),
        ),
    ),
    Benchmark(
        "loop_lag",
        (
            Line(
                "lag-alive",
                "event-loop lag added, p99, at 2,000 frames a second, MongoDB alive",
                at_most=1,
                unit="ms",
            ),
            Line("lag-stopped", "the same while MongoDB is stopped (SIGSTOP)", at_most=1, unit="ms"),
            Line("lag-burst", "the same while a burst of 30,000 frames drains", at_most=3, unit="ms"),
        ),
    ),
    Benchmark(
        "stored_rate",
        (
            Line(
                "stored-messages",
                "stored rate, messages only : insert_many of the same documents, ready-made",
                at_least=0.65,
            ),
            Line(
                "stored-all",
                "stored documents a second, all projections : insert_many of the same documents, ready-made",
                at_least=0.7,
            ),
            Line("stored-beanie", "the same : one Beanie insert per document", at_least=60),
        ),
    ),
    Benchmark(
        "bursts",
        (
            Line("burst-30000", "frames missing of 30,000 offered at once, default settings", at_most=0, is_count=True),
            Line(
                "burst-300000",
                "frames missing of 300,000 offered at once, default settings",
                at_most=0,
                is_count=True,
                least_scale=Scale.NORMAL,
            ),
        ),
    ),
    Benchmark(
        "memory_growth",
        (
            _growth(
                "memory-dead",
                "memory growth while nothing listens; budget: twice buffer_bytes",
                2 * MEMORY_BUFFER / MIB,
            ),
            _growth("memory-dead-flat", "the same, growth in the last half", FLAT),
            _growth(
                "memory-alive",
                "memory growth while MongoDB stores; budget: twice buffer_bytes",
                2 * MEMORY_BUFFER / MIB,
            ),
            _growth("memory-alive-flat", "the same, growth in the last half", FLAT),
        ),
    ),
    Benchmark(
        "many_stations",
        (
            Line(
                "stations-many",
                "CPU of a frame, capture to stored, with 10,000 attached stations : with 10",
                at_most=1.2,
            ),
        ),
    ),
    Benchmark(
        "idle_memory",
        (Line("station-idle", "memory of an idle attached station", at_most=8, unit="KiB"),),
    ),
    Benchmark(
        "large_collections",
        (
            Line("read-history", "newest 100 messages of a station, out of 10 million", at_most=10, unit="ms"),
            Line("read-active", "active transactions of a station, same database", at_most=5, unit="ms"),
            Line("read-stats", "transaction stats of a station, same database", at_most=50, unit="ms"),
            Line(
                "cost-large",
                "cost of a frame into collections that hold 10 million messages : into empty ones",
                at_most=1.3,
                least_scale=Scale.FULL,
            ),
        ),
    ),
    Benchmark(
        "recovery",
        (Line("recovery", "frames a second recovered from a journal : stored live", at_least=1.0),),
    ),
    Benchmark(
        "fresh_reads", (Line("read-fresh", "read through the plugin right after a frame", at_most=10, unit="ms"),)
    ),
    Benchmark(
        "startup",
        (
            Line("import", "import ocpp_mongo_plugin, above bare Python", at_most=60, unit="ms"),
            Line("import-plugin", "from ocpp_mongo_plugin import MongoPlugin, above bare Python", unit="ms"),
            Line("help", "ocpp-mongo --help, whole process", at_most=150, unit="ms"),
        ),
    ),
)


def lines_at(scale: Scale, benchmark: Benchmark) -> list[Line]:
    """Return the lines of a benchmark that are measured at this scale."""
    return [line for line in benchmark.lines if line.least_scale.rank <= scale.rank]
