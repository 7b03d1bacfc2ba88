"""The environment variables that turn recording on and off as a whole.

Hides how they are read; remembers whether the program turned recording off itself. Promises the words that the settings
take for true and false, and to import nothing, since every Python process that a recorded program starts may read them.
"""

from __future__ import annotations

import os

from ocpp_mongo_plugin.errors import SettingError

AUTO = "OCPP_MONGO_AUTO"
"""Turns on ``ocpp_mongo_plugin.auto``."""
DISABLE = "OCPP_MONGO_DISABLE"
"""Turns off whatever records without the program's own ``MongoPlugin``."""
CHILDREN = "OCPP_MONGO_CHILDREN"
"""Leaves the way into Python programs open to those that a recorded program starts."""
LOG = "OCPP_MONGO_LOG"
"""File for what the package would log, which then is no more in the program's own log."""

USERS_PATH = "OCPP_MONGO_PYTHONPATH"
"""``PYTHONPATH`` as the user had it, for ``startup/sitecustomize.py`` to restore."""
NAMES = frozenset({AUTO, DISABLE, CHILDREN, LOG, USERS_PATH})

is_uninstalled = False
"""Whether ``uninstall`` had the last word in this process: what waits for an import then lets it pass."""

TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


def is_on(name: str) -> bool:
    """Whether a switch is on; one that is not set, or empty, is off.

    Raises:
        SettingError: it is neither a word for true nor one for false.
    """
    word = os.environ.get(name, "").strip().lower()
    if word in TRUE:
        return True
    if not word or word in FALSE:
        return False
    raise SettingError(f"{name} is wrong: it takes 1 or 0, true or false")
