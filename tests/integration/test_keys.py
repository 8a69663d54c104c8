"""Every key in Redis expires or is bounded, and a key of another type is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from presence.backends.base import KEPT_DUE, KEPT_TICKS
from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.sync.context import Options
from presence.sync.tick import Sync
from presence.testing.contract import Clock
from presence.testing.contract.base import ROOM
from tests.unit.fakes import FakeCentrifugo, Inline

KEYS = Keys("presence")
USERS = 20
DAY = 86_400
PAUSE = 600
TIMEOUT = 60.0


@pytest.fixture
def store(redis_url: str, clock: Clock) -> RedisStore:
    return RedisStore(redis_url, clock=clock)


@pytest.fixture
def centrifugo(clock: Clock) -> FakeCentrifugo:
    return FakeCentrifugo(clock)


def make_sync(store: RedisStore, centrifugo: FakeCentrifugo, clock: Clock, **more: Any) -> Sync:
    options = Options(grace=0.0, timeout=TIMEOUT, **more)
    return Sync(
        store,
        Gateway(centrifugo),
        options,
        announce=None,
        clock=clock,
        executor=Inline,
    )


def live(store: RedisStore, centrifugo: FakeCentrifugo, turn: int) -> None:
    """Join and leave rooms between two ticks, each time in new rooms."""
    for user in map(str, range(USERS)):
        room = f"presence:{turn}:{user}"
        store.register_channels([room])
        store.save_member(room, user, source="page", meta=b"{}", timeout=TIMEOUT)
        store.touch_member(f"presence:beaten:{turn}:{user}", user, source="", timeout=TIMEOUT)
        store.save_cursors(f"cursors:{turn}:{user}", {user: b"{}"}, timeout=10.0)
        store.save_profile(user, b"{}", seconds=3600.0)
        store.claim_slot(room, turn, seconds=30.0)
        store.hit_rate_limit(f"{turn}:{user}", limit=3, seconds=60.0)
        store.set_flag(f"{turn}:{user}", seconds=60.0)
        centrifugo.rooms[room] = {}
        centrifugo.enter(room, f"c{user}", user, user)
        centrifugo.rooms.pop(f"presence:{turn - 1}:{user}", None)


def test_keys_after_a_day_expire_or_are_bounded_by_the_users(
    store: RedisStore, centrifugo: FakeCentrifugo, clock: Clock, server: redis.Redis
) -> None:
    sync = make_sync(store, centrifugo, clock)
    for turn in range(DAY // PAUSE):
        live(store, centrifugo, turn)
        store.begin_tick(f"lost-{turn}")
        store.add_part(f"lost-{turn}", 0, b"{}", of=2)
        assert sync.tick().errors == 0
        clock.advance(PAUSE)
    assert sync.tick().errors == 0
    store.known_channels(registered_within=3660.0)
    bounded: dict[str, int] = {}
    for raw in server.scan_iter("presence:1:*"):
        key = raw.decode()
        if server.pttl(key) != -1:
            continue
        size = {b"zset": server.zcard, b"hash": server.hlen, b"list": server.llen}
        bounded[key] = size[server.type(key)](key)
    rooms = {key for key in bounded if KEYS.is_channel(key)}
    others = {key: bounded[key] for key in bounded if key not in rooms}
    assert len(rooms) <= 4 * USERS, "each has somebody in it, or had a while ago"
    assert others.pop(KEYS.channels) == len(rooms)
    assert others.pop(KEYS.seen) <= USERS
    assert others.pop(KEYS.ticks) <= KEPT_TICKS
    assert others.pop(KEYS.open) <= 4
    assert others.pop(KEYS.nodes) <= 2
    assert others.pop(KEYS.due) <= USERS * (KEPT_DUE // PAUSE + 1), "without a look, ticks forget"
    assert others == {}
    for key in (KEYS.tracked, KEYS.profiles, KEYS.registry):
        assert server.pttl(key) > 0 or not server.exists(key), key


@pytest.mark.parametrize("value", ["string", "list", "hash", "zset"])
def test_key_of_another_type_is_replaced_by_a_tick_and_keeps_the_rooms(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    value: str,
) -> None:
    sync = make_sync(store, centrifugo, clock, discovery="registry")
    for room in (ROOM, "presence:b"):
        store.register_channels([room])
        store.save_member(room, "bot", source="", meta=b'{"name":"Bot"}', timeout=TIMEOUT)
        centrifugo.enter(room, "c1", "ada", "Ada")
    store.save_profile("ada", b"{}", seconds=3600.0)
    sync.tick()
    made = {
        "string": lambda key: server.set(key, "x"),
        "list": lambda key: server.rpush(key, "x"),
        "hash": lambda key: server.hset(key, "x", "y"),
        "zset": lambda key: server.zadd(key, {"x": 1}),
    }[value]
    shared = [
        *(KEYS.channels, KEYS.nodes, KEYS.open, KEYS.ticks, KEYS.registry, KEYS.tracked),
        *(KEYS.profiles, KEYS.seen, KEYS.members(ROOM), KEYS.channel(ROOM)),
    ]
    for key in shared:
        server.delete(key)
        made(key)
        clock.advance(10)
        for room in (ROOM, "presence:b"):
            store.register_channels([room])
            store.save_member(room, "bot", source="", meta=b'{"name":"Bot"}', timeout=TIMEOUT)
        store.last_seen(["ada"])
        sync.tick()
        assert sync.tick().errors == 0, key
        shown = store.load_snapshots([ROOM, "presence:b"])
        assert all(b"Ada" in (stored.snapshot or b"") for stored in shown.values()), key
        assert all(stored.polled == clock.now for stored in shown.values()), key


@pytest.mark.parametrize("value", ["string", "list", "hash", "zset"])
def test_key_of_another_type_is_replaced_by_a_look(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    value: str,
) -> None:
    sync = make_sync(store, centrifugo, clock)
    write: dict[str, Callable[[str], object]] = {
        "string": lambda key: server.set(key, "x"),
        "list": lambda key: server.rpush(key, "x"),
        "hash": lambda key: server.hset(key, "x", "y"),
        "zset": lambda key: server.zadd(key, {"x": 1}),
    }
    for number, key in enumerate((KEYS.watch, KEYS.due, KEYS.watch, KEYS.due)):
        server.delete(key)
        write[value](key)
        clock.advance(10)
        store.save_member(ROOM, f"bot{number}", source="", meta=b"{}", timeout=TIMEOUT)
        clock.advance(10)
        for _ in range(2):
            clock.advance(1)
            sync.look()
        report = sync.look()
        assert report is not None
        assert report.failures == [], key
        assert f'"bot{number}"'.encode() in (store.load_snapshots([ROOM])[ROOM].snapshot or b"")


@pytest.mark.parametrize("value", [b"garbage", b"\xff", b"", b"nan", b"inf", b"-1e400"])
def test_value_that_cannot_be_read_fails_no_look(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    value: bytes,
) -> None:
    sync = make_sync(store, centrifugo, clock)
    centrifugo.enter(ROOM, "c1", "ada", "Ada")
    assert sync.look()
    for field in ("until", "length", "holder", "counts"):
        server.hset(KEYS.watch, field, value)
        clock.advance(1)
        centrifugo.enter(ROOM, f"c-{field}", field, field)
        report = make_sync(store, centrifugo, clock).look()
        assert report is not None, field
        assert report.failures == [], field
        assert f'"{field}"'.encode() in (store.load_snapshots([ROOM])[ROOM].snapshot or b"")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"", b"a room", b"roster:x", b"x" * 300])
def test_due_entry_that_is_no_channel_is_removed(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    name: bytes,
) -> None:
    server.zadd(KEYS.due, {name: clock.now})
    report = make_sync(store, centrifugo, clock).look()
    assert report is not None
    assert (report.channels, report.failures) == (0, [])
    assert server.zscore(KEYS.due, name) is None


@pytest.mark.parametrize("name", [b"\xff\xfe", b"", b"a room", b"roster:x", b"x" * 300])
def test_registry_entry_that_is_no_channel_is_removed(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    name: bytes,
) -> None:
    sync = make_sync(store, centrifugo, clock)
    centrifugo.enter(ROOM, "c1", "ada", "Ada")
    sync.tick()
    for key in (KEYS.channels, KEYS.tracked, KEYS.registry):
        server.zadd(key, {name: clock.now})
    assert sync.tick().errors == 0
    assert store.known_channels(registered_within=60.0).registered == []
    for key in (KEYS.channels, KEYS.tracked, KEYS.registry):
        assert server.zscore(key, name) is None


@pytest.mark.parametrize(
    "value", [b"garbage", b"\xff", b"", b"nan", b"inf", b"-1e400", b"9" * 5000]
)
def test_value_that_cannot_be_read_is_deleted_and_fails_no_tick(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    value: bytes,
) -> None:
    sync = make_sync(store, centrifugo, clock)
    centrifugo.enter(ROOM, "c1", "ada", "Ada")
    store.save_member(ROOM, "bot", source="", meta=b"{}", timeout=TIMEOUT)
    sync.tick()
    server.hset(KEYS.open, mapping={b"tick:x": value, b"began": value, b"\xff": value})
    server.hset(KEYS.nodes, "changed", value)
    server.hset(KEYS.profiles, mapping={b"ada": value, b"\xff": value})
    server.hset(KEYS.members(ROOM), mapping={b"x": value, b'["a","b"]': value})
    server.lpush(KEYS.ticks, value)
    server.hset(KEYS.tick("t"), mapping={b"of": value, b"0": value, b"x": value})
    server.set(KEYS.taken("me"), value)
    server.set(KEYS.remembered("me"), value)
    store.begin_tick("t")
    clock.advance(300)
    assert sync.tick().errors == 0
    assert b"Ada" in (store.load_snapshots([ROOM])[ROOM].snapshot or b"")
    assert [
        store.hit_rate_limit("me", limit=1, seconds=5),
        store.hit_rate_limit("me", limit=1, seconds=5),
    ] == [
        True,
        False,
    ]
    assert server.hkeys(KEYS.open) == [b"began"]


@pytest.mark.parametrize("meta", [b"", b"garbage", b"null", b"[]", b"1e400", b'{"a":' * 5000])
def test_member_with_invalid_meta_is_shown_by_id_and_fails_no_tick(
    store: RedisStore,
    centrifugo: FakeCentrifugo,
    clock: Clock,
    server: redis.Redis,
    meta: bytes,
) -> None:
    sync = make_sync(store, centrifugo, clock)
    centrifugo.enter(ROOM, "c1", "ada", "Ada")
    store.save_member(ROOM, "bot", source="", meta=b"{}", timeout=TIMEOUT)
    store.save_member(ROOM, "cat", source="", meta=b"{}", timeout=TIMEOUT)
    server.hset(KEYS.members(ROOM), b'["bot",""]', b"%r %r %r %b" % (*3 * (clock.now,), meta))
    assert sync.tick().errors == 0
    snapshot = store.load_snapshots([ROOM])[ROOM].snapshot or b""
    shown = {member["id"]: member["name"] for member in json.loads(snapshot)["members"]}
    assert shown == {"ada": "Ada", "bot": "bot", "cat": "cat"}
    store.save_member(ROOM, "bot", source="", meta=b'{"name":"Bot"}', timeout=TIMEOUT)
    assert sync.tick().errors == 0
    assert b'"Bot"' in (store.load_snapshots([ROOM])[ROOM].snapshot or b"")
