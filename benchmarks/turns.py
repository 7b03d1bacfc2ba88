"""Taking turns: what is compared runs in short blocks one after the other, so that the machine's moods meet both.

Hides orders and quantiles. Promises that no side is always first, and that garbage of one block is not collected
in the next.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.lines import number


def turns(*names: str, most: int, least: int = 1, seconds: float = math.inf) -> Iterator[tuple[str, ...]]:
    """Yield the order of each round: as given, then backward, and so on.

    Ends after ``most`` rounds, or when ``seconds`` are over and there were ``least``.
    """
    end = time.monotonic() + seconds
    for number_of_round in range(most):
        if number_of_round >= least and time.monotonic() > end:
            return
        yield names if number_of_round % 2 == 0 else names[::-1]


def settle() -> None:
    """Collect garbage before a block, and leave what is alive now out of later collections.

    So a block pays for the garbage of its own making, and not for what the benchmark itself keeps.
    """
    gc.collect()
    gc.freeze()


class Spread(NamedTuple):
    """The middle of several figures, and where half of them lie."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        if self.rounds == 1:
            return "one round"
        return f"median of {self.rounds} rounds, quartiles {number(self.low)} to {number(self.high)}"


def spread(figures: Sequence[float]) -> Spread:
    """Return the spread of at least one figure."""
    return Spread(statistics.median(figures), percentile(figures, 25), percentile(figures, 75), len(figures))


def percentile(figures: Sequence[float], percent: float) -> float:
    """Return the figure that so many percent do not exceed (nearest rank)."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
