"""The records of ticks in Redis: the clock, errors, and shards in other processes."""

from __future__ import annotations

import time

import pytest

from presence.backends.redis.store import RedisStore
from presence.exceptions import StoreError
from tests.processes import run_many


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


def add(url: str, number: int) -> bool:
    return RedisStore(url).add_part("a", number, b"x" * 100, of=8) is not None


def test_add_part_by_many_processes_returns_all_parts_once(redis_url: str) -> None:
    ledger = RedisStore(redis_url)
    ledger.begin_tick("a")
    assert sum(run_many(add, redis_url, processes=8)) == 1
    assert len(ledger.load_ticks(parts=True).parts["a"].parts) == 8


def test_begin_tick_without_clock_uses_the_time_of_redis(redis_url: str) -> None:
    ledger = RedisStore(redis_url)
    before = time.time()
    begun = ledger.begin_tick("a")
    ledger.register_channels(["presence:a"])
    assert before - 1 <= begun.now <= time.time() + 1
    assert ledger.known_channels(registered_within=10).registered == ["presence:a"]
    assert abs(ledger.load_ticks().began - begun.now) < 0.001


def test_calls_without_redis_raise_store_error() -> None:
    ledger = RedisStore("redis://127.0.0.1:9/0")
    for call in (
        lambda: ledger.begin_tick("a"),
        lambda: ledger.add_part("a", 0, b"", of=1),
        lambda: ledger.load_ticks(parts=True),
        lambda: ledger.close_tick("a", b""),
        lambda: ledger.load_ticks(),
        lambda: ledger.register_channels(["presence:a"]),
        lambda: ledger.known_channels(registered_within=1.0),
    ):
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL"):
            call()
