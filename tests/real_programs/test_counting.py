"""The relay and the comparison themselves: that they see what crossed, and that a difference does not escape them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mongomock
import pytest
import websockets
from counting import count
from relay import Connection, Relay
from stations import connected
from waiting import wait_until_async
from wild import WILD

Documents = list[dict[str, Any]]
CALL, ANSWER = '[2,"1","Heartbeat",{}]', '[3,"1",{}]'


@pytest.mark.parametrize("options", [{}, {"compression": None}], ids=["compressed", "plain"])
async def test_the_relay_sees_what_both_ends_see(options: dict[str, Any]) -> None:
    seen: list[str] = []

    async def echo(socket: Any) -> None:
        async for message in socket:
            if isinstance(message, str):
                seen.append(message)
                await socket.send(json.dumps([3, message]))
            else:
                await socket.ping()

    async with (
        websockets.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["ocpp1.6"]) as server,
        Relay(server.sockets[0].getsockname()[1]) as relay,
        connected(relay.url("a", "b"), "C/P 1", **options) as station,
    ):
        for text in WILD:
            await station.say(text)
            await station.say_bytes(b"\x00\xff")
        await wait_until_async(lambda: len(station.received) == len(WILD))
    [one] = relay.connections
    assert one.to_server == station.sent == seen
    assert one.to_client == station.received == [json.dumps([3, text]) for text in seen]
    assert (one.station_id, one.accepted, one.binary, one.unreadable) == ("C/P 1", True, len(WILD), "")


def both_ways(number: int) -> tuple[Connection, Documents]:
    """Return a connection of some calls and their answers, and what is stored of it."""
    calls = [CALL.replace("1", str(one)) for one in range(number)]
    answers = [ANSWER.replace("1", str(one)) for one in range(number)]
    texts = [text for pair in zip(calls, answers, strict=True) for text in pair]
    documents = [
        {
            "station_id": "CP1",
            "session_id": "a",
            "sequence": place,
            "direction": "sent" if place % 2 else "received",
            "raw": text,
        }
        for place, text in enumerate(texts)
    ]
    return Connection("/x/CP1", accepted=True, to_server=calls, to_client=answers), documents


def lose(documents: Documents) -> None:
    documents.pop()


def alter(documents: Documents) -> None:
    documents[3]["raw"] += " "


def redact(documents: Documents) -> None:
    documents[3] |= {"raw": "***", "redacted": ["data"]}


def double(documents: Documents) -> None:
    documents.append(documents[-1] | {"sequence": len(documents)})


def turn_round(documents: Documents) -> None:
    documents[2]["direction"] = "sent"


def exchange(documents: Documents) -> None:
    documents[2]["raw"], documents[4]["raw"] = documents[4]["raw"], documents[2]["raw"]


def answer_early(documents: Documents) -> None:
    documents[2]["sequence"], documents[3]["sequence"] = 3, 2


def skip(documents: Documents) -> None:
    documents[-1]["sequence"] += 1


def add_a_session(documents: Documents) -> None:
    documents.append(documents[0] | {"session_id": "b"})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lose, "1 lost, 0 altered, 0 extra, 0 misplaced"),
        (alter, "0 lost, 1 altered, 0 extra, 0 misplaced"),
        (redact, "0 lost, 0 altered, 0 extra, 0 misplaced, 1 redacted"),
        (double, "0 lost, 0 altered, 1 extra, 0 misplaced"),
        (turn_round, "1 lost, 0 altered, 1 extra, 0 misplaced"),
        (exchange, "1 lost, 0 altered, 1 extra, 1 misplaced"),
        (answer_early, "0 lost, 0 altered, 0 extra, 1 misplaced"),
        (skip, "0 lost, 0 altered, 0 extra, 1 misplaced"),
        (add_a_session, "0 lost, 0 altered, 1 extra, 0 misplaced"),
    ],
)
def test_a_difference_is_found(change: Callable[[Documents], None], found: str) -> None:
    connection, documents = both_ways(5)
    database = mongomock.MongoClient()["counted"]
    database.ocpp_messages.insert_many(documents)
    assert count([connection], database).is_whole
    database.ocpp_messages.drop()
    change(documents)
    database.ocpp_messages.insert_many([{**document, "_id": place} for place, document in enumerate(documents)])
    result = count([connection], database)
    assert not result.is_whole
    assert found in str(result)
    assert "first: " in str(result) or "redacted" in found
