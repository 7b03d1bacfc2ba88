"""How rows look: in a terminal as they come, and as the table of the last run in docs/benchmarks.md.

Hides columns, wrapping and Markdown. Promises that a page keeps all that is outside its two markers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from benchmarks.lines import Row, Verdict

BEGIN, END = "<!-- last run -->\n", "<!-- end of last run -->\n"

_COLUMNS = "{:>12}  {:<12}  {:<8} {}"
_WIDTH = 120
_INDENT = " " * len(_COLUMNS.format("", "", "", ""))
HEAD = _COLUMNS.format("measured", "budget", "verdict", "what; reference of the same run; how it was taken")


class PageError(Exception):
    """The page has no place for the table."""


def printed(row: Row) -> str:
    """Return a row as a terminal shows it."""
    measured = row.line.figure(row.result.measured) if row.result else ""
    first = _COLUMNS.format(measured, row.line.budget, row.verdict.value, row.line.what)
    said = [row.sentence] if row.sentence else []
    if row.result:
        said += [row.result.reference, row.result.how]
    below = [line for text in said for line in textwrap.wrap(text, _WIDTH - len(_INDENT))]
    return "\n".join([first, *(_INDENT + line for line in below)])


def markdown(rows: Iterable[Row], taken: str) -> str:
    """Return the table of a run; ``taken`` says when, where and at which scale."""
    table = [taken, "", "| what | budget | measured | verdict | reference, same run; how |", "|---|---|---|---|---|"]
    for row in rows:
        measured = row.line.figure(row.result.measured) if row.result else ""
        told = [row.sentence] if row.sentence and row.verdict is not Verdict.NOT_RUN else []
        if row.result:
            told += [row.result.reference, row.result.how]
        verdict = row.sentence if row.verdict is Verdict.NOT_RUN else row.verdict.value
        cells = [row.line.what, row.line.budget, measured, verdict, "; ".join(told)]
        table.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(table) + "\n"


def with_table(page: str, table: str) -> str:
    """Return the page with the table between its markers.

    Raises:
        PageError: it does not have both markers once, in order.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in tail:
        raise PageError(f"the page needs the lines {BEGIN.strip()} and {END.strip()}, once each and in this order")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def write_table(path: Path, table: str) -> None:
    """Put the table into a page. Raises as ``with_table``, and OSError."""
    path.write_text(with_table(path.read_text(encoding="utf-8"), table), encoding="utf-8")
