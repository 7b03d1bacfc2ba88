"""A few frames without a socket, in this process or in workers: python heartbeats.py [fork|spawn|forkserver|pool]."""

import asyncio
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from ocpp.v16 import ChargePoint


class Nobody:
    async def send(self, _text):
        """Nobody is there."""


async def send(station_id, count):
    station = ChargePoint(station_id, Nobody())
    for number in range(count):
        await station._send(f'[2,"{number}","Heartbeat",{{}}]')


def work(station_id, count=10):
    asyncio.run(send(station_id, count))


if __name__ == "__main__":
    how = sys.argv[1] if len(sys.argv) > 1 else "here"
    if how == "here":
        work("here")
    elif how.startswith("pool-"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how.removeprefix("pool-"))) as pool:
            list(pool.map(work, ["worker-0", "worker-1"]))
    else:
        context = multiprocessing.get_context(how)
        workers = [context.Process(target=work, args=(f"worker-{number}",)) for number in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        sys.exit(max(worker.exitcode for worker in workers))
