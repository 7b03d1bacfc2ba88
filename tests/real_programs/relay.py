"""A relay between a WebSocket client and a WebSocket server that knows, byte for byte, what crossed the wire.

It passes TCP streams on as they come and reads along: handshakes, masks, fragments and compression are undone beside
the stream, nothing is sent anew. So pings, closes and broken frames stay as they were, and what it says was sent is
what was sent, whatever either end believes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias
from urllib.parse import unquote

from websockets.exceptions import WebSocketException
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension
from websockets.streams import StreamReader

HOST = "127.0.0.1"
_LONGEST_LINE = 65536
_SWITCHING = b" 101 "
Steps: TypeAlias = Generator[None, None, None]


@dataclass
class Connection:
    """One connection as it crossed the relay."""

    path: str = ""
    accepted: bool = False
    """Whether the server agreed to speak WebSocket."""
    to_server: list[str] = field(default_factory=list)
    to_client: list[str] = field(default_factory=list)
    binary: int = 0
    """Messages that are no text."""
    unreadable: str = ""
    """Why a stream could not be read any further, if it could not."""
    closed: bool = False
    """Whether both ends are gone."""

    @property
    def station_id(self) -> str:
        """The last part of the path, as servers take it."""
        return unquote(self.path.partition("?")[0].rstrip("/").rpartition("/")[2])


class Relay:
    """Stands before a port of this machine while its context is entered."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.connections: list[Connection] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for end in self._ends:
            end.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=5)

    def url(self, *path: str) -> str:
        """Return its address, with these parts of a path."""
        return "/".join((f"ws://{HOST}:{self.port}", *path))

    @property
    def accepted(self) -> list[Connection]:
        """The connections that became WebSockets, in their order."""
        return [one for one in self.connections if one.accepted]

    @property
    def crossed(self) -> int:
        """How many texts crossed, both ways together."""
        return sum(len(one.to_server) + len(one.to_client) for one in self.accepted)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = Connection()
        self.connections.append(connection)
        ends = {writer}
        try:
            there, out = await asyncio.open_connection(HOST, self._target)
            ends.add(out)
            self._ends |= ends
            reading = _Reading(connection)
            ways = [
                asyncio.create_task(_carry(reader, out, _Tap(connection, reading.client))),
                asyncio.create_task(_carry(there, writer, _Tap(connection, reading.server))),
            ]
            await asyncio.wait(ways)
        except OSError:
            pass  # the server is not there: the client sees its connection closed
        finally:
            for end in ends:
                end.close()
            self._ends -= ends
            connection.closed = True
            self._serving.discard(task)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tap: _Tap) -> None:
    """Pass everything on; what was read along is on record before it goes on its way."""
    with suppress(OSError):
        while data := await reader.read(65536):
            tap.feed(data)
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()


class _Tap:
    """Reads a copy of one stream as it comes, until it cannot be read on."""

    def __init__(self, connection: Connection, read: Callable[[StreamReader], Steps]) -> None:
        self._connection = connection
        self._stream = StreamReader()
        self._steps: Steps | None = read(self._stream)
        next(self._steps)

    def feed(self, data: bytes) -> None:
        if self._steps is None:
            return
        self._stream.feed_data(data)
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
        except (WebSocketException, EOFError, RuntimeError, ValueError) as error:
            self._connection.unreadable = f"{type(error).__name__}: {error}"
            self._steps = None


class _Reading:
    """What the two streams of one connection say, and what they agreed on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._undo_client: list[Extension] = []
        self._undo_server: list[Extension] = []

    def client(self, stream: StreamReader) -> Steps:
        """Read what the client sends."""
        first, _ = yield from _head(stream)
        self._connection.path = first.split(b" ")[1].decode("ascii")
        yield from self._messages(stream, self._connection.to_server, self._undo_client, masked=True)

    def server(self, stream: StreamReader) -> Steps:
        """Read what the server sends."""
        first, headers = yield from _head(stream)
        if _SWITCHING not in first + b" ":
            return
        self._agree(value for name, value in headers if name == "sec-websocket-extensions")
        self._connection.accepted = True
        yield from self._messages(stream, self._connection.to_client, self._undo_server, masked=False)

    def _agree(self, values: Iterable[str]) -> None:
        for value in values:
            for name, parameters in parse_extension(value):
                if name != "permessage-deflate":
                    raise ValueError(f"the relay does not know the extension {name}")
                given = dict(parameters)
                server = ("server_no_context_takeover" in given, int(given.get("server_max_window_bits") or 15))
                client = ("client_no_context_takeover" in given, int(given.get("client_max_window_bits") or 15))
                # Arguments are of the remote end and of our own, in turn.
                self._undo_client.append(PerMessageDeflate(client[0], server[0], client[1], server[1]))
                self._undo_server.append(PerMessageDeflate(server[0], client[0], server[1], client[1]))

    def _messages(self, stream: StreamReader, texts: list[str], undo: list[Extension], *, masked: bool) -> Steps:
        whole: list[bytes] = []
        is_text = False
        while True:
            frame = yield from Frame.parse(stream.read_exact, mask=masked, max_size=None, extensions=undo)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                is_text = frame.opcode is Opcode.TEXT
                whole = []
            elif frame.opcode is not Opcode.CONT:
                continue
            whole.append(bytes(frame.data))
            if not frame.fin:
                continue
            if is_text:
                texts.append(b"".join(whole).decode())
            else:
                self._connection.binary += 1


def _head(stream: StreamReader) -> Generator[None, None, tuple[bytes, list[tuple[str, str]]]]:
    """Return first line and headers, these with names in small letters."""
    first = yield from stream.read_line(_LONGEST_LINE)
    headers = []
    while line := (yield from stream.read_line(_LONGEST_LINE)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.strip().lower(), value.strip()))
    return first.rstrip(), headers
