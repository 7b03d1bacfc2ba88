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
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_LIBRARY = "ocpp"
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
        if name not in (_LIBRARY, _WORKERS) or switches.is_uninstalled:
            return None
        try:
            sys.meta_path.remove(self)
        except ValueError:  # another thread was first
            return None
        _guarded(_register)
        # Whoever joined the finders just now did not see this one asked for.
        found = (finder.find_spec(name, path, target) for finder in [*sys.meta_path] if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)


def _register() -> None:
    from wrapt import register_post_import_hook  # noqa: PLC0415 - see _Watch

    register_post_import_hook(lambda _module: _guarded(_install), _CHARGE_POINT)
    register_post_import_hook(lambda module: _guarded(_follow, module), _WORKERS)


def _install() -> None:
    if switches.is_uninstalled:
        return
    from ocpp_mongo_plugin.installation import install_automatically  # noqa: PLC0415 - it takes the driver

    _redirect()
    install_automatically()


def _follow(spawn: ModuleType) -> None:
    if switches.is_uninstalled:
        return
    from ocpp_mongo_plugin.children import follow  # noqa: PLC0415

    follow(spawn)


def _guarded(step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except Exception as error:  # noqa: BLE001 - nothing of ours may end the program
        _warn(error)


def _warn(error: Exception) -> None:
    from ocpp_mongo_plugin.log import not_recorded  # noqa: PLC0415 - most processes have nothing to say

    _redirect()
    not_recorded(error)


def _redirect() -> None:
    """Have the package's log in a file, where the environment says so."""
    path = os.environ.get(switches.LOG)
    if path:
        from ocpp_mongo_plugin.log import redirect  # noqa: PLC0415 - most processes have nothing to say

        redirect(path)


def _start() -> None:
    if not switches.is_on(switches.AUTO) or switches.is_on(switches.DISABLE):
        return
    if _LIBRARY in sys.modules or _WORKERS in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Watch())


_guarded(_start)
