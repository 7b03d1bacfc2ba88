"""``install`` and ``uninstall``: recording that needs no ``async with``.

Hides who asked for it: the program, or its environment by ``ocpp_mongo_plugin.auto`` or the entry point. Promises
that both may be called from any thread, with a loop or without one, and as often as one likes; and that the
environment's recorder leaves to the program's own, however that was started, whatever both would store in the same
collections.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ocpp_mongo_plugin import children, switches
from ocpp_mongo_plugin.errors import SettingError
from ocpp_mongo_plugin.log import not_recorded, warn

if TYPE_CHECKING:
    from ocpp_mongo_plugin.plugin import MongoPlugin


class _Installation:
    """What is installed in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.own: MongoPlugin | None = None
        """What the program installed."""
        self.automatic: MongoPlugin | None = None
        """What its environment did."""

    def forked(self) -> None:
        """In a child process, where a lock of the parent may be held by a thread that is not there."""
        self.lock = threading.RLock()


_installation = _Installation()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_installation.forked)


def install(uri: str | None = None, database: Any = None, **settings: Any) -> MongoPlugin:
    """Record every ChargePoint of this process from now on, and return what records.

    Does not wait for MongoDB. Where recording is installed already, that one is returned. With
    ``OCPP_MONGO_DISABLE=1`` nothing is recorded, and what is returned is not started.

    Args:
        uri: MongoDB connection string; else ``OCPP_MONGO_URI``, else localhost, with a warning.
        database: a name or a database handle, as for ``MongoPlugin``.
        settings: any field of :class:`~ocpp_mongo_plugin.settings.Settings`.

    Raises:
        SettingError: a setting is wrong, or the program installed recording with other settings.
    """
    given = {name: value for name, value in {"uri": uri, "database": database, **settings}.items() if value is not None}
    plugin = _installed(given)
    plugin.load_plugins()
    return plugin


def _installed(given: Mapping[str, Any]) -> MongoPlugin:
    _load_modules(to_read=True)
    with _installation.lock:
        switches.is_uninstalled = False
        if _installation.own is not None:
            differing = _differing(_installation.own, given)
            if differing:
                raise SettingError(
                    f"recording is installed already, with another {' and '.join(differing)}; "
                    "call uninstall() first, or start a MongoPlugin of your own"
                )
        elif _installation.automatic is not None and not _differing(_installation.automatic, given):
            return _started(_installation.automatic)
        else:
            _installation.own = _new(given)
        try:
            return _started(_installation.own)
        except BaseException:
            _installation.own = None
            raise


def install_automatically() -> MongoPlugin | None:
    """Do what ``install`` does, with the settings of the environment, for a program that did not ask for it.

    Whatever goes wrong is one warning; None then.
    """
    try:
        _load_modules()
        with _installation.lock:
            switches.is_uninstalled = False
            plugin = _installation.own or _installation.automatic
            if plugin is not None:
                return _started(plugin)
            plugin = _new({})
            plugin.gives_way = True
            _installation.automatic = _started(plugin)
            return plugin
    except Exception as error:  # noqa: BLE001 - nothing of ours may end the program
        not_recorded(error)
        return None


def uninstall(timeout: float | None = None) -> bool:
    """Stop what was installed, restore every class, and store what waits; return whether all of it was stored.

    The calling thread waits for it. Where nothing is installed there is nothing to do.

    Args:
        timeout: seconds for all of it; the setting ``shutdown_timeout`` when None.
    """
    with _installation.lock:
        switches.is_uninstalled = True
        children.leave_alone()
        installed = [plugin for plugin in (_installation.own, _installation.automatic) if plugin is not None]
        _installation.own = _installation.automatic = None
    if timeout is None:
        timeout = max((plugin.settings.shutdown_timeout for plugin in installed), default=0.0)
    deadline = time.monotonic() + timeout
    stored: list[bool] = []
    with contextlib.ExitStack() as closing:  # what one raises leaves none open
        for plugin in reversed(installed):
            closing.callback(lambda one: stored.append(one.close_now(max(0.0, deadline - time.monotonic()))), plugin)
    return all(stored)


def _load_modules(*, to_read: bool = False) -> None:
    """Import what recording takes, without a lock: a thread that imports ocpp may wait for ours, and be waited for.

    What reading takes as well, where the program asked for a recorder: at the first read it would hold up a loop.
    """
    from ocpp_mongo_plugin.plugin import load_readers  # noqa: PLC0415 - it takes the driver
    from ocpp_mongo_plugin.seam import library  # noqa: PLC0415

    if not switches.is_on(switches.DISABLE):
        library()
        if to_read:
            load_readers()


def _new(given: Mapping[str, Any]) -> MongoPlugin:
    from ocpp_mongo_plugin.plugin import MongoPlugin  # noqa: PLC0415 - it takes the driver

    plugin = MongoPlugin(**given, plugins_later=True)
    if plugin.handle is None and not plugin.settings.has_uri and not switches.is_on(switches.DISABLE):
        where, kept = plugin.settings.shown_uri, plugin.durability
        warn("OCPP_MONGO_URI is not set: recording into %s, and frames wait in %s", where, kept)
    return plugin


def _started(plugin: MongoPlugin) -> MongoPlugin:
    if not switches.is_on(switches.DISABLE):
        plugin.start_now()
    return plugin


def _differing(plugin: MongoPlugin, given: Mapping[str, Any]) -> list[str]:
    """Return the names of those settings that the plugin has otherwise.

    Raises:
        SettingError: one that is given is wrong.
    """
    from ocpp_mongo_plugin.settings import read_settings  # noqa: PLC0415 - it takes pydantic

    asked, differing = dict(given), []
    if "database" in asked and (plugin.handle is not None or not isinstance(asked["database"], str)):
        # A handle is the same or it is not, and no name is one.
        differing = ["database"] if asked.pop("database") is not plugin.handle else []
    wanted = read_settings(asked)
    return differing + [name for name in asked if getattr(wanted, name) != getattr(plugin.settings, name)]
