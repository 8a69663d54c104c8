"""Nonces of a Content-Security-Policy: in every tag of ours that the policy asks about."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import Context, RequestContext, engines
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject, empty

import presence
from presence.web.page import page_state

TEMPLATES = Path(presence.__file__).parent / "templates"
TAGS = re.compile(r"<(?:script|link|style)\b[^>]*>")
NONCE = "r4nd0m+/=="
PAGE = """{% load presence_tags %}
    {% include "presence/widget.html" %}{% presence_widget variant="none" announce=True %}
    {% include "presence/widget.html" with variant="list" only %}
    {% include "presence/cursors.html" with channel="cursors:doc:42" %}
    {% presence_cursors "cursors:doc:43" %}
    {% include "presence/heartbeat.html" %}{% presence_heartbeat %}
    {% include "presence/admin/banner.html" with presence_channel="presence:doc:42" %}"""


class Nonce(SimpleLazyObject):
    """A nonce that is made when it is written, as Django 6.0 and django-csp have it."""

    def __init__(self, make: Callable[[], str] = lambda: NONCE) -> None:
        super().__init__(make)

    def __bool__(self) -> bool:
        return self._wrapped is not empty


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = "project.urls"


@pytest.fixture
def request_() -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = User(pk=42)
    tracked = ("presence:doc:42", "42", "web", b"{}")
    page_state(request).members = [tracked]
    return request


def tags(request: HttpRequest, **values: Any) -> list[str]:
    """Return the tags of a page with everything that can be included."""
    template = engines["django"].from_string(PAGE)
    found = TAGS.findall(template.template.render(RequestContext(request, values)))
    sources = "widget.js cursors.js heartbeat.js presence.css cursors.css banner.css centrifuge.js"
    missing = [name for name in sources.split() if not any(name in tag for tag in found)]
    assert not missing
    return found


def bare(found: list[str], nonce: str = NONCE) -> list[str]:
    """Return the tags without the nonce."""
    return [tag for tag in found if f' nonce="{nonce}"' not in tag]


@pytest.mark.parametrize("name", ["csp_nonce", "_csp_nonce"])
@pytest.mark.parametrize("nonce", [NONCE, Nonce()], ids=["string", "lazy"])
def test_tags_carry_the_nonce_of_the_request(request_: HttpRequest, name: str, nonce: object):
    setattr(request_, name, nonce)
    assert bare(tags(request_)) == []


def test_tags_carry_the_nonce_of_a_context_processor(request_: HttpRequest):
    source = PAGE.replace(" only", "")
    values = {"csp_nonce": Nonce()}
    template = engines["django"].from_string(source)
    found = TAGS.findall(template.template.render(RequestContext(request_, values)))
    assert bare(found) == []


def test_tags_carry_the_nonce_of_a_template_without_a_request():
    source = '{% include "presence/widget.html" %}'
    page = engines["django"].from_string(source).template.render(Context({"csp_nonce": Nonce()}))
    found = TAGS.findall(page)
    assert found
    assert bare(found) == []


def test_tags_have_no_nonce_where_the_site_has_none(request_: HttpRequest):
    for nothing in (None, "", Nonce(lambda: "")):
        request_.csp_nonce = nothing  # type: ignore[attr-defined]
        assert not any("nonce" in tag for tag in tags(request_, csp_nonce=""))


def test_tags_escape_a_nonce(request_: HttpRequest):
    request_.csp_nonce = '"><b>'  # type: ignore[attr-defined]
    assert bare(tags(request_), "&quot;&gt;&lt;b&gt;") == []


def test_page_is_served_when_the_nonce_can_no_longer_be_made(
    request_: HttpRequest, caplog: pytest.LogCaptureFixture
):
    def too_late() -> str:
        raise RuntimeError("the header has been written")

    request_.csp_nonce = Nonce(too_late)  # type: ignore[attr-defined]
    assert not any("nonce" in tag for tag in tags(request_))
    assert "the header has been written" in caplog.text


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_template_has_a_nonce_in_every_tag(path: Path):
    source = path.read_text()
    found = re.findall(r"<(?:script|link|style)\b.*?%}\">|<(?:script|link|style)\b[^>]*>", source)
    assert [tag for tag in found if "{% presence_nonce %}" not in tag] == []
