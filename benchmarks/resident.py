"""How much memory this process holds.

Hides where the system says so. Promises the resident set now; where there is no ``/proc``, the most it ever was.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_STATM = Path("/proc/self/statm")
MIB = 1024 * 1024


def resident_bytes() -> int:
    """Return the resident set size of this process."""
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
