"""Where frames go: the server, the database, and the directory in which they wait for it.

Hides how a URI is read for that. Promises that nothing it returns has a credential in it.
"""

from __future__ import annotations

import re
from pathlib import Path

import platformdirs

from ocpp_mongo_plugin.journal import JournalError, Target
from ocpp_mongo_plugin.settings import Settings, authority_of, unusual_collections

APPLICATION = "ocpp-mongo-plugin"
"""What we are called by servers and in directories."""
_LOOPBACK = ("127.0.0.1", "[::1]")


def journal_root(settings: Settings) -> Path:
    """Return the directory under which all journals are.

    Raises:
        JournalError: this user has no home directory, and none is set.
    """
    try:
        if settings.journal_directory is not None:
            return settings.journal_directory.expanduser()
        return platformdirs.user_state_path(APPLICATION) / "journal"
    except (RuntimeError, OSError):
        raise JournalError("no journal can be kept: this user has no home; set journal_directory") from None


def target_of(settings: Settings) -> Target:
    """Return what the journals of these settings are for: hosts and database, without credentials."""
    # An @ in what follows the hosts, as in ?appName=, parts no credentials from them.
    named = authority_of(settings.uri.get_secret_value()).rpartition("@")[2].lower().split(",")
    return Target(",".join(sorted(named)), settings.database, unusual_collections(settings))


def addresses_of(target: Target) -> set[str]:
    """Return the hosts of a target, each with its port: two targets that share one are on the same server."""
    return {_address(host.strip()) for host in target.server.split(",")}


def _address(host: str) -> str:
    """Return a host of a URI with its port, the loopback under one name."""
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
    return f"{'localhost' if name in _LOOPBACK else name}:{port or 27017}"
