"""F28, I9: a canary in every credential of every schema, under faults, and nothing that we write holds one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bson
import pytest
from pymongo import MongoClient
from test_redaction_schemas import LEAVES, frame_of
from waiting import wait_until_async

from ocpp_mongo_plugin import CredentialFilter, MongoPlugin, OcppMongoError, hookimpl

CANARY, PASSWORD = "Kanarien-7f3e91", "Kanarien-passw0rt-55"
FORMS = [
    '[2,"{id}","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{canary}"}}]',
    '[4,"{id}","GenericError","cannot set AuthorizationKey={canary}",{{"value":"{canary}"}}]',
    '[2,"{id}","GetDiagnostics",{{"location":"ftp://user:{canary}@files.example/x?sig={canary}"}}]',
    '[2,"{id}","DataTransfer",{{"vendorId":"v","data":"{{\\"password\\":\\"{canary}\\"}}"}}]',
    '[2,"{id}","ChangeConfiguration",{{"key":"\\u0041uthorizationKey","value":"{canary}"',
    '[2,"{id}","ChangeConfiguration",{{"value":"{canary}","key":"AuthorizationKey"',
    "AT+HTTPPARA=Authorization: Basic {canary}",
    '{{"password":"{canary}"}}',
    '[2,"{id}","Authorize",{{"idToken":{{"idToken":"{canary}","type":"KeyCode"}}}}]',
]


def frames() -> Iterator[tuple[str, str]]:
    """Return version and text: each credential of each schema, the same unfinished, and what no schema has."""
    versions = {"v16": "1.6", "v201": "2.0.1", "v21": "2.1"}
    for number, leaf in enumerate(leaf for leaf in LEAVES if "A" in leaf.classes and leaf.kinds & {"string"}):
        text = frame_of(leaf, CANARY, secret=True)
        message = json.loads(text)
        message[1] = f"c{number}"
        yield versions[leaf.message.partition("/")[0]], json.dumps(message)
        if leaf.action in text:
            yield versions[leaf.message.partition("/")[0]], json.dumps(message)[:-3]
    for number, form in enumerate(FORMS):
        yield "1.6", form.format(id=f"f{number}", canary=CANARY)


FRAMES = list(frames())


def found_in(data: bytes) -> bool:
    return any(name.encode() in data or name.encode("utf-16-le") in data for name in (CANARY, PASSWORD))


def command(*arguments: str, env: dict[str, str]) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "ocpp_mongo_plugin.cli", *arguments], env=env, capture_output=True, check=False
    )
    assert b"defect" not in done.stderr, done.stderr
    return done.stdout + done.stderr


class Listener:
    def __init__(self) -> None:
        self.heard: list[object] = []

    @hookimpl
    def ocpp_project(self, fact: Any) -> None:
        self.heard.append(fact)

    @hookimpl
    def ocpp_redact(self, message: Any) -> None:
        self.heard.append(message)


@pytest.mark.timeout(240)
async def test_f28_no_canary_is_anywhere(  # noqa: PLR0915 - one long story
    own_mongod: Any, tmp_path: Path, measured: Callable[[str], None], caplog: pytest.LogCaptureFixture, capsys: Any
):
    server = own_mongod(auth=True)
    host = server.uri.partition("://")[2].rpartition("@")[2].strip("/").split("/")[0]
    with MongoClient(server.uri) as client:
        client.admin.command("createUser", "recorder", pwd=PASSWORD, roles=["root"])
    uri = f"mongodb://recorder:{quote(PASSWORD)}@{host}/?authSource=admin"
    log_filter = CredentialFilter()
    logging.getLogger("ocpp").addFilter(log_filter)
    caplog.set_level(logging.DEBUG)
    listener = Listener()
    seen: dict[str, bytes] = {}
    where = {"durability": "journal", "journal_directory": tmp_path / "state", "operation_timeout": 1}
    plugin = MongoPlugin(uri, "canaries", **where)
    plugin.register(listener)
    told: list[str] = []
    async with plugin:
        with MongoClient(uri) as client:  # a third of what comes is refused
            await plugin.flush(30)
            validator = {"$expr": {"$ne": [{"$mod": ["$sequence", 3]}, 0]}}
            client.canaries.command("collMod", "ocpp_messages", validator=validator)
        server.stop()
        for number, (version, text) in enumerate(FRAMES):
            direction = "sent" if number % 2 else "received"
            plugin.record(f"CP{version}", direction, text, version, session=str(number % 7))
            logging.getLogger("ocpp").info("%s: receive message %s", f"CP{version}", text)
        try:
            await plugin.flush(0.5)
        except OcppMongoError:
            told.append(traceback.format_exc())
        told += [repr(plugin.stats), str(plugin.health), repr(plugin.settings), repr(plugin.settings.model_dump())]
        journal = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
        seen["journal"] = journal
        server.start()
        await wait_until_async(lambda: plugin.stats.waiting == 0, 60)
        stats = plugin.stats
        for query in (plugin.messages.find(limit=5), plugin.messages.get("x"), plugin.transactions.by_id_tag("")):
            try:
                told.append(repr(await query))
            except OcppMongoError:
                told.append(traceback.format_exc())
    try:
        MongoPlugin(f"mongodb://recorder:{PASSWORD}@{host}:99999/")
    except OcppMongoError:
        told.append(traceback.format_exc())
    with MongoClient(uri, tz_aware=True) as client:
        database = client.canaries
        for name in database.list_collection_names():
            seen[f"collection {name}"] = b"".join(bson.encode(document) for document in database[name].find())
        stored, dead = database.ocpp_messages.count_documents({}), database.dead_letters.count_documents({})
        one = str(database.dead_letters.find_one()["_id"])
    env = {**os.environ, "OCPP_MONGO_URI": uri, "OCPP_MONGO_DATABASE": "canaries"}
    env["OCPP_MONGO_JOURNAL_DIRECTORY"] = str(tmp_path / "state")
    commands = [["stats"], ["stats", "--json"], ["doctor"], ["doctor", "--json"], ["dead", "ls"], ["dead", "show", one]]
    commands += [["dead", "show", one, "--json"], ["journal", "ls"], ["journal", "verify"], ["roles"]]
    commands += [["stats", "--uri", f"mongodb://recorder:{PASSWORD}@{host}:99999/"], ["stats", "--uri", uri + "wrong"]]
    seen["CLI output"] = b"".join(command(*one, env=env) for one in commands)
    logging.getLogger("ocpp").removeFilter(log_filter)
    printed = capsys.readouterr()
    formatter = logging.Formatter("%(message)s")
    seen["logs"] = "\n".join(formatter.format(record) for record in caplog.records).encode()
    seen["terminal"] = (printed.out + printed.err).encode()
    seen["tracebacks and figures"] = "\n".join(told).encode()
    seen["hooks"] = repr(listener.heard).encode()
    leaks = {place: found_in(data) for place, data in seen.items()}
    measured(
        f"F28 {len(FRAMES)} frames with a canary, and one in the URI; {stored} stored, {dead} dead letters: "
        f"{sum(leaks.values())} canaries in {len(seen)} places ({', '.join(seen)})"
    )
    assert stats.captured == len(FRAMES) == stored + dead
    assert dead > 10
    assert len(seen["CLI output"]) > 1000
    assert seen["journal"]
    assert [place for place, leaked in leaks.items() if leaked] == []
