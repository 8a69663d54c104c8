"""Cursors that move as fast as pages let them, and what Centrifugo made of it.

`python -m bench.movers URL CURSORS` moves them until its input ends, and then prints one line of
JSON: moves `sent`, `refused` ones, moves of others `received`, and the `seconds` it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

from websockets.asyncio.client import ClientConnection, connect

from tests.websocket_clients import connection_token

ROOM = "cursors:load:{}"
MEMBERS = 4
"""Cursors in each room: every move is sent to the three others."""
EVERY = 0.05
"""Seconds between two moves of a cursor: the default of PRESENCE_CURSOR_INTERVAL."""


async def move(url: str, number: int, stop: asyncio.Event, counts: Counter[str]) -> None:
    """Move one cursor until `stop`, and count."""
    room = ROOM.format(number // MEMBERS)
    async with connect(url, max_size=None) as socket:
        token = connection_token(f"mover{number}", channels=[room])
        await socket.send(json.dumps({"id": 1, "connect": {"token": token}}))
        reading = asyncio.create_task(_read(socket, counts))
        due = time.monotonic() + EVERY * number / MEMBERS % EVERY
        while not stop.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += EVERY
            counts["sent"] += 1
            at = {"x": counts["sent"] % 1000 / 1000, "y": 0.5}
            command = {"channel": room, "data": at}
            await socket.send(json.dumps({"id": counts["sent"] + 1, "publish": command}))
        await socket.close()
        await reading


async def _read(socket: ClientConnection, counts: Counter[str]) -> None:
    async for frame in socket:
        for line in str(frame).splitlines():
            if line == "{}":
                await socket.send("{}")
            elif '"error"' in line:
                counts["refused"] += 1
            elif '"push"' in line and '"pub"' in line:
                counts["received"] += 1


async def main(url: str, cursors: int) -> None:
    stop, counts = asyncio.Event(), Counter[str](sent=0, refused=0, received=0)
    moving = asyncio.gather(*(move(url, number, stop, counts) for number in range(cursors)))
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    began = time.monotonic()
    # A mover that fails ends the process, and so the bench.
    await asyncio.wait([ended, moving], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await moving
    print(json.dumps({**counts, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
