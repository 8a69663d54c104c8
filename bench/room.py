"""One room that is larger than a crowd can be: its presence is replayed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import redis

from bench.growth import Spent
from bench.replay import replaying
from bench.sizes import Sizes
from bench.worker import Worker
from presence_devtools import servers


def run(sizes: Sizes) -> tuple[Spent, dict[int, float]]:
    """The time of ticks by size, and the memory (MB) of a worker that did nothing else."""
    spent: Spent = {"steady": {}, "first": {}}
    memory: dict[int, float] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url, _ = stack.enter_context(servers.redis_server(directory))
        client = stack.enter_context(redis.Redis.from_url(redis_url))
        of_size = {}
        for size in sizes.replayed:
            url = stack.enter_context(replaying(size))
            of_size[size] = stack.enter_context(Worker(url, redis_url, ["presence:*"]))
        for _ in range(sizes.growth_rounds):
            for size, worker in of_size.items():
                client.flushdb()
                spent["first"].setdefault(size, []).append(worker.tick().seconds)
                done = worker.tick()
                spent["steady"].setdefault(size, []).append(done.seconds)
                memory[size] = done.memory
    return spent, memory
