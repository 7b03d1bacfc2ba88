"""A proxy that does to a connection what bad networks do: asyncio streams in a thread of their own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["pass", "hole", "reset", "slow", "trickle"]
HOST = "127.0.0.1"
_LINGER = struct.pack("ii", 1, 0)  # close by RST


class ChaosProxy:
    """Stands before a port of this machine; ``become`` changes what it does to old and new connections alike.

    pass: nothing. hole: takes everything, gives nothing. reset: RST. slow: each piece ``latency`` seconds late.
    trickle: one byte a write.
    """

    def __init__(self, target: int, latency: float = 1.0) -> None:
        self._target = target
        self._latency = latency
        self._mode: Mode = "pass"
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut: Callable[[tuple[str, int]], bool] = lambda _peer: False
        """Whether connections of this peer are a black hole, whatever the mode."""

    def __enter__(self) -> ChaosProxy:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, HOST, 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def uri(self) -> str:
        return f"mongodb://{HOST}:{self.port}/?directConnection=true"

    @property
    def open(self) -> int:
        """How many clients are connected."""
        return len(self._writers) // 2

    def become(self, mode: Mode) -> None:
        async def change() -> None:
            self._mode = mode
            self._changed.set()
            self._changed = asyncio.Event()
            if mode == "reset":
                for writer in list(self._writers):
                    _reset(writer)

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)

    async def _stop(self) -> None:
        self._server.close()
        self._mode, self.cut = "pass", lambda _peer: False
        for writer in list(self._writers):
            _reset(writer)
        ends = asyncio.all_tasks() - {asyncio.current_task()}
        if ends:
            await asyncio.wait(ends, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if self._mode == "reset":
            _reset(writer)
            return
        try:
            there, out = await asyncio.open_connection(HOST, self._target)
        except OSError:
            _reset(writer)
            return
        ends = {writer, out}
        self._writers |= ends
        ways = [asyncio.ensure_future(self._carry(*way, peer)) for way in ((reader, out), (there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._writers -= ends
            for end in ends:
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: tuple[str, int]) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self._mode == "slow":
                    await asyncio.sleep(self._latency)
                while self._mode == "hole" or self.cut(peer):
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), 0.1)
                step = 1 if self._mode == "trickle" else len(data)
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
