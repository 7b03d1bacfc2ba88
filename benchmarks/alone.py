"""What a benchmark needs that is run by itself, rather than by ``python -m benchmarks``.

Hides how Linux tells the processor time of other processes. Promises that no setting of the user's gets in.
"""

from __future__ import annotations

import os
from pathlib import Path

_PREFIX = "OCPP_MONGO_"
_TICKS = os.sysconf("SC_CLK_TCK")


def leave_settings() -> None:
    """Take the plugin's settings out of the environment of this process, and so of its children."""
    for name in [name for name in os.environ if name.upper().startswith(_PREFIX)]:
        del os.environ[name]


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far, in seconds; that of its children is not in it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
