"""What the installed ``ocpp`` and ``websockets`` call things: the names of messages and of OCPP 2.1 came late."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import ocpp.v16
import ocpp.v16.call
import ocpp.v16.call_result
import ocpp.v201
import ocpp.v201.call
import ocpp.v201.call_result
import pytest


class _Messages:
    """The messages of a module of ``ocpp`` by their actions; before 1.0 their classes ended in "Payload"."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, action: str) -> Any:
        return getattr(self._module, action, None) or getattr(self._module, f"{action}Payload")


class Library:
    """One OCPP version of the installed ``ocpp``."""

    def __init__(self, module: ModuleType) -> None:
        self.ChargePoint = module.ChargePoint
        self.call = _Messages(module.call)
        self.call_result = _Messages(module.call_result)


V16, V201 = Library(ocpp.v16), Library(ocpp.v201)
try:
    V21 = Library(import_module("ocpp.v21"))
except ModuleNotFoundError:
    V21 = None

NEEDS_21 = pytest.mark.skipif(V21 is None, reason="the installed ocpp does not know OCPP 2.1")
VERSIONS = {"1.6": V16, "2.0.1": V201, "2.1": V21}
EACH_VERSION = ["1.6", "2.0.1", pytest.param("2.1", marks=NEEDS_21)]


def path_of(connection: Any) -> str:
    """Return the path that a station asked for, of an asyncio or a legacy server connection."""
    return connection.path if hasattr(connection, "path") else connection.request.path
