"""Recording that the environment turns on: ``import ocpp_mongo_plugin.auto``.

Does nothing unless ``OCPP_MONGO_AUTO=1``, and nothing where ``OCPP_MONGO_DISABLE=1``. Else the program is recorded as
soon as it imports the ``ocpp`` library, with the settings of the environment. Hides import hooks and what is told to
workers of ``multiprocessing``. Promises that a process that never imports ``ocpp`` loads nothing more than this, and
that whatever goes wrong is one warning in the log: the program runs on, unrecorded.
"""

from __future__ import annotations

import os
import sys

from ocpp_mongo_plugin import switches

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_CHARGE_POINT = "ocpp.charge_point"
_WORKERS = "multiprocessing.spawn"


class _Watch:
    """Waits at the door of all imports for one that concerns us; wrapt, which then takes over, costs as much as ocpp.

    It loads asyncio and ssl, too, before a program of gevent could have patched them.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing; where ocpp is about to be imported, or workers are to be started, have us told when it is."""
        if name not in ("ocpp", _WORKERS) or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        _guarded(_register)
        # Whoever joined the finders just now did not see this one asked for.
        found = (finder.find_spec(name, path, target) for finder in [*sys.meta_path] if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)


def _register() -> None:
    from wrapt import register_post_import_hook  # noqa: PLC0415 - see _Watch

    register_post_import_hook(lambda _module: _guarded(_install), _CHARGE_POINT)
    register_post_import_hook(lambda module: _guarded(_follow, module), _WORKERS)


def _install() -> None:
    from ocpp_mongo_plugin.installation import install_automatically  # noqa: PLC0415 - it takes the driver

    _log()
    install_automatically()


def _follow(spawn: ModuleType) -> None:
    from ocpp_mongo_plugin.children import follow  # noqa: PLC0415

    follow(spawn)


def _guarded(step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except Exception as error:  # noqa: BLE001 - nothing of ours may end the program
        _warn(error)


def _warn(error: Exception) -> None:
    from ocpp_mongo_plugin.errors import OcppMongoError  # noqa: PLC0415

    told = str(error) if isinstance(error, OcppMongoError | ImportError) else type(error).__name__
    _log().warning("this program is not recorded: %s", told)


def _log() -> logging.Logger:
    """Return the package's log, redirected where the environment says so."""
    import logging  # noqa: PLC0415 - most processes have nothing to say

    log = logging.getLogger("ocpp_mongo_plugin")
    path = os.environ.get(switches.LOG)
    if path and log.propagate:
        # The streams of a program that does not know us are its own.
        handler = logging.FileHandler(path, encoding="utf-8", delay=True)
        handler.handleError = lambda _record: None  # type: ignore[assignment, method-assign]
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.propagate = False
    return log


def _start() -> None:
    if not switches.is_on(switches.AUTO) or switches.is_on(switches.DISABLE):
        return
    if _CHARGE_POINT in sys.modules or _WORKERS in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Watch())


_guarded(_start)
