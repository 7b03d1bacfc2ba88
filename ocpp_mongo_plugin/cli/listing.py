"""``ocpp-mongo plugins``: what is installed in the entry-point group, and what a recording program makes of it.

Hides metadata and loading. Promises to load plugins in the way that recording does, so that what is said here is what
happens there.
"""

from __future__ import annotations

import logging

from ocpp_mongo_plugin.cli.terminal import out, print_json, readable
from ocpp_mongo_plugin.hooks import Hooks, Installed
from ocpp_mongo_plugin.settings import read_settings


def show(*, as_json: bool) -> int:
    """List the plugins; return 1 when one of them fails, else 0."""
    chosen = read_settings({}).load_plugins
    # What it would log is in the list.
    logging.getLogger("ocpp_mongo_plugin").setLevel(logging.ERROR)
    installed = Hooks(load_entry_points=chosen if chosen is not False else ()).installed
    if as_json:
        print_json({"plugins": [plugin._asdict() for plugin in installed]})
    else:
        for plugin in installed:
            out.print(readable(_line(plugin)))
        if not installed:
            out.print("no plugin is installed")
    return int(any(plugin.state == "failed" for plugin in installed))


def _line(plugin: Installed) -> str:
    home = " ".join(part for part in (plugin.distribution, plugin.version, f"({plugin.value})") if part)
    return f"{plugin.state:9} {plugin.name}: {home if plugin.value else 'not installed'}{_more(plugin)}"


def _more(plugin: Installed) -> str:
    if plugin.state == "failed":
        return f": {plugin.reason}"
    if plugin.state == "left out":
        return ", since OCPP_MONGO_LOAD_PLUGINS does not name it"
    if plugin.state == "ours":
        return ", for plugin managers of others"
    return f": {', '.join(plugin.hooks) or 'no hooks'}"
