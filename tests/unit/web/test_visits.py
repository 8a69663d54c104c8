"""Which requests are visits, and what is told of those that are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory

from presence.testing import FakePresence
from presence.web import widget
from presence.web.visitors import is_visit
from presence.web.widget import widget_for

AHEAD = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Sec-Purpose": "prefetch; anonymous-client-ip"},
    {"X-Sec-Purpose": "prefetch"},
    {"Purpose": "prefetch"},
    {"Purpose": "preview"},
    {"X-Purpose": "preview"},
    {"X-Purpose": "instant"},
    {"X-Moz": "Prefetch"},
    {"HX-Preloaded": "true"},
]


@pytest.mark.parametrize("headers", AHEAD)
def test_visit_request_that_fetches_ahead_is_none(headers: dict[str, str]) -> None:
    assert not is_visit(RequestFactory().get("/", headers=headers))


@pytest.mark.parametrize("method", ["head", "options", "trace"])
def test_visit_request_without_a_page_is_none(method: str) -> None:
    assert not is_visit(getattr(RequestFactory(), method)("/"))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Purpose": ""}, {"Purpose": "purchase"}, {"HX-Request": "true"}, {"X-Moz": "x"}],
)
def test_visit_any_other_request_is_one(headers: dict[str, str]) -> None:
    assert is_visit(RequestFactory().get("/", headers=headers))
    assert is_visit(RequestFactory().post("/", headers=headers))


def test_visit_scope_of_a_consumer_is_one() -> None:
    assert is_visit(SimpleNamespace(user=None, session=None))
    assert is_visit(None)


@pytest.mark.parametrize(("headers", "asked"), [({}, 1), ({"Sec-Purpose": "prefetch"}, 0)])
def test_widget_on_a_page_fetched_ahead_asks_for_no_poll(
    headers: dict[str, str], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(widget, "page_served", lambda *arguments: found.append(arguments))
    request = RequestFactory().get("/", headers=headers)
    request.user = User(pk=7, username="ada")
    with FakePresence():
        assert widget_for("presence:a", request).live
    assert len(found) == asked
