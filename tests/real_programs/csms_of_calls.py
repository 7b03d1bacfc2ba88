"""A CSMS on the library ocpp_csms, as people write one: it asks each station what real ones were asked.

python csms_of_calls.py FILE: listens on a free port, and plays the calls of a CSMS in FILE, a JSON object with lists of
[action, payload] by station id, to each station that connects.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from ocpp.charge_point import camel_to_snake_case
from ocpp.v16 import call
from ocpp_csms import CentralSystem, ConnectedEvent, CsmsError


async def ask(central_system: CentralSystem, station_id: str, calls: list[tuple[str, Any]]) -> None:
    station = central_system.charge_points[station_id]
    for action, payload in calls:
        try:
            await station.async_call(getattr(call, action)(**camel_to_snake_case(payload)))
        except CsmsError as error:
            print(station_id, action, error, flush=True)
    print("asked", station_id, len(calls), flush=True)


async def main(calls: dict[str, list[tuple[str, Any]]]) -> None:
    tasks = []
    async with CentralSystem(host="127.0.0.1", port=0) as central_system:

        def listen(event: object) -> None:
            if isinstance(event, ConnectedEvent):
                station_id = event.charge_point_id
                tasks.append(asyncio.create_task(ask(central_system, station_id, calls.get(station_id, []))))

        central_system.add_listener(listen)
        print(f"listening on port {central_system.port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
