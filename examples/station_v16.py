"""An OCPP 1.6 station that charges one car. The lines marked "recording" are all that the plugin needs.

It needs ocpp 1.0 and websockets 13.
"""

import argparse
import asyncio
from datetime import datetime, timezone

from ocpp.v16 import ChargePoint, call
from websockets.asyncio.client import connect

from ocpp_mongo_plugin import MongoPlugin  # recording


def now():
    return datetime.now(timezone.utc).isoformat()


async def charge(station):
    await station.call(call.BootNotification(charge_point_vendor="Volta", charge_point_model="Home 7"))
    await station.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Preparing"))
    started = await station.call(
        call.StartTransaction(connector_id=1, id_tag="ANNA", meter_start=1000, timestamp=now())
    )
    for energy in ("1.500", "2.000", "2.500"):
        sample = {"value": energy, "unit": "kWh", "measurand": "Energy.Active.Import.Register"}
        await station.call(
            call.MeterValues(
                connector_id=1,
                transaction_id=started.transaction_id,
                meter_value=[{"timestamp": now(), "sampled_value": [sample]}],
            )
        )
    await station.call(call.StopTransaction(meter_stop=2500, timestamp=now(), transaction_id=started.transaction_id))


async def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url", nargs="?", default="ws://127.0.0.1:9000", help="of the CSMS")
    options.add_argument("--id", default="CP001", help="of this station")
    given = options.parse_args()

    async with MongoPlugin() as plugin:  # recording: OCPP_MONGO_URI and OCPP_MONGO_DATABASE say where
        async with connect(f"{given.url.rstrip('/')}/{given.id}", subprotocols=["ocpp1.6"]) as connection:
            station = ChargePoint(given.id, connection)
            reading = asyncio.create_task(station.start())
            await charge(station)
            reading.cancel()

        for transaction in await plugin.transactions.by_station(given.id):  # what was recorded
            print(f"transaction {transaction.transaction_id}: {transaction.energy_consumed} Wh")


if __name__ == "__main__":
    asyncio.run(main())
