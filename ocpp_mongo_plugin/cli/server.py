"""The server that a command works on.

Hides the driver's client. Promises that one who cannot be reached is named in one sentence within a few seconds,
without a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError

from ocpp_mongo_plugin.driver_errors import translated
from ocpp_mongo_plugin.errors import ArgumentError, OcppMongoError, SettingError, StoreUnavailableError
from ocpp_mongo_plugin.settings import Settings, check_uri, read_settings

Plain: TypeAlias = Database[dict[str, Any]]

PATIENCE_SECONDS = 5.0
"""A person waits in front of the terminal."""

_GOOD_URI = re.compile(r"(mongodb(?:\+srv)?://)(?:([^:@/?]*)(?::[^@/?]*)?@)?([^@/?]*)(?:[/?][^@]*)?")


def settings_of(uri: str | None, database: str | None, *, journals: Path | None = None) -> Settings:
    """Return the settings: the options, else the environment, else the defaults.

    ``journals`` is the directory of the journals.

    Raises:
        SettingError: one of them is wrong.
        ArgumentError: there is no such directory.
    """
    if journals is not None and not journals.is_dir():
        raise ArgumentError(f"{journals} is no directory; name the one that holds the journals")
    return read_settings({"uri": uri, "database": database, "journal_directory": journals})


def shown(settings: Settings) -> str:
    """Return the server's address with ``***`` for the password, and without options: those can be secret too."""
    match = _GOOD_URI.fullmatch(settings.uri.get_secret_value())
    if match is None:
        return "mongodb://***"
    scheme, user, hosts = match.groups()
    return f"{scheme}{f'{user}:***@' if user else ''}{hosts}"


@contextmanager
def connected(settings: Settings, patience: float = PATIENCE_SECONDS) -> Iterator[Plain]:
    """Open the database of these settings, and make sure that its server answers within ``patience`` seconds.

    Raises:
        SettingError: the URI is wrong.
        StoreUnavailableError: the server does not answer; AccessDeniedError: it wants other credentials.
    """
    check_uri(settings)
    milliseconds = int(min(settings.operation_timeout, patience) * 1000)
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            settings.uri.get_secret_value(),
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            timeoutMS=int(settings.operation_timeout * 1000),
            appname="ocpp-mongo",
            tz_aware=True,
        )
    except ConfigurationError as error:
        if type(error.__cause__).__module__.partition(".")[0] == "dns":
            # The servers of mongodb+srv:// are looked up by name: that is no fault of the URI.
            raise StoreUnavailableError(f"{shown(settings)}: its name cannot be looked up: {_reason(error)}") from None
        # Its text says what is wrong with the URI, and may quote it.
        raise SettingError(f"{shown(settings)} is no MongoDB URI that can be used: {_reason(error)}") from None
    except (ValueError, TypeError) as error:
        raise SettingError(f"{shown(settings)} is no MongoDB URI: {_reason(error)}") from None
    with client:
        # timeoutMS would have the driver look for the server as long as an operation may take.
        with naming(settings), translated("connecting"), pymongo.timeout(milliseconds / 1000):
            client.admin.command("ping")
        yield client[settings.database]


@contextmanager
def naming(settings: Settings) -> Iterator[None]:
    """Add the server's address to an error."""
    try:
        yield
    except OcppMongoError as error:
        raise type(error)(f"{shown(settings)}: {error}") from None


def _reason(error: Exception) -> str:
    """Return what the driver says of a URI, up to where it might quote it."""
    return re.split(r"[:'\"\n]|mongodb", str(error))[0].strip() or type(error).__name__
