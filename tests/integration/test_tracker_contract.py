"""What every Tracker keeps to: one suite, in memory and on a real Redis."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from presence.backends.memory import MemoryStore
from presence.backends.redis import RedisStore
from presence.backends.tracker import Tracker
from presence.exceptions import StoreError
from presence.naming import Keys
from tests.side_by_side import run_all
from tests.unit.fakes import Clock

CHANNEL = "cursors:doc:42"
TIMEOUT = 10.0
PROCESSES, USERS = 8, 100


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def tracker(request: pytest.FixtureRequest, clock: Clock) -> Tracker:
    if request.param == "memory":
        return MemoryStore(clock=clock)
    return RedisStore(request.getfixturevalue("redis_url"), clock=clock)


def move(tracker: Tracker, *users: str, where: bytes = b"{}", channel: str = CHANNEL) -> float:
    return tracker.move(channel, dict.fromkeys(users, where), timeout=TIMEOUT)


def shown(tracker: Tracker, channel: str = CHANNEL) -> dict[str, tuple[float, bytes]]:
    return tracker.cursors(channel, timeout=TIMEOUT)


class TestMoving:
    def test_a_channel_where_nobody_moved(self, tracker: Tracker) -> None:
        assert shown(tracker) == {}
        assert tracker.remove(CHANNEL, "ada") is False

    @pytest.mark.parametrize("user", ["7", "ada lovelace", "héloïse \U0001f600", "a" * 200, "1 2"])
    @pytest.mark.parametrize("where", [b'{"x":1,"y":2}', b"", b" \x00\xff\r\n", b"x" * 5000])
    def test_what_was_noted_comes_back_as_it_was(
        self, tracker: Tracker, clock: Clock, user: str, where: bytes
    ) -> None:
        assert move(tracker, user, where=where) == clock.now
        assert shown(tracker) == {user: (clock.now, where)}

    def test_the_last_position_of_each_counts_with_a_time_of_its_own(
        self, tracker: Tracker, clock: Clock
    ) -> None:
        first = move(tracker, "ada", "bob", where=b"1")
        clock.advance(3.25)
        second = move(tracker, "bob", where=b"2")
        assert second - first == pytest.approx(3.25)
        assert shown(tracker) == {"ada": (first, b"1"), "bob": (second, b"2")}

    def test_channels_are_apart(self, tracker: Tracker) -> None:
        move(tracker, "ada")
        move(tracker, "bob", channel="cursors:other")
        assert (list(shown(tracker)), list(shown(tracker, "cursors:other"))) == (["ada"], ["bob"])

    def test_thousands_at_once(self, tracker: Tracker) -> None:
        many = {f"u{n}": b'{"x":%d}' % n for n in range(5000)}
        tracker.move(CHANNEL, many, timeout=TIMEOUT)
        assert {user: where for user, (_, where) in shown(tracker).items()} == many

    def test_removed_ones_are_gone(self, tracker: Tracker) -> None:
        move(tracker, "ada", "bob")
        assert [tracker.remove(CHANNEL, "ada") for _ in range(2)] == [True, False]
        assert list(shown(tracker)) == ["bob"]

    def test_it_is_no_roster(self, tracker: Tracker) -> None:
        move(tracker, "ada")
        assert isinstance(tracker, MemoryStore | RedisStore)
        assert (tracker.known(), tracker.load([CHANNEL]).states[CHANNEL].rev) == ({}, 0)

    def test_threads_that_write_lose_nothing(self, tracker: Tracker) -> None:
        def write(who: int) -> None:
            for n in range(25):
                move(tracker, f"{who}-{n}")

        run_all([lambda who=who: write(who) for who in range(8)])  # type: ignore[misc]
        assert len(shown(tracker)) == 200


class TestStaleOnes:
    def test_are_not_shown(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, "ada")
        clock.advance(TIMEOUT / 2)
        move(tracker, "bob")
        clock.advance(TIMEOUT / 2)
        assert sorted(shown(tracker)) == ["ada", "bob"], "just in time"
        clock.advance(0.01)
        assert list(shown(tracker)) == ["bob"]
        clock.advance(TIMEOUT)
        assert shown(tracker) == {}

    def test_are_cleared_away_by_reading(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, "ada", "bob")
        clock.advance(TIMEOUT + 1)
        move(tracker, "eve", channel="cursors:other")
        assert shown(tracker) == {}
        assert tracker.cursors(CHANNEL, timeout=1e6) == {}, "nothing is left of them"

    def test_come_back_with_a_move(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, "ada", where=b"1")
        clock.advance(TIMEOUT + 1)
        move(tracker, "ada", where=b"2")
        assert shown(tracker) == {"ada": (clock.now, b"2")}

    def test_do_not_pile_up_where_nobody_reads(self, tracker: Tracker, clock: Clock) -> None:
        """A thousand users a second that move once each: those of ten seconds are fresh."""
        kept = []
        for second in range(40):
            for part in range(10):
                move(tracker, *(f"{second}-{part}-{n}" for n in range(100)))
            clock.advance(1.0)
            kept.append(held(tracker))
        assert max(kept) < 25_000, "twice as many as are fresh, and room for chance"

    def test_channels_that_nobody_touches_are_forgotten(self, clock: Clock) -> None:
        """In memory; in Redis they end by themselves."""
        tracker = MemoryStore(clock=clock)
        for n in range(1000):
            move(tracker, "ada", channel=f"cursors:{n}")
            clock.advance(1.0)
            assert len(tracker._cursors) <= 2 * TIMEOUT
        assert [len(shown(tracker, f"cursors:{n}")) for n in range(985, 1000)] == [0] * 5 + [1] * 10

    def test_of_what_is_removed_nothing_is_left(self) -> None:
        tracker = MemoryStore()
        move(tracker, "ada", "bob")
        for user in ("ada", "eve", "bob", "bob"):
            tracker.remove(CHANNEL, user)
        tracker.remove("cursors:other", "ada")
        assert tracker._cursors == {}


class TestClocksThatAreSetBack:
    """What was noted before has a time that is yet to come."""

    def test_such_cursors_are_stale(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, "ada", "bob", where=b"1")
        clock.advance(-3600)
        move(tracker, "bob", where=b"2")
        assert shown(tracker) == {"bob": (clock.now, b"2")}
        assert held(tracker) == 1, "cleared away"
        clock.advance(3600)
        assert shown(tracker) == {}

    def test_a_second_is_not_held_against_them(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, "ada")
        clock.advance(-1.0)
        assert list(shown(tracker)) == ["ada"]
        clock.advance(-0.01)
        assert shown(tracker) == {}

    def test_such_cursors_are_cleared_away_in_passing(self, tracker: Tracker, clock: Clock) -> None:
        move(tracker, *(f"before-{n}" for n in range(100)))
        clock.advance(-3600)
        for n in range(200):
            move(tracker, f"{n % 10}")
        assert 10 <= held(tracker) <= 30

    def test_windows_do_not_last_longer(self) -> None:
        clock = Clock()
        tracker = MemoryStore(clock=clock)
        assert [tracker.take("c1", most=1, seconds=1) for _ in range(2)] == [True, False]
        clock.advance(-3600)
        assert [tracker.take("c1", most=1, seconds=1) for _ in range(2)] == [True, False]

    def test_nor_do_those_of_redis(self, redis_url: str) -> None:
        tracker = RedisStore(redis_url)
        assert [tracker.take("c1", most=1, seconds=60) for _ in range(2)] == [True, False]
        with redis.Redis.from_url(redis_url) as server:
            server.pexpire(Keys("presence").taken("c1"), 3_600_000)  # as after a step of its clock
            assert [tracker.take("c1", most=1, seconds=60) for _ in range(2)] == [True, False]
            assert 0 < server.pttl(Keys("presence").taken("c1")) <= 60_000


class TestRemovingWhatEndsSo:
    def test_anything_else_stays(self, tracker: Tracker) -> None:
        move(tracker, "ada", where=b"1 tab-a")
        for ending in (b"tab-b", b"tab-", b"11 tab-a", b"0 1 tab-a", b"x" * 100):
            assert not tracker.remove(CHANNEL, "ada", ending=ending)
        assert list(shown(tracker)) == ["ada"]
        assert tracker.remove(CHANNEL, "ada", ending=b" tab-a")
        assert not tracker.remove(CHANNEL, "ada", ending=b" tab-a")
        assert shown(tracker) == {}


class TestTaking:
    def test_no_more_than_the_most_in_a_window(self, tracker: Tracker) -> None:
        taken = [tracker.take("c1", most=3, seconds=60) for _ in range(5)]
        assert taken == [True, True, True, False, False]
        assert tracker.take("c2", most=3, seconds=60), "another's are another's"

    def test_of_many_at_once_no_more_either(self, tracker: Tracker) -> None:
        taken: list[bool] = []
        run_all([lambda: taken.append(tracker.take("c1", most=3, seconds=60))] * 8)
        assert sorted(taken) == [False] * 5 + [True] * 3

    def test_a_new_window_begins_when_one_has_ended(self) -> None:
        clock = Clock()
        tracker = MemoryStore(clock=clock)
        assert [tracker.take("c1", most=1, seconds=1) for _ in range(2)] == [True, False]
        clock.advance(0.9)
        assert not tracker.take("c1", most=1, seconds=1), "a refusal makes it no longer"
        clock.advance(0.2)
        assert tracker.take("c1", most=1, seconds=1)

    def test_redis_ends_it_by_itself(self, redis_url: str) -> None:
        tracker = RedisStore(redis_url)
        with redis.Redis.from_url(redis_url) as server:
            tracker.take("c1", most=1, seconds=60)
            (key,) = server.keys("*")
            assert 0 < server.pttl(key) <= 60_000
            server.pexpire(key, 20_000)
            tracker.take("c1", most=1, seconds=60)
            assert 0 < server.pttl(key) <= 20_000, "a refusal makes it no longer"


class TestRemembering:
    def test_what_was_remembered(self, tracker: Tracker) -> None:
        assert not tracker.remembers("c1")
        tracker.remember("c1", seconds=60)
        assert (tracker.remembers("c1"), tracker.remembers("c2")) == (True, False)

    def test_it_ends(self) -> None:
        clock = Clock()
        tracker = MemoryStore(clock=clock)
        tracker.remember("c1", seconds=60)
        clock.advance(59)
        assert tracker.remembers("c1")
        clock.advance(1)
        assert not tracker.remembers("c1")

    def test_redis_ends_it_by_itself(self, redis_url: str) -> None:
        RedisStore(redis_url).remember("c1", seconds=1.5)
        with redis.Redis.from_url(redis_url) as server:
            (key,) = server.keys("*")
            assert 0 < server.pttl(key) <= 1500


class TestAdmitting:
    def test_it_takes_one_name_and_tells_whether_the_other_is_remembered(
        self, tracker: Tracker
    ) -> None:
        def admit(name: str) -> tuple[bool, bool]:
            return tracker.admit(name, most=2, seconds=60, known="c1:room")

        assert [admit("c1"), admit("c2")] == [(True, False), (True, False)]
        tracker.remember("c1:room", seconds=60)
        assert [admit("c1"), admit("c1")] == [(True, True), (False, True)]
        assert not tracker.take("c1", most=2, seconds=60)

    def test_it_is_one_round_trip(self, redis_url: str, round_trips: list[object]) -> None:
        tracker = RedisStore(redis_url)
        tracker.admit("c1", most=2, seconds=60, known="c1:room")
        assert len(round_trips) == 1
        with redis.Redis.from_url(redis_url) as server:
            assert 0 < server.pttl(Keys("presence").taken("c1")) <= 60_000


class TestOnRedis:
    """What only a server can do to one."""

    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(redis_url) as client:
            yield client

    @pytest.fixture
    def kept(self, redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(redis_url, clock=clock)

    @pytest.mark.parametrize("users", [1, 100])
    def test_a_move_is_one_round_trip_and_so_is_reading(
        self, kept: RedisStore, round_trips: list[object], users: int
    ) -> None:
        kept.remove(CHANNEL, "nobody")  # connects
        round_trips.clear()
        move(kept, *map(str, range(users)))
        assert len(round_trips) == 1
        shown(kept)
        assert len(round_trips) == 2

    def test_a_move_while_stale_ones_are_cleared_away_stays(
        self, redis_url: str, clock: Clock
    ) -> None:
        """It comes between what the reader read and what the reader clears away."""
        reader, writer = RedisStore(redis_url, clock=clock), RedisStore(redis_url, clock=clock)
        move(writer, "ada", "bob", where=b"old")
        clock.advance(TIMEOUT + 1)
        clear = reader._evaluate

        def late(calls: Any) -> list[Any]:
            assert [name for name, *_ in calls] == ["retire"]
            # No clearing in passing, which would leave the reader nothing to be late with.
            move(writer, "ada", where=b"new")
            return clear(calls)

        reader._evaluate = late  # type: ignore[method-assign,assignment]
        assert shown(reader) == {}, "as it was when it was read"
        assert shown(writer) == {"ada": (clock.now, b"new")}
        assert list(writer.cursors(CHANNEL, timeout=1e6)) == ["ada"]

    def test_the_time_is_read_after_the_cursors(self, kept: RedisStore) -> None:
        """Or a move that comes between the two would be one of the future, and be removed."""
        asked: list[str] = []
        pipeline = kept._client.pipeline

        def noting(**options: Any) -> Any:
            pipe = pipeline(**options)
            execute = pipe.execute_command
            pipe.execute_command = lambda *a, **o: (asked.append(a[0]), execute(*a, **o))[1]
            return pipe

        kept._client.pipeline = noting  # type: ignore[method-assign]
        shown(kept)
        assert asked == ["HGETALL", "TIME"]

    @pytest.mark.parametrize("field", ["", " ", "nonsense {}", "nan {}", "inf {}", " 1 {}"])
    def test_a_field_that_cannot_be_read_hides_no_other(
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

    def test_a_user_that_is_no_text_hides_no_other(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        move(kept, "ada")
        server.hset(Keys("presence").cursors(CHANNEL), b"\xff", f"{kept._clock()} {{}}")  # type: ignore[misc]
        assert list(shown(kept)) == ["ada"]

    def test_a_channel_that_rests_is_gone_whole_and_on_time(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        move(kept, "ada")
        (key,) = server.keys("*")
        assert key.decode() == Keys("presence").cursors(CHANNEL)
        assert 1000 * TIMEOUT - 1000 < server.pttl(key) <= 1000 * TIMEOUT
        server.pexpire(key, 5)
        move(kept, "bob")
        assert server.pttl(key) > 1000, "every move makes it longer"

    def test_scripts_that_were_flushed_are_no_matter(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        for _ in range(2):
            move(kept, "ada")
            server.script_flush()
        assert kept.take("c1", most=1, seconds=60)

    def test_without_a_clock_the_time_is_the_server_s(
        self, redis_url: str, server: redis.Redis
    ) -> None:
        store = RedisStore(redis_url)
        before, _ = server.time()
        now = move(store, "ada")
        after, _ = server.time()
        assert before <= now <= after + 1
        assert shown(store) == {"ada": (now, b"{}")}

    def test_prefixes_keep_sites_apart(self, redis_url: str, kept: RedisStore) -> None:
        move(kept, "ada")
        assert shown(RedisStore(redis_url, prefix="other")) == {}

    def test_a_key_of_another_kind_is_a_store_error(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        server.set(Keys("presence").cursors(CHANNEL), "mine")
        for call in (shown, lambda one: move(one, "ada"), lambda one: one.remove(CHANNEL, "ada")):
            with pytest.raises(StoreError, match="WRONGTYPE"):
                call(kept)

    @pytest.mark.parametrize(
        "call",
        [
            lambda tracker: move(tracker, "ada"),
            shown,
            lambda tracker: tracker.remove(CHANNEL, "ada"),
            lambda tracker: tracker.take("c1", most=1, seconds=1),
            lambda tracker: tracker.remember("c1", seconds=1),
            lambda tracker: tracker.remembers("c1"),
            lambda tracker: tracker.admit("c1", most=1, seconds=1, known="c2"),
        ],
    )
    def test_one_that_is_down_is_a_store_error_without_a_password(
        self, call: Callable[[Tracker], object]
    ) -> None:
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL") as caught:
            call(RedisStore("redis://user:s3cret@127.0.0.1:9/0"))
        assert "s3cret" not in str(caught.value)

    def test_processes_that_write_lose_nothing(self, redis_url: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        together = spawn.Barrier(PROCESSES)
        writers = [
            spawn.Process(target=write_all, args=(redis_url, who, together))
            for who in range(PROCESSES)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(120)
        assert [writer.exitcode for writer in writers] == [0] * PROCESSES
        kept = RedisStore(redis_url).cursors(CHANNEL, timeout=600)
        wanted = {f"{who}-{n}": b"%d" % n for who in range(PROCESSES) for n in range(USERS)}
        assert {user: where for user, (_, where) in kept.items()} == wanted


def write_all(url: str, who: int, together: Any) -> None:
    """Move USERS cursors one by one, against all the others."""
    store = RedisStore(url)
    together.wait(60)
    for n in range(USERS):
        store.move(CHANNEL, {f"{who}-{n}": b"%d" % n}, timeout=600)


def held(tracker: Tracker) -> int:
    """How many fields there are, stale or not; nothing is cleared away."""
    if isinstance(tracker, MemoryStore):
        return len(tracker._cursors[CHANNEL])
    assert isinstance(tracker, RedisStore)
    return int(tracker._client.hlen(tracker._keys.cursors(CHANNEL)))
