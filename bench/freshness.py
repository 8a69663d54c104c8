"""Freshness: seconds from a join or a leave until another page gets its diff.

Everything is real: Redis, Centrifugo, a Celery worker with beat, and websocket connections. Run
`python -m bench.freshness` (a quarter of an hour), or name cases of CASES.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import jwt
from websockets.asyncio.client import ClientConnection, connect

from bench.crowd import Crowd
from bench.site import config
from presence_devtools import servers

ROOM = "presence:fresh:{}"
GRACE = 2.0
SETTLE = 6.0
"""Seconds after which beat, the worker and the first look have begun."""
PERIOD = 10.0
"""Seconds in which a part of each room is replaced."""


class Case(NamedTuple):
    """`rooms` with `members` each, of which `replaced` (a fraction) change in each PERIOD."""

    rooms: int
    members: int
    replaced: float
    tries: int = 50


CASES = {
    "quiet": Case(100, 2, 0.0, tries=30),
    "busy": Case(2000, 10, 0.05),
    "flood": Case(10_000, 10, 0.2, tries=20),
}


class Observer:
    """A page that follows rooms: the time at which each version of its diffs came."""

    def __init__(self, url: str, rooms: list[str]) -> None:
        claims = {"sub": "observer", "exp": time.time() + 86400, "channels": rooms}
        self._token = jwt.encode(claims, servers.TOKEN_SECRET, "HS256")
        self._url = url
        self._waiting: dict[tuple[str, str], asyncio.Future[float]] = {}

    async def __aenter__(self) -> Self:
        self._socket: ClientConnection = await connect(self._url, max_size=None)
        await self._socket.send(json.dumps({"id": 1, "connect": {"token": self._token}}))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await self._socket.close()

    def expect(self, kind: str, user: str) -> asyncio.Future[float]:
        """Return a future of the time at which a diff names the user among its `kind`."""
        found = asyncio.get_running_loop().create_future()
        self._waiting[kind, user] = found
        return found

    async def _read(self) -> None:
        async for frame in self._socket:
            now = time.monotonic()
            for line in str(frame).splitlines():
                message = json.loads(line)
                if not message:
                    await self._socket.send("{}")
                diff = message.get("push", {}).get("pub", {}).get("data", {})
                named = [("joins", member["id"]) for member in diff.get("joins", ())]
                named += [("leaves", user) for user in diff.get("leaves", ())]
                for key in named:
                    if waiting := self._waiting.pop(key, None):
                        waiting.set_result(now)


@contextmanager
def site() -> Iterator[tuple[servers.Centrifugo, int]]:
    """Run a site with one worker process; yields Centrifugo and the worker's process id."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, _ = stack.enter_context(servers.redis_server(directory))
        centrifugo = stack.enter_context(servers.centrifugo_server(directory, config(directory)))
        environment = {
            **os.environ,
            **centrifugo.environment,
            "PRESENCE_REDIS_URL": url,
            "PRESENCE_INTERVAL": "60",
            "PRESENCE_LEAVE_GRACE": str(GRACE),
            "PRESENCE_LIST_LIMIT": "10000",
            "DATABASE_PATH": str(directory / "db.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "CELERY_BROKER_URL": url.replace("/0", "/1"),
        }
        subprocess.run(servers.manage("migrate", "-v0"), env=environment, check=True)
        celery = [sys.executable, "-m", "celery", "-A", "project"]
        worker = [*celery, "worker", "--pool", "solo", "--loglevel", "ERROR"]
        started = [
            subprocess.Popen(command, env=environment, cwd=servers.ROOT)
            for command in (worker, [*celery, "beat", "--loglevel", "ERROR"])
        ]
        try:
            yield centrifugo, started[0].pid
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(30)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(case: Case) -> dict[str, Any]:
    """Return the seconds until joins and leaves are seen, and the worker's part of a core."""
    with site() as (centrifugo, worker):
        crowd = Crowd(centrifugo.ws_url, servers.TOKEN_SECRET)
        try:
            rooms = [ROOM.format(n) for n in range(case.rooms)]
            members = [(f"m{n}", rooms[n % case.rooms]) for n in range(case.rooms * case.members)]
            crowd.connect({user: [room] for user, room in members})
            await asyncio.sleep(SETTLE + case.rooms / 500)
            watched = random.sample(rooms, min(50, case.rooms))
            async with Observer(centrifugo.ws_url, watched) as observer:
                churning = asyncio.create_task(_churn(crowd, case, members))
                try:
                    return await _probe(case, crowd, observer, watched, worker)
                finally:
                    churning.cancel()
        finally:
            await asyncio.sleep(1.5)  # the churn's last command
            crowd.close()


async def _churn(crowd: Crowd, case: Case, members: list[tuple[str, str]]) -> None:
    """Replace members evenly, in each second a tenth of those of a PERIOD."""
    number, count = 0, round(len(members) * case.replaced / PERIOD)
    while count:
        ends = time.monotonic() + 1.0
        gone = [members.pop(0) for _ in range(count)]
        come = [(f"c{number + n}", room) for n, (_, room) in enumerate(gone)]
        number += count
        await asyncio.to_thread(_replace, crowd, gone, come)
        members += come
        await asyncio.sleep(max(0.0, ends - time.monotonic()))


def _replace(crowd: Crowd, gone: list[tuple[str, str]], come: list[tuple[str, str]]) -> None:
    crowd.disconnect([user for user, _ in gone])
    crowd.connect({user: [room] for user, room in come})


async def _probe(
    case: Case, crowd: Crowd, observer: Observer, watched: list[str], worker: int
) -> dict[str, Any]:
    joins, leaves = [], []
    started, used = time.monotonic(), processor_seconds(worker)
    probes = Crowd(crowd.url, servers.TOKEN_SECRET)
    try:
        for number in range(case.tries):
            user, room = f"probe{number}", watched[number % len(watched)]
            await asyncio.sleep(random.random())
            joined = observer.expect("joins", user)
            await asyncio.to_thread(probes.connect, {user: [room]})
            began = time.monotonic()
            joins.append(await asyncio.wait_for(joined, 70) - began)
            left = observer.expect("leaves", user)
            await asyncio.to_thread(probes.disconnect, [user])
            began = time.monotonic()
            leaves.append(await asyncio.wait_for(left, 70) - began - GRACE)
    finally:
        probes.close()
    core = (processor_seconds(worker) - used) / (time.monotonic() - started)
    return {"joins": spread(joins), "leaves, less grace": spread(leaves), "worker's core": core}


def spread(seconds: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum."""
    ordered = sorted(seconds)
    return {
        "p50": median(ordered),
        "p99": ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))],
        "max": ordered[-1],
    }


def main() -> None:
    """Run the cases named on the command line, or all."""
    for name in sys.argv[1:] or CASES:
        print(name, json.dumps(asyncio.run(measure(CASES[name]))), flush=True)


if __name__ == "__main__":
    main()
