"""A station as a program of its own: python program_station.py URL SUBPROTOCOL. Charges once, recorded or not."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from test_plugin import charge, station

from ocpp_mongo_plugin import MongoPlugin


async def main(url: str, subprotocol: str) -> None:
    async with AsyncExitStack() as stack:
        if os.environ.get("OCPP_MONGO_DATABASE"):
            await stack.enter_async_context(MongoPlugin())
        charge_point = await stack.enter_async_context(station(url, subprotocol))
        await charge(charge_point, subprotocol)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
