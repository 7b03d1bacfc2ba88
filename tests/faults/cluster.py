"""A replica set of three nodes on one machine, with elections that take about a second."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from waiting import wait_until

from ocpp_mongo_plugin.embedded import EmbeddedMongod, EmbeddedReplicaSet

_SETTINGS = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}


class Cluster(EmbeddedReplicaSet):
    """Three members, and who is who among them; they are a set once they are initiated."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, name="faults", parameters={"enableTestCommands": "1"}, settings=_SETTINGS)
        self._owners: dict[int, EmbeddedMongod | None] = {}

    def __enter__(self) -> Cluster:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self.start_members()
        return self

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
