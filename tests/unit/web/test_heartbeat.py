"""Heartbeats of pages: what the tag gives, what the endpoint takes, and every way of saying no."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpResponse
from django.template import RequestContext, Template
from django.test import Client, RequestFactory

from presence import services
from presence.backends.base import LookState, Writes
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import GRANT_LIFETIME, make_grant, read_grant
from presence.exceptions import InvalidGrant, StoreError
from presence.roster.people import ServerMember
from presence.sync.context import threads
from presence.testing import Clock
from presence.web import heartbeat
from presence.web import page as web_page
from presence.web.heartbeat import MAX_LIFELINES, Lifeline, make_lifeline, read_lifeline

pytestmark = pytest.mark.django_db

URL = "/presence/heartbeat/"
ROOM = "presence:doc:42"
META = '{"name":"Ada","color":"#6c63ff"}'
TIMEOUT = 60.0


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_CHANNELS = ["presence:*"]
    settings.PRESENCE_HEARTBEAT = 30.0
    settings.PRESENCE_TIMEOUT = TIMEOUT
    web_page.warn_once.cache_clear()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The time of the store alone: tokens have that of the machine."""
    clock = Clock(1_000_000.0)
    store = MemoryStore(clock=clock)
    with services.replaced(
        store=store, gateway=services.gateway(), executor=threads, clock=time.time
    ):
        yield clock


def due() -> list[str]:
    """Return the channels that are due, which are no longer due then, as if they were polled."""
    store = services.store()
    look = store.begin_look("look", lease=30.0, limit=100)
    assert look is not None
    store.write(Writes(look=LookState("look", rest=0.0)))
    store.write(Writes(settled=look.due, now=math.inf))
    return list(look.due)


def track(member: str, source: str = "page-1", channel: str = ROOM) -> None:
    """Store a member as PresenceMixin.track_presence does; a look has polled the channel since."""
    meta = META.encode()
    services.tracker().save_member(channel, member, source=source, meta=meta, timeout=TIMEOUT)
    due()


def present(channel: str = ROOM) -> list[ServerMember]:
    return services.tracker().load_members([channel], timeout=TIMEOUT)[channel].members


def token(
    user: User | None,
    member: str = "",
    source: str = "page-1",
    *,
    channel: str = ROOM,
    age: float = 0.0,
) -> str:
    owner = str(user.pk) if user else ""
    lifeline = Lifeline(channel, owner, 0.0, member or owner, source, META)
    return make_lifeline(lifeline, now=time.time() - age)


def send(client: Client, *tokens: str, **more: bool) -> Any:
    """Post text, as navigator.sendBeacon and fetch do."""
    return client.post(URL, json.dumps({"tokens": tokens, **more}), content_type="text/plain")


def assert_says_no(response: HttpResponse, status: int, why: str) -> None:
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert why in body["error"] + str(body.get("gone", ""))


# The tag


def page(user: Any, *tracked: tuple[str, str, str, bytes], text: str = "") -> str:
    request = RequestFactory().get("/")
    request.user = user
    if tracked:
        web_page.page_state(request).members = list(tracked)
    text = text or '{% include "presence/heartbeat.html" %}'
    return Template("{% load presence_tags %}" + text).render(RequestContext(request))


def lifelines_in(html: str) -> list[str]:
    match = re.search(r'data-presence-lifelines="([^"]*)"', html)
    return match[1].split() if match else []


@pytest.mark.parametrize(
    "text", ['{% include "presence/heartbeat.html" %}', "{% presence_heartbeat %}"]
)
def test_page_has_a_lifeline_for_each_tracked_member(ada: User, text: str):
    html = page(
        ada, (ROOM, "7", "page-1", b'{"name":"A"}'), ("presence:b", "bot", "p2", b"{}"), text=text
    )
    assert f'data-presence-url="{URL}"' in html
    assert 'data-presence-every="30.0"' in html
    assert "<presence-heartbeat hidden" in html
    assert "presence/js/heartbeat.js" in html
    first, second = (read_lifeline(text) for text in lifelines_in(html))
    assert (first.channel, first.member, first.source) == (ROOM, "7", "page-1")
    assert first.meta == '{"name":"A"}'
    assert (second.channel, second.member, second.source) == ("presence:b", "bot", "p2")
    assert first.user_id == second.user_id == str(ada.pk)
    assert first.issued == pytest.approx(time.time(), abs=30)


def test_page_that_tracked_nobody_has_no_heartbeat(ada: User):
    assert page(ada).strip() == ""
    text = '{% include "presence/heartbeat.html" %}'
    assert Template(text).render(RequestContext(None)).strip() == ""  # type: ignore[arg-type]


def test_heartbeat_element_survives_any_name_and_locale(ada: User, settings: Any):
    settings.LANGUAGE_CODE = "de"
    settings.PRESENCE_HEARTBEAT = 1234.5
    meta = json.dumps({"name": '"><script>alert(1)</script>'}).encode()
    html = page(ada, (ROOM, '"><b>', "p1", meta))
    assert 'data-presence-every="1234.5"' in html
    assert "<b>" not in html
    assert "alert" not in html
    (text,) = lifelines_in(html)
    assert (read_lifeline(text).member, read_lifeline(text).meta) == ('"><b>', meta.decode())


def test_page_beyond_the_limit_of_lifelines_is_cut_and_logged(
    ada: User, caplog: pytest.LogCaptureFixture
):
    tracked = [(f"presence:{n}", "7", "p", b"{}") for n in range(MAX_LIFELINES + 1)]
    assert len(lifelines_in(page(ada, *tracked))) == MAX_LIFELINES
    assert f"members={MAX_LIFELINES + 1}" in caplog.text


class NoUrls:
    urlpatterns = ()


def test_page_without_our_urls_has_no_heartbeat(
    ada: User, settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.ROOT_URLCONF = NoUrls
    assert page(ada, (ROOM, "7", "p", b"{}")).strip() == ""
    assert 'include("presence.urls")' in caplog.text


class NotLoaded:
    @property
    def is_authenticated(self) -> bool:
        raise SynchronousOnlyOperation


def test_page_without_a_loaded_user_has_no_heartbeat(caplog: pytest.LogCaptureFixture):
    assert page(NotLoaded(), (ROOM, "7", "p", b"{}")).strip() == ""
    assert "await request.auser()" in caplog.text


# The token


def test_lifeline_token_holds_nothing_secret(ada: User):
    text = token(ada)
    assert re.fullmatch(r"[\w.:-]+", text)
    lifeline = read_lifeline(text)
    assert (lifeline.channel, lifeline.user_id, lifeline.member) == (ROOM, *2 * [str(ada.pk)])


def test_lifeline_and_grant_are_not_taken_for_each_other(ada: User):
    with pytest.raises(InvalidGrant):
        read_lifeline(make_grant(ROOM, str(ada.pk), now=time.time()))
    with pytest.raises(InvalidGrant):
        read_grant(token(ada))


# Beats


def test_heartbeat_keeps_a_member(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    for _ in range(3):
        clock.now += TIMEOUT - 1
        response = send(as_ada, token(ada))
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        (member,) = present()
        assert (member.joined, member.beat) == (1_000_000.0, clock.now)
    assert due() == []


def test_heartbeat_answer_renews_the_tokens(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    answer = send(as_ada, token(ada, age=GRANT_LIFETIME - 60)).json()
    assert answer.keys() == {"present", "gone"}
    (renewed,) = (read_lifeline(text) for text in answer["present"])
    assert renewed.issued == pytest.approx(time.time(), abs=30)
    assert (renewed.channel, renewed.source, renewed.meta) == (ROOM, "page-1", META)


def test_heartbeat_of_a_member_that_timed_out_joins_again(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    clock.now += 8 * 3600
    assert present() == []
    assert send(as_ada, token(ada)).status_code == 200
    (member,) = present()
    assert member == ServerMember(
        str(ada.pk), "page-1", clock.now, clock.now, META.encode(), clock.now
    )
    assert due() == [ROOM]


def test_heartbeat_of_a_member_the_site_took_out_is_gone(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    track(str(ada.pk), "page-2")
    services.tracker().set_flag(f"left:{ROOM}:{ada.pk}:page-1", seconds=3600)
    services.tracker().delete_member(ROOM, str(ada.pk), source="page-1", timeout=TIMEOUT)
    due()
    answer = send(as_ada, token(ada), token(ada, source="page-2")).json()
    assert [read_lifeline(text).source for text in answer["present"]] == ["page-2"]
    assert answer["gone"] == {"0": heartbeat.GONE}
    assert [member.source for member in present()] == ["page-2"]
    assert send(as_ada, token(ada), back=True).json()["present"] == []
    assert due() == []


def test_heartbeat_of_one_source_keeps_no_other(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk), "page-2")
    send(as_ada, token(ada))
    assert sorted(member.source for member in present()) == ["page-1", "page-2"]
    clock.now += TIMEOUT - 1
    send(as_ada, token(ada))
    clock.now += 2
    assert [member.source for member in present()] == ["page-1"]


def test_heartbeat_keeps_all_members_of_a_page_with_one_post(
    as_ada: Client, ada: User, clock: Clock
):
    rooms = [f"presence:{n}" for n in range(MAX_LIFELINES)]
    for room in rooms:
        track(str(ada.pk), channel=room)
    clock.now += 30
    answer = send(as_ada, *(token(ada, channel=room) for room in rooms)).json()
    assert [read_lifeline(text).channel for text in answer["present"]] == rooms
    assert {member.beat for room in rooms for member in present(room)} == {clock.now}


def test_heartbeat_body_has_room_for_the_largest_tokens(as_ada: Client, ada: User, clock: Clock):
    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4080))
    member, source = "m" * 200, "s" * 64
    lifelines = [
        Lifeline(
            f"presence:{n}".ljust(248, "x"), str(ada.pk), 0.0, member, source, f'{{"a":"{text}"}}'
        )
        for n in range(MAX_LIFELINES)
    ]
    tokens = [make_lifeline(lifeline, now=time.time()) for lifeline in lifelines]
    assert len(send(as_ada, *tokens).json()["present"]) == MAX_LIFELINES


# A page that closes


def test_heartbeat_of_a_closing_page_removes_its_members(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    track(str(ada.pk), "page-2")
    response = send(as_ada, token(ada), leave=True)
    assert (response.status_code, response.content) == (204, b"")
    assert [member.source for member in present()] == ["page-2"]
    assert due() == [ROOM]


def test_heartbeat_sent_before_the_page_closed_revives_nobody(
    as_ada: Client, ada: User, clock: Clock
):
    track(str(ada.pk))
    send(as_ada, token(ada), leave=True)
    clock.now += heartbeat.CLOSING - 1
    assert len(send(as_ada, token(ada)).json()["present"]) == 1
    assert present() == []


def test_heartbeat_of_a_page_that_is_back_joins_at_once(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    send(as_ada, token(ada), leave=True)
    assert due() == [ROOM]
    assert len(send(as_ada, token(ada), back=True).json()["present"]) == 1
    assert [member.meta for member in present()] == [META.encode()]
    assert due() == [ROOM]


def test_heartbeat_of_a_duplicated_tab_goes_on_after_the_first_closed(
    as_ada: Client, ada: User, clock: Clock
):
    """As a tab that was duplicated."""
    track(str(ada.pk))
    send(as_ada, token(ada), leave=True)
    clock.now += heartbeat.CLOSING + 1
    send(as_ada, token(ada))
    assert len(present()) == 1


def test_heartbeat_leaving_twice_asks_for_one_poll(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    for _ in range(2):
        assert send(as_ada, token(ada), leave=True).status_code == 204
    assert due() == [ROOM]


def test_heartbeat_leave_after_signing_out_is_taken(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    as_ada.logout()
    assert send(as_ada, token(ada), leave=True).status_code == 204
    assert present() == []


def test_heartbeat_leave_after_signing_in_is_taken(as_ada: Client, clock: Clock):
    track("anon_1")
    assert send(as_ada, token(None, "anon_1"), leave=True).status_code == 204
    assert present() == []


def test_heartbeat_leave_of_another_user_is_refused(as_ada: Client, clock: Clock):
    grace = User.objects.create(username="grace")
    track(str(grace.pk))
    assert_says_no(send(as_ada, token(grace), leave=True), 403, "another user")
    assert len(present()) == 1


# Who may


def test_heartbeat_of_a_visitor_needs_no_session(clock: Clock):
    client = Client(enforce_csrf_checks=True)
    track("anon_1")
    clock.now += TIMEOUT + 1
    response = send(client, token(None, "anon_1"))
    assert response.status_code == 200
    assert [member.user for member in present()] == ["anon_1"]
    assert not response.cookies


class TestRefused:
    """403, nobody is kept, nobody joins."""

    @pytest.fixture(autouse=True)
    def stale(self, clock: Clock) -> None:
        self.clock = clock

    def refused(self, client: Client, text: str, why: str) -> None:
        assert_says_no(send(client, text), 403, why)
        assert_says_no(send(client, text, back=True), 403, why)
        assert present() == []

    def test_heartbeat_with_a_forged_token_is_refused(self, as_ada: Client, ada: User):
        self.refused(as_ada, token(ada) + "x", "forged")

    def test_heartbeat_with_a_token_of_another_key_is_refused(
        self, as_ada: Client, ada: User, settings: Any
    ):
        text = token(ada)
        settings.SECRET_KEY = "another"
        self.refused(as_ada, text, "forged")

    def test_heartbeat_with_a_grant_is_refused(self, as_ada: Client, ada: User):
        self.refused(as_ada, make_grant(ROOM, str(ada.pk), now=time.time()), "forged")

    def test_heartbeat_with_an_expired_token_is_refused(self, as_ada: Client, ada: User):
        self.refused(as_ada, token(ada, age=GRANT_LIFETIME + 60), "expired")
        response = send(as_ada, token(ada, age=GRANT_LIFETIME + 60), leave=True)
        assert_says_no(response, 403, "expired")

    def test_heartbeat_with_a_token_of_another_user_is_refused(self, as_ada: Client):
        self.refused(as_ada, token(User(pk=987)), "another user")

    def test_heartbeat_with_a_token_from_before_signing_in_is_refused(self, as_ada: Client):
        self.refused(as_ada, token(None, "anon_1"), "another user")

    def test_heartbeat_after_signing_out_is_refused(self, as_ada: Client, ada: User):
        as_ada.logout()
        self.refused(as_ada, token(ada), "another user")

    def test_heartbeat_that_the_site_denies_is_refused(
        self, as_ada: Client, ada: User, settings: Any
    ):
        settings.PRESENCE_AUTHORIZE = lambda request, channel: request.user.is_staff
        self.refused(as_ada, token(ada), "may not see")
        ada.is_staff = True
        ada.save()
        assert send(as_ada, token(ada)).status_code == 200

    def test_heartbeat_for_an_unpolled_channel_is_refused(
        self, as_ada: Client, ada: User, settings: Any
    ):
        settings.PRESENCE_CHANNELS = ["chat:*"]
        self.refused(as_ada, token(ada), "PRESENCE_CHANNELS")


def test_heartbeat_with_some_bad_tokens_keeps_the_others(as_ada: Client, ada: User, clock: Clock):
    track(str(ada.pk))
    clock.now += 30
    answer = send(as_ada, "forged", token(ada), token(User(pk=987))).json()
    assert [read_lifeline(text).user_id for text in answer["present"]] == [str(ada.pk)]
    assert "forged" in answer["gone"]["0"]
    assert "another user" in answer["gone"]["2"]
    assert [member.beat for member in present()] == [clock.now]


def test_heartbeat_of_a_user_who_is_hidden_by_now_keeps_nobody(
    as_ada: Client, ada: User, clock: Clock, settings: Any
):
    track(str(ada.pk))
    track("ada@example.org")
    tokens = [token(ada), token(ada, "ada@example.org")]
    settings.PRESENCE_VISIBLE = lambda user: False
    clock.now += TIMEOUT / 2
    assert len(send(as_ada, *tokens).json()["present"]) == 2
    clock.now += TIMEOUT / 2 + 1
    assert present() == []
    send(as_ada, *tokens)
    assert present() == []
    settings.PRESENCE_VISIBLE = None
    send(as_ada, *tokens)
    assert len(present()) == 2


def test_heartbeat_on_a_site_with_login_everywhere_is_answered(settings: Any, clock: Clock):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert_says_no(send(Client(), "forged"), 403, "forged")
    assert send(Client(), token(None, "anon_1")).status_code == 200


# What is said wrongly, and what goes wrong


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"tokens=x",
        b"[]",
        b"null",
        b"{}",
        b'{"tokens": []}',
        b'{"tokens": "x"}',
        b'{"tokens": [1]}',
        b'{"tokens": ["x"], "leave": 1}',
        b'{"tokens": ["x"], "back": null}',
        b'{"tokens": ["\xff"]}',
        b'{"tokens": ' + b"[" * 60_000,
        json.dumps({"tokens": ["x"] * (MAX_LIFELINES + 1)}).encode(),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_heartbeat_body_of_another_shape_is_a_bad_request(body: bytes):
    response = Client().post(URL, body, content_type="application/json")
    assert_says_no(response, 400, 'must be JSON such as {"tokens"')


def test_heartbeat_body_that_is_too_large_is_a_bad_request():
    body = b'{"tokens": ["x"]}'.ljust(heartbeat.MAX_BODY + 1)
    response = Client().post(URL, body, content_type="application/json")
    assert_says_no(response, 400, f"{heartbeat.MAX_BODY} bytes")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "options"])
def test_heartbeat_by_another_method_is_not_allowed(method: str):
    response = getattr(Client(), method)(URL)
    assert response["Allow"] == "POST"
    assert_says_no(response, 405, "use POST")


@pytest.mark.parametrize(
    ("what", "leave"),
    [("touch_member", False), ("has_flag", False), ("save_member", False), ("delete_member", True)],
)
def test_heartbeat_while_the_store_is_down_answers_try_again(
    what: str,
    leave: bool,
    as_ada: Client,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def down(*_: Any, **__: Any) -> Any:
        raise StoreError("Redis cannot be reached")

    monkeypatch.setattr(MemoryStore, what, down)
    assert_says_no(send(as_ada, token(ada), leave=leave), 503, "try again")
    (record,) = (record for record in caplog.records if record.name == "presence.heartbeat")
    assert record.exc_info
    assert ROOM in record.message
    assert due() == []


def test_heartbeat_leave_of_a_damaged_room_is_taken(
    as_ada: Client, ada: User, caplog: pytest.LogCaptureFixture
):
    (lifeline,) = send(as_ada, token(ada)).json()["present"]
    store = services.store()
    store._rooms[ROOM] = store._room(ROOM)._replace(roster=b"nonsense")
    assert send(as_ada, lifeline, leave=True).status_code == 204
    assert services.tracker().load_members([ROOM], timeout=60)[ROOM].members == []
    (record,) = [record for record in caplog.records if record.name == "presence.manager"]
    assert "last-seen=not-noted" in record.message
