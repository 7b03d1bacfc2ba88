"""The lines of the report: what is asked, what was measured, and what follows.

Hides how a figure is judged. Promises that a time or a ratio is inside or over its budget and no more than that, and
that a wrong count, a benchmark that broke and a line that never came fail the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from benchmarks.scale import Scale


class Verdict(str, Enum):
    """What became of a line."""

    INSIDE = "inside"
    OVER = "over"
    SHOWN = "-"
    """There is no budget; the figure stands beside another one."""
    WRONG = "WRONG"
    """A count is not what it must be."""
    FAILED = "FAILED"
    """There is no figure, and there should be one."""
    NOT_RUN = "not run"

    @property
    def fails(self) -> bool:
        """Whether the run fails by it."""
        return self in (Verdict.WRONG, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class Line:
    """What is measured, and what is asked of it."""

    name: str
    """A word for ``--only`` and for programs that read the JSON."""
    what: str
    """What is measured; of a ratio, "this : that"."""
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    is_count: bool = False
    """The same on every machine: beyond its budget it is wrong, and the run fails."""
    least_scale: Scale = Scale.QUICK
    """The smallest scale at which it runs."""

    def figure(self, value: float) -> str:
        """Return a value of this line in words."""
        return f"{number(value)} {self.unit}".rstrip()

    @property
    def budget(self) -> str:
        """The budget in words; empty without one."""
        if self.at_most is not None:
            return f"<= {self.figure(self.at_most)}"
        return f">= {self.figure(self.at_least)}" if self.at_least is not None else ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark says of one of its lines."""

    line: str
    """The name of the line."""
    measured: float
    reference: str
    """The absolute figures of both sides, from the same run."""
    how: str
    """How it was taken: how much, how often, which median."""
    wrong: str | None = None
    """The count that is not what it must be, in one sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line with its verdict."""

    line: Line
    verdict: Verdict
    result: Result | None = None
    sentence: str = ""
    """Why there is no figure, or which count is wrong."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.line.name,
            "what": self.line.what,
            "budget": self.line.budget,
            "at_most": self.line.at_most,
            "at_least": self.line.at_least,
            "unit": self.line.unit,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            **({} if self.result is None else {k: v for k, v in asdict(self.result).items() if k != "line"}),
        }


def judged(line: Line, result: Result) -> Row:
    """Return the row of a line that was measured."""
    if result.wrong:
        return Row(line, Verdict.WRONG, result, result.wrong)
    if line.at_most is None and line.at_least is None:
        return Row(line, Verdict.SHOWN, result)
    beyond = (line.at_most is not None and not result.measured <= line.at_most) or (
        line.at_least is not None and not result.measured >= line.at_least
    )
    if beyond and line.is_count:
        return Row(line, Verdict.WRONG, result, f"{line.figure(result.measured)}, where {line.budget} is promised")
    return Row(line, Verdict.OVER if beyond else Verdict.INSIDE, result)


def missing(line: Line, sentence: str) -> Row:
    """Return the row of a line that should have been measured and was not."""
    return Row(line, Verdict.FAILED, sentence=sentence)


def left_out(line: Line) -> Row:
    """Return the row of a line that this scale has no time for."""
    return Row(line, Verdict.NOT_RUN, sentence=f"not run ({line.least_scale.target})")


def exit_code(rows: Iterable[Row]) -> int:
    """Return 1 where a count is wrong or a line is missing; never for a time."""
    return int(any(row.verdict.fails for row in rows))


def summary(rows: Iterable[Row]) -> str:
    """Return how many lines came to which verdict, in one sentence."""
    found = [row.verdict for row in rows]
    said = [f"{found.count(verdict)} {_IN_SUMMARY[verdict]}" for verdict in Verdict if verdict in found]
    return f"{len(found)} lines: {', '.join(said)}."


_IN_SUMMARY = {
    Verdict.INSIDE: "inside the budget",
    Verdict.OVER: "over it",
    Verdict.SHOWN: "without one",
    Verdict.WRONG: "WRONG",
    Verdict.FAILED: "FAILED",
    Verdict.NOT_RUN: "not run",
}

_MANY = 1000
_SOME = 100


def number(value: float) -> str:
    """Return a figure with three significant digits, and all digits of a large one."""
    if abs(value) >= _MANY:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= _SOME or value == int(value) else f"{value:.3g}"
