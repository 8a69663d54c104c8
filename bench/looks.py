"""Looks at many rooms in which nobody moves.

`make bench` compares such a look with a bare `channels` call. `python -m bench.looks` runs a real
worker with beat, and reports how often it looks, and which part of a core it and Centrifugo use: at
10,000 rooms, or at another number after it. Above 10,000, ticks find the rooms by the registry.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import redis

from bench.processor import processor_seconds
from bench.site import PATIENCE, Site, running, seconds
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.sync.tick import Sync
from presence_devtools import servers

ROOM = "presence:look:{}"
PER_CONNECTION = 100
"""Rooms of each connection; Centrifugo allows 128."""
FEW = 10_000
"""Rooms up to which ticks ask Centrifugo for them."""
SECONDS = 60.0
SAMPLED = 0.02
"""Seconds between two samples of the end of the last look: much less than a look takes."""


class Spent(NamedTuple):
    """Seconds of a look, and its processor time in all threads of this process."""

    total: float
    processor: float


def idle(sync: Sync, raw: Callable[[], object], *, rounds: int) -> dict[str, float]:
    """Compare looks that find no change with `raw`, in turns. The times are medians.

    The rosters of all rooms are stored already.
    """
    servers.wait_until(lambda: not _look(sync)[0], "a look finds no change", timeout=PATIENCE)
    calls, looks = [], []
    for _ in range(rounds):
        calls.append(seconds(raw))
        polled, spent = _look(sync)
        if polled:
            raise RuntimeError(f"an idle look polled {polled} channels")
        looks.append(spent)
    return {
        "raw_channels": median(calls),
        "look": median(look.total for look in looks),
        "look_processor": median(look.processor for look in looks),
        "ratio": median(look.total / call for look, call in zip(looks, calls, strict=True)),
    }


def _look(sync: Sync) -> tuple[int, Spent]:
    """Wait until looks have rested, and look. Returns the number of channels it polled."""
    gc.collect()
    while True:
        started, used = time.perf_counter(), time.process_time()
        report = sync.look()
        spent = Spent(time.perf_counter() - started, time.process_time() - used)
        if report and report.errors:
            raise RuntimeError(f"a look went wrong: {report.failures}")
        if report:
            return report.channels, spent
        time.sleep(SAMPLED)


def measure(rooms: int) -> dict[str, float]:
    """Return the looks a second of a real worker, its part of a core, and Centrifugo's."""
    names = [ROOM.format(n) for n in range(rooms)]
    with running() as site, tempfile.TemporaryDirectory() as directory:
        parts = (names[at : at + PER_CONNECTION] for at in range(0, rooms, PER_CONNECTION))
        site.crowd.connect({f"u{n}": part for n, part in enumerate(parts)})
        site.settle(rooms)
        RedisStore(site.redis_url).register_channels(names)
        environment = _environment(site, rooms, directory)
        subprocess.run(servers.manage("migrate", "-v0"), env=environment, check=True)
        subprocess.run(servers.manage("presence_sync", "--once"), env=environment, check=True)
        (before,) = _parts_of_a_core(SECONDS, site.centrifugo.pid)
        with _worker_and_beat(environment) as worker, redis.Redis.from_url(site.redis_url) as db:
            keys = Keys("presence")
            servers.wait_until(
                lambda: bool(db.exists(keys.watch)) and not db.zcard(keys.due),
                "the worker has polled every room",
                timeout=10 * SECONDS,
            )
            looks = _Looks(db, keys.watch)
            of_worker, of_centrifugo = _parts_of_a_core(
                SECONDS, worker, site.centrifugo.pid, meanwhile=looks.sample
            )
    return {
        "looks a second": looks.count / SECONDS,
        "worker": of_worker,
        "Centrifugo, looks alone": of_centrifugo - before,
        "Centrifugo, connections alone": before,
    }


class _Looks:
    """Counts the looks that end."""

    def __init__(self, db: redis.Redis, key: str) -> None:
        self._db, self._key = db, key
        self._last = self._ended()
        self.count = 0

    def sample(self) -> None:
        ended = self._ended()
        if ended and ended != self._last:
            self._last = ended
            self.count += 1

    def _ended(self) -> str:
        """Return the time at which the last look ended; "" while one is under way."""
        holder, until, length = self._db.hmget(self._key, "holder", "until", "length")
        return "" if holder or not until else f"{float(until) - float(length):.3f}"


def _parts_of_a_core(
    wanted: float, *pids: int, meanwhile: Callable[[], None] = lambda: None
) -> list[float]:
    """Return the part of a core that each process uses in the `wanted` seconds from now."""
    started, before = time.monotonic(), [processor_seconds(pid) for pid in pids]
    while time.monotonic() < started + wanted:
        meanwhile()
        time.sleep(SAMPLED)
    spent = time.monotonic() - started
    return [(processor_seconds(pid) - used) / spent for pid, used in zip(pids, before, strict=True)]


def _environment(site: Site, rooms: int, directory: str) -> dict[str, str]:
    return {
        **os.environ,
        **site.centrifugo.environment,
        "CELERY_BROKER_URL": site.redis_url.replace("/0", "/1"),
        "CENTRIFUGO_TIMEOUT": str(PATIENCE),
        "DATABASE_PATH": str(Path(directory) / "db.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PRESENCE_DISCOVERY": "channels" if rooms <= FEW else "registry",
        "PRESENCE_INTERVAL": "3600",
        "PRESENCE_REDIS_URL": site.redis_url,
    }


@contextmanager
def _worker_and_beat(environment: dict[str, Any]) -> Iterator[int]:
    """Run both until the end; yields the process id of the worker."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "project"]
    nowhere = subprocess.DEVNULL
    started = [
        subprocess.Popen([*celery, *part], env=environment, cwd=servers.ROOT, stderr=nowhere)
        for part in (["worker", "--pool", "solo"], ["beat"])
    ]
    try:
        yield started[0].pid
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if sys.argv[1:] else FEW).items():
        print(f"{name}: {value:.2f}" if "second" in name else f"{name}: {value:.1%} of a core")
