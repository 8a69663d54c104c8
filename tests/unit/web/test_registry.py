"""Rooms that pages register by their tokens."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import RequestContext, Template
from django.test import Client, RequestFactory

from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import make_grant
from presence.exceptions import StoreError

pytestmark = pytest.mark.django_db

ROOM = "presence:doc:42"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"


def page(user: Any) -> str:
    request = RequestFactory().get("/")
    request.user = user
    tag = "{% load presence_tags %}{% presence_widget channel %}"
    return Template(tag).render(RequestContext(request, {"channel": ROOM}))


def unreadable(*_: Any) -> Any:
    raise StoreError("Redis is down")


def grant(user: User | None, channel: str = ROOM) -> str:
    return make_grant(channel, str(user.pk) if user else "", now=time.time())


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
    monkeypatch.setattr(MemoryStore, "register_channels", unreadable)
    assert "data-presence-grant" in page(ada)
    grants = {"grants": [grant(ada)]}
    assert as_ada.post("/presence/tokens/", grants, "application/json").status_code == 200
    assert [record.name for record in caplog.records] == ["presence.registry"]
