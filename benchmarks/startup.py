"""How long a program waits for the import of the package, and a person for the help of its command.

Hides processes and byte code: all of it is compiled before the first figure, into a directory of our own. Each start
is a process, in turn with one of bare Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.lines import Result, number
from benchmarks.scale import Scale
from benchmarks.turns import spread, turns

_COMMANDS = {
    "bare": ("-c", "pass"),
    "import": ("-c", "import ocpp_mongo_plugin"),
    "plugin": ("-c", "from ocpp_mongo_plugin import MongoPlugin"),
    "help": ("-m", "ocpp_mongo_plugin.cli", "--help"),
}


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the import, the import of what records, and the help."""
    taken: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    with TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name in _COMMANDS:
            _seconds(name, environment)
        for order in turns(*_COMMANDS, most=scale.pick(3, 20, 50)):
            for name in order:
                taken[name].append(_seconds(name, environment) * 1000)
    bare = spread(taken["bare"]).median
    for line, name in (("import", "import"), ("import-plugin", "plugin")):
        above = spread([one - other for one, other in zip(taken[name], taken["bare"], strict=True)])
        told = f"python -c '{_COMMANDS[name][1]}' {number(spread(taken[name]).median)} ms, bare {number(bare)} ms"
        yield Result(line, above.median, told, f"{above}; processes in turn, byte code compiled before")
    whole = spread(taken["help"])
    yield Result(
        "help",
        whole.median,
        f"python -m ocpp_mongo_plugin.cli --help; bare Python {number(bare)} ms",
        f"{whole}; the same turns, the whole process",
    )


def _seconds(name: str, environment: dict[str, str]) -> float:
    begun = perf_counter()
    subprocess.run([sys.executable, *_COMMANDS[name]], env=environment, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begun
