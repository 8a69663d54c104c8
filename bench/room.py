"""One room that is larger than a crowd can be: its presence is replayed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import redis

from bench.large import Growth, medians
from bench.replay import replaying
from bench.sizes import Sizes
from bench.worker import Worker
from tests import servers


def run(sizes: Sizes) -> tuple[Growth, dict[int, float]]:
    """How the time of a tick grows, and the memory (MB) of a worker that did nothing else."""
    spent: dict[str, dict[int, list[float]]] = {"steady": {}, "first": {}}
    memory = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        servers.redis_server(Path(directory)) as (redis_url, _),
        redis.Redis.from_url(redis_url) as client,
    ):
        for size in sizes.replayed:
            with replaying(size) as url, Worker(url, redis_url, ["presence:*"]) as worker:
                for _ in range(sizes.growth_rounds):
                    client.flushdb()
                    spent["first"].setdefault(size, []).append(worker.tick().seconds)
                    done = worker.tick()
                    spent["steady"].setdefault(size, []).append(done.seconds)
                memory[size] = done.memory
    return medians(spent), memory
