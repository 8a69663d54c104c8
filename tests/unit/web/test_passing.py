"""Visitors without a session: they are members once their page beats, and take no names away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path
from django.views import View

from presence.manager import PresenceManager
from presence.mixins import PresenceMixin
from presence.roster.commit import SEATS, visitor_seats
from presence.roster.merge import AnonymousMode, read_presence
from presence.roster.messages import Roster
from presence.roster.people import ServerMember, is_sessionless
from presence.snapshots import Record, read_snapshot
from presence.testing import FakePresence

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

KEY = "doc:42"
ROOM = "presence:doc:42"
HTML = '{% include "presence/heartbeat.html" %}'
joined: list[Record] = []


class Page(PresenceMixin, View):
    presence_key = "doc:{pk}"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if "visits" in request.GET:
            request.session["visits"] = request.session.get("visits", 0) + 1
        if "create" in request.GET:
            request.session.create()
        self.track_presence({"color": "red"})
        if "not" in request.GET:
            self.untrack_presence()
        return HttpResponse(engines["django"].from_string(HTML).render(request=request))

    def handle_presence_join(self, presence: Record) -> None:
        joined.append(presence)


urlpatterns = [
    path("doc/<int:pk>/", Page.as_view()),
    path("", include("project.urls")),
]


@pytest.fixture(autouse=True)
def site() -> Iterator[FakePresence]:
    joined.clear()
    with FakePresence() as site:
        yield site


def lifelines(client: Client, query: str = "", **extra: Any) -> list[str]:
    html = client.get(f"/doc/42/{query}", **extra).content.decode()
    match = re.search(r'data-presence-lifelines="([^"]*)"', html)
    tokens = match[1].split() if match else []
    # The first heartbeat is due at once where it is what makes them join.
    assert ("data-presence-joins" in html) is (bool(tokens) and not joined)
    return tokens


def beat(client: Client, tokens: list[str]) -> list[str]:
    answer = client.post("/presence/heartbeat/", {"tokens": tokens}, "application/json")
    assert answer.status_code == 200
    present: list[str] = answer.json()["present"]
    return present


def ids() -> list[str]:
    return [record["id"] for record in PresenceManager.list_presences(KEY)]


def test_get_without_a_cookie_stores_nothing(site: FakePresence) -> None:
    for _ in range(30):
        assert lifelines(Client())
    assert (ids(), joined) == ([], [])
    assert site.store.load_tracker_state(timeout=60).channels == frozenset()
    site.tick()
    assert site.store.known_channels().polled == {}


def test_first_beat_without_a_session_makes_a_member(site: FakePresence) -> None:
    client = Client()
    tokens = beat(client, lifelines(client))
    (record,) = PresenceManager.list_presences(KEY)
    assert is_sessionless(record["id"])
    assert (record["name"], record["color"]) == ("Anonymous", "red")
    site.advance(50)
    assert beat(client, tokens)
    site.advance(50)
    assert ids() == [record["id"]]
    assert "sessionid" not in client.cookies


@pytest.mark.parametrize("query", ["?create=1", "?visits=1"])
def test_first_beat_with_the_session_that_the_page_made_is_a_member_of_that_session(
    query: str,
) -> None:
    client = Client()
    tokens = lifelines(client, query)
    assert ids() == [], "a session that was just made proves nothing"
    beat(client, tokens)
    (member,) = ids()
    assert not is_sessionless(member)
    lifelines(client)
    assert ids() == [member]


def test_session_that_a_page_made_and_no_beat_brings_is_none() -> None:
    client = Client()
    tokens = lifelines(client, "?create=1")
    client.cookies.clear()
    beat(client, tokens)
    assert [is_sessionless(member) for member in ids()] == [True]


@pytest.mark.parametrize("cookie", ["a" * 32, "made-up", "x" * 300])
def test_made_up_session_cookie_is_no_session(cookie: str) -> None:
    client = Client()
    client.cookies["sessionid"] = cookie
    assert lifelines(client)
    assert ids() == []


def test_user_and_visitor_with_a_session_are_members_at_once(as_ada: Client, ada: User) -> None:
    client = Client()
    client.get("/doc/42/?visits=1")
    client.get("/doc/42/")
    assert lifelines(as_ada)
    assert [record["name"] for record in joined] == ["Anonymous", "Ada Lovelace"]
    assert len(ids()) == 2


@pytest.mark.parametrize("header", ["Sec-Purpose", "X-Sec-Purpose", "Purpose", "X-Moz"])
def test_page_fetched_ahead_tracks_its_user_once_it_beats(
    as_ada: Client, ada: User, header: str
) -> None:
    tokens = lifelines(as_ada, headers={header: "prefetch"})
    assert (ids(), joined) == ([], [])
    beat(as_ada, tokens)
    assert ids() == [str(ada.pk)]


def test_head_tracks_nobody(as_ada: Client) -> None:
    assert as_ada.head("/doc/42/").status_code == 200
    assert (ids(), joined) == ([], [])


def test_untracked_page_has_no_lifeline() -> None:
    assert lifelines(Client(), "?not=1") == []


def test_visitors_without_a_session_never_make_a_listed_room_a_counted_one(
    site: FakePresence,
) -> None:
    people = [site.connect(ROOM, User(pk=n, username=f"u{n}")) for n in range(1, 151)]
    site.tick()
    for _ in range(100):
        client = Client()
        beat(client, lifelines(client))
    site.tick()
    shown = read_snapshot(ROOM)
    assert (shown.listed, shown.total, shown.anonymous) == (True, 179, 71)
    assert len(ids()) == 179
    assert len(people) == 150


class Channel(PresenceMixin):
    """A consumer, as far as the mixin needs one."""

    presence_key = KEY

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}


def test_consumer_without_a_session_is_a_member_at_once_and_has_a_seat_like_others(
    site: FakePresence,
) -> None:
    consumers = [Channel() for _ in range(SEATS + 5)]
    for consumer in consumers:
        record = consumer.track_presence()
        assert record is not None
        assert is_sessionless(record["id"])
    site.tick()
    assert (len(ids()), read_snapshot(ROOM).anonymous) == (SEATS, 5)


# Seats


def entry(n: int, **signed: Any) -> tuple[str, dict[str, Any]]:
    return f"c{n:03}", {"user": "", "conn_info": signed} if signed else {"user": ""}


def read(
    mode: AnonymousMode,
    *connections: tuple[str, dict[str, Any]],
    passing: int = 0,
    limit: int = 200,
) -> Roster:
    tracked = [
        ServerMember(f"anon_~{n:03}", "s", float(n), float(n)) for n in reversed(range(passing))
    ]
    raw = msgspec.json.encode({"presence": dict(connections)})
    return read_presence(raw, anonymous=mode, tracked=tracked, list_limit=limit)[0]


@pytest.mark.parametrize(("mode", "counted"), [("count", 30), ("list", 30), ("ignore", 0)])
def test_reading_who_has_no_seat_is_counted_unless_the_site_ignores_them(
    mode: AnonymousMode, counted: int
) -> None:
    roster = read(mode, passing=SEATS + 30)
    assert (roster.total, roster.anonymous) == (SEATS, counted)
    assert sorted(roster.members) == [f"anon_~{n:03}" for n in range(SEATS)], "who came first"
    assert sorted(roster.members) == roster.tracked


def test_reading_listed_connections_without_a_session_share_the_seats_with_the_tracked() -> None:
    connections = [entry(n, iat=1000.0 - n) for n in range(100)]
    named = [(f"s{n}", {"user": "", "conn_info": {"anonymous": f"anon_{n}"}}) for n in range(60)]
    roster = read("list", *connections, *named, passing=10)
    assert (roster.total, roster.anonymous) == (60 + SEATS, 100 + 10 - SEATS)
    assert {f"anon_~{n:03}" for n in range(10)} <= roster.members.keys()
    assert "anon_c099" in roster.members, "who came before"
    assert "c000" not in roster.members


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 200, 1000])
def test_seats_keep_a_room_below_where_it_is_listed_again(limit: int) -> None:
    for members in range(limit + 2):
        taken = visitor_seats(members, limit=limit)
        assert 0 <= taken <= SEATS
        assert taken == 0 or members + taken < 0.9 * limit


@pytest.mark.parametrize(("users", "listed"), [(1, 178), (100, 79), (179, 0), (200, 0), (201, 300)])
@pytest.mark.parametrize("mode", ["count", "list", "ignore"])
def test_reading_visitors_with_sessions_turn_no_listed_room_into_a_counted_one(
    mode: AnonymousMode, users: int, listed: int
) -> None:
    visitors = [
        ServerMember(f"anon_{n:03}", "s", 1.0, 2.0, b'{"name":"Me"}', n) for n in range(300)
    ]
    raw = msgspec.json.encode({"presence": {f"c{n}": {"user": f"u{n}"} for n in range(users)}})
    roster, _ = read_presence(raw, anonymous=mode, tracked=visitors[::-1], list_limit=200)
    assert roster.total == users + listed
    assert roster.anonymous == (0 if mode == "ignore" else 300 - listed)
    assert sorted(roster.tracked) == [f"anon_{n:03}" for n in range(listed)], "who came first"
