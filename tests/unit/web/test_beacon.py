"""Pages that ask for polls: one with a widget when it is served, the beacon when it is closed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import Client, RequestFactory

from presence import services
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import GRANT_LIFETIME, make_grant
from presence.exceptions import StoreError
from presence.roster.messages import Member
from presence.web import views, widget
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

BEACON = "/presence/beacon/"
ROOM = "presence:doc:42"
SHOWN = tuple[str, str, int]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_NUDGE = 2.0


def noting(found: list[SHOWN]) -> Any:
    return lambda channel, user_id, shown: found.append((channel, user_id, shown.version))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[SHOWN]:
    found: list[SHOWN] = []
    monkeypatch.setattr(widget, "page_served", noting(found))
    return found


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[SHOWN]:
    found: list[SHOWN] = []
    monkeypatch.setattr(views, "page_left", noting(found))
    return found


def page(user: Any, channel: str = ROOM, *, times: int = 1) -> str:
    request = RequestFactory().get("/")
    request.user = user
    tag = "{% load presence_tags %}" + times * "{% presence_widget channel %}"
    return Template(tag).render(RequestContext(request, {"channel": channel}))


def unreadable(*_: Any) -> Any:
    raise StoreError("Redis is down")


def grant(user: User | None, channel: str = ROOM, *, age: float = 0.0) -> str:
    return make_grant(channel, str(user.pk) if user else "", now=time.time() - age)


def send(client: Client, *grants: str) -> Any:
    """Post text, as navigator.sendBeacon does."""
    return client.post(BEACON, json.dumps({"grants": grants}), content_type="text/plain")


# A page that is served


def test_page_of_a_user_has_a_beacon_and_asks_for_a_poll(served: list[SHOWN], ada: User):
    fill(services.store(), ROOM, Member("1000", "Grace"))
    assert f'data-presence-beacon="{BEACON}"' in page(ada)
    assert served == [(ROOM, str(ada.pk), 1)]


def test_page_of_a_visitor_has_no_beacon(served: list[SHOWN]):
    assert "data-presence-beacon" not in page(AnonymousUser())
    assert served == [(ROOM, "", 0)]


def test_page_without_nudges_has_no_beacon(ada: User, settings: Any):
    settings.PRESENCE_NUDGE = 0
    assert "data-presence-beacon" not in page(ada)


def test_static_widget_asks_for_no_poll(served: list[SHOWN], ada: User, settings: Any):
    Template('{% load presence_tags %}{% presence_widget "presence:site" %}').render(Context())
    settings.PRESENCE_AUTHORIZE = lambda request, channel: False
    page(ada)
    assert served == []


def test_page_whose_store_is_down_asks_for_no_poll(
    served: list[SHOWN], ada: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MemoryStore, "load_snapshots", unreadable)
    assert "presence-roster" in page(ada, times=2)
    assert served == []


# A page that is closed


def test_beacon_without_a_csrf_token_asks_for_polls(as_ada: Client, ada: User, left: list[SHOWN]):
    fill(services.store(), ROOM, Member(str(ada.pk), "Ada"))
    response = send(as_ada, grant(ada), grant(ada, "presence:other"))
    assert (response.status_code, response.content) == (204, b"")
    assert left == [(ROOM, str(ada.pk), 1), ("presence:other", str(ada.pk), 0)]


def test_beacon_changes_no_roster(as_ada: Client, ada: User, left: list[SHOWN]):
    fill(services.store(), ROOM, Member(str(ada.pk), "Ada"))
    before = services.store().load_states([ROOM]).states
    send(as_ada, grant(ada))
    assert services.store().load_states([ROOM]).states == before


def test_beacon_of_a_page_that_is_back_counts_as_a_page_served(
    as_ada: Client, ada: User, left: list[SHOWN], monkeypatch: pytest.MonkeyPatch
):
    back: list[SHOWN] = []
    monkeypatch.setattr(views, "page_served", noting(back))
    body = json.dumps({"grants": [grant(ada)], "back": True})
    assert as_ada.post(BEACON, body, content_type="text/plain").status_code == 204
    assert (back, left) == ([(ROOM, str(ada.pk), 0)], [])


def test_beacon_with_some_bad_grants_uses_the_good_ones(
    as_ada: Client, ada: User, left: list[SHOWN]
):
    assert send(as_ada, "forged", grant(None), grant(ada)).status_code == 204
    assert left == [(ROOM, str(ada.pk), 0)]


def only_staff(request: HttpRequest, channel: str) -> bool:
    return bool(request.user.is_staff)


@pytest.mark.parametrize("which", ["forged", "expired", "another's", "no permission", "unpolled"])
def test_beacon_with_bad_grants_alone_is_refused(
    which: str, as_ada: Client, ada: User, left: list[SHOWN], settings: Any
):
    if which == "no permission":
        settings.PRESENCE_AUTHORIZE = only_staff
    given = {
        "forged": grant(ada)[:-1],
        "expired": grant(ada, age=GRANT_LIFETIME + 60),
        "another's": grant(None),
        "no permission": grant(ada),
        "unpolled": grant(ada, "chat:7"),
    }[which]
    response = send(as_ada, given)
    assert response.status_code == 403
    assert response["Content-Type"] == "application/json"
    assert left == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"grants": []}', b'{"grants": "x"}', b"\xff"])
def test_beacon_of_another_shape_is_a_bad_request(body: bytes, as_ada: Client, left: list[SHOWN]):
    response = as_ada.post(BEACON, body, content_type="text/plain")
    assert (response.status_code, left) == (400, [])


def test_beacon_by_another_method_is_not_allowed(as_ada: Client):
    response = as_ada.get(BEACON)
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_beacon_while_the_store_is_down_is_logged(
    as_ada: Client,
    ada: User,
    left: list[SHOWN],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(MemoryStore, "load_snapshots", unreadable)
    assert send(as_ada, grant(ada)).status_code == 204
    assert left == []
    assert [record.name for record in caplog.records] == ["presence.views"]


# What is registered


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(
        MemoryStore, "register_channels", lambda self, channels: found.extend(channels)
    )
    return found


@pytest.mark.parametrize(("discovery", "times"), [("registry", 1), ("channels", 0)])
def test_tokens_register_their_channels_and_pages_do_not(
    discovery: str, times: int, as_ada: Client, ada: User, registered: list[str], settings: Any
):
    settings.PRESENCE_DISCOVERY = discovery
    settings.PRESENCE_NUDGE = 0
    page(ada)
    assert registered == []
    grants = {"grants": [grant(ada, "presence:a"), grant(None, "presence:b")]}
    assert as_ada.post("/presence/tokens/", grants, "application/json").status_code == 200
    assert registered == times * ["presence:a"]


def test_tokens_are_given_while_the_registry_is_down(
    as_ada: Client,
    ada: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    settings.PRESENCE_DISCOVERY = "registry"
    settings.PRESENCE_NUDGE = 0
    monkeypatch.setattr(MemoryStore, "register_channels", unreadable)
    assert "data-presence-grant" in page(ada)
    grants = {"grants": [grant(ada)]}
    assert as_ada.post("/presence/tokens/", grants, "application/json").status_code == 200
    assert [record.name for record in caplog.records] == ["presence.registry"]
