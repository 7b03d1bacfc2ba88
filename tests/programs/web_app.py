"""A CSMS as a FastAPI application, which knows nothing of recording. Its boot interval is the worker's process id."""

import os
from contextlib import suppress
from datetime import datetime, timezone

from fastapi import FastAPI, WebSocket
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from starlette.websockets import WebSocketDisconnect

app = FastAPI()


class Adapter:
    def __init__(self, websocket):
        self.websocket = websocket

    async def recv(self):
        return await self.websocket.receive_text()

    async def send(self, text):
        await self.websocket.send_text(text)


class Station(ChargePoint):
    @on("BootNotification")
    def on_boot(self, **_request):
        now = datetime.now(timezone.utc).isoformat()
        return call_result.BootNotification(current_time=now, interval=os.getpid(), status="Accepted")

    @on("StartTransaction")
    def on_start(self, **_request):
        return call_result.StartTransaction(transaction_id=os.getpid(), id_tag_info={"status": "Accepted"})

    @on("StopTransaction")
    def on_stop(self, **_request):
        return call_result.StopTransaction()


@app.websocket("/{station_id}")
async def serve(websocket: WebSocket, station_id: str):
    await websocket.accept(subprotocol="ocpp1.6")
    with suppress(WebSocketDisconnect):
        await Station(station_id, Adapter(websocket)).start()
