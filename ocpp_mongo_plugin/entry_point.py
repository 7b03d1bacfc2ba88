"""Recording for a program that loads plugins of the group ``ocpp`` into a ``pluggy`` manager of its own.

Hides that it has no hooks there: loading it is what installs the recording, which has a manager of its own. So it fits
whatever hooks a program specifies, and ``check_pending()`` passes. Promises that nothing raises into the program: what
is wrong is one warning, and the program runs on, unrecorded. A name that is blocked is never loaded;
``OCPP_MONGO_DISABLE=1`` has the same effect. pluggy does not tell a plugin that it was unregistered, so
``uninstall()`` is what stops the recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocpp_mongo_plugin.plugin import MongoPlugin


class Recording:
    """What a program finds under the name ``ocpp-mongo`` in its plugin manager."""

    def __init__(self) -> None:
        self.plugin: MongoPlugin | None = None
        """What records; None where it could not be installed."""


_recording = Recording()


def __getattr__(name: str) -> Recording:
    """Install the recording, each time that the entry point is loaded."""
    if name != "recording":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ocpp_mongo_plugin.installation import install_automatically  # noqa: PLC0415 - only who loads it pays for it

    _recording.plugin = install_automatically()
    return _recording
