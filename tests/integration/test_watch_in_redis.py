"""Looks on a real Redis that refuses to write or loses data, and in processes that are killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis

from presence.backends.base import Writes
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.backends.revocations import Revocation
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.sync.context import Options
from presence.sync.statistics import Report
from presence.sync.tick import Sync
from presence.sync.watch import LEASE
from presence.testing.contract import Clock
from tests.unit.fakes import ROOM, FakeCentrifugo, Inline

KEYS = Keys("presence")
OTHER, DUE = "presence:other", "presence:due"
GRACE = 2.0


class Interrupted:
    """A store that calls `act` before or after its call number `at`."""

    def __init__(self, store: Any, at: int, act: Callable[[], None], *, before: bool) -> None:
        self._store, self._at, self._act, self._before = store, at, act, before
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._store, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            is_there = self.calls == self._at
            if is_there and self._before:
                self._act()
            found = real(*arguments, **options)
            if is_there and not self._before:
                self._act()
            return found

        return called


Tracker.register(Interrupted)


class RedisSite:
    """A site on a Redis with a join, a leave whose grace is over, and a new member of Python."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url, self.clock = url, clock
        self.centrifugo = FakeCentrifugo(clock)
        self.store = RedisStore(url, clock=clock)
        self.centrifugo.enter(OTHER, "c1", "7", "Ada")
        self.centrifugo.enter(ROOM, "c2", "8", "Bea")
        assert self.look().channels == 2
        self.centrifugo.quit(OTHER, "c1")
        assert self.look().channels == 1
        clock.advance(GRACE)
        self.centrifugo.enter(ROOM, "c3", "9", "Cy")
        self.store.save_member(DUE, "bot", source="", meta=b"{}", timeout=1e6)

    def sync(self, store: Any = None) -> Sync:
        return Sync(
            store or self.store,
            Gateway(self.centrifugo),
            Options(grace=GRACE, batch_size=1, timeout=1e6),
            announce=None,
            clock=self.clock,
            executor=Inline,
        )

    def look(self) -> Report:
        self.clock.advance(1)
        report = self.sync().look()
        assert report is not None
        assert report.failures == []
        return report

    def ids(self, room: str) -> list[str]:
        snapshot = self.store.load_snapshots([room])[room].snapshot or b'{"members": []}'
        return [member["id"] for member in json.loads(snapshot)["members"]]

    def assert_right_by_looks(self, where: object) -> None:
        """Let a member leave again that the look has shown, and look on."""
        self.centrifugo.quit(ROOM, "c3")
        self.clock.advance(3 * LEASE + 1)
        for _ in range(10):
            self.look()
        assert [self.ids(room) for room in (ROOM, OTHER, DUE)] == [["8"], [], ["bot"]], where
        assert self.look().channels == 0, where


def refuse_memory(server: redis.Redis) -> None:
    server.config_set("maxmemory", 1)


def refuse_writes(server: redis.Redis) -> None:
    server.replicaof("127.0.0.1", "1")


@pytest.mark.parametrize("refuse", [refuse_memory, refuse_writes])
def test_look_whose_redis_refuses_writes_from_any_call_on_loses_nothing(
    refuse: Callable[[redis.Redis], None], redis_url: str, clock: Clock, server: redis.Redis
) -> None:
    at, refused = 0, True
    while refused:
        at += 1
        server.flushall()
        site = RedisSite(redis_url, clock)
        store = Interrupted(site.store, at, lambda: refuse(server), before=True)
        try:
            report = site.sync(store).look()
        finally:
            server.config_set("maxmemory", 0)
            server.replicaof("NO", "ONE")
        refused = store.calls >= at
        assert report is not None
        assert bool(report.failures) == refused, at
        site.assert_right_by_looks(at)
    assert at > 5


@pytest.mark.parametrize("before", [True, False])
def test_process_killed_at_any_call_of_a_look_leaves_the_next_looks_right(
    redis_url: str, clock: Clock, server: redis.Redis, *, before: bool
) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        server.flushall()
        site = RedisSite(redis_url, clock)
        process = os.fork()
        if not process:
            try:
                own = RedisStore(redis_url, clock=clock)
                kill = Interrupted(
                    own, at, lambda: os.kill(os.getpid(), signal.SIGKILL), before=before
                )
                site.sync(kill).look()
            finally:
                os._exit(0)
        _, status = os.waitpid(process, 0)
        killed = os.WIFSIGNALED(status)
        site.assert_right_by_looks(at)
    assert at > 5


@pytest.mark.parametrize("lost", [[KEYS.watch], [KEYS.due], [KEYS.watch, KEYS.due]])
def test_redis_that_lost_keys_of_the_watch_is_right_after_a_tick(
    lost: list[str], redis_url: str, clock: Clock, server: redis.Redis
) -> None:
    site = RedisSite(redis_url, clock)
    server.delete(*lost)
    assert site.sync().tick().failures == []
    site.assert_right_by_looks(lost)


def test_redis_that_lost_everything_is_right_by_looks(
    redis_url: str, clock: Clock, server: redis.Redis
) -> None:
    site = RedisSite(redis_url, clock)
    server.flushall()
    site.store.save_member(DUE, "bot", source="", meta=b"{}", timeout=1e6)
    site.look()
    assert site.ids(ROOM) == ["8", "9"]
    site.assert_right_by_looks("flushed")


def test_look_with_fifty_thousand_due_channels_is_short(
    redis_url: str, clock: Clock, server: redis.Redis
) -> None:
    site = RedisSite(redis_url, clock)
    site.look()
    names = [f"presence:{number:05}" for number in range(50_000)]
    for start in range(0, len(names), 5000):
        site.store.write(Writes(due=dict.fromkeys(names[start : start + 5000], 0.0)))
        clock.advance(0.01)
    before = server.zcard(KEYS.due)
    report = site.look()
    assert 0 < report.channels <= 5000
    assert server.zcard(KEYS.due) == before - report.channels
    assert server.zcount(KEYS.due, "-inf", clock.now) == before - report.channels


def test_entry_that_is_no_revocation_is_forgotten(each_redis_url: str) -> None:
    store = RedisStore(each_redis_url)
    with redis.Redis.from_url(each_redis_url) as client:
        client.zadd(KEYS.revoked, {"": -1, "1 x y": -1, "strange": 0})
        store.revoke([Revocation("7")], seconds=600)
        (kept,) = store.load_revocations(limit=9).kept
        assert kept.revocation == Revocation("7")
        assert client.zcard(KEYS.revoked) == 1
