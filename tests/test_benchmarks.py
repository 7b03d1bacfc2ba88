"""The benchmark suite itself: its traffic, its judgement and its page. Nothing here is timed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import mix, runner, table
from benchmarks.lines import Line, Result, Verdict, exit_code, judged, left_out, missing, number, summary
from benchmarks.scale import Scale
from benchmarks.suite import COUNT_LIMITS, COUNTED_ON, SUITE, Benchmark, lines_at
from benchmarks.turns import percentile, spread, turns
from ocpp_mongo_plugin.frames import decode

RATIO = Line("ratio", "this : that", at_most=0.5)
RATE = Line("rate", "fast : slow", at_least=0.65)
COUNT = Line("count", "frames missing", at_most=0, is_count=True)
SHOWN = Line("shown", "beside it", unit="us")
LARGE = Line("large", "of ten million", at_most=1, least_scale=Scale.FULL)
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def result(line, measured, wrong=None):
    return Result(line.name, measured, "this 1 us, that 2 us", "median of 3 rounds", wrong)


# -- the traffic


def session(station):
    return [mix.exchange(station, 0, step) for step in range(mix.CALLS_OF_A_SESSION)]


def test_of_each_forty_calls_24_carry_six_values_and_10_are_heartbeats():
    for station in (0, 3):
        calls = [json.loads(call.text) for call, _ in session(station)]
        sampled = [c[3]["meterValue"][0]["sampledValue"] for c in calls if "meterValue" in c[3]]
        assert [len(values) for values in sampled] == [6] * 24
        actions = Counter(c[2] for c in calls)
        assert actions["Heartbeat"] == 10
        assert len(calls) == 40


def test_a_session_starts_and_stops_one_transaction_and_authorizes_once():
    actions = Counter(json.loads(call.text)[2] for call, _ in session(0))
    assert [actions[name] for name in ("StartTransaction", "StopTransaction", "Authorize")] == [1, 1, 1]
    events = Counter(json.loads(call.text)[3].get("eventType") for call, _ in session(3))
    assert (events["Started"], events["Ended"]) == (1, 1)


def test_every_fourth_station_speaks_the_newer_version():
    assert Counter(text.version for text in mix.take(80)) == {"1.6": 60, "2.0.1": 20}


def test_every_text_decodes_and_every_answer_follows_its_call():
    both = mix.take(2 * mix.CALLS_OF_A_SESSION * 40)
    ids = set()
    for call, answer in zip(both[::2], both[1::2], strict=True):
        asked, answered = decode(call.text), decode(answer.text)
        assert (asked.message_type, answered.message_type) == ("Call", "CallResult")
        assert asked.message_id == answered.message_id
        ids.add(asked.message_id)
    assert len(ids) == len(both) // 2


async def test_the_library_finds_nothing_wrong_with_any_text():
    from ocpp.messages import unpack, validate_payload  # noqa: PLC0415

    for station in (0, 3):
        for call, answer in session(station):
            asked, answered = unpack(call.text), unpack(answer.text)
            answered.action = asked.action
            for message in (asked, answered):
                await validate_payload(message, call.version)


def test_stations_take_turns_and_sessions_go_on():
    texts = list(islice(mix.texts(2), 4 * mix.CALLS_OF_A_SESSION + 4))
    assert [text.station_id for text in texts[:4]] == ["CP00000"] * 2 + ["CP00001"] * 2
    assert len({decode(text.text).message_id for text in texts[::2]}) == len(texts) // 2


# -- judgement


@pytest.mark.parametrize(
    ("line", "measured", "verdict"),
    [
        (RATIO, 0.5, Verdict.INSIDE),
        (RATIO, 0.51, Verdict.OVER),
        (RATIO, float("nan"), Verdict.OVER),
        (RATE, 0.65, Verdict.INSIDE),
        (RATE, 0.64, Verdict.OVER),
        (COUNT, 0, Verdict.INSIDE),
        (COUNT, 1, Verdict.WRONG),
        (SHOWN, 1e9, Verdict.SHOWN),
    ],
)
def test_a_figure_is_judged_by_its_budget(line, measured, verdict):
    assert judged(line, result(line, measured)).verdict is verdict


def test_a_time_never_fails_a_run():
    rows = [judged(RATIO, result(RATIO, 100)), judged(RATE, result(RATE, 0)), judged(SHOWN, result(SHOWN, 1))]
    assert exit_code([*rows, left_out(LARGE)]) == 0


def test_a_wrong_count_fails_a_run_whatever_the_figure_is():
    assert exit_code([judged(COUNT, result(COUNT, 3))]) == 1
    row = judged(RATIO, result(RATIO, 0.1, wrong="2 of 30 frames are missing"))
    assert (row.verdict, row.sentence, exit_code([row])) == (Verdict.WRONG, "2 of 30 frames are missing", 1)


def test_a_missing_line_fails_a_run():
    assert exit_code([missing(RATIO, "it ended")]) == 1


def test_the_summary_counts_verdicts():
    rows = [judged(RATIO, result(RATIO, 0.4)), judged(COUNT, result(COUNT, 1)), left_out(LARGE)]
    assert summary(rows) == "3 lines: 1 inside the budget, 1 WRONG, 1 not run."


def test_figures_are_short():
    assert [number(v) for v in (0, 0.123456, 7, 12.34, 456.7, 30_000, -3.25)] == [
        "0", "0.123", "7", "12.3", "457", "30,000", "-3.25",
    ]  # fmt: skip


# -- the suite


def test_every_line_has_one_name_and_every_benchmark_a_module():
    names = [line.name for benchmark in SUITE for line in benchmark.lines]
    assert len(set(names)) == len(names)
    assert all((runner.ROOT / "benchmarks" / f"{benchmark.module}.py").is_file() for benchmark in SUITE)


def test_every_count_has_a_limit():
    lines = {line.name: line for benchmark in SUITE for line in benchmark.lines if line.is_count}
    assert COUNT_LIMITS.keys() <= lines.keys()
    if sys.version_info[:2] == COUNTED_ON:
        assert all(line.at_most is not None for line in lines.values())


def test_a_benchmark_is_chosen_by_its_name_or_that_of_a_line():
    benchmark = Benchmark("loop_lag", (RATIO,))
    assert benchmark.fits([])
    assert benchmark.fits(["lag"])
    assert benchmark.fits(["nothing", "RATIO"])
    assert not benchmark.fits(["round"])


def test_small_scales_leave_lines_out():
    benchmark = Benchmark("some", (RATIO, LARGE))
    assert lines_at(Scale.NORMAL, benchmark) == [RATIO]
    assert lines_at(Scale.FULL, benchmark) == [RATIO, LARGE]


# -- taking turns


def test_no_side_is_always_first():
    assert list(turns("a", "b", most=3)) == [("a", "b"), ("b", "a"), ("a", "b")]
    assert list(turns("a", "b", most=9, least=2, seconds=-1)) == [("a", "b"), ("b", "a")]


def test_quantiles():
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5], 99) == 5
    assert spread([3, 1, 2, 10]) == (2.5, 1, 3, 4)
    assert str(spread([2.0])) == "one round"


# -- the runner


def rows_of(monkeypatch, said, scale=Scale.NORMAL):
    monkeypatch.setattr(runner, "results", lambda _module, _scale: iter(said))
    return list(runner.run([Benchmark("some", (RATIO, COUNT, LARGE))], scale, {}))


def test_each_line_has_a_row_as_it_comes(monkeypatch):
    rows = rows_of(monkeypatch, [result(COUNT, 0), result(RATIO, 1)])
    assert [(row.line.name, row.verdict) for row in rows] == [
        ("count", Verdict.INSIDE), ("ratio", Verdict.OVER), ("large", Verdict.NOT_RUN),
    ]  # fmt: skip
    assert rows[-1].sentence == "not run (bench-full)"


def test_a_benchmark_that_breaks_is_a_failed_line_with_a_sentence(monkeypatch):
    rows = rows_of(monkeypatch, [result(RATIO, 1), "some ended with code 1: ValueError: no"])
    assert [row.verdict for row in rows] == [Verdict.OVER, Verdict.FAILED, Verdict.NOT_RUN]
    assert rows[1].sentence == "some ended with code 1: ValueError: no"


def test_a_line_that_never_came_is_a_failed_one(monkeypatch):
    rows = rows_of(monkeypatch, [result(RATIO, 1)])
    assert rows[1].verdict is Verdict.FAILED
    assert "some" in rows[1].sentence


def test_a_child_that_crashes_is_told_by_its_last_words():
    (said,) = runner.results("no_such_benchmark", Scale.QUICK)
    assert (
        said
        == "no_such_benchmark ended with code 1: ModuleNotFoundError: No module named 'benchmarks.no_such_benchmark'"
    )


def test_without_mongod_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(runner, "find_mongod", lambda: None)
    assert runner.main(["--quick"]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("no mongod runs here")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["--only", "nonsense"],
        ["--only", "lag", "--markdown", str(PAGE)],
        ["--markdown", "no-such-page.md"],
        ["--markdown", "README.md"],
        ["--quick", "--full"],
    ],
)
def test_what_makes_no_sense_is_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        runner.main(wrong)
    assert capsys.readouterr().err


def test_an_interrupt_ends_the_run(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(runner, "find_mongod", lambda: Path(sys.executable))
    monkeypatch.setattr(runner, "results", interrupted)
    assert runner.main(["--only", "capture"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_rows_are_written_as_json_and_into_the_page(monkeypatch, tmp_path, capsys):
    said = {"capture-memory": 0.4}
    monkeypatch.setattr(runner, "find_mongod", lambda: Path(sys.executable))
    monkeypatch.setattr(runner, "SUITE", (Benchmark("capture_cost", (RATIO, LARGE)),))
    monkeypatch.setattr(runner, "results", lambda *_: iter([result(RATIO, said["capture-memory"])]))
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text(PAGE.read_text())
    assert runner.main(["--quick", "--json", str(figures), "--markdown", str(page)]) == 0
    written = json.loads(figures.read_text())
    assert [(row["name"], row["verdict"], row.get("measured")) for row in written["rows"]] == [
        ("ratio", "inside", 0.4), ("large", "not run", None),
    ]  # fmt: skip
    assert "| this : that | <= 0.5 | 0.4 | inside |" in page.read_text()
    assert "2 lines" in capsys.readouterr().out


# -- the page


def test_the_page_has_its_markers_and_keeps_the_rest():
    page = PAGE.read_text()
    rows = [judged(RATIO, result(RATIO, 0.4)), left_out(LARGE), missing(COUNT, "it ended")]
    written = table.with_table(page, table.markdown(rows, "Taken today."))
    assert written.partition(table.BEGIN)[0] == page.partition(table.BEGIN)[0]
    assert written.partition(table.END)[2] == page.partition(table.END)[2]
    between = written.partition(table.BEGIN)[2].partition(table.END)[0]
    assert "Taken today." in between
    assert "| of ten million | <= 1 |  | not run (bench-full) |  |" in between
    assert "| frames missing | <= 0 |  | FAILED | it ended |" in between
    assert table.with_table(written, table.markdown(rows, "Taken today.")) == written


@pytest.mark.parametrize("page", ["", table.BEGIN, table.END + table.BEGIN, (table.BEGIN + table.END) * 2])
def test_a_page_without_its_markers_is_left_alone(page):
    with pytest.raises(table.PageError):
        table.with_table(page, "")


def test_a_row_says_what_is_asked_what_came_and_how():
    said = table.printed(judged(RATE, result(RATE, 0.7)))
    assert all(part in said for part in ("0.7", ">= 0.65", "inside", "fast : slow", "this 1 us", "median of 3"))


def test_every_benchmark_is_described_in_the_page():
    page = PAGE.read_text()
    assert [benchmark.module for benchmark in SUITE if f"`{benchmark.module}`" not in page] == []


async def test_the_twin_of_a_station_does_what_a_station_does():
    from benchmarks import program  # noqa: PLC0415

    for version, cls in program.PLAIN.items():
        station = cls("CP00000", program.Silence())
        assert not isinstance(station, program.RECORDED[version].__mro__[-2])
        call, answer = mix.exchange(0, 0, 2)
        await station._send(call.text)
        await station.route_message(answer.text)
        assert (await asyncio.wait_for(station._response_queue.get(), 5)).unique_id == decode(call.text).message_id
