"""Sites on which many people come and go: how soon pages show it, and what the watch costs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from itertools import cycle
from typing import Any, Protocol

from bench.bounds import Traffic
from bench.crowd import Crowd
from bench.live_site import INTERVAL, LiveSite, live_site
from bench.pages import Observer, Times, come_and_go, opened
from presence.backends.redis.store import RedisStore
from presence.roster import messages
from presence.roster.messages import Roster
from presence_devtools import servers
from tests.stored_rooms import rosters

PERIOD = 10
"""Seconds in which a part of the members is replaced."""
WATCHED = 50
LANES = 10
"""Pages that come and go at the same time, each in rooms of its own."""
AT_ONCE = 100
OBSERVER = "observer"


class Connections(Protocol):
    """What a town needs of a Crowd."""

    users: dict[str, list[str]]

    def connect(self, users: dict[str, list[str]]) -> None: ...
    def disconnect(self, users: list[str]) -> None: ...


class Town:
    """Rooms whose members leave at random, and others who take their places some time later.

    A connection is one user in `traffic.joined` rooms, chosen at random: so the rooms change
    independently of each other, with few connections.
    """

    def __init__(self, traffic: Traffic, crowd: Connections) -> None:
        self.rooms = [f"presence:town:{n}" for n in range(traffic.rooms)]
        self.replaced, self._moves = 0, True
        self._traffic, self._crowd, self._users = traffic, crowd, 0
        self._free = self.rooms * traffic.members

    def fill(self) -> None:
        """Connect somebody for each place."""
        while len(self._free) >= self._traffic.joined:
            self._come(min(AT_ONCE, len(self._free) // self._traffic.joined))

    async def move(self) -> None:
        """Replace members until `stop`. Each place is free for some seconds."""
        count = round(len(self._crowd.users) * self._traffic.replaced / PERIOD)
        self._go(3 * count)
        while self._moves:
            ends = time.monotonic() + 1.0
            await asyncio.to_thread(self.replace, count)
            await asyncio.sleep(max(0.0, ends - time.monotonic()))

    def stop(self) -> None:
        """End `move` after the current second."""
        self._moves = False

    def missing(self, store: RedisStore, watched: list[str]) -> int:
        """Return the number of rooms whose roster is not who is connected."""
        present: dict[str, set[str]] = defaultdict(set)
        for user, rooms in [*self._crowd.users.items(), (OBSERVER, watched)]:
            for room in rooms:
                present[room].add(user)
        wrong = 0
        for at in range(0, len(self.rooms), 1000):
            some = self.rooms[at : at + 1000]
            stored = rosters(store, some)
            wrong += sum(_members(stored.get(room)) != present[room] for room in some)
        return wrong

    def replace(self, count: int) -> None:
        """Have so many connections leave, and as many come."""
        self._go(count)
        self._come(count)
        self.replaced += count * self._traffic.joined

    def _go(self, count: int) -> None:
        leaving = random.sample(list(self._crowd.users), count)
        for user in leaving:
            self._free += self._crowd.users[user]
        self._crowd.disconnect(leaving)

    def _come(self, count: int) -> None:
        random.shuffle(self._free)
        users = {}
        for _ in range(count):
            users[f"m{self._users}"] = self._take()
            self._users += 1
        self._crowd.connect(users)

    def _take(self) -> list[str]:
        """Take free places in different rooms."""
        taken, again = set[str](), list[str]()
        while self._free and len(taken) < self._traffic.joined:
            room = self._free.pop()
            if room in taken:
                again.append(room)
            taken.add(room)
        self._free += again
        return list(taken)


def _members(stored: tuple[int, bytes] | None) -> set[str]:
    return set(messages.decode(stored[1], Roster).members) if stored else set()


async def measure(traffic: Traffic) -> dict[str, Any]:
    """Return the times of pages that come and go in the traffic, and the cost of the watch."""
    # A room of ten with a few more for a moment is listed.
    with live_site(pings=False, PRESENCE_LIST_LIMIT="50") as site:
        crowd = Crowd(site.stage.centrifugo.ws_url, servers.TOKEN_SECRET)
        try:
            return await _Run(traffic, site, crowd).measure()
        finally:
            await asyncio.to_thread(crowd.close)


class _Run:
    def __init__(self, traffic: Traffic, site: LiveSite, crowd: Crowd) -> None:
        self._traffic, self._site, self._town = traffic, site, Town(traffic, crowd)
        self._watched = random.sample(self._town.rooms, min(WATCHED, len(self._town.rooms)))
        self._store = RedisStore(site.stage.redis_url)

    async def measure(self) -> dict[str, Any]:
        """Fill the rooms, and measure while nobody moves, then in the traffic."""
        await asyncio.to_thread(self._town.fill)
        observer = Observer(self._site.stage, self._watched, OBSERVER)
        async with opened(observer):
            await self._right("the site shows everybody")
            rest = await self._rest() if self._traffic.rest else {}
            moving = await self._moving(observer)
            after, lost = await self._right("")
        return {**rest, **moving, "right_after": after, "lost": lost}

    async def _rest(self) -> dict[str, float]:
        """Return the milliseconds of the worker and of Centrifugo for each look without changes."""
        while True:
            looks, ticks = len(self._site.looks()), len(self._site.ticks())
            spent = -self._site.worker_seconds(), -self._site.centrifugo_seconds()
            await asyncio.sleep(self._traffic.rest)
            worker = spent[0] + self._site.worker_seconds()
            centrifugo = spent[1] + self._site.centrifugo_seconds()
            if len(self._site.ticks()) == ticks:
                looks = len(self._site.looks()) - looks
                return {
                    "rest_worker_ms": 1000 * worker / looks,
                    "rest_centrifugo_ms": 1000 * centrifugo / looks,
                }

    async def _moving(self, observer: Observer) -> dict[str, Any]:
        moving = asyncio.create_task(self._town.move())
        await asyncio.sleep(3.0)
        times, rooms = Times(), cycle(self._watched)
        looks, core = len(self._site.looks()), -self._site.worker_seconds()
        began, replaced = time.monotonic(), -self._town.replaced
        lanes = [[next(rooms) for _ in range(self._traffic.tries // LANES)] for _ in range(LANES)]
        try:
            await asyncio.gather(
                *(come_and_go(self._site.stage, observer, lane, times) for lane in lanes)
            )
            await asyncio.sleep(began + self._traffic.seconds - time.monotonic())
        finally:
            seconds = time.monotonic() - began
            core += self._site.worker_seconds()
            replaced += self._town.replaced
            self._town.stop()
            await moving
        members = self._traffic.rooms * self._traffic.members
        return {
            "joins": times.joins,
            "leaves": times.leaves,
            "checks": times.checks,
            "core": core / seconds,
            "looks": sum(self._site.looks()[looks:]) / seconds,
            "longest_look": max(self._site.looks()[looks:]),
            "replaced": replaced / members / seconds * PERIOD,
        }

    async def _right(self, what: str) -> tuple[float, int]:
        """Wait until the rosters are right. Returns the seconds, and the rooms that never were."""
        began, wrong = time.monotonic(), 1
        while (spent := time.monotonic() - began) < 2 * INTERVAL:
            wrong = await asyncio.to_thread(self._town.missing, self._store, self._watched)
            if not wrong:
                return spent, 0
            await asyncio.sleep(1.0)
        if what:
            raise RuntimeError(f"{wrong} rooms are wrong: not within {2 * INTERVAL} s: {what}")
        return spent, wrong
