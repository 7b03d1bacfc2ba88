"""``ocpp-mongo forget``: one person's id tag, taken out of what is stored.

Hides the question. Promises that nothing is changed without a yes, and that the id tag is printed nowhere.
"""

from __future__ import annotations

import asyncio
import sys

from ocpp_mongo_plugin.cli.importing import FLUSH_SECONDS
from ocpp_mongo_plugin.cli.journals import quarantined_in
from ocpp_mongo_plugin.cli.replaying import visitor
from ocpp_mongo_plugin.cli.server import connected, naming, settings_of, shown
from ocpp_mongo_plugin.cli.terminal import err, out, say
from ocpp_mongo_plugin.destination import journal_root, target_of
from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.settings import Settings


def forget(id_tag: str, *, uri: str | None, database: str | None, is_sure: bool) -> int:
    """Forget an id tag and say what changed; return 1 when the person says no.

    Raises:
        ArgumentError: the id tag is empty, or there is nobody to ask.
        StoreUnavailableError: MongoDB did not do it; do it again.
    """
    settings = settings_of(uri, database)
    where = f"{shown(settings)}, database {settings.database}"
    if not id_tag.strip():
        raise ArgumentError("the id tag is empty: name the one that is to be forgotten")
    if not is_sure and not sys.stdin.isatty():
        raise ArgumentError("to forget cannot be undone, and there is no terminal to ask at: give --yes")
    with connected(settings), naming(settings):
        if not is_sure and not _agreed(where):
            say("nothing was changed")
            return 1
        changed = asyncio.run(_forget(id_tag, settings))
    out.print(f"{where}: forgotten")
    for name, count in changed.items():
        out.print(f"  {name}: {count:,} document(s) changed")
    aside = quarantined_in(journal_root(settings) / target_of(settings).directory)
    if aside:
        say(f"{len(aside)} damaged segment(s) in {aside[0].parent} are not searched; remove those you do not need")
    return 0


def _agreed(where: str) -> bool:
    err.print(f"Take this id tag out of all that is stored in {where}? This cannot be undone. [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _forget(id_tag: str, settings: Settings) -> dict[str, int]:
    async with visitor(settings) as plugin:
        await plugin.flush(FLUSH_SECONDS)
        return await plugin.forget(id_tag)
