"""Cursors, rate limits and flags in Redis: expiry, scripts, damage, writers in other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from presence.backends.base import Hit
from presence.backends.redis import scripts
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.backends.tracker import Tracker
from presence.exceptions import StoreError
from presence.testing.contract import Clock
from presence.testing.contract.cursors import CHANNEL, CURSOR_TIMEOUT, move, shown
from tests.processes import run_many

PROCESSES, USERS = 8, 100


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


class TestExpiry:
    def test_rate_limit_key_expires_in_redis(self, redis_url: str, server: redis.Redis) -> None:
        tracker = RedisStore(redis_url)
        tracker.hit_rate_limit("c1", limit=1, seconds=60)
        (key,) = server.keys("*")
        assert 0 < server.pttl(key) <= 60_000
        server.pexpire(key, 20_000)
        tracker.hit_rate_limit("c1", limit=1, seconds=60)
        assert 0 < server.pttl(key) <= 20_000, "a refusal makes it no longer"

    def test_rate_limit_key_with_too_long_lifetime_is_replaced(
        self, redis_url: str, server: redis.Redis
    ) -> None:
        tracker, key = RedisStore(redis_url), Keys("presence").taken("c1")
        assert [tracker.hit_rate_limit("c1", limit=1, seconds=60) for _ in range(2)] == [
            True,
            False,
        ]
        server.pexpire(key, 3_600_000)
        assert [tracker.hit_rate_limit("c1", limit=1, seconds=60) for _ in range(2)] == [
            True,
            False,
        ]
        assert 0 < server.pttl(key) <= 60_000

    def test_flag_key_expires_in_redis(self, redis_url: str, server: redis.Redis) -> None:
        RedisStore(redis_url).set_flag("c1", seconds=1.5)
        (key,) = server.keys("*")
        assert 0 < server.pttl(key) <= 1500

    def test_check_limits_takes_one_round_trip_and_its_keys_expire(
        self, redis_url: str, server: redis.Redis, round_trips: list[object]
    ) -> None:
        RedisStore(redis_url).check_limits([Hit("c1", 2, seconds=60)], ["c1:room"])
        assert len(round_trips) == 1
        assert 0 < server.pttl(Keys("presence").taken("c1")) <= 60_000


class TestCursors:
    @pytest.fixture
    def kept(self, redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(redis_url, clock=clock)

    @pytest.mark.parametrize("users", [1, 100])
    def test_move_and_load_cursors_take_one_round_trip_each(
        self, kept: RedisStore, round_trips: list[object], users: int
    ) -> None:
        kept.delete_cursor(CHANNEL, "nobody")  # connects
        round_trips.clear()
        move(kept, *map(str, range(users)))
        assert len(round_trips) == 1
        shown(kept)
        assert len(round_trips) == 2

    def test_move_while_stale_cursors_are_deleted_stays(self, redis_url: str, clock: Clock) -> None:
        """The move comes after the reader has read, and before it deletes."""
        reader, writer = RedisStore(redis_url, clock=clock), RedisStore(redis_url, clock=clock)
        move(writer, "ada", "bob", where=b"old")
        clock.advance(CURSOR_TIMEOUT + 1)
        run = reader._run

        def late(commands: Any) -> list[Any]:
            if commands[0][0] == "EVAL":
                assert [command[1] for command in commands] == [scripts.ALL["retire"]]
                # No clearing in passing, which would leave the reader nothing to be late with.
                move(writer, "ada", where=b"new")
            return run(commands)

        reader._run = late  # type: ignore[method-assign,assignment]
        assert shown(reader) == {}, "as it was when it was read"
        assert shown(writer) == {"ada": (clock.now, b"new")}
        assert list(writer.load_cursors(CHANNEL, timeout=1e6)) == ["ada"]

    def test_load_cursors_reads_the_time_after_the_cursors(self, kept: RedisStore) -> None:
        """Otherwise a move in between would seem to be in the future, and be deleted."""
        asked: list[str] = []
        run = kept._run

        def noting(commands: Any) -> list[Any]:
            asked.extend(command[0] for command in commands)
            return run(commands)

        kept._run = noting  # type: ignore[method-assign,assignment]
        shown(kept)
        assert asked == ["HGETALL", "TIME"]

    @pytest.mark.parametrize("field", ["", " ", "nonsense {}", "nan {}", "inf {}", " 1 {}"])
    def test_unreadable_cursor_hides_no_other(
        self, kept: RedisStore, server: redis.Redis, field: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        move(kept, "ada")
        server.hset(Keys("presence").cursors(CHANNEL), "bad", field)
        assert list(shown(kept)) == ["ada"]
        assert "cursor=unreadable" in caplog.text or field.startswith(("nan", "inf"))
        assert held(kept) == 1, "cleared away"
        server.hset(Keys("presence").cursors(CHANNEL), "bad", field)
        for n in range(100):
            move(kept, f"{n % 4}")
        assert held(kept) == 5, "in passing, too"

    def test_cursor_of_undecodable_user_hides_no_other(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        move(kept, "ada")
        server.hset(Keys("presence").cursors(CHANNEL), b"\xff", f"{kept._clock()} {{}}")  # type: ignore[misc]
        assert list(shown(kept)) == ["ada"]

    def test_cursors_key_without_moves_expires_on_time(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        move(kept, "ada")
        (key,) = server.keys("*")
        assert key.decode() == Keys("presence").cursors(CHANNEL)
        assert 1000 * CURSOR_TIMEOUT - 1000 < server.pttl(key) <= 1000 * CURSOR_TIMEOUT
        server.pexpire(key, 5)
        move(kept, "bob")
        assert server.pttl(key) > 1000, "every move makes it longer"

    def test_calls_after_script_flush_succeed(self, kept: RedisStore, server: redis.Redis) -> None:
        for _ in range(2):
            move(kept, "ada")
            server.script_flush()
        assert kept.hit_rate_limit("c1", limit=1, seconds=60)

    def test_move_without_clock_uses_the_time_of_redis(
        self, redis_url: str, server: redis.Redis
    ) -> None:
        store = RedisStore(redis_url)
        before, _ = server.time()
        now = move(store, "ada")
        after, _ = server.time()
        assert before <= now <= after + 1
        assert shown(store) == {"ada": (now, b"{}")}

    def test_cursors_of_another_prefix_are_not_loaded(
        self, redis_url: str, kept: RedisStore
    ) -> None:
        move(kept, "ada")
        assert shown(RedisStore(redis_url, prefix="other")) == {}

    def test_call_on_key_of_another_type_deletes_it_and_succeeds(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        for call in (
            shown,
            lambda tracker: move(tracker, "ada"),
            lambda tracker: tracker.delete_cursor(CHANNEL, "ada"),
        ):
            server.delete(Keys("presence").cursors(CHANNEL))
            server.set(Keys("presence").cursors(CHANNEL), "mine")
            call(kept)
            assert server.type(Keys("presence").cursors(CHANNEL)) != b"string"

    @pytest.mark.parametrize(
        "call",
        [
            lambda tracker: move(tracker, "ada"),
            shown,
            lambda tracker: tracker.delete_cursor(CHANNEL, "ada"),
            lambda tracker: tracker.hit_rate_limit("c1", limit=1, seconds=1),
            lambda tracker: tracker.set_flag("c1", seconds=1),
            lambda tracker: tracker.has_flag("c1"),
            lambda tracker: tracker.check_limits([Hit("c1", 1, seconds=1)], ["c2"]),
        ],
    )
    def test_call_without_redis_raises_store_error_without_password(
        self, call: Callable[[Tracker], object]
    ) -> None:
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL") as caught:
            call(RedisStore("redis://user:s3cret@127.0.0.1:9/0"))
        assert "s3cret" not in str(caught.value)

    def test_moves_by_many_processes_lose_no_cursor(self, redis_url: str) -> None:
        run_many(write_all, redis_url, processes=PROCESSES)
        kept = RedisStore(redis_url).load_cursors(CHANNEL, timeout=600)
        wanted = {f"{who}-{n}": b"%d" % n for who in range(PROCESSES) for n in range(USERS)}
        assert {user: where for user, (_, where) in kept.items()} == wanted


def write_all(url: str, who: int) -> None:
    """Move USERS cursors one by one, while other processes do the same."""
    store = RedisStore(url)
    for n in range(USERS):
        store.save_cursors(CHANNEL, {f"{who}-{n}": b"%d" % n}, timeout=600)


def held(tracker: RedisStore) -> int:
    """Return the number of fields, also of unreadable ones; nothing is deleted."""
    return int(tracker._run([("HLEN", tracker._keys.cursors(CHANNEL))])[0])
