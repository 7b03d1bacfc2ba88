"""Records every OCPP frame, transaction, meter value and station state of a ChargePoint program in MongoDB.

The public names and nothing else; what they need is imported when they are used, so that importing the package
costs next to nothing.

Where it is imported before pytest starts, as by ``ocpp-mongo run -- pytest``, that would warn of it, but for this
word: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers understand it; the one of typing costs more than the rest of this module
if TYPE_CHECKING:
    from ocpp_mongo_plugin.errors import (
        AccessDeniedError,
        ArgumentError,
        ImportFormatError,
        NotFoundError,
        NotStartedError,
        OcppMongoError,
        SettingError,
        StoreUnavailableError,
    )
    from ocpp_mongo_plugin.frames import Frame, Session
    from ocpp_mongo_plugin.hookspecs import hookimpl
    from ocpp_mongo_plugin.installation import install, uninstall
    from ocpp_mongo_plugin.log_filter import CredentialFilter
    from ocpp_mongo_plugin.plugin import MongoPlugin
    from ocpp_mongo_plugin.settings import Settings
    from ocpp_mongo_plugin.sink import Health, Statistics

__version__ = "0.1.0"

__all__ = [
    "AccessDeniedError",
    "ArgumentError",
    "CredentialFilter",
    "Frame",
    "Health",
    "ImportFormatError",
    "MongoPlugin",
    "NotFoundError",
    "NotStartedError",
    "OcppMongoError",
    "Session",
    "SettingError",
    "Settings",
    "Statistics",
    "StoreUnavailableError",
    "__version__",
    "hookimpl",
    "install",
    "uninstall",
]

_HOMES = {
    "CredentialFilter": "log_filter",
    "Frame": "frames",
    "Health": "sink",
    "MongoPlugin": "plugin",
    "Session": "frames",
    "Settings": "settings",
    "Statistics": "sink",
    "hookimpl": "hookspecs",
    "install": "installation",
    "uninstall": "installation",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - most programs use no more than one name, or none

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
