"""Worker processes that ``multiprocessing`` starts anew, by spawn or forkserver.

Hides how such a worker learns what it is to do. Promises that a worker imports ``ocpp_mongo_plugin.auto`` before the
program's own code, that one which cannot is not harmed, and that ``leave_alone`` takes it all back. Forked workers
need nothing: they have what their parent has.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

_ENTRANCE = """
import sys
appended = {place!r} not in sys.path
if appended:
    sys.path.append({place!r})
try:
    import ocpp_mongo_plugin.auto
except Exception:
    pass
finally:
    if appended and {place!r} in sys.path:
        sys.path.remove({place!r})
"""
_KEY = "ocpp_mongo_plugin"


class _Entrance:
    """What a worker unpickles to nothing, by running a few lines: builtins are all that it needs for that."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_ENTRANCE.format(place=str(Path(__file__).parent.parent)), {})


class _Following:
    def __init__(self) -> None:
        self.module: Any = None
        self.original: Any = None
        self.ours: Any = None


_following = _Following()


def follow(spawn: Any) -> None:
    """Have the workers that ``multiprocessing.spawn``, the module, prepares be recorded as well."""
    if _following.module is not None:
        return
    original = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(*arguments: Any, **keywords: Any) -> Any:
        data = original(*arguments, **keywords)
        if _following.module is not None:
            data[_KEY] = _Entrance()
        return data

    _following.module, _following.original, _following.ours = spawn, original, get_preparation_data
    spawn.get_preparation_data = get_preparation_data


def leave_alone() -> None:
    """Undo ``follow``."""
    spawn, _following.module = _following.module, None
    if spawn is not None and spawn.get_preparation_data is _following.ours:
        spawn.get_preparation_data = _following.original
