"""The judge itself: it finds what these tests look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from judge import Verdict, judge
from oracle import Entry, Oracle, read

CLEAN = {"lost": 0, "doubled": 0, "phantoms": 0, "cut_off": 0, "gaps": 0, "misordered": 0}


def stored(session: str, sequence: int, text: str) -> dict[str, Any]:
    return {"session_id": session, "sequence": sequence, "direction": "sent", "raw": text}


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([("s", 0, "a"), ("s", 1, "b"), ("s", 2, "c")], {}),
        ([("s", 0, "a"), ("s", 1, "b")], {"lost": 1}),
        ([("s", 0, "a"), ("s", 2, "c")], {"lost": 1, "gaps": 1}),
        ([("s", 0, "a"), ("s", 1, "b"), ("s", 2, "c"), ("s", 2, "c")], {"doubled": 1, "gaps": 1}),
        ([("s", 0, "a"), ("s", 1, "c"), ("s", 2, "b")], {"misordered": 1}),
        ([("s", 0, "a"), ("s", 1, "b"), ("t", 0, "c")], {"misordered": 1}),
        ([("s", 0, "a"), ("s", 1, "B"), ("s", 2, "c")], {"lost": 1, "phantoms": 1}),
        ([("s", 0, "a"), ("s", 1, "b"), ("s", 2, "c"), ("s", 3, "d")], {"cut_off": 1}),
        ([("s", 0, "a"), ("s", 1, "b"), ("s", 2, "c"), ("s", 3, "d"), ("s", 4, "e")], {"phantoms": 1, "cut_off": 1}),
    ],
)
def test_the_judge_sees(
    mongo_uri: str, fresh_database: str, looking: Any, documents: list[tuple[str, int, str]], expected: dict[str, int]
):
    database = looking(mongo_uri, fresh_database)
    database.ocpp_messages.insert_many([stored(*document) for document in documents])
    verdict = judge(database, [Entry("x", "CP1", "sent", text) for text in "abc"])
    assert {name: getattr(verdict, name) for name in CLEAN} == CLEAN | expected
    assert verdict.whole == (set(expected) <= {"cut_off"})
    assert isinstance(verdict, Verdict)
    assert "3 captured" in str(verdict)


def test_a_torn_last_line_of_the_oracle_is_no_capture(tmp_path: Path):
    with Oracle(tmp_path / "oracle") as oracle:
        oracle.captured("s", "CP1", "sent", '[2,"\n\\u2028"]')
    with (tmp_path / "oracle").open("ab") as file:
        file.write(b'["s","CP1","se')
    assert read(tmp_path / "oracle") == [Entry("s", "CP1", "sent", '[2,"\n\\u2028"]')]
