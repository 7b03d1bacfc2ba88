"""A replica set of three nodes on one machine, with elections that take about a second."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from waiting import wait_until

from ocpp_mongo_plugin.embedded import HOST, EmbeddedMongod

NAME = "faults"
MEMBERS = 3
_SETTINGS = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}


class Member(EmbeddedMongod):
    """A mongod that waits to be made part of a set, where its parent makes a set of its own."""

    def _await_primary(self, deadline: float) -> None:
        with self._client(deadline, f"mongodb://{HOST}:{self.port}/?directConnection=true") as client:
            client.admin.command("ping")


class Cluster:
    """Three members, and who is who among them."""

    def __init__(self, directory: Path) -> None:
        self._cleanup = ExitStack()
        self._owners: dict[int, EmbeddedMongod | None] = {}
        self.members = [
            Member(directory / f"member-{number}", replica_set=NAME, parameters={"enableTestCommands": "1"})
            for number in range(MEMBERS)
        ]

    def __enter__(self) -> Cluster:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        for member in self.members:
            self._cleanup.callback(member.stop, kill=True)
        starts = [threading.Thread(target=member.start) for member in self.members]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def initiate(self, ports: Sequence[int] | None = None) -> None:
        """Make them a set, known to each other and to drivers by these ports, and wait for a primary."""
        self._ports = list(ports or (member.port for member in self.members))
        members = [{"_id": number, "host": f"{HOST}:{port}"} for number, port in enumerate(self._ports)]
        with self.direct(self.members[0]) as client:
            client.admin.command("replSetInitiate", {"_id": NAME, "members": members, "settings": _SETTINGS})
        wait_until(self.primary, 30)

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(f'{HOST}:{port}' for port in self._ports)}/?replicaSet={NAME}"

    def direct(self, member: EmbeddedMongod) -> MongoClient[dict[str, Any]]:
        """Return a client of one member, past any proxy."""
        uri = f"mongodb://{HOST}:{member.port}/?directConnection=true"
        return MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)

    def primary(self) -> EmbeddedMongod | None:
        """Return the member that takes writes now; with two that think so, the newer."""
        found: list[tuple[Any, EmbeddedMongod]] = []
        for member in self.members:
            if not member.running:
                continue
            try:
                with self.direct(member) as client:
                    hello = client.admin.command("hello")
            except PyMongoError:
                continue
            if hello.get("isWritablePrimary"):
                found.append((hello["electionId"], member))
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def owner(self, port: int) -> EmbeddedMongod | None:
        """Return the member whose connection has that port at its own end; None when it is not a member's."""
        if port not in self._owners:
            inode = _inode(port)
            self._owners[port] = next((m for m in self.members if m.running and _has_open(m.pid, inode)), None)
        return self._owners[port]

    def step_down(self) -> None:
        primary = wait_until(self.primary, 30)
        with self.direct(primary) as client:
            client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2, force=True)


def _inode(port: int) -> str:
    """Return the socket at that port of this machine's end, by the table of the kernel."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            return f"socket:[{fields[9]}]"
    return ""


def _has_open(pid: int, inode: str) -> bool:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if str(file.readlink()) == inode:
                return True
    return False
