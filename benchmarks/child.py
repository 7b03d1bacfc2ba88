"""One benchmark in a process of its own: ``python -m benchmarks.child MODULE SCALE``.

Hides how results get to the runner: as JSON, one a line, on what was standard output; whatever else is printed goes
to standard error. Promises two cores at most, so that figures of larger machines can be compared.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict

from benchmarks.scale import Scale

CORES = 2
INTERRUPTED = 130


def main() -> int:
    """Run the benchmark that the command line names."""
    module, scale = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    measure = importlib.import_module(f"benchmarks.{module}").measure
    try:
        for result in measure(Scale(scale)):
            out.write(json.dumps(asdict(result)) + "\n")
            out.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        with suppress(BrokenPipeError):  # a runner that is gone reads no more
            out.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
