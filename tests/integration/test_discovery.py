"""Thousands of channels that come and go, on a real Redis."""

from __future__ import annotations

import pytest
import redis

from presence.backends.base import KEPT_DUE
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.sync import statistics
from presence.sync.context import Options
from tests.unit.fakes import Site

SIZE = 2000
TURNS = 16


@pytest.mark.parametrize("discovery", ["channels", "registry"])
def test_tick_after_many_channels_close_leaves_nothing_in_redis(
    redis_url: str, discovery: str
) -> None:
    site = Site()
    store = RedisStore(redis_url, clock=site.clock)
    options = Options(discovery=discovery, token_lifetime=60.0, grace=0.0)
    sync = site.make(options, store=store)
    for turn in range(TURNS):
        names = [f"presence:{turn}:{n}" for n in range(SIZE)] if turn < 3 else []
        for name in names:
            site.centrifugo.enter(name, "c", "ada", "Ada")
        if discovery == "registry":
            store.register_channels(names)
        if 0 < turn < 4:
            for n in range(SIZE):
                site.centrifugo.quit(f"presence:{turn - 1}:{n}", "c")
        site.clock.advance(60)
        report = sync.tick()
        assert (report.joins, report.errors) == (SIZE if turn < 3 else 0, 0)
        assert report.leaves == (SIZE if 0 < turn < 4 else 0)
    assert (
        store.known_channels().polled,
        store.known_channels(registered_within=1e9).registered,
    ) == ({}, [])
    assert len(statistics.read(store).history) == TURNS
    site.clock.advance(KEPT_DUE)  # until a tick forgets the marks that no look took
    sync.tick()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = Keys("presence")
        assert set(client.keys()) == {keys.nodes, keys.open, keys.ticks, keys.seen}
        assert client.zcard(keys.seen) == 1
