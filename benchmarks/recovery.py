"""How fast a program that starts stores what a killed one left in its journal, against storing it live.

Hides the victim. It records while no server runs and is killed; then the server starts, and a fresh plugin is timed
from its start until all is stored. Live is the same frames by the same settings, from the first of them to the end of
``flush``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.lines import Result, number
from benchmarks.mix import take
from benchmarks.scale import Scale
from benchmarks.server import PATIENCE, connected, lost_of, record, recording
from benchmarks.turns import settle, spread, turns
from ocpp_mongo_plugin import MongoPlugin
from ocpp_mongo_plugin.embedded import EmbeddedMongod

_POLL = 0.005


def measure(scale: Scale) -> Iterator[Result]:
    """Yield the rate of recovery, against the live one."""
    frames = scale.pick(3000, 20_000, 50_000)
    pairs = []
    wrong: str | None = None
    with TemporaryDirectory(ignore_cleanup_errors=True) as data, EmbeddedMongod(Path(data)) as server:
        for at, order in enumerate(turns("recovered", "live", most=scale.pick(1, 2, 5), seconds=60)):
            rates = {}
            for side in order:
                name = f"{side}_{at}"
                if side == "live":
                    rates[side], lost = asyncio.run(_live(server.uri, name, frames))
                else:
                    rates[side], lost = _recovered(server, name, frames)
                wrong = wrong or lost or _missing(server.uri, name, frames)
            pairs.append((rates["recovered"], rates["live"]))
    ratios = spread([one / other for one, other in pairs])
    recovered, live = (spread(list(side)).median for side in zip(*pairs, strict=True))
    yield Result(
        "recovery",
        ratios.median,
        f"recovered {number(recovered)} frames a second, live {number(live)}",
        f"{ratios}, {frames:,} frames each; recovery from the start of the plugin on",
        wrong,
    )


async def _live(uri: str, name: str, frames: int) -> tuple[float, str | None]:
    async with recording(uri, name, durability="journal") as plugin:
        texts = take(frames)
        settle()
        begun = perf_counter()
        record(plugin, texts)
        await plugin.flush(PATIENCE)
        return frames / (perf_counter() - begun), lost_of(plugin, frames)


def _recovered(server: EmbeddedMongod, name: str, frames: int) -> tuple[float, str | None]:
    asyncio.run(_prepared(server.uri, name))
    server.stop()
    with TemporaryDirectory(ignore_cleanup_errors=True) as journals:
        with _victim(server.uri, name, journals, frames) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            said = process.stdout.readline()
            if said != "captured\n":
                raise RuntimeError("the program that was to be killed ended by itself")
            process.kill()
        server.start()
        return asyncio.run(_recovery(server.uri, name, Path(journals), frames))


async def _prepared(uri: str, name: str) -> None:
    """Have collections and indexes made, as the live side has them before it is timed."""
    async with recording(uri, name, durability="memory"):
        pass


@contextmanager
def _victim(uri: str, name: str, journals: str, frames: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.victim", uri, name, journals, str(frames)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with process:
            process.wait()


async def _recovery(uri: str, name: str, journals: Path, frames: int) -> tuple[float, str | None]:
    plugin = MongoPlugin(uri, name, durability="journal", journal_directory=journals)
    settle()
    begun = perf_counter()
    async with plugin:
        while plugin.stats.recovered < frames and perf_counter() - begun < PATIENCE:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(_POLL)
        rate = frames / (perf_counter() - begun)
        stats = plugin.stats
    wrong = stats.recovered != frames or stats.recovered_dead_letters or stats.damaged
    told = f"of {frames:,} journalled frames {stats.recovered:,} came back, {stats.damaged} stretches damaged"
    return rate, told if wrong else None


def _missing(uri: str, name: str, frames: int) -> str | None:
    with connected(uri) as client:
        found = client[name].ocpp_messages.count_documents({})
    return None if found == frames else f"{frames:,} frames were captured, MongoDB has {found:,} messages ({name})"
