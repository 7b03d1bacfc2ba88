"""What a frame costs in counts that are the same on every machine: bytecodes and blocks of memory.

Hides tracing. Bytecodes are those that the interpreter executes in the host's turn, of a recorded call less those of
its twin. Blocks are what stays allocated for each frame that waits, beside its text. Both are of one version of
Python; ``suite.py`` has their limits.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any

from benchmarks import program
from benchmarks.lines import Result
from benchmarks.mix import CALLS_OF_A_SESSION, Text, exchange
from benchmarks.scale import Scale
from benchmarks.server import nobody, recording_for_nobody

_WARM_SESSIONS = 10
"""800 frames: a session is open, and more waits than wakes the thread that stores."""
_FRAMES = 10_000


def measure(_scale: Scale) -> Iterator[Result]:
    """Yield bytecodes and blocks."""
    with nobody() as uri:
        yield from asyncio.run(_bytecodes(uri, "memory", {"bytecodes-sent": 0, "bytecodes-received": 1}))
        yield from asyncio.run(_bytecodes(uri, "journal", {"bytecodes-sent-journal": 0}))
        yield asyncio.run(_blocks(uri))


async def _bytecodes(uri: str, durability: str, lines: dict[str, int]) -> list[Result]:
    fleets = {"recorded": program.Fleet(program.RECORDED), "plain": program.Fleet(program.PLAIN)}
    async with recording_for_nobody(uri, durability=durability):
        for session in range(_WARM_SESSIONS):
            for fleet in fleets.values():
                await program.exchange(fleet.exchanges(_session(session)))
        counts: dict[str, list[tuple[int, int]]] = {}
        for side, fleet in fleets.items():
            exchanges = fleet.exchanges(_session(_WARM_SESSIONS))
            counts[side] = [
                (
                    await _executed(station._send(call)),  # noqa: SLF001 - what the library's own call() does
                    await _executed(station.route_message(answer)),
                )
                for station, call, answer in exchanges
            ]
    found = []
    for line, way in lines.items():
        recorded, plain = ([both[way] for both in counts[side]] for side in ("recorded", "plain"))
        added = [one - other for one, other in zip(recorded, plain, strict=True)]
        found.append(
            Result(
                line,
                statistics.median(added),
                f"recorded {statistics.median(recorded):.0f}, not recorded {statistics.median(plain):.0f}",
                f"{len(added)} frames of a session, {min(added)} to {max(added)}; traced, deterministic",
            )
        )
    return found


def _session(number: int) -> list[Text]:
    """Return the calls and answers of one charging session of one station."""
    return [text for step in range(CALLS_OF_A_SESSION) for text in exchange(0, number, step)]


async def _executed(coroutine: Coroutine[Any, Any, Any]) -> int:
    """Await it, and return how many bytecodes this thread executed for it."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        await coroutine
    finally:
        sys.settrace(None)
    return count


async def _blocks(uri: str) -> Result:
    """Record frames of one size whose texts exist already, and look what is allocated then."""
    station = program.RECORDED["1.6"]("CP00000", program.Silence())
    texts = [f'[2,"{number:08}","Heartbeat",{{}}]' for number in range(2 * _FRAMES)]
    async with recording_for_nobody(uri, durability="memory") as plugin:
        for text in texts[:_FRAMES]:
            await station._send(text)  # noqa: SLF001
        gc.collect()
        before, waiting = sys.getallocatedblocks(), plugin.stats.waiting
        for text in texts[_FRAMES:]:
            await station._send(text)  # noqa: SLF001
        gc.collect()
        blocks, more = sys.getallocatedblocks() - before, plugin.stats.waiting - waiting
    wrong = None if more == _FRAMES else f"{_FRAMES:,} frames were captured, and {more:,} more wait"
    return Result(
        "blocks-waiting",
        round(blocks / _FRAMES, 2),
        f"{blocks:,} blocks for {_FRAMES:,} frames",
        "sys.getallocatedblocks() after garbage collection, before and after; texts made before; memory mode",
        wrong,
    )
