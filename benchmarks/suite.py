"""Which lines there are, with their budgets: the one table of what is promised about speed.

Hides nothing. Each benchmark is a module of this package with a function ``measure(scale)`` that yields the results of
its lines.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from benchmarks.lines import Line
from benchmarks.scale import Scale

MEMORY_BUFFER = 16 * 1024 * 1024
"""``buffer_bytes`` where the growth of memory is measured."""

# Of the interpreter that they were taken with: others compile and allocate differently. Each is a tenth above what
# was measured, so that only a change of the code reaches it.
COUNTED_ON = (3, 11)
COUNT_LIMITS = {
    "bytecodes-sent": 0.0,
    "bytecodes-received": 0.0,
    "bytecodes-sent-journal": 0.0,
    "blocks-waiting": 0.0,
}


def _limit(name: str) -> float | None:
    return COUNT_LIMITS[name] if sys.version_info[:2] == COUNTED_ON else None


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
)


def lines_at(scale: Scale, benchmark: Benchmark) -> list[Line]:
    """Return the lines of a benchmark that are measured at this scale."""
    return [line for line in benchmark.lines if line.least_scale.rank <= scale.rank]
