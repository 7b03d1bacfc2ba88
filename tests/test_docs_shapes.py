"""docs/shapes.md cannot lie: each row has a test that exists, and each test of shapes has its row.

``python tests/test_docs_shapes.py`` writes the table anew.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import test_shapes
from shape_table import CROSSED, Row, rows

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "shapes.md"
BEGIN, END = "<!-- shapes -->\n", "<!-- end -->"


def table() -> str:
    cells = [row.cell for row in rows()]
    return "\n".join(["| shape | what is recorded | test |", "|---|---|---|", *cells]) + "\n"


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}


def test_the_table_is_what_the_tests_say():
    text = PAGE.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0] == table(), "run: python tests/test_docs_shapes.py"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.words)
def test_every_row_has_its_test(row: Row):
    name, _, case = row.test.partition("[")
    assert name in names_in(row.file)
    assert not case or case.removesuffix("]") in {param.id for param in test_shapes.MADE}


def test_every_test_of_shapes_has_its_row():
    assert names_in("test_shapes.py") == {row.test.partition("[")[0] for row in rows() if row.file == "test_shapes.py"}
    cases = {param.id.rpartition("-")[0] for param in test_shapes.MADE}
    assert cases == set(re.findall(rf"{CROSSED}\[(\w+)-\w+\]", table()))


def test_no_shape_has_two_rows():
    words = [row.words for row in rows()]
    assert len(set(words)) == len(words)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
