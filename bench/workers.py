"""One tick shared out among real Celery workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from celery import Celery

from bench.site import PATIENCE, Site
from bench.sizes import Sizes
from presence.backends.redis.store import RedisStore
from presence.sync import statistics
from presence_devtools.servers import API_KEY, ROOT, wait_until

SHARDS = 8


def run(site: Site, sizes: Sizes, patterns: Sequence[str], channels: int) -> dict[str, object]:
    """Seconds of a tick (medians) by the number of worker processes: all new, and unchanged.

    From the moment a worker takes up the tick to the end of its last shard.
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
    """So many worker processes that answer; the application to ask them through."""
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
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "project", "worker"]
    command += ["--pool", "solo", "--prefetch-multiplier", "1", "--loglevel", "critical"]
    silent = subprocess.DEVNULL
    running = [
        subprocess.Popen(
            [*command, "--hostname", f"bench{n}@%h"],
            env=environment,
            cwd=ROOT,
            stdout=silent,
            stderr=silent,
        )
        for n in range(number)
    ]
    try:
        with Celery("bench", broker=broker) as application:

            def answer() -> bool:
                return len(application.control.ping(timeout=0.5) or ()) == number

            wait_until(answer, "the workers answer")
            yield application
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
