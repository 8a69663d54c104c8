"""Sessions of pages that are open: what our endpoints leave alone, and ids that outlive content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import include, path
from django.utils import timezone
from django.views import View

from presence.mixins import PresenceMixin
from presence.testing import FakePresence
from presence.web.json import leave_session_alone
from presence.web.visitors import visitor_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

HTML = """{% load presence_tags %}{% include "presence/heartbeat.html" %}
{% include "presence/widget.html" with channel="presence:doc:42" %}"""
ENGINES = ["db", "cached_db", "cache", "signed_cookies"]
IDLE = 1800


class Page(PresenceMixin, View):
    presence_key = "doc:42"

    def get(self, request: HttpRequest) -> HttpResponse:
        if "content" in request.GET:
            request.session["content"] = request.GET["content"]
        self.track_presence()
        return HttpResponse(engines["django"].from_string(HTML).render(request=request))


def authorize(request: HttpRequest, channel: str) -> bool:
    """A hook of the site that writes to the session."""
    if getattr(Page, "writes", False):
        request.session["asked"] = request.session.get("asked", 0) + 1
    return True


urlpatterns = [path("", Page.as_view()), path("", include("project.urls"))]


class Now:
    """The time of Django's sessions and signatures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1_800_000_000.0
        monkeypatch.setattr("time.time", lambda: self.at)
        monkeypatch.setattr(timezone, "now", lambda: datetime.fromtimestamp(self.at, UTC))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


@pytest.fixture(params=ENGINES)
def engine(request: Any, settings: Any, tmp_path: Any) -> str:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    settings.SESSION_COOKIE_AGE = IDLE
    settings.SESSION_SAVE_EVERY_REQUEST = True
    name = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": name, "LOCATION": str(tmp_path)}}
    return str(request.param)


@pytest.fixture(autouse=True)
def site() -> Iterator[FakePresence]:
    Page.writes = False  # type: ignore[attr-defined]
    with FakePresence() as site:
        yield site


def attribute(page: str, name: str) -> str:
    found = re.search(rf'data-presence-{name}="([^"]*)"', page)
    assert found, name
    return found[1]


def poll(client: Client, page: str) -> list[int]:
    """Ask every endpoint as an open page does; the status of each answer."""
    grants = {"grants": [attribute(page, "grant")]}
    tokens = {"tokens": attribute(page, "lifelines").split()}
    answers = [
        client.post("/presence/tokens/", grants, "application/json"),
        client.get("/presence/snapshot/", {"grant": grants["grants"][0]}),
        client.post("/presence/heartbeat/", tokens, "application/json"),
        client.post("/presence/check/", grants, "application/json"),
    ]
    assert not any("sessionid" in answer.cookies for answer in answers)
    assert ["Cookie" in answer.get("Vary", "") for answer in answers] == [True] * 4
    return [answer.status_code for answer in answers]


def test_polling_leaves_an_idle_session_to_expire_and_ends_with_it(
    engine: str, now: Now, ada: User
) -> None:
    client = Client()
    client.force_login(ada)
    page = client.get("/").content.decode()
    cookie = client.cookies["sessionid"].value
    for _ in range(50):
        now.at += (IDLE - 60) / 50
        assert poll(client, page) == [200, 200, 200, 204]
    assert client.cookies["sessionid"].value == cookie
    now.at += 120
    client.cookies = SimpleCookie({"sessionid": cookie})
    grants = {"grants": [attribute(page, "grant")]}
    answer = client.post("/presence/tokens/", grants, "application/json")
    assert answer.status_code == 403
    assert "reload the page" in json.dumps(answer.json()["refused"])


def test_page_itself_goes_on_to_extend_the_session(engine: str, now: Now, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    for _ in range(4):
        now.at += IDLE - 60
        assert client.get("/").cookies["sessionid"]
        assert attribute(client.get("/").content.decode(), "self-id") == str(ada.pk)


def test_session_that_a_hook_modifies_is_saved(engine: str, ada: User, settings: Any) -> None:
    settings.PRESENCE_AUTHORIZE = authorize
    settings.SESSION_SAVE_EVERY_REQUEST = False
    client = Client()
    client.force_login(ada)
    page = client.get("/").content.decode()
    Page.writes = True  # type: ignore[attr-defined]
    grants = {"grants": [attribute(page, "grant")]}
    for n in range(1, 3):
        assert "sessionid" in client.post("/presence/tokens/", grants, "application/json").cookies
        assert client.session["asked"] == n


def test_session_of_another_making_is_left_as_it_is() -> None:
    class Slotted:
        __slots__ = ("modified",)

    for session in (None, SimpleNamespace(session_key="x"), Slotted(), {}):
        request = HttpRequest()
        request.session = session  # type: ignore[assignment]
        before = type(session)
        leave_session_alone(request)
        assert type(request.session) is before
    leave_session_alone(HttpRequest())


# Ids


def test_anonymous_id_stays_when_the_content_of_the_session_changes(
    engine: str, now: Now, site: FakePresence
) -> None:
    client = Client()
    client.get("/", {"content": "cart"})
    ids = set()
    for n in range(4):
        now.at += 5
        page = client.get("/", {"content": f"cart {n}"}).content.decode()
        ids.add(attribute(page, "self-id"))
        poll_ids = client.post(
            "/presence/tokens/", {"grants": [attribute(page, "grant")]}, "application/json"
        ).json()
        assert poll_ids["id"] == ""
    assert len(ids) == 1
    (member,) = ids
    assert re.fullmatch(r"anon_\w{16}", member)
    assert [record["id"] for record in Page().list_presences()] == [member]


def test_anonymous_id_is_the_same_by_request_and_by_scope(engine: str) -> None:
    client = Client()
    client.get("/", {"content": "cart"})
    page = client.get("/").content.decode()
    consumer = PresenceMixin()
    consumer.scope = {"session": client.session}  # type: ignore[attr-defined]
    assert consumer.get_presence_user_id() == attribute(page, "self-id")


def signed(data: dict[str, Any]) -> SessionStore:
    store = SessionStore()
    store.update(data)
    store.save()
    return SessionStore(store.session_key)


def ask(session: SessionStore, **headers: str) -> HttpRequest:
    request = RequestFactory().get("/", headers=headers)
    request.user = AnonymousUser()
    request.session = session
    return request


@pytest.mark.parametrize("key", [None, "made-up-key", "x" * 200])
def test_visitor_with_a_made_up_signed_cookie_has_no_id_and_gets_no_session(key: Any) -> None:
    session = SessionStore(key)
    assert visitor_of(ask(session)).anonymous == ""
    assert dict(session.items()) == {}


def test_visitor_whose_page_is_fetched_ahead_is_not_written_to_the_session() -> None:
    session = signed({"cart": 1})
    assert visitor_of(ask(session, **{"Sec-Purpose": "prefetch"})).anonymous == ""
    assert not session.modified


def test_visitor_is_written_to_a_signed_session_once() -> None:
    session = signed({"cart": 1})
    first = visitor_of(ask(session))
    assert (session.modified, first.returning) == (True, False)
    session.save()
    again = SessionStore(session.session_key)
    second = visitor_of(ask(again))
    assert (second.anonymous, second.returning) == (first.anonymous, True)
    assert not again.modified
    assert not any(first.anonymous in str(value) for value in again.values())
