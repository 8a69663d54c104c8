"""Members without a websocket in Redis: round trips, races, keys and unreadable records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from presence.backends.base import Writes
from presence.backends.redis import scripts
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.backends.tracker import Tracker
from presence.exceptions import StoreError
from presence.testing.contract import Clock
from presence.testing.contract.base import ROOM
from presence.testing.contract.members import (
    OTHER,
    TIMEOUT,
    beat,
    join,
    leave,
    listed,
    pairs,
)

KEYS = Keys("presence")
MEMBERS = KEYS.members(ROOM)
FOR_EVER = 1e6

CALLS: dict[str, Callable[[Tracker], object]] = {
    "join": lambda tracker: join(tracker, "ada"),
    "leave": lambda tracker: leave(tracker, "ada"),
    "beat": lambda tracker: beat(tracker, "ada"),
    "members": lambda tracker: tracker.load_members([ROOM, OTHER], timeout=TIMEOUT),
    "present": lambda tracker: tracker.load_members([ROOM, OTHER], timeout=TIMEOUT, rosters=True),
    "standing": lambda tracker: tracker.load_tracker_state(timeout=TIMEOUT),
    "profile": lambda tracker: tracker.save_profile("ada", b"{}", seconds=60),
    "saw": lambda tracker: tracker.write(Writes(last_seen={"ada": 1.0, "bob": 2.0})),
    "seen": lambda tracker: tracker.last_seen(["ada", "bob"]),
}


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


@pytest.fixture
def store(redis_url: str, clock: Clock) -> RedisStore:
    return RedisStore(redis_url, clock=clock)


class TestRoundTrips:
    @pytest.mark.parametrize("name", CALLS)
    def test_each_call_takes_one_round_trip(
        self, store: RedisStore, round_trips: list[object], name: str
    ) -> None:
        for user in ("ada", "bob", "eve"):
            join(store, user)
            join(store, user, source="tab", channel=OTHER)
            store.save_profile(user, b"{}", seconds=60)
        round_trips.clear()
        CALLS[name](store)
        assert len(round_trips) == 1

    @pytest.mark.parametrize("name", ["members", "present", "standing"])
    def test_call_that_finds_stale_records_takes_one_more_round_trip_once(
        self, store: RedisStore, clock: Clock, round_trips: list[object], name: str
    ) -> None:
        for channel in (ROOM, OTHER):
            join(store, "ada", channel=channel)
        store.save_profile("ada", b"{}", seconds=TIMEOUT)
        clock.advance(TIMEOUT + 1)
        round_trips.clear()
        for trips in (2, 3, 4):
            CALLS[name](store)
            assert len(round_trips) == trips


class TestWhoComesBackInTheVeryMoment:
    """Writes of others between the read and the deletion of a reader."""

    @pytest.fixture
    def reader(self, redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(redis_url, clock=clock)

    @pytest.fixture
    def meanwhile(self, reader: RedisStore) -> Callable[[Callable[[], object]], None]:
        """Return a function that runs a write after the reader has read, and before it deletes."""

        def arrange(done: Callable[[], object]) -> None:
            run = reader._run

            def late(commands: Any) -> list[Any]:
                sources = [command[1] for command in commands if command[0] == "EVAL"]
                if scripts.ALL["retire"] in sources:
                    assert sources == [scripts.ALL["retire"]]
                    done()
                return run(commands)

            reader._run = late  # type: ignore[method-assign,assignment]

        return arrange

    @pytest.mark.parametrize("rosters", [False, True])
    @pytest.mark.parametrize("meta", [b"old", b"new"])
    def test_member_who_joins_while_stale_records_are_deleted_stays(
        self, store: RedisStore, reader: RedisStore, clock: Clock, rosters: bool, meta: bytes,
        meanwhile: Callable[[Callable[[], object]], None],
    ) -> None:  # fmt: skip
        for user in ("ada", "bob"):
            join(store, user, meta=b"old")
        clock.advance(TIMEOUT + 1)
        meanwhile(lambda: join(store, "ada", meta=meta))
        reader.load_members([ROOM], timeout=TIMEOUT, rosters=rosters)
        left = listed(store, timeout=FOR_EVER)
        assert [(member.user, member.beat, member.meta) for member in left] == [
            ("ada", clock.now, meta)
        ]

    def test_member_who_beats_with_longer_timeout_during_deletion_stays(
        self, store: RedisStore, reader: RedisStore, clock: Clock,
        meanwhile: Callable[[Callable[[], object]], None],
    ) -> None:  # fmt: skip
        join(store, "ada")
        clock.advance(TIMEOUT + 1)
        meanwhile(lambda: store.touch_member(ROOM, "ada", source="", timeout=3 * TIMEOUT))
        reader.load_members([ROOM], timeout=TIMEOUT)
        assert pairs(store) == [("ada", "")]

    def test_load_members_after_another_reader_deleted_stale_records_succeeds(
        self, store: RedisStore, reader: RedisStore, clock: Clock,
        meanwhile: Callable[[Callable[[], object]], None],
    ) -> None:  # fmt: skip
        join(store, "ada")
        clock.advance(TIMEOUT + 1)
        meanwhile(lambda: store.load_members([ROOM], timeout=TIMEOUT))
        assert reader.load_members([ROOM], timeout=TIMEOUT)[ROOM].members == []

    def test_profile_saved_again_during_deletion_stays(
        self, store: RedisStore, reader: RedisStore, clock: Clock,
        meanwhile: Callable[[Callable[[], object]], None],
    ) -> None:  # fmt: skip
        store.save_profile("ada", b"1", seconds=60)
        clock.advance(61)
        meanwhile(lambda: store.save_profile("ada", b"1", seconds=60))
        assert reader.load_tracker_state(timeout=TIMEOUT).profiles == {}
        assert store.load_tracker_state(timeout=TIMEOUT).profiles == {"ada": (clock.now, b"1")}

    def test_channel_of_first_member_during_deletion_stays_listed(
        self, store: RedisStore, redis_url: str, clock: Clock
    ) -> None:
        """The script that deletes is one step: it runs before the join, or sees it."""
        join(store, "ada")
        clock.advance(TIMEOUT + 1)
        join(store, "bob")
        assert store.load_tracker_state(timeout=TIMEOUT).channels == {ROOM}


class TestKeys:
    def test_members_key_is_in_the_cluster_slot_of_its_channel(
        self, store: RedisStore, server: redis.Redis
    ) -> None:
        join(store, "ada")
        store.save_profile("ada", b"{}", seconds=60)
        store.write(Writes(last_seen={"ada": 1.0}))
        found = {key.decode() for key in server.scan_iter()}
        assert found == {MEMBERS, KEYS.tracked, KEYS.profiles, KEYS.seen, KEYS.due}
        assert f"{{{ROOM}}}" in MEMBERS

    def test_members_key_without_calls_expires_on_time(
        self, store: RedisStore, server: redis.Redis
    ) -> None:
        for call in (join, beat):
            call(store, "ada")
            assert 1000 * TIMEOUT - 1000 < server.pttl(MEMBERS) <= 1000 * TIMEOUT
            server.pexpire(MEMBERS, 5000)
        leave(store, "ada")
        assert not server.exists(MEMBERS)

    def test_profiles_key_expires_after_the_longest_profile(
        self, store: RedisStore, server: redis.Redis
    ) -> None:
        for seconds in (10, 100, 20):
            store.save_profile("ada", b"{}", seconds=seconds)
        assert 90_000 < server.pttl(KEYS.profiles) <= 100_000

    def test_channels_without_reads_leave_no_key(
        self, store: RedisStore, server: redis.Redis, clock: Clock
    ) -> None:
        for n in range(100):
            join(store, "ada", channel=f"presence:{n}")
        clock.advance(TIMEOUT + 1)
        assert store.load_tracker_state(timeout=TIMEOUT).channels == set()
        assert not server.exists(KEYS.tracked)

    def test_members_of_another_prefix_are_not_listed(
        self, redis_url: str, store: RedisStore
    ) -> None:
        join(store, "ada")
        other = RedisStore(redis_url, prefix="other")
        assert (listed(other), other.load_tracker_state(timeout=TIMEOUT).channels) == ([], set())


class TestWhatWasNeverWrittenByThisApp:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (b"bad", b"{now} {now} {now} {}"),
            (b'"bad"', b"{now} {now} {now} {}"),
            (b'["bad"]', b"{now} {now} {now} {}"),
            (b'["bad",1]', b"{now} {now} {now} {}"),
            (b'["bad","\xff"]', b"{now} {now} {now} {}"),
            (b'["bad",""]', b""),
            (b'["bad",""]', b"{now}"),
            (b'["bad",""]', b"{now} {now} {now}"),
            (b'["bad",""]', b"{now} {now} nonsense {}"),
            (b'["bad",""]', b"{now} nonsense {now} {}"),
            (b'["bad",""]', b"nonsense {now} {now} {}"),
            (b'["bad",""]', b"nan {now} {now} {}"),
            (b'["bad",""]', b"inf {now} {now} {}"),
            (b'["bad",""]', b" {now} {now} {now} {}"),
        ],
    )
    def test_unreadable_record_hides_no_member_and_is_deleted(
        self, store: RedisStore, server: redis.Redis, clock: Clock, field: bytes, value: bytes
    ) -> None:
        join(store, "ada")
        server.hset(MEMBERS, field, value.replace(b"{now}", repr(clock.now).encode()))
        assert pairs(store) == [("ada", "")]
        assert server.hlen(MEMBERS) == 1

    @pytest.mark.parametrize("value", ["", "{now}", "{now} no no {}", "nonsense", "nan 1 1 {}"])
    def test_unreadable_record_is_replaced_by_a_join(
        self, store: RedisStore, server: redis.Redis, clock: Clock, value: str
    ) -> None:
        value = value.replace("{now}", repr(clock.now))
        for call in (leave, beat):
            server.hset(MEMBERS, '["ada",""]', value)
            call(store, "ada")
        server.hset(MEMBERS, '["ada",""]', value)
        record = join(store, "ada")
        assert (record.joined, record.said, listed(store)) == (clock.now, clock.now, [record])

    @pytest.mark.parametrize("value", ["", "1", "1 2", "nonsense 9e9 {}", "1 nonsense {}"])
    def test_unreadable_profile_is_left_out(
        self, store: RedisStore, server: redis.Redis, clock: Clock, value: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        store.save_profile("ada", b"{}", seconds=60)
        server.hset(KEYS.profiles, "bad", value)
        server.hset(KEYS.profiles, b"\xff", f"1 {clock.now + 9} {{}}")
        assert store.load_tracker_state(timeout=TIMEOUT).profiles == {"ada": (clock.now, b"{}")}
        assert server.hlen(KEYS.profiles) == 1
        assert "profile=unreadable" in caplog.text

    @pytest.mark.parametrize(
        ("key", "calls"),
        [
            (MEMBERS, "join leave beat members present"),
            (KEYS.tracked, "join beat standing"),
            (KEYS.profiles, "standing profile"),
            (KEYS.seen, "saw seen"),
        ],
    )
    def test_call_on_key_of_another_type_deletes_it_and_succeeds(
        self, store: RedisStore, server: redis.Redis, key: str, calls: str
    ) -> None:
        for name in calls.split():
            server.set(key, "mine")
            CALLS[name](store)
            assert server.type(key) != b"string", name


@pytest.mark.parametrize("name", CALLS)
def test_call_without_redis_raises_store_error_without_password(name: str) -> None:
    with pytest.raises(StoreError, match="PRESENCE_REDIS_URL") as caught:
        CALLS[name](RedisStore("redis://user:s3cret@127.0.0.1:9/0"))
    assert "s3cret" not in str(caught.value)


def test_calls_after_script_flush_succeed(store: RedisStore, server: redis.Redis) -> None:
    for call in CALLS.values():
        call(store)
        server.script_flush()
    for call in CALLS.values():
        call(store)


def test_join_without_clock_uses_the_time_of_redis(redis_url: str, server: redis.Redis) -> None:
    store = RedisStore(redis_url)
    seconds, microseconds = server.time()
    record = join(store, "ada")
    assert seconds + microseconds / 1e6 <= record.joined == record.beat
    assert beat(store, "ada")
    (now,) = listed(store)
    assert record.joined == now.joined < now.beat
    assert store.save_profile("ada", b"{}", seconds=60) > now.beat
    assert store.load_tracker_state(timeout=TIMEOUT).channels == {ROOM}
