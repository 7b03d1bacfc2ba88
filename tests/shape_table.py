"""The table of docs/shapes.md: each row names a shape, what is recorded of it, and the test that shows it.

A test says its row itself, with ``row``; ``python tests/test_docs_shapes.py`` writes the page anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from shapes import ALL, SHAPES

Test = TypeVar("Test", bound=Callable[..., object])
CROSSED = "test_what_crossed_is_stored"


class Row(NamedTuple):
    words: str
    recorded: str
    file: str
    test: str

    @property
    def cell(self) -> str:
        return f"| {self.words} | {self.recorded} | `{self.file}::{self.test}` |"


_SAID: list[Row] = []


def row(words: str, recorded: str = ALL) -> Callable[[Test], Test]:
    """Say what a test shows; one test may have several rows."""

    def add(test: Test) -> Test:
        _SAID.append(Row(words, recorded, f"{test.__module__}.py", test.__name__))
        return test

    return add


# Tests that were there for another reason too.
_ELSEWHERE = [
    ("`super()._send` called from another method", "each call is a text", "test_super_send_from_another_method_counts_each_time"),
    ("`_send` that connects anew and tries again", "both texts, the first as not delivered", "test_a_retry_in_an_override_is_a_second_frame"),
    ("`_connection` swapped on a living object", "a new session from there on", "test_a_session_follows_the_connection"),
    ("`start` called again", "a new session", "test_starting_again_is_a_new_session"),
    ("the connection taken away (`_connection = None`)", "the session is closed", "test_a_connection_that_is_gone_closes_its_session"),
    ("an object without a hash, or equal to all others; `MagicMock` and `None` as connection", "as any other", "test_odd_objects_and_connections_work"),
    ("`super().__init__` never called, and no `id`", "under the empty id", "test_a_charge_point_without_init_is_recorded"),
    ("`_ocpp_version` set, and set again", "each text with the version of its time", "test_the_version_is_read_at_each_frame"),
    ("texts that are no `str`", "what they say, as near as text can be", "test_any_kind_of_text_is_kept"),
    ("`static` and `class` methods under the names of ours", "they stay what they are", "test_methods_stay_what_they_were"),
    ("bound methods that were taken while recording is on", "as long as it is on", "test_a_bound_method_that_was_kept_checks_whether_recording_is_on"),
    ("several loops in several threads", ALL, "test_sequences_have_no_gap_when_several_threads_record"),
    ("a fork", "the child's texts in sessions of its own", "test_a_forked_child_starts_sessions_of_its_own"),
]  # fmt: skip


def rows() -> list[Row]:
    """Return all rows, those of shapes of classes first."""
    made = [
        Row(f"classes and objects made {when}", ALL, "test_shapes.py", f"{CROSSED}[send_without_super-{one}]")
        for one, when in [("before", "before recording began"), ("after", "while recording is on")]
    ]
    classes = [Row(one.words, one.recorded, "test_shapes.py", f"{CROSSED}[{one.name}-{one.made[0]}]") for one in SHAPES]
    elsewhere = [Row(words, recorded, "test_capture.py", test) for words, recorded, test in _ELSEWHERE]
    return [*made, *classes, *_SAID, *elsewhere]
