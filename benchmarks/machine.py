"""The machine and the software that figures were taken on.

Hides where a system says what it is. Promises no name of a host, user or path.
"""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.child import CORES

_PACKAGES = ("ocpp-mongo-plugin", "ocpp", "pymongo", "motor", "beanie", "pydantic", "websockets", "pluggy")


def described(mongod: Path) -> dict[str, str]:
    """Return what the figures of this run depend on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": f"{min(usable, CORES)} used of {usable}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "mongod": _mongod_version(mongod),
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def sentence(machine: dict[str, str], scale_target: str) -> str:
    """Return it as one sentence for the page."""
    return (
        f"Taken on {machine['date']} by `make {scale_target}` on {machine['processor']}, {machine['cores']} "
        f"cores, {machine['system']}, {machine['python']}, mongod {machine['mongod']} on the same cores; "
        f"{machine['packages']}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _mongod_version(mongod: Path) -> str:
    said = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].removeprefix("db version v").strip() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
