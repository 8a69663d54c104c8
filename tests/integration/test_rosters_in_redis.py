"""Rosters in Redis: scripts, keys, prefixes, errors, and writers in other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.backends.redis import scripts
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.exceptions import StoreError
from presence.roster import messages
from presence.roster.commit import State
from presence.testing.contract import Clock
from presence.testing.contract.base import (
    ROOM,
    acknowledge,
    commit,
    drop,
    rosters,
    settled,
    signalled,
    state,
    write,
)
from presence_devtools import servers
from tests.processes import run_many


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


class TestRosters:
    @pytest.fixture
    def kept(self, redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(redis_url, clock=clock)

    def test_claim_slot_key_expires_in_redis(self, kept: RedisStore, server: redis.Redis) -> None:
        assert kept.claim_slot(ROOM, 7, seconds=4.5)
        (key,) = server.keys("*")
        assert 0 < server.pttl(key) <= 4500

    def test_calls_after_script_flush_succeed(self, kept: RedisStore, server: redis.Redis) -> None:
        settled(kept)
        server.script_flush()
        first = commit(2, rev=state(kept).rev)
        assert write(kept, [first, commit(channel="presence:b")]) == [True, True]
        server.script_flush()
        assert acknowledge(kept, [(ROOM, first.pending, None)], 1.0) == [True]
        server.script_flush()
        signalled(kept, [(ROOM, first.pending)])
        server.script_flush()
        assert kept.write(Writes(nodes=frozenset("a"))).nodes_changed is None
        server.script_flush()
        assert kept.write(Writes(sweep={"presence:never": 1.0})).swept == []
        assert state(kept).unsignalled == ()

    @pytest.mark.parametrize("known", ["signalled", "acknowledge", "commit"])
    def test_write_with_some_scripts_flushed_runs_once(
        self, kept: RedisStore, server: redis.Redis, known: str
    ) -> None:
        """A second run would not accept what the first run acknowledged."""
        first, second = commit(), commit(channel="presence:b")
        write(kept, [first, second])
        server.script_flush()
        server.script_load(scripts.ALL[known])
        written = kept.write(
            Writes(
                signalled=[(ROOM, first.pending), ("presence:b", second.pending)],
                acknowledgements=[
                    Acknowledgement(done.channel, done.pending, None, 1.0)
                    for done in (first, second)
                ],
                commits=[commit(2, rev=2), commit(2, rev=2, channel="presence:b")],
            )
        )
        assert (written.acknowledged, written.committed) == ([True, True], [True, True])

    def test_occupied_channel_has_one_key_that_does_not_expire(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        settled(kept)
        keys = {key.decode() for key in server.scan_iter()}
        assert keys == {Keys("presence").channel(ROOM), Keys("presence").channels}
        assert {server.ttl(key) for key in keys} == {-1}

    def test_channels_of_another_prefix_are_not_loaded(
        self, redis_url: str, kept: RedisStore
    ) -> None:
        settled(kept)
        other = RedisStore(redis_url, prefix="other")
        assert state(other) == State(channel=ROOM)
        assert other.known_channels().polled == {}

    def test_load_without_clock_uses_the_time_of_redis(
        self, redis_url: str, server: redis.Redis
    ) -> None:
        store = RedisStore(redis_url)
        before, _ = server.time()
        now = store.load_states([]).now
        after, _ = server.time()
        assert before <= now <= after + 1
        assert before <= store.load_snapshots([ROOM])[ROOM].now <= after + 2

    def test_load_of_key_of_another_type_marks_damage_and_leaves_the_others(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        server.set(Keys("presence").channel(ROOM), "mine")
        settled(kept, channel="presence:b")
        loaded = kept.load_states([ROOM, "presence:b"], rosters=[ROOM, "presence:b"], whole=[ROOM])
        assert "WRONGTYPE" in loaded.states[ROOM].damage.reason
        assert (loaded.states["presence:b"].damage, loaded.rosters[ROOM]) == (None, (0, b""))
        assert kept.load_snapshots([ROOM, "presence:b"])["presence:b"].damage == ""
        assert write(kept, [commit(), commit(2, rev=2, channel="presence:b")]) == [False, True]
        assert kept.write(Writes(sweep={ROOM: 1.0})).swept == []

    @pytest.mark.parametrize(
        "call",
        [
            lambda store: store.load_states([ROOM]),
            lambda store: rosters(store, [ROOM]),
            lambda store: store.load_snapshots([ROOM]),
            lambda store: write(store, polled=[ROOM], now=1.0),
            lambda store: write(store, [commit()]),
            lambda store: acknowledge(store, [(ROOM, b"x", None)], 1.0),
            lambda store: drop(store, b"x", epoch="e", now=1.0),
            lambda store: signalled(store, [(ROOM, b"x")]),
            lambda store: store.known_channels().polled,
            lambda store: store.write(Writes(sweep={ROOM: 1.0})).swept,
            lambda store: store.write(Writes(nodes=frozenset("a"))),
            lambda store: store.begin_look("a", lease=1.0, limit=1),
        ],
    )
    def test_call_without_redis_raises_store_error_without_password(
        self, call: Callable[[RosterStore], object]
    ) -> None:
        store = RedisStore("redis://user:s3cret@127.0.0.1:9/0")
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL") as caught:
            call(store)
        assert "s3cret" not in str(caught.value)

    def test_run_changes_when_redis_restarts(self, tmp_path: Any) -> None:
        with servers.redis_server(tmp_path) as (url, server):
            store = RedisStore(url)
            first = store.load_states([]).run
            server.restart()
            assert store.load_states([]).run != first

    def test_commit_by_many_processes_is_won_by_one_for_each_rev(self, redis_url: str) -> None:
        """Four processes write as fast as they can; the chain has no gap and no fork."""
        run_many(write_forty, redis_url, processes=4)
        found = state(RedisStore(redis_url))
        changes = [messages.decode(pending, messages.Pending) for _, pending in found.unsignalled]
        assert [change.version for change in changes] == list(range(1, 161))
        assert (found.version, found.rev) == (160, 320)


def write_forty(url: str, who: int) -> None:
    """Win forty commits against all other writers."""
    store, written = RedisStore(url), 0
    while written < 40:
        found = state(store)
        if found.pending:
            continue
        first = commit(found.version + 1, rev=found.rev, epoch=f"w{who}")
        if write(store, [first]) == [True]:
            assert acknowledge(store, [(ROOM, first.pending, None)], 1.0) == [True]
            written += 1
