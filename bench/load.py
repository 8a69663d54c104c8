"""A site under load: connections that stay while it ticks each second, that all return at once, and
a burst of snapshots, beside cursors that move all the time.

`python -m bench.load` holds 10,000 connections for five minutes, `--quick` few of them for seconds.
It prints the figures as JSON, and what is wrong with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import redis
import requests

from bench.crowd import Crowd
from bench.freshness import spread
from bench.live_site import GRACE, LiveSite, live_site
from bench.movers import EVERY
from bench.movers import MEMBERS as SHARED
from bench.pages import PATIENCE, Observer, Times, attribute, come_and_go, opened
from presence.backends.redis.store import RedisStore
from presence.sync.statistics import Tick, read
from presence_devtools import servers
from presence_devtools.servers import ROOT
from tests.browser.one_page_site import include

INTERVAL = 1.0
LEAVE_GRACE = 10.0
"""Seconds in which all connections have to be back: the default of PRESENCE_LEAVE_GRACE."""
ROOM = "presence:load:{}"
PROBE = "presence:probe:{}"
MEMBERS = 10
"""Connections in each room."""
LANES = 5
"""Rooms in which pages come and go, to measure freshness."""
AT_ONCE = 500
"""Requests for snapshots that are open at the same time."""
GROWTH = 1.1
"""Memory at the end / memory after a quarter of the time: more is a leak."""
FRESH = 1.5
"""Seconds in which others see 99 of 100 joins and, after the grace, leaves (docs/freshness.md)."""
COMPLAINT = re.compile(r": (WARNING|ERROR|CRITICAL)/")
"""Pattern of the lines in the log of a worker or of beat that report something wrong."""


@dataclass(frozen=True)
class Size:
    connections: int
    seconds: float
    snapshots: int
    cursors: int


LONG = Size(connections=10_000, seconds=300.0, snapshots=10_000, cursors=100)
QUICK = Size(connections=500, seconds=12.0, snapshots=500, cursors=12)
"""The long and the short form. A cursor moves 20 times a second."""


class Load:
    """A site with a crowd in its rooms."""

    def __init__(self, site: LiveSite, crowd: Crowd, size: Size) -> None:
        self._site, self._crowd, self._size = site, crowd, size
        self._users = {f"u{n}": [ROOM.format(n // MEMBERS)] for n in range(size.connections)}
        self._rooms = sorted({room for (room,) in self._users.values()})
        self._store = RedisStore(site.stage.redis_url, timeout=60.0)
        self._redis = redis.Redis.from_url(site.stage.redis_url)
        self._worker = psutil.Process(site.worker)
        self._ticks: dict[str, Tick] = {}

    def measure(self) -> dict[str, Any]:
        """Run the parts, one after the other. Returns the figures of each."""
        began = time.monotonic()
        self._crowd.connect(self._users)
        found: dict[str, Any] = {"connected": {"seconds": time.monotonic() - began}}
        servers.wait_until(lambda: self._shown() == len(self._users), "all show", timeout=120)
        with self._moving() as moves:
            found["held"] = self._hold()
            found["returned"] = self._return()
            found["snapshots"] = self._burst()
        return {**found, "cursors": moves}

    def _hold(self) -> dict[str, Any]:
        """Hold all connections, while pages come and go in other rooms."""
        self._ticks.clear()
        memory: list[tuple[float, float]] = []
        times = asyncio.run(self._probe(memory))
        self._crowd.settle()
        worker, stored = zip(*memory, strict=True)
        return {
            **self._ticked(),
            "joins": spread(times.joins),
            "leaves": spread([seconds + GRACE - LEAVE_GRACE for seconds in times.leaves]),
            "worker_mb": _ends(worker),
            "redis_mb": _ends(stored),
            "log": self._complaints(),
        }

    async def _probe(self, memory: list[tuple[float, float]]) -> Times:
        times, ends = Times(), time.monotonic() + self._size.seconds
        rooms = [PROBE.format(n) for n in range(LANES)]
        observer = Observer(self._site.stage, rooms)

        async def lane(room: str) -> None:
            while time.monotonic() < ends:
                await come_and_go(self._site.stage, observer, [room], times)

        async def sample() -> None:
            while time.monotonic() < ends:
                memory.append(await asyncio.to_thread(self._sample))
                await asyncio.sleep(1.0)

        async with opened(observer):
            await asyncio.gather(sample(), *map(lane, rooms))
        return times

    def _return(self) -> dict[str, Any]:
        """Close all connections at once; all connect again."""
        versions, began = self._versions(), time.monotonic()
        self._crowd.disconnect(list(self._users))
        self._crowd.connect(self._users)
        spent = time.monotonic() - began
        # Members that were taken for gone would leave after the grace, and two ticks more.
        time.sleep(LEAVE_GRACE)
        ended = self._ended() + 2
        servers.wait_until(lambda: self._ended() >= ended, "two ticks", timeout=60)
        self._crowd.settle()
        return {
            "seconds": spent,
            "rooms_with_a_diff": len(versions.items() - self._versions().items()),
            "log": self._complaints(),
        }

    def _burst(self) -> dict[str, Any]:
        """Ask for the snapshots of all rooms in a burst."""
        session = requests.Session()
        session.get(f"{self._site.stage.url}/enter/", params={"who": "reader"})
        html = session.get(self._site.stage.page(include(self._rooms[0]))).text
        cookies = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
        path = f"{attribute(html, 'snapshot')}?grant={quote(attribute(html, 'grant'))}"
        # HTTP/1.0: the body is not cut into chunks, and ends with the connection.
        request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n\r\n"
        began = time.monotonic()
        answers = asyncio.run(_ask(self._site.stage.url, request.encode(), self._size.snapshots))
        return {
            "asked": len(answers),
            "answered": sum(length == MEMBERS for length, _ in answers),
            "seconds": time.monotonic() - began,
            "slowest": max(seconds for _, seconds in answers),
        }

    @contextmanager
    def _moving(self) -> Iterator[dict[str, Any]]:
        """Move cursors meanwhile. The dict holds their figures afterwards."""
        url, number = self._site.stage.centrifugo.ws_url, str(self._size.cursors)
        command = [sys.executable, "-m", "bench.movers", url, number]
        counts: dict[str, Any] = {}
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield counts
            counts |= json.loads(process.communicate("", timeout=60)[0])
        counts["per_second"] = counts["sent"] / counts["seconds"]

    def _sample(self) -> tuple[float, float]:
        """Keep the ticks that ended. Returns the MB that the worker and Redis use now."""
        self._ticks |= {tick.id: tick for tick in read(self._store).history}
        family = [self._worker, *self._worker.children()]
        worker = sum(process.memory_info().rss for process in family)
        return worker / 1e6, self._redis.info("memory")["used_memory"] / 1e6

    def _ticked(self) -> dict[str, Any]:
        """Return what the ticks say, and how many of them began before the one before had ended."""
        ticks = sorted(self._ticks.values(), key=lambda tick: tick.started)
        return {
            "ticks": len(ticks),
            "longest_tick": max(tick.finished - tick.started for tick in ticks),
            "overlaps": sum(b.started < a.finished for a, b in pairwise(ticks)),
            "errors": sum(tick.report.errors + tick.missing for tick in ticks),
        }

    def _shown(self) -> int:
        return sum(state.total for state in self._states().values())

    def _versions(self) -> dict[str, tuple[str, int]]:
        return {room: (state.epoch, state.version) for room, state in self._states().items()}

    def _states(self) -> dict[str, Any]:
        return dict(self._store.load_states(self._rooms).states)

    def _ended(self) -> int:
        """Return the number of ticks that ended so far."""
        return len(self._site.ticks())

    def _complaints(self) -> list[str]:
        """Return the first errors and warnings in the log of the worker and of beat."""
        lines = self._site.log.read_text().splitlines()
        return [line for line in lines if COMPLAINT.search(line)][:5]


async def _ask(url: str, request: bytes, times: int) -> list[tuple[int, float]]:
    """Send the request so many times. Returns the number of members in each answer, or minus its
    status, and the seconds that it took from the beginning of the burst."""
    address, gate, began = urlsplit(url), asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def ask() -> tuple[int, float]:
        async with gate:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
        status = int(head.split(b" ", 2)[1])
        members = len(json.loads(body)["members"]) if status == 200 else -status
        return members, time.monotonic() - began

    return await asyncio.gather(*(ask() for _ in range(times)))


def _ends(series: tuple[float, ...]) -> list[float]:
    """Return the median of the second quarter and that of the last one."""
    quarter = max(1, len(series) // 4)
    return [median(series[quarter : 2 * quarter]), median(series[-quarter:])]


Holds = Callable[[dict[str, Any]], bool]
PROMISES: dict[str, Holds] = {
    "ticks have no error": lambda found: found["held"]["errors"] == 0,
    "the worker does not grow": lambda found: not _grows(found["held"]["worker_mb"]),
    "Redis does not grow": lambda found: not _grows(found["held"]["redis_mb"]),
    "each join shows": lambda found: found["held"]["joins"]["max"] < PATIENCE,
    "each leave shows": lambda found: found["held"]["leaves"]["max"] < PATIENCE,
    "nobody leaves who returns": lambda found: found["returned"]["rooms_with_a_diff"] == 0,
    "each snapshot is answered": lambda found: (
        found["snapshots"]["answered"] == found["snapshots"]["asked"]
    ),
    "each move is taken": lambda found: found["cursors"]["refused"] == 0,
    "moves are delivered": lambda found: (
        found["cursors"]["received"] >= 0.99 * SHARED * found["cursors"]["sent"]
    ),
}
TIMELY: dict[str, Holds] = {
    "nothing is logged as wrong": lambda found: not found["returned"]["log"],
    "ticks never overlap": lambda found: found["held"]["overlaps"] == 0,
    "joins show in time": lambda found: found["held"]["joins"]["p99"] <= FRESH,
    "leaves show in time": lambda found: found["held"]["leaves"]["p99"] <= FRESH,
    "cursors move at their rate": lambda found: (
        found["cursors"]["per_second"] >= 0.95 * found["cursors"]["wanted"]
    ),
}
"""Promises by their names. `TIMELY` promises need a machine with nothing else to do: a tick
that waits for a processor overlaps the next one."""


def _grows(ends: list[float]) -> bool:
    return ends[1] > GROWTH * ends[0]


def run(size: Size) -> dict[str, Any]:
    """Run a whole site under load. Returns the figures of each part."""
    grace = {"PRESENCE_LEAVE_GRACE": str(LEAVE_GRACE)}
    # A connection without pings is idle, and the keepalive of TCP may end it.
    with live_site(pings=True, interval=INTERVAL, **grace) as site:
        crowd = Crowd(site.stage.centrifugo.ws_url, servers.TOKEN_SECRET)
        try:
            found = Load(site, crowd, size).measure()
        finally:
            crowd.close()
    found["cursors"]["wanted"] = size.cursors / EVERY
    return found


def broken(found: dict[str, Any], promises: Mapping[str, Holds]) -> list[str]:
    """Return the promises that the figures break."""
    return [name for name, holds in promises.items() if not holds(found)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few connections, for some seconds")
    found = run(QUICK if parser.parse_args().quick else LONG)
    wrong = broken(found, PROMISES | TIMELY)
    print(json.dumps({**found, "broken": wrong}, indent=2))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
