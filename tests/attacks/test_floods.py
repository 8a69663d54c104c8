"""Floods from one visitor: what they leave in Redis and in the process does not grow with them."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from math import ceil
from typing import Any, NamedTuple

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory
from django.views import View

from presence import services
from presence.access import revoke
from presence.backends.base import KEPT_DUE
from presence.backends.redis.store import RedisStore
from presence.backends.tracker import MANY
from presence.centrifugo.tokens import make_grant
from presence.conf import conf, hooks
from presence.mixins import PresenceMixin
from presence.roster.validation import MAX_META
from presence.testing.contract import Clock
from presence.web.heartbeat import CLOSING, MAX_LIFELINES, heartbeat_for
from presence.web.publish_proxy import ASKS, SLACK
from presence.web.views import CHECKS, MAX_GRANTS, NEW_ROOMS, SESSIONS
from tests.attacks.conftest import Connect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

ENTRY = 400
"""Bytes of an entry of the longest name of a channel, with its place in a sorted set."""


class Held(NamedTuple):
    """Contents of Redis: keys, entries in them, bytes; and the keys that never expire."""

    keys: int
    entries: int
    size: int
    lasting: tuple[str, ...]


class Page(PresenceMixin, View):
    presence_key = "flooded"
    meta: dict[str, Any] | None = None
    untracks = False

    def get(self, request: Any) -> None:
        self.track_presence(self.meta)
        if self.untracks:
            self.untrack_presence()


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


COUNTS: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
    b"hash": lambda server, key: server.hlen(key),
    b"zset": lambda server, key: server.zcard(key),
    b"list": lambda server, key: server.llen(key),
    b"set": lambda server, key: server.scard(key),
    b"string": lambda server, key: 1,
}


def held(server: redis.Redis) -> Held:
    """Measure a Redis; what may only be there for a second has not ended."""
    assert set(server.info("keyspace")) <= {"db0"}, "nothing is queued for workers"
    entries = size = 0
    lasting = []
    keys = [key for key in server.scan_iter(count=1000) if not is_short(server, key)]
    for key in keys:
        entries += COUNTS[server.type(key)](server, key)
        size += server.memory_usage(key) or 0
        if server.pttl(key) == -1:
            lasting.append(key.decode())
    return Held(len(keys), entries, size, tuple(sorted(lasting)))


def is_short(server: redis.Redis, key: bytes) -> bool:
    """Whether the key is gone within about a second, as the counts of moves and checks are."""
    return -1 < server.pttl(key) <= 1000 or server.pttl(key) == -2


def in_process() -> dict[str, int]:
    """Return the length of each collection and cache that the app holds in this process: those of
    its modules, of the objects there, and of the objects that the settings describe."""
    kept: dict[str, Any] = {
        f"{name}.{attribute}": value
        for name, module in list(sys.modules.items())
        for attribute, value in vars(module).items()
        if name.startswith("presence.") and not attribute.startswith("__")
    }
    kept |= {name: getattr(services, name)() for name in ("store", "roster_cache", "last_look")}
    for name, value in list(kept.items()):
        if type(value).__module__.startswith("presence."):
            kept |= {
                f"{name}.{inner}": held for inner, held in getattr(value, "__dict__", {}).items()
            }
    caches = {name: cache.cache_info().currsize for name, cache in kept.items() if is_cache(cache)}
    return caches | {name: len(value) for name, value in kept.items() if is_collection(value)}


def is_cache(value: object) -> bool:
    return hasattr(value, "cache_info") and not isinstance(value, type)


def is_collection(value: object) -> bool:
    return isinstance(value, dict | set | list | deque)


def assert_no_growth(
    server: redis.Redis, flood: Callable[[range], object], number: int, *, most: int
) -> Held:
    """Run a flood, and as much of it again, which must add nothing; `most` entries are left."""
    flood(range(number))
    first, caches = held(server), in_process()
    flood(range(number, 2 * number))
    second = held(server)
    assert second.entries <= most, second
    assert (second.keys, second.lasting) == (first.keys, first.lasting)
    assert second.entries <= first.entries, (first, second)
    assert second.size <= 1.1 * first.size + 200, (first, second)
    grown = {name: size for name, size in in_process().items() if size > caches.get(name, 0)}
    assert grown == {}
    return second


def browser(user: User | None = None) -> Client:
    client = Client()
    if user:
        client.force_login(user)
    return client


def send(client: Client, url: str, body: object) -> Any:
    return client.post(f"/presence/{url}/", json.dumps(body), content_type="application/json")


def rooms(numbers: Sequence[int], name: str = "presence:flood:") -> list[str]:
    return [f"{name}{number}".ljust(150, "x") for number in numbers]


def ask(client: Client, url: str, channels: Sequence[str], user_id: str = "") -> None:
    """Send the grants of channels, as many pages as that takes."""
    for start in range(0, len(channels), MAX_GRANTS):
        part = channels[start : start + MAX_GRANTS]
        grants = [make_grant(channel, user_id, now=time.time()) for channel in part]
        assert send(client, url, {"grants": grants}).status_code in (200, 204)


def test_measure_of_the_process_finds_what_grows():
    before, entry = in_process(), ("source", "user", "part")
    hooks._logged.add(entry)
    grown = {name for name, size in in_process().items() if size > before[name]}
    hooks._logged.discard(entry)
    assert grown == {"presence.conf.hooks._logged"}


@pytest.mark.parametrize("url", ["tokens", "check"])
def test_grants_of_many_rooms_leave_only_what_the_limits_allow(
    site: Any, server: redis.Redis, mallory: User, url: str
):
    client, name = browser(mallory), str(mallory.pk)
    most = {"tokens": 0, "check": CHECKS + 1}[url]
    left = assert_no_growth(
        server, lambda numbers: ask(client, url, rooms(numbers), name), MAX_GRANTS, most=most
    )
    assert left.size <= most * ENTRY


def test_registry_of_one_visitor_keeps_new_rooms_of_an_hour(
    site: Any, server: redis.Redis, mallory: User
):
    site.PRESENCE_DISCOVERY = "registry"
    client, name = browser(mallory), str(mallory.pk)
    left = assert_no_growth(
        server,
        lambda numbers: ask(client, "tokens", rooms(numbers), name),
        NEW_ROOMS + 50,
        most=NEW_ROOMS + 1,
    )
    assert left.size <= NEW_ROOMS * ENTRY
    assert left.lasting == ()


def test_rooms_that_never_had_a_member_are_not_stored_by_ticks(
    site: Any, server: redis.Redis, mallory: User
):
    site.PRESENCE_DISCOVERY = "registry"
    client, name = browser(mallory), str(mallory.pk)

    def flood(numbers: range) -> None:
        ask(client, "tokens", rooms(numbers), name)
        report = services.sync().tick()
        assert not report.errors, report.failures

    flood(range(1))
    before = set(server.scan_iter())
    flood(range(NEW_ROOMS))
    assert set(server.scan_iter()) <= before


def test_visitors_without_cookies_who_ask_again_leave_nothing(site: Any, server: redis.Redis):
    def flood(numbers: range) -> None:
        for room in rooms(numbers):
            for url in ("tokens", "check"):
                ask(browser(), url, [room])

    assert assert_no_growth(server, flood, 20, most=0).keys == 0


def test_sessions_of_one_address_register_no_more_rooms_than_the_address_may(
    site: Any, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    site.PRESENCE_DISCOVERY = "registry"
    monkeypatch.setattr("presence.web.views.NEW_ROOMS", 2)
    store = import_module(django_settings.SESSION_ENGINE).SessionStore

    def flood(numbers: range) -> None:
        for room in rooms(numbers):
            session = store()
            session.create()
            client = browser()
            client.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
            ask(client, "tokens", [room])

    flood(range(2 * SESSIONS + 10))
    assert server.zcard(registry(server)) == 2 * SESSIONS
    for key in server.scan_iter("*:taken:*"):
        assert 0 < server.pttl(key) <= 3600 * 1000


def registry(server: redis.Redis) -> bytes:
    (key,) = server.scan_iter("*:registry")
    return key


# Members without a websocket


def visit(user: Any, **options: Any) -> Any:
    """Let the view, with these attributes, answer a request. Returns the request."""
    request = RequestFactory().get("/")
    request.user = user
    Page.as_view(**options)(request)
    return request


def test_pages_of_one_user_are_a_bounded_number_of_sources(server: redis.Redis, mallory: User):
    def flood(numbers: range) -> None:
        for _ in numbers:
            visit(mallory)

    assert_no_growth(server, flood, MANY + 20, most=MANY + 2)


def test_heartbeats_of_more_pages_keep_no_more_sources(server: redis.Redis, mallory: User):
    client = browser(mallory)

    def flood(numbers: range) -> None:
        tokens = [heartbeat_for(visit(mallory)).lifelines[0] for _ in numbers]
        for start in range(0, len(tokens), MAX_LIFELINES):
            part = tokens[start : start + MAX_LIFELINES]
            answer = send(client, "heartbeat", {"tokens": part, "back": True}).json()
            assert len(answer["present"]) == len(part), "each page goes on"

    assert_no_growth(server, flood, MANY + 20, most=MANY + 2)


def test_pages_that_close_leave_flags_for_seconds(server: redis.Redis, mallory: User):
    client = browser(mallory)
    for _ in range(5):
        tokens = list(heartbeat_for(visit(mallory)).lifelines)
        assert send(client, "heartbeat", {"tokens": tokens, "leave": True}).status_code == 204
    flags = list(server.scan_iter("*:remembered:*"))
    assert len(flags) == 5
    assert all(0 < server.pttl(flag) <= CLOSING * 1000 for flag in flags)


def test_views_that_untrack_before_they_render_leave_no_note(server: redis.Redis, mallory: User):
    """The note tells a heartbeat of the page that the site took its member back."""

    def flood(numbers: range) -> None:
        for _ in numbers:
            visit(mallory, untracks=True)

    flood(range(5))
    assert list(server.scan_iter("*:remembered:*")) == []


def test_visitors_without_cookies_are_members_only_while_their_pages_beat(
    site: Any, server: redis.Redis
):
    site.PRESENCE_TIMEOUT = 2.0
    for _ in range(5):
        tokens = list(heartbeat_for(visit(AnonymousUser())).lifelines)
        assert send(browser(), "heartbeat", {"tokens": tokens}).status_code == 200
    assert 0 < server.pttl(next(server.scan_iter("*:members"))) <= 2000


def test_huge_metadata_is_cut_in_redis_and_in_the_process(server: redis.Redis, mallory: User):
    huge = 100_000
    hooks._logged.clear()

    def flood(numbers: range) -> None:
        for number in numbers:
            visit(mallory, meta={f"{number}".ljust(huge, "k"): 1, "text": "t" * huge})

    flood(range(10))
    assert held(server).size < 10 * (MAX_META + ENTRY)
    assert len(hooks._logged) == 11
    assert sum(len(part) for _, _, part in hooks._logged) < 11 * 100


def test_members_while_no_tick_runs_leave_no_mark_of_theirs_for_long(redis_url: str):
    clock = Clock()
    store = RedisStore(redis_url, clock=clock)
    with redis.Redis.from_url(redis_url) as server:
        for number in range(40):
            clock.advance(KEPT_DUE / 4)
            channel = f"presence:flood:{number}"
            store.save_member(channel, "ada", source=str(number), meta=b"{}", timeout=60.0)
        (due,), (tracked,) = server.scan_iter("*:due"), server.scan_iter("*:tracked")
        assert server.zcard(due) <= 5
        assert server.zcard(tracked) == 1


# Cursors


def test_moves_of_one_user_on_many_channels_are_as_many_as_the_rate_allows(
    site: Any, server: redis.Redis, mallory: User, connect: Connect
):
    site.PRESENCE_CURSOR_TRACK = True
    channels = [f"cursors:flood:{number}" for number in range(MAX_GRANTS)]
    grants = [make_grant(channel, str(mallory.pk), now=time.time()) for channel in channels]
    answer = send(browser(mallory), "tokens", {"grants": grants}).json()
    socket = connect()
    client = socket.ask("connect", token=answer["connection"])["connect"]["client"]
    for channel in channels:
        socket.ask("subscribe", channel=channel, token=answer["channels"][channel]["token"])
    rate = ceil(SLACK * ceil(1 / conf.PRESENCE_CURSOR_INTERVAL))
    began = time.monotonic()
    for channel in channels:
        body = {
            "client": client,
            "user": str(mallory.pk),
            "channel": channel,
            "data": {"x": 0.5, "y": 0.5},
        }
        Client().post(
            "/presence/publish/",
            json.dumps(body),
            content_type="application/json",
            headers={"X-API-Key": site.CENTRIFUGO_API_KEY},
        )
    windows = 1 + ceil(time.monotonic() - began)
    stored = list(server.scan_iter("*:cursors"))
    assert 0 < len(stored) <= rate * windows
    assert len(list(server.scan_iter("*:remembered:*"))) <= ASKS
    assert all(0 < server.pttl(key) <= 10_000 for key in stored)


# Revocations


def test_log_outs_leave_one_small_entry_each_that_ends(server: redis.Redis, mallory: User):
    def flood(numbers: range) -> None:
        for _ in numbers:
            request = RequestFactory().get("/")
            request.user = AnonymousUser()
            request.session = import_module(django_settings.SESSION_ENGINE).SessionStore()
            login(request, mallory, backend="django.contrib.auth.backends.ModelBackend")
            logout(request)

    flood(range(20))
    left = held(server)
    assert left.entries == 20
    assert left.size < 20 * ENTRY
    assert left.lasting == ()


def test_revocations_while_nothing_looks_are_forgotten_as_they_end(
    site: Any, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(services, "longest_token", lambda: 0.05)

    def flood(numbers: range) -> None:
        for number in numbers:
            revoke(user=f"u{number}")
            time.sleep(0.01)

    flood(range(20))
    assert held(server).entries <= 10
