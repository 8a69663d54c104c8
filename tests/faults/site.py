"""A whole site of real processes, each of which can be killed, stopped or cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis as redis_py

from presence.backends.redis.store import RedisStore
from presence.sync import statistics
from presence_devtools import servers
from presence_devtools.servers import Centrifugo, Server, manage, wait_until
from tests.balancer import Balancer, balancer
from tests.faults import checker
from tests.faults.recording import Crowd, snapshots
from tests.faults.upstream import Upstream, upstream
from tests.integration.test_chain import kill, spawn

INTERVAL, GRACE = 2.0, 1.0
BOUND = 2 * INTERVAL + GRACE
"""Seconds of docs/freshness.md for a leave without the watch, the longest of any change."""
NODES_SETTLE = 40.0
"""Seconds after a restart of Centrifugo in which no leave is believed."""
SIGNALS = 30.0 + INTERVAL
"""Seconds after which a tick sends the signals of a change that a crash left without them."""
SLOW = 3.0
"""Seconds more for processes on a busy machine: two cores that run two of these sites."""
START = 60.0
CELERY = [sys.executable, "-m", "celery", "-A", "project"]


@dataclass
class Site:
    """Its servers, and its processes by name: "worker" and "beat".

    Worker and beat reach Redis and Centrifugo through the links `to_redis`, `to_broker` and
    `to_centrifugo`, which have faults; the crowd and the pages reach them directly.
    """

    directory: Path
    redis_url: str
    redis: Server
    broker: Server
    centrifugo: Centrifugo
    to_redis: Balancer
    to_centrifugo: Upstream
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *options: str, under: Sequence[str] = (), **settings: str) -> None:
        """Start "worker" or "beat", with further options; a name such as "beat:2" is another.

        `under` is a command that runs it.
        """
        kind = name.partition(":")[0]
        arguments = {
            "worker": ["--concurrency", "2", "--hostname", f"{name.replace(':', '')}@%h"],
            "beat": ["--pidfile=", "--schedule", str(self.directory / name.replace(":", ""))],
        }[kind]
        command = [*under, *CELERY, kind, "--loglevel", "warning", *arguments, *options]
        log = self.directory / f"{kind}.log"
        self.processes[name] = spawn(command, self.environment | settings, log)

    def kill(self, name: str) -> None:
        """Kill a process and its children."""
        kill(self.processes.pop(name))

    def children(self, name: str) -> set[int]:
        """Return the ids of the children of a process."""
        return {child.pid for child in psutil.Process(self.processes[name].pid).children()}

    def send(self, name: str, how: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        os.killpg(self.processes[name].pid, how)

    def notes(self, room: str) -> list[list[Any]]:
        """Return the signals of a room that receivers noted."""
        path = Path(self.environment["NOTES"])
        lines = path.read_text().splitlines() if path.exists() else []
        return [note for note in map(json.loads, lines) if note[1] == room]

    def ticks(self) -> set[str]:
        """Return the ids of the ticks that ended."""
        return {tick.id for tick in statistics.read(RedisStore(self.redis_url)).history}

    def redis_client(self) -> redis_py.Redis:
        """Return a client of Redis that passes by the link."""
        return redis_py.Redis.from_url(self.redis_url, decode_responses=True)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@dataclass
class Room:
    """A room of the site, whose crowd and pages are judged."""

    site: Site
    crowd: Crowd
    ended: float = 0.0

    def end(self) -> None:
        """Note that the fault ends now."""
        self.ended = time.monotonic()

    def snapshot(self) -> dict[str, Any]:
        """Return what Redis has for pages."""
        return snapshots(self.site.redis_url, self.crowd.room)() or {}

    def shows_truth(self) -> bool:
        right = checker.truth(self.crowd.moves)
        return all(
            checker.judge(page.record, self.crowd.moves).members == right
            for page in self.crowd.pages.values()
        )

    def wait_for_tick(self) -> None:
        """Wait for a tick: the fault ends with it, as a worker takes its time to start."""
        before = self.site.ticks()
        wait_until(lambda: bool(self.site.ticks() - before), "a tick", timeout=START)
        self.end()

    def settle(self, *, timeout: float = START) -> None:
        """Wait until all pages show the truth and its signals were sent: before a fault. A Redis
        that loses writes would lose the signals that were not."""
        wait_until(
            lambda: self.shows_truth() and self._signalled(),
            f"all is shown\n{self._state()}",
            timeout=timeout,
        )

    def judge(self, *, within: float = BOUND, at_least_once: bool = True) -> float:
        """Wait until all pages show the truth, and judge all of it. Returns how long it took."""
        try:
            wait_until(self.shows_truth, "the truth is shown", timeout=within + SLOW)
            if at_least_once:
                wait_until(self._signalled, "signals were sent", timeout=SIGNALS + SLOW)
            before = self.site.ticks()
            wait_until(lambda: bool(self.site.ticks() - before), "a tick that may tell it again")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._state()}") from None
        return checker.check(
            {user: page.record for user, page in self.crowd.pages.items()},
            self.crowd.moves,
            ended=self.ended,
            within=within + SLOW,
            signals=self.site.notes(self.crowd.room) if at_least_once else None,
        )

    def _signalled(self) -> bool:
        noted = self.site.notes(self.crowd.room)
        return all(
            not [*checker.unsignalled(page.record, noted)] for page in self.crowd.pages.values()
        )

    def _state(self) -> str:
        shown = {
            user: checker.judge(page.record, self.crowd.moves)
            for user, page in self.crowd.pages.items()
        }
        logs = [
            f"{path.name}: {path.read_text(errors='replace')[-1500:]}"
            for path in sorted(self.site.directory.glob("*.log"))
        ]
        return f"{checker.truth(self.crowd.moves)} are connected; {shown}\n" + "\n".join(logs)


@contextmanager
def room(site: Site, name: str, *, pages: int = 2, urls: Sequence[str] = ()) -> Iterator[Room]:
    """Open a room with three people and some pages, all shown. `urls` are those of nodes."""
    channel = f"presence:faults:{name}"
    crowd = Crowd(channel, *(urls or [site.centrifugo.ws_url]))
    try:
        opened = Room(site, crowd)
        for number in range(pages):
            crowd.watch(f"page{number}", snapshots(site.redis_url, channel))
        crowd.come("ada", "bob", "cleo")
        opened.settle()
        yield opened
    finally:
        crowd.close()


@contextmanager
def site(
    directory: Path,
    centrifugo: Centrifugo | None = None,
    *,
    redis_program: str = "",
    **settings: str,
) -> Iterator[Site]:
    """Run a site in `directory`, on a Centrifugo of its own if none is given."""
    with _servers(directory, centrifugo, redis_program) as running:
        running.environment |= settings
        subprocess.run(manage("migrate", "-v", "0"), env=running.environment, check=True)
        try:
            running.start("worker")
            running.start("beat")
            yield running
        finally:
            running.close()


@contextmanager
def _servers(directory: Path, given: Centrifugo | None, program: str) -> Iterator[Site]:
    places = {name: directory / name for name in ("redis", "broker", "centrifugo")}
    for place in places.values():
        place.mkdir()
    with (
        servers.redis_server(places["redis"], program) as (redis_url, redis),
        servers.redis_server(places["broker"]) as (broker_url, broker),
        (
            nullcontext(given) if given else servers.centrifugo_server(places["centrifugo"])
        ) as centrifugo,
        balancer(_port(redis_url)) as to_redis,
        upstream(centrifugo.port) as to_centrifugo,
    ):
        environment = {
            **os.environ,
            **centrifugo.environment,
            "CENTRIFUGO_API_URL": f"http://127.0.0.1:{to_centrifugo.port}/api",
            "PRESENCE_REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "CELERY_BROKER_URL": broker_url,
            "DATABASE_PATH": str(directory / "site.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "PYTHONPATH": str(servers.ROOT),
            "PRESENCE_INTERVAL": str(INTERVAL),
            "PRESENCE_LEAVE_GRACE": str(GRACE),
            "NOTES": str(directory / "notes"),
        }
        yield Site(
            directory,
            redis_url,
            redis,
            broker,
            centrifugo,
            to_redis,
            to_centrifugo,
            environment,
        )


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])
