"""``install`` and ``uninstall``: recording that needs no ``async with``.

Hides that there is one such recorder in a process, whoever asks for it: the program, ``ocpp_mongo_plugin.auto`` or
the entry point. Promises that both may be called from any thread, with a loop or without one, and as often as one
likes. What a ``MongoPlugin`` of the program's own records into the same collections is left to that one.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from ocpp_mongo_plugin import children, switches
from ocpp_mongo_plugin.errors import SettingError

if TYPE_CHECKING:
    from ocpp_mongo_plugin.plugin import MongoPlugin

logger = logging.getLogger("ocpp_mongo_plugin")


class _Installation:
    """The one plugin that is installed, if any."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.plugin: MongoPlugin | None = None

    def forked(self) -> None:
        """In a child process, where a lock of the parent may be held by a thread that is not there."""
        self.lock = threading.RLock()


_installation = _Installation()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_installation.forked)


def install(uri: str | None = None, database: Any = None, **settings: Any) -> MongoPlugin:
    """Record every ChargePoint of this process from now on, and return what records.

    Does not wait for MongoDB. Where it is installed already, that one is returned. With ``OCPP_MONGO_DISABLE=1``
    nothing is recorded, and what is returned is not started.

    Args:
        uri: MongoDB connection string; else ``OCPP_MONGO_URI``, else localhost, with a warning.
        database: a name or a database handle, as for ``MongoPlugin``.
        settings: any field of :class:`~ocpp_mongo_plugin.settings.Settings`.

    Raises:
        SettingError: a setting is wrong, or other settings are in use.
    """
    from ocpp_mongo_plugin.plugin import MongoPlugin  # noqa: PLC0415 - it takes the driver

    with _installation.lock:
        plugin = _installation.plugin
        if plugin is not None:
            _refuse_other_settings(plugin, {"uri": uri, "database": database, **settings})
        else:
            plugin = MongoPlugin(uri, database, **settings)
            plugin.gives_way = True
        if not switches.is_on(switches.DISABLE):
            if _installation.plugin is None and plugin.handle is None and "uri" not in plugin.settings.model_fields_set:
                where, kept = plugin.settings.shown_uri, plugin.durability
                logger.warning("OCPP_MONGO_URI is not set: recording into %s, frames wait in %s", where, kept)
            plugin.start_now()
        _installation.plugin = plugin
        return plugin


def _refuse_other_settings(plugin: MongoPlugin, given: dict[str, Any]) -> None:
    from ocpp_mongo_plugin.settings import read_settings  # noqa: PLC0415 - it takes pydantic

    asked = {name: value for name, value in given.items() if value is not None}
    differing = []
    if "database" in asked and not isinstance(asked["database"], str):
        if asked.pop("database") is not plugin.handle:
            differing.append("database")
    elif "database" in asked and plugin.handle is not None:
        differing.append("database")
    wanted = read_settings(asked)
    differing += [name for name in asked if getattr(wanted, name) != getattr(plugin.settings, name)]
    if differing:
        raise SettingError(
            f"recording is installed already, with another {' and '.join(dict.fromkeys(differing))}; "
            "call uninstall() first, or start a MongoPlugin of your own"
        )


def uninstall(timeout: float | None = None) -> bool:
    """Stop what ``install`` began, restore every class, and store what waits; return whether all of it was stored.

    The calling thread waits for it. Where nothing is installed there is nothing to do.

    Args:
        timeout: seconds; the setting ``shutdown_timeout`` when None.
    """
    with _installation.lock:
        children.leave_alone()
        plugin, _installation.plugin = _installation.plugin, None
        return True if plugin is None else plugin.close_now(timeout)
