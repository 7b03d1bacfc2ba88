"""An OCPP 2.0.1 station that charges one car. The lines marked "recording" are all that the plugin needs.

It needs ocpp 1.0 and websockets 13.
"""

import argparse
import asyncio
from datetime import datetime, timezone
from itertools import count
from uuid import uuid4

from ocpp.v201 import ChargePoint, call
from websockets.asyncio.client import connect

from ocpp_mongo_plugin import MongoPlugin  # recording


def now():
    return datetime.now(timezone.utc).isoformat()


async def charge(station):
    transaction_id, numbers = str(uuid4()), count()

    async def event(kind, trigger, energy, **more):
        sample = {
            "value": energy,
            "measurand": "Energy.Active.Import.Register",
            "unit_of_measure": {"unit": "kWh"},
        }
        await station.call(
            call.TransactionEvent(
                event_type=kind,
                timestamp=now(),
                trigger_reason=trigger,
                seq_no=next(numbers),
                transaction_info={"transaction_id": transaction_id, **more.pop("info", {})},
                meter_value=[{"timestamp": now(), "sampled_value": [sample]}],
                **more,
            )
        )

    await station.call(
        call.BootNotification(charging_station={"vendor_name": "Ampere", "model": "Duo"}, reason="PowerUp")
    )
    await station.call(call.StatusNotification(timestamp=now(), connector_status="Occupied", evse_id=1, connector_id=1))
    token = {"id_token": "BEN", "type": "ISO14443"}
    await event("Started", "Authorized", 10.0, evse={"id": 1, "connector_id": 1}, id_token=token)
    await event("Updated", "MeterValuePeriodic", 10.75)
    await event("Ended", "StopAuthorized", 11.5, info={"stopped_reason": "Local"})


async def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url", nargs="?", default="ws://127.0.0.1:9000", help="of the CSMS")
    options.add_argument("--id", default="CS201", help="of this station")
    given = options.parse_args()

    async with MongoPlugin() as plugin:  # recording: OCPP_MONGO_URI and OCPP_MONGO_DATABASE say where
        async with connect(f"{given.url.rstrip('/')}/{given.id}", subprotocols=["ocpp2.0.1"]) as connection:
            station = ChargePoint(given.id, connection)
            reading = asyncio.create_task(station.start())
            await charge(station)
            reading.cancel()

        for transaction in await plugin.transactions.by_station(given.id):  # what was recorded
            print(f"transaction {transaction.transaction_id}: {transaction.energy_consumed} Wh")


if __name__ == "__main__":
    asyncio.run(main())
