"""A plain OCPP 1.6 station, which knows nothing of recording: python station.py URL."""

import asyncio
import sys
from datetime import datetime, timezone

from ocpp.v16 import ChargePoint, call
from websockets.asyncio.client import connect


async def main(url):
    async with connect(f"{url.rstrip('/')}/CP001", subprotocols=["ocpp1.6"]) as connection:
        station = ChargePoint("CP001", connection)
        reading = asyncio.create_task(station.start())
        booted = await station.call(call.BootNotification(charge_point_vendor="Volta", charge_point_model="Home 7"))
        now = datetime.now(timezone.utc).isoformat()
        started = await station.call(
            call.StartTransaction(connector_id=1, id_tag="ANNA", meter_start=1000, timestamp=now)
        )
        await station.call(call.StopTransaction(meter_stop=2500, timestamp=now, transaction_id=started.transaction_id))
        reading.cancel()
    print(booted.interval)  # of tests/programs/web_app.py: the worker that answered


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
