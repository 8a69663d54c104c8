"""Workers in processes of their own: one to measure its memory, and Celery's that share a tick."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.bounds import Sizes
from bench.child import Child, celery, serve
from bench.site import PATIENCE, Site, make_sync, tick, timed
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.sync import statistics
from presence_devtools.servers import API_KEY, wait_until

if TYPE_CHECKING:
    from celery import Celery


class Done(NamedTuple):
    """Seconds of a tick, and the peak memory (MB) of its process."""

    seconds: float
    memory: float
    members: int
    channels: int


class Worker(Child):
    """Process that ticks on command."""

    def __init__(self, api_url: str, redis_url: str, patterns: Sequence[str]) -> None:
        super().__init__("bench.workers", api_url, redis_url, *patterns)

    def tick(self) -> Done:
        """Run a tick over every channel of the patterns. Raises RuntimeError if it goes wrong."""
        return Done(*self.ask())


def peak_memory() -> float:
    """Return MB. `ru_maxrss` is the fallback: Linux includes the parent's memory at the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _serve(api_url: str, redis_url: str, *patterns: str) -> None:
    gateway = Gateway(HttpTransport(api_url, API_KEY, timeout=PATIENCE))
    sync = make_sync(redis_url, gateway, patterns)

    def answer() -> Done:
        spent, report = timed(lambda: tick(sync))
        return Done(spent, peak_memory(), report.members, report.channels)

    serve(answer)


SHARDS = 8


def run(site: Site, sizes: Sizes, patterns: Sequence[str], channels: int) -> dict[str, object]:
    """Return seconds of a tick (medians) by the number of workers: everybody new, and unchanged.

    The time is from the start of the tick in a worker to the end of its last shard.
    """
    found: dict[str, dict[int, float]] = {"first": {}, "steady": {}}
    for number in sizes.workers:
        site.forget()
        with _workers(site, patterns, number, shard_size=max(1, channels // SHARDS)) as ticks:
            _tick(site, ticks)
            spent: dict[str, list[float]] = {"first": [], "steady": []}
            for _ in range(sizes.worker_rounds):
                site.forget()
                site.crowd.settle()
                spent["first"].append(_tick(site, ticks))
                site.crowd.settle()
                spent["steady"].append(_tick(site, ticks))
            for kind, seconds in spent.items():
                found[kind][number] = median(seconds)
    return {"shards": SHARDS, "channels": channels, **found}


def _tick(site: Site, broker: Celery) -> float:
    store = RedisStore(site.redis_url)
    before = statistics.read(store).last
    broker.send_task("presence.tasks.update_presence")

    def done() -> bool:
        return statistics.read(store).last != before

    wait_until(done, "the workers ended a tick", timeout=PATIENCE)
    last = statistics.read(store).last
    assert last is not None
    if last.missing or last.report.errors:
        raise RuntimeError(f"a tick of {last.shards} shards went wrong: {last.report.failures}")
    return last.finished - last.started


@contextmanager
def _workers(
    site: Site, patterns: Sequence[str], number: int, *, shard_size: int
) -> Iterator[Celery]:
    """Run `number` workers that answer; yields the application to ask them through."""
    from celery import Celery  # not at import: the memory of the other worker is measured

    broker = site.redis_url.replace("/0", "/1")
    environment = {
        **os.environ,
        "CELERY_BROKER_URL": broker,
        "CENTRIFUGO_API_KEY": API_KEY,
        "CENTRIFUGO_API_URL": site.api_url,
        "CENTRIFUGO_TIMEOUT": str(PATIENCE),
        "PRESENCE_CHANNELS": ",".join(patterns),
        "PRESENCE_INTERVAL": "60",
        "PRESENCE_REDIS_URL": site.redis_url,
        "PRESENCE_SHARD_SIZE": str(shard_size),
    }
    worker = ["worker", "--pool", "solo", "--prefetch-multiplier", "1", "--loglevel", "critical"]
    workers = ([*worker, "--hostname", f"bench{n}@%h"] for n in range(number))
    with celery(environment, *workers), Celery("bench", broker=broker) as application:

        def answer() -> bool:
            return len(application.control.ping(timeout=0.5) or ()) == number

        wait_until(answer, "the workers answer")
        yield application


if __name__ == "__main__":
    _serve(*sys.argv[1:])
