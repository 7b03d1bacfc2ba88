"""Masks by path, and the hook ``ocpp_redact`` that names them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from ocpp_mongo_plugin import MongoPlugin, hookimpl
from ocpp_mongo_plugin.masking import masked

CALL = '[2,"1","X",{"a":{"b":[1,{"c":"secret"}]},"d":2}]'


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (CALL, "payload.a.b[1].c", '[2,"1","X",{"a":{"b":[1,{"c":"***"}]},"d":2}]'),
        (CALL, "payload", '[2,"1","X","***"]'),
        ('[3,"1",{"x":"é"}]', "payload.x", '[3,"1",{"x":"***"}]'),
        ('[4,"1","Code","text",{"x":1}]', "error_description", '[4,"1","Code","***",{"x":1}]'),
        ('[4,"1","Code","text",{"x":1}]', "error_details.x", '[4,"1","Code","text",{"x":"***"}]'),
    ],
)
def test_a_path_masks_what_it_names(text: str, path: str, expected: str):
    assert masked(text, [path]) == (expected, (path,))
    assert masked(expected, [path]) == (expected, ())


@pytest.mark.parametrize("path", ["payload.z", "payload.a.b[9]", "payload.a[0]", "payload.d.e", "nothing", "", "[0]"])
def test_a_path_that_leads_nowhere_changes_nothing(path: str):
    text, found = masked(CALL, [path])
    assert text is CALL
    assert found == ()


def test_of_what_is_no_message_all_is_masked():
    assert masked("AT+PASS=1", ["payload.x"]) == ("***", ("raw",))
    assert masked("AT+PASS=1", []) == ("AT+PASS=1", ())


@given(st.text(), st.lists(st.text()))
def test_nothing_raises(text: str, paths: list[str]):
    masked(text, paths)
    masked(CALL, paths)


class Discreet:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def ocpp_redact(self, message: Any) -> list[str] | None:
        self.seen.append(message)
        return ["payload.plate"] if message.action == "DataTransfer" else None


async def test_a_plugin_says_what_else_is_not_to_be_stored(mock_database: Any):
    discreet = Discreet()
    plugin = MongoPlugin(database=mock_database, data_transfer={"*": "keep"})
    plugin.register(discreet)
    async with plugin:
        plugin.record("CP1", "received", '[2,"1","DataTransfer",{"vendorId":"v","plate":"B-AB 1"}]', "1.6")
        plugin.record("CP1", "received", '[2,"2","Heartbeat",{}]', "1.6")
        transfer, beat = (await plugin.messages.find())[::-1]
    assert transfer.payload == {"vendorId": "v", "plate": "***"}
    assert "B-AB" not in transfer.raw
    assert transfer.redacted == ["payload.plate"]
    assert beat.redacted is None
    assert [(m.action, m.station_id) for m in discreet.seen] == [("DataTransfer", "CP1"), ("Heartbeat", "CP1")]


async def test_what_it_is_shown_has_no_credentials(mock_database: Any):
    discreet = Discreet()
    plugin = MongoPlugin(database=mock_database)
    plugin.register(discreet)
    async with plugin:
        text = '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"c4n4ry"}]'
        plugin.record("CP1", "sent", text, "1.6")
        await plugin.flush()
    assert "c4n4ry" not in str(discreet.seen)


@pytest.mark.parametrize("kind", ["raises", "hangs", "numbers", "number"])
async def test_a_plugin_that_cannot_say_costs_the_payload_and_no_frame(mock_database: Any, kind: str):
    """Whoever registers such a hook has a reason: what it was not asked about is not stored."""
    going = threading.Event()

    class Faulty:
        @hookimpl
        def ocpp_redact(self, message: Any) -> Any:
            if kind == "raises":
                raise RuntimeError(message.payload)
            if kind == "hangs":
                going.wait(20)
            return {"numbers": [3], "number": 3}.get(kind)

    plugin = MongoPlugin(database=mock_database)
    plugin._hooks._patience = 0.05
    plugin.register(Faulty(), "faulty")
    async with plugin:
        for number in range(5):
            plugin.record("CP1", "received", f'[2,"{number}","Authorize",{{"idTag":"A"}}]', "1.6")
        messages = await plugin.messages.find()
        assert [m.payload for m in messages] == ["***"] * 5
        assert plugin.hook_errors["faulty"] == 5
        going.set()
    wait_until(lambda: not [t for t in threading.enumerate() if "redact" in t.name])
