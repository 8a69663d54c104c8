"""The contract of a WatchStore: in memory, and on each real Redis that there is."""

from __future__ import annotations

import pytest

from presence.backends.memory import MemoryStore
from presence.backends.redis.store import RedisStore
from presence.testing.contract import Clock, WatchContract


class TestInMemory(WatchContract):
    @pytest.fixture
    def backend(self, clock: Clock) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestInRedis(WatchContract):
    @pytest.fixture
    def backend(self, each_redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(each_redis_url, clock=clock)
