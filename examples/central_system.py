"""A CSMS for OCPP 1.6, 2.0.1 and 2.1. The lines marked "recording" are all that the plugin needs.

It needs ocpp 2.1, which needs Python 3.11, and websockets 13.
"""

import argparse
import asyncio
from datetime import datetime, timezone
from itertools import count

from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call_result as result16
from ocpp.v21 import ChargePoint as ChargePoint21
from ocpp.v21 import call_result as result21
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call_result as result201
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from ocpp_mongo_plugin import MongoPlugin  # recording

transaction_ids = count(1)


def now():
    return datetime.now(timezone.utc).isoformat()


class Station16(ChargePoint16):
    @on("BootNotification")
    def on_boot(self, **request):
        return result16.BootNotification(current_time=now(), interval=60, status="Accepted")

    @on("Heartbeat")
    def on_heartbeat(self):
        return result16.Heartbeat(current_time=now())

    @on("StatusNotification")
    def on_status(self, **request):
        return result16.StatusNotification()

    @on("StartTransaction")
    def on_start(self, **request):
        return result16.StartTransaction(transaction_id=next(transaction_ids), id_tag_info={"status": "Accepted"})

    @on("MeterValues")
    def on_meter_values(self, **request):
        return result16.MeterValues()

    @on("StopTransaction")
    def on_stop(self, **request):
        return result16.StopTransaction(id_tag_info={"status": "Accepted"})


class Station201(ChargePoint201):
    results = result201

    @on("BootNotification")
    def on_boot(self, **request):
        return self.results.BootNotification(current_time=now(), interval=60, status="Accepted")

    @on("Heartbeat")
    def on_heartbeat(self, **request):
        return self.results.Heartbeat(current_time=now())

    @on("StatusNotification")
    def on_status(self, **request):
        return self.results.StatusNotification()

    @on("TransactionEvent")
    def on_transaction_event(self, **request):
        return self.results.TransactionEvent()


class Station21(ChargePoint21):
    results = result21
    on_boot = Station201.on_boot
    on_heartbeat = Station201.on_heartbeat
    on_status = Station201.on_status
    on_transaction_event = Station201.on_transaction_event


VERSIONS = {"ocpp1.6": Station16, "ocpp2.0.1": Station201, "ocpp2.1": Station21}


async def on_connect(connection):
    station_id = connection.request.path.strip("/")
    station = VERSIONS[connection.subprotocol](station_id, connection)
    try:
        await station.start()
    except ConnectionClosed:
        print(f"{station_id} left")


async def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=9000, help="0 for any that is free")
    port = options.parse_args().port

    async with (
        MongoPlugin(),  # recording: OCPP_MONGO_URI and OCPP_MONGO_DATABASE say where
        serve(on_connect, "127.0.0.1", port, subprotocols=list(VERSIONS)) as server,
    ):
        print(f"listening on ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
