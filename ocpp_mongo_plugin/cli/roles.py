"""``ocpp-mongo roles``: the least rights that recording, reading and upkeep need, as commands for MongoDB.

Hides which action is needed for what. Promises that a role names exactly the collections of these settings, and that
no password is ever printed: whoever creates a user is asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ocpp_mongo_plugin.cli.server import settings_of
from ocpp_mongo_plugin.cli.terminal import out, print_json
from ocpp_mongo_plugin.settings import Settings

RECORDER, READER, ADMIN = "ocppRecorder", "ocppReader", "ocppAdmin"
RECORDING = ("find", "insert", "update")
"""What recording does with every collection."""

_READING = ("find", "collStats", "listIndexes")
_UPKEEP = (
    *RECORDING,
    "remove",
    "createCollection",
    "collMod",
    "createIndex",
    "dropIndex",
    "listIndexes",
    "collStats",
    "indexStats",
    "validate",
)
_PURPOSES = {
    RECORDER: "records: may add and complete, and never delete",
    READER: "reads",
    ADMIN: "looks after it: ocpp-mongo init, dead retry, retention",
}


def collections_of(settings: Settings) -> list[str]:
    """Return the names of all collections that are ours."""
    others = [settings.dead_letters_collection, settings.gaps_collection, settings.forgotten_collection]
    return [*settings.collections().values(), *others]


def role_commands(settings: Settings) -> list[dict[str, Any]]:
    """Return the ``createRole`` commands, to be run in the database of these settings."""
    collections = collections_of(settings)
    return [
        _role(settings, RECORDER, (*RECORDING, "listIndexes"), collections),
        # Who has the key of the marks can test whether an id tag was forgotten.
        _role(settings, READER, _READING, [name for name in collections if name != settings.forgotten_collection]),
        _role(settings, ADMIN, _UPKEEP, collections),
    ]


def user_commands(settings: Settings, user: str) -> list[dict[str, Any]]:
    """Return the ``createUser`` commands without ``pwd``, which is for a person to give."""
    names = {RECORDER: user, READER: f"{user}-reader", ADMIN: f"{user}-admin"}
    return [{"createUser": name, "roles": [{"role": role, "db": settings.database}]} for role, name in names.items()]


def show(*, database: str | None, user: str, as_json: bool) -> int:
    """Print the commands; return the exit code."""
    settings = settings_of(None, database)
    roles, users = role_commands(settings), user_commands(settings, user)
    if as_json:
        print_json({"database": settings.database, "roles": roles, "users": users})
        return 0
    print_line = out.file.write
    print_line("// For mongosh, as a user who may create roles and users. Each passwordPrompt() asks for a password.\n")
    print_line(f"db = db.getSiblingDB({json.dumps(settings.database)})\n")
    for role in roles:
        name, rest = role["createRole"], {key: value for key, value in role.items() if key != "createRole"}
        print_line(f"\n// {name} {_PURPOSES[name]}\n")
        print_line(f"db.createRole({_object({'role': name, **rest})})\n")
    print_line("\n")
    for command in users:
        told = [f"user: {json.dumps(command['createUser'])}", "pwd: passwordPrompt()"]
        told.append(f"roles: {json.dumps(command['roles'])}")
        print_line(f"db.createUser({{ {', '.join(told)} }})\n")
    print_line(f"\n// The users log in with: mongodb://{user}:PASSWORD@HOST/?authSource={settings.database}\n")
    return 0


def _role(settings: Settings, name: str, actions: Sequence[str], collections: Sequence[str]) -> dict[str, Any]:
    whole = {"resource": {"db": settings.database, "collection": ""}, "actions": ["listCollections"]}
    each = [
        {"resource": {"db": settings.database, "collection": collection}, "actions": list(actions)}
        for collection in collections
    ]
    return {"createRole": name, "privileges": [whole, *each], "roles": []}


def _object(role: dict[str, Any]) -> str:
    privileges = ",\n".join(f"    {json.dumps(privilege)}" for privilege in role["privileges"])
    return f"{{\n  role: {json.dumps(role['role'])},\n  privileges: [\n{privileges}\n  ],\n  roles: []\n}}"
