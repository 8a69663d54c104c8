"""The contract suites on the backends of the app: in memory, and on each installed Redis."""

from __future__ import annotations

import pytest

from presence.backends.memory import MemoryStore
from presence.backends.redis.store import RedisStore
from presence.testing.contract import BackendContract, Clock
from presence.testing.contract.base import ROOM
from presence.testing.contract.cursors import CHANNEL, CURSOR_TIMEOUT, move, shown


class TestInRedis(BackendContract):
    @pytest.fixture
    def backend(self, each_redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(each_redis_url, clock=clock)

    @pytest.fixture
    def peer(self, each_redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(each_redis_url, clock=clock)


class TestInMemory(BackendContract):
    """Adds tests of records that Redis expires by itself."""

    @pytest.fixture
    def backend(self, clock: Clock) -> MemoryStore:
        return MemoryStore(clock=clock)

    def test_claim_slot_expires_by_the_clock(self, backend: MemoryStore, clock: Clock) -> None:
        assert backend.claim_slot(ROOM, 7, seconds=4)
        clock.advance(3.9)
        assert not backend.claim_slot(ROOM, 7, seconds=4)
        clock.advance(0.2)
        assert backend.claim_slot(ROOM, 7, seconds=4)

    def test_cursor_channels_without_moves_are_deleted(
        self, backend: MemoryStore, clock: Clock
    ) -> None:
        for n in range(1000):
            move(backend, "ada", channel=f"cursors:{n}")
            clock.advance(1.0)
            assert len(backend._cursors) <= 2 * CURSOR_TIMEOUT
        left = [len(shown(backend, f"cursors:{n}")) for n in range(985, 1000)]
        assert left == [0] * 5 + [1] * 10

    def test_delete_cursor_leaves_no_empty_channel(self, backend: MemoryStore) -> None:
        move(backend, "ada", "bob")
        for user in ("ada", "eve", "bob", "bob"):
            backend.delete_cursor(CHANNEL, user)
        backend.delete_cursor("cursors:other", "ada")
        assert backend._cursors == {}

    def test_rate_limit_starts_a_new_window_when_the_last_has_ended(
        self, backend: MemoryStore, clock: Clock
    ) -> None:
        assert [backend.hit_rate_limit("c1", limit=1, seconds=1) for _ in range(2)] == [True, False]
        clock.advance(0.9)
        assert not backend.hit_rate_limit("c1", limit=1, seconds=1), "a refusal makes it no longer"
        clock.advance(0.2)
        assert backend.hit_rate_limit("c1", limit=1, seconds=1)

    def test_rate_limit_window_ahead_of_the_clock_ends(
        self, backend: MemoryStore, clock: Clock
    ) -> None:
        assert [backend.hit_rate_limit("c1", limit=1, seconds=1) for _ in range(2)] == [True, False]
        clock.advance(-3600)
        assert [backend.hit_rate_limit("c1", limit=1, seconds=1) for _ in range(2)] == [True, False]

    def test_flag_expires_by_the_clock(self, backend: MemoryStore, clock: Clock) -> None:
        backend.set_flag("c1", seconds=60)
        clock.advance(59)
        assert backend.has_flag("c1")
        clock.advance(1)
        assert not backend.has_flag("c1")
