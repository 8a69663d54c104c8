"""Which requests are visits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import RequestFactory

from presence.web.visitors import is_visit

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
