"""The filter for the logger of the ocpp library: what it writes of real conversations holds no credential."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import ocpp.v16.call
import pytest
from test_plugin import csms, station

from ocpp_mongo_plugin import CredentialFilter


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the logger of the library writes through the filter."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("ocpp")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    added = CredentialFilter()
    logger.addFilter(added)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
    logger.removeFilter(added)
    logger.setLevel(before)


async def test_frames_are_logged_without_their_credentials(written: io.StringIO):
    async with csms() as url, station(url, "ocpp1.6") as charge_point:
        await charge_point.call(ocpp.v16.call.Heartbeat())
        secret = ocpp.v16.call.DataTransfer(vendor_id="x", data='{"password": "c4n4ry-1"}')
        await charge_point.call(secret, suppress=True)
        await charge_point.route_message('[2,"9","ChangeConfiguration",{"key":"AuthorizationKey","value":"c4n4ry-2"}]')
    text = written.getvalue()
    assert "Heartbeat" in text
    assert "DataTransfer" in text
    assert "ChangeConfiguration" in text
    assert "c4n4ry" not in text


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ('CP1: send [2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"c4n4ry"}]', ()),
        ("fetch %s", ("ftp://user:c4n4ry@files.example/log",)),
        ("Authorization: Basic c4n4ry", ()),
        (
            "%s: receive message %s",
            ("CP1", '[2,"1","SetNetworkProfile",{"connectionData":{"basicAuthPassword":"c4n4ry"}}]'),
        ),
        ("%(a)s", ({"a": "password=c4n4ry"},)),
    ],
)
def test_however_it_is_said(written: io.StringIO, message: str, arguments: tuple[Any, ...]):
    logging.getLogger("ocpp").warning(message, *arguments)
    assert "c4n4ry" not in written.getvalue()
    assert written.getvalue().strip()


def test_tracebacks_too(written: io.StringIO):
    def fail(text: str) -> None:
        raise ValueError(text)

    try:
        fail('[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"c4n4ry"}]')
    except ValueError:
        logging.getLogger("ocpp").exception("Error while handling request '%s'", object())
    assert "ValueError" in written.getvalue()
    assert "c4n4ry" not in written.getvalue()


def test_other_lines_are_as_they_were(written: io.StringIO):
    logging.getLogger("ocpp").info("%s: %d of %.1f", "CP1", 3, 2.5)
    assert written.getvalue() == "CP1: 3 of 2.5\n"
    logging.getLogger("ocpp").info("wrong %d", "text")  # logging says so itself; the filter is silent
