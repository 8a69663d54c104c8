"""Rooms with made-up names: limits for what one visitor can make the site store and poll."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.testing import FakePresence
from presence.web import views
from presence.web.views import HOUR, NEW_ROOMS
from presence.web.visitors import Visitor, origins_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(settings: Any) -> Iterator[FakePresence]:
    settings.PRESENCE_DISCOVERY = "registry"
    views._warn_of_limit.cache_clear()
    with FakePresence() as site:
        yield site


def registered(site: FakePresence) -> list[str]:
    return site.store.known_channels(registered_within=1e9).registered


def exchange(client: Client, rooms: Sequence[str], owner: str = "", **extra: Any) -> Any:
    now = services.now()
    grants = [make_grant(room, owner, now=now) for room in rooms]
    answer = client.post("/presence/tokens/", {"grants": grants}, "application/json", **extra)
    assert answer.status_code == 200
    return answer.json()["channels"]


def rooms(count: int, prefix: str = "made-up") -> list[list[str]]:
    """Return `count` names, in lists as long as a page may have."""
    names = [f"presence:{prefix}-{n}" for n in range(count)]
    return [names[start : start + 100] for start in range(0, count, 100)]


def test_page_request_without_tokens_registers_and_stores_nothing(
    site: FakePresence, client: Client, as_ada: Client
) -> None:
    for visitor in (client, as_ada):
        for n in range(20):
            assert visitor.get(f"/rooms/made-up-{n}/").status_code == 200
    assert registered(site) == []
    site.tick()
    assert site.store.known_channels().polled == {}


def test_registry_of_visitor_beyond_the_limit_adds_no_room_and_gives_tokens(
    site: FakePresence, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "presence.registry"):
        for page in rooms(NEW_ROOMS + 250):
            answer = exchange(client, page, HTTP_X_FORWARDED_FOR=page[0])
            assert all(entry["token"] for entry in answer.values())
    assert len(registered(site)) == NEW_ROOMS
    assert caplog.text.count("registry=full by=address") == 1
    assert "REMOTE_ADDR" in caplog.text
    site.advance(HOUR + 1)
    exchange(client, ["presence:later"])
    assert "presence:later" in registered(site)


def test_registry_of_visitor_beyond_the_limit_renews_rooms_of_others(
    site: FakePresence, client: Client, as_ada: Client, ada: User
) -> None:
    exchange(as_ada, ["presence:known"], str(ada.pk))
    for page in rooms(NEW_ROOMS):
        exchange(client, page)
    site.advance(600)
    exchange(client, ["presence:known", "presence:new"])
    assert site.store.known_channels(registered_within=1).registered == ["presence:known"]


def test_registry_of_several_visitors_limits_each_by_itself(
    site: FakePresence, client: Client, as_ada: Client, ada: User
) -> None:
    for page in rooms(NEW_ROOMS):
        exchange(client, page)
    exchange(as_ada, ["presence:of-ada"], str(ada.pk))
    exchange(client, ["presence:of-a-neighbour"], REMOTE_ADDR="198.51.100.7")
    assert {"presence:of-ada", "presence:of-a-neighbour"} <= set(registered(site))


def test_registry_of_sessions_of_one_address_limits_them_together(
    site: FakePresence, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 2 * NEW_ROOMS
    monkeypatch.setattr(views, "SESSIONS", 2)
    caplog.set_level(logging.WARNING, "presence.registry")
    for number in range(4):
        client = Client()
        assert client.session.session_key
        for page in rooms(NEW_ROOMS, f"by-{number}"):
            exchange(client, page)
    assert len(registered(site)) == limit
    assert caplog.text.count("registry=full by=sessions") == 1
    assert "REMOTE_ADDR" in caplog.text
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    assert elsewhere.session.session_key
    exchange(elsewhere, ["presence:elsewhere"])
    assert "presence:elsewhere" in registered(site)


def test_registry_of_renewed_rooms_counts_no_renewal(site: FakePresence, client: Client) -> None:
    for _ in range(NEW_ROOMS + 1):
        exchange(client, ["presence:mine"])
    exchange(client, ["presence:another"])
    assert set(registered(site)) == {"presence:mine", "presence:another"}


def test_tick_of_registered_empty_rooms_stores_nothing(site: FakePresence, client: Client) -> None:
    for page in rooms(200):
        exchange(client, page)
    site.tick()
    assert site.store.known_channels().polled == {}
    site.connect("presence:made-up-7")
    site.tick()
    assert list(site.store.known_channels().polled) == ["presence:made-up-7"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::8", True),
        ("2001:db8:1:2::7", "2001:db8:1:3::7", False),
        ("", "", True),
        ("unix:", "unix:", True),
    ],
)
def test_origin_without_a_session_is_the_network_of_the_address(
    one: str, other: str, same: bool
) -> None:
    found = []
    for address in (one, other):
        request = RequestFactory().get("/", REMOTE_ADDR=address)
        (origin,) = origins_of(request, Visitor())
        assert origin.startswith("address:")
        assert address == "" or address not in origin
        found.append(origin)
    assert (found[0] == found[1]) is same


def test_origin_of_user_or_session_is_that_one() -> None:
    request = RequestFactory().get("/")
    assert origins_of(request, Visitor(id="7")) == ("user:7",)
    first, shared = origins_of(request, Visitor(anonymous="anon_1"))
    assert first == "session:anon_1"
    assert origins_of(request, Visitor(anonymous="anon_2")) == ("session:anon_2", shared)
