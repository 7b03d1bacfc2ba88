"""What capture costs in the host's turn, against what the ``ocpp`` library's own log line costs.

Hides the clock. A block is 100 calls sent and 100 answers received by stations of the library; capture is the
difference between recorded stations and their twins, same texts, in turn with blocks in which the logger of the
library writes a line for each of these frames to a file. Nothing listens at the URI: the thread that stores does not
compete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks import program
from benchmarks.lines import Result, number
from benchmarks.mix import Text, texts
from benchmarks.scale import Scale
from benchmarks.server import nobody, recording_for_nobody
from benchmarks.turns import percentile, settle, spread, turns

LOGGER = logging.getLogger("ocpp")
_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"
_BLOCK = 200
_ROUNDS_OF_A_PLUGIN = 250
"""50,000 frames: they all wait in the buffer, and must fit."""
_MILLION = 1e6


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the lines of capture in memory mode, with the journal, of classes that override, of what only sends."""
    rounds = scale.pick(50, 250, 1000)
    with nobody() as uri, _log_file():
        memory = asyncio.run(_taken(uri, rounds, program.RECORDED, program.PLAIN, durability="memory"))
        yield memory.ratio("capture-memory")
        yield memory.p99("capture-memory-p99")
        journal = asyncio.run(_taken(uri, rounds, program.RECORDED, program.PLAIN, durability="journal"))
        yield journal.ratio("capture-journal")
        yield journal.p99("capture-journal-p99")
        overridden = _taken(uri, rounds, program.RECORDED_OVERRIDING, program.PLAIN_OVERRIDING, durability="memory")
        yield asyncio.run(overridden).ratio("capture-overridden")
        mute = _taken(uri, rounds, program.RECORDED, program.PLAIN, durability="memory", only_sends=True)
        yield asyncio.run(mute).ratio("capture-only-sends")


class _Taken:
    """Seconds of single frames, block by block."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[list[float]]] = {"recorded": [], "plain": [], "logged": []}

    def ratio(self, line: str) -> Result:
        mean = {side: [sum(block) / len(block) for block in blocks] for side, blocks in self.blocks.items()}
        captured = [recorded - plain for recorded, plain in zip(mean["recorded"], mean["plain"], strict=True)]
        ratios = spread([one / logged for one, logged in zip(captured, mean["logged"], strict=True)])
        return Result(
            line,
            ratios.median,
            f"captured {_us(spread(captured).median)} a frame; log line {_us(spread(mean['logged']).median)}",
            f"{ratios}, each of {_BLOCK} frames recorded, not recorded, logged; nothing listens at the URI",
        )

    def p99(self, line: str) -> Result:
        """Each frame less the median of its kind unrecorded: sent and received take turns in a block."""
        late: list[float] = []
        noise: list[float] = []
        for kind in (0, 1):
            plain = [one for block in self.blocks["plain"] for one in block[kind::2]]
            usual = spread(plain).median
            noise += [one - usual for one in plain]
            late += [one - usual for block in self.blocks["recorded"] for one in block[kind::2]]
        return Result(
            line,
            percentile(late, 99) * _MILLION,
            f"p50 {_us(percentile(late, 50))}, p99.9 {_us(percentile(late, 99.9))}, longest {_us(max(late))}; "
            f"p99 of the twins, by the same subtraction: {_us(percentile(noise, 99))}",
            f"{len(late):,} frames of the same blocks, less the median of the same kind unrecorded",
        )


def _us(seconds: float) -> str:
    return f"{number(seconds * _MILLION)} us"


async def _taken(
    uri: str, rounds: int, recorded: Any, plain: Any, *, durability: str, only_sends: bool = False
) -> _Taken:
    """Take the time of frames; ``only_sends``: behind an adapter, where answers are sent, too, and nobody reads."""
    connection = program.Adapter if only_sends else program.Silence
    taken = _Taken()
    source = texts()
    while rounds > 0:
        async with recording_for_nobody(uri, durability=durability) as plugin:
            fleets = {
                "recorded": program.Fleet(recorded, connection),
                "plain": program.Fleet(plain, connection),
            }
            warm = [next(source) for _ in range(_BLOCK)]
            for fleet in fleets.values():  # sessions open with a station's first frame
                await _exchanged(fleet.exchanges(warm), only_sends)
            for order in turns("recorded", "plain", "logged", most=min(rounds, _ROUNDS_OF_A_PLUGIN)):
                block = [next(source) for _ in range(_BLOCK)]
                for side in order:
                    settle()
                    if side == "logged":
                        taken.blocks[side].append(_logged(block))
                    else:
                        taken.blocks[side].append(await _exchanged(fleets[side].exchanges(block), only_sends))
                        fleets[side].forget_answers()
            if plugin.stats.lost:
                raise RuntimeError(f"the buffer is too small for this benchmark: {dict(plugin.stats.lost)} lost")
        rounds -= _ROUNDS_OF_A_PLUGIN
    return taken


async def _exchanged(exchanges: list[tuple[Any, str, str]], only_sends: bool) -> list[float]:
    took: list[float] = []
    for station, call, answer in exchanges:
        take = station._send if only_sends else station.route_message  # noqa: SLF001
        begun = perf_counter()
        await station._send(call)  # noqa: SLF001 - what the library's own call() does
        between = perf_counter()
        await take(answer)
        took += (between - begun, perf_counter() - between)
    return took


def _logged(block: list[Text]) -> list[float]:
    took = []
    LOGGER.setLevel(logging.INFO)
    for text in block:
        begun = perf_counter()
        LOGGER.info("%s: receive message %s", text.station_id, text.text)
        took.append(perf_counter() - begun)
    LOGGER.setLevel(logging.WARNING)
    return took


@contextmanager
def _log_file() -> Iterator[None]:
    """Have the library's logger write to a file, as programs set it up; it is silent but for the logged blocks."""
    with TemporaryDirectory() as directory:
        handler = logging.FileHandler(Path(directory, "ocpp.log"))
        handler.setFormatter(logging.Formatter(_FORMAT))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.WARNING)
        LOGGER.propagate = False
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)
            handler.close()
