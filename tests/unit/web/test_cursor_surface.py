"""Cursors in a page: what the template renders, for whom, and what it says when it cannot."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext, TemplateSyntaxError
from django.utils import translation

from presence.centrifugo.tokens import read_grant
from presence.exceptions import InvalidChannel
from presence.web import page as web_page
from presence.web.cursor_surface import Surface
from tests.unit.http_requests import request_of

CHANNEL, ROOM = "cursors:doc:42", "presence:doc:42"
LOAD = "{% load presence_tags %}"
INCLUDE = '{% include "presence/cursors.html" %}'
TAG = "{% presence_cursors channel %}"
LIBRARIES = {
    "presence_tags": "presence.templatetags.presence_tags",
    **{name: f"django.templatetags.{name}" for name in ("static", "i18n", "l10n")},
}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = "project.urls"
    web_page.warn_once.cache_clear()


ADA = User(pk=42)


def rendered(
    source: str, request: HttpRequest | None, /, debug: bool = False, **values: Any
) -> tuple[str, Context]:
    engine = Engine(app_dirs=True, libraries=LIBRARIES, debug=debug)
    context = RequestContext(request, values) if request else Context(values)
    return engine.from_string(LOAD + source).render(context), context


def html(source: str = TAG, user: Any = ADA, /, **values: Any) -> str:
    return rendered(source, request_of(user), **{"channel": CHANNEL, **values})[0]


def state(request: HttpRequest | None, channel: object = CHANNEL, **values: Any) -> Surface:
    source = "{% presence_cursors_state channel as presence %}"
    page, context = rendered(source, request, channel=channel, **values)
    assert page == ""
    given = context["presence"]
    assert isinstance(given, Surface)
    return given


def attributes(page: str) -> dict[str, str]:
    (element,) = re.findall(r"<presence-cursors([^>]*)>", page)
    return {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', element)}


# What is given


@pytest.mark.parametrize(("user", "owner"), [(ADA, "42"), (None, "")])
def test_surface_owner_of_the_grant_is_beside_it(user: Any, owner: str):
    found = attributes(html(TAG, user))
    assert found["data-presence-owner"] == owner
    assert read_grant(found["data-presence-grant"]).user_id == owner


def test_surface_of_a_user_has_settings_urls_and_grant():
    given = state(request_of(ADA))
    assert (given.channel, given.unit) == (CHANNEL, "fraction")
    assert (given.interval_ms, given.timeout_ms, given.limit) == (50, 10_000, 30)
    assert (given.tokens_url, given.snapshot_url) == ("/presence/tokens/", "/presence/snapshot/")
    assert (given.live, given.denied, given.error) == (True, False, "")
    grant = read_grant(given.grant)
    assert (grant.channel, grant.user_id) == (CHANNEL, "42")


def test_surface_gives_scripts_the_settings_in_any_locale(settings: Any):
    settings.PRESENCE_CURSOR_INTERVAL = 0.016
    settings.PRESENCE_CURSOR_TIMEOUT = 2.5
    settings.PRESENCE_CURSOR_LIMIT = 1000
    settings.USE_THOUSAND_SEPARATOR = True
    with translation.override("de"):
        found = attributes(html())
    assert found["data-presence-interval"] == "16"
    assert found["data-presence-timeout"] == "2500"
    assert found["data-presence-limit"] == "1000"


@pytest.mark.parametrize(
    "source",
    [
        TAG,
        INCLUDE,
        '{% include "presence/cursors.html" with channel="cursors:doc:42" %}',
        '{% presence_cursors "cursors:doc:42" %}',
    ],
)
def test_surface_of_include_and_tag_is_the_same_element(source: str):
    page = html(source)
    found = attributes(page)
    assert found["data-presence-channel"] == CHANNEL
    assert found["data-presence-state"] == "static"
    assert found["data-presence-unit"] == "fraction"
    assert read_grant(found["data-presence-grant"]).channel == CHANNEL
    assert found["class"] == "presence presence-cursors"
    assert re.search(r"<presence-cursors[^>]* hidden\b", page)
    assert re.search(r'<script type="module" src="[^"]+/cursors[^"]*\.js">', page)
    assert len(re.findall(r'<link rel="stylesheet"', page)) == 2
    assert 'data-presence-part="name"' in page[page.index('template="cursor"') :]


def test_surface_has_the_url_of_every_module():
    modules = {name for name in attributes(html()) if name.endswith("-js")}
    assert modules == {
        f"data-presence-{name}-js"
        for name in [
            *("roster", "feed", "connection", "draw", "handlers"),
            *("widget", "motion", "surface", "channel", "cover"),
        ]
    }


def test_surface_has_nothing_inline():
    assert not re.search(r" style=|<style| on\w+=|<script(?![^>]* src=)", html())


def test_surface_escapes_a_channel_that_is_marked_safe():
    name = "cursors:<b>'\"&"
    page = html("{% presence_cursors name|safe %}", name=name)
    assert "<b>" not in page
    assert attributes(page)["data-presence-channel"] == name


def test_surface_of_an_unpolled_channel_is_live(settings: Any):
    settings.PRESENCE_CHANNELS = ["chat:*"]
    assert state(request_of(ADA)).live


@pytest.mark.parametrize(
    "source",
    [
        '{% presence_cursors channel unit="px" %}',
        '{% include "presence/cursors.html" with unit="px" %}',
    ],
)
def test_surface_takes_the_unit_of_the_page(source: str):
    assert attributes(html(source))["data-presence-unit"] == "px"


@pytest.mark.parametrize("other", [object(), 7, None, ""])
def test_surface_ignores_a_variable_unit_with_another_meaning(other: object):
    assert attributes(html(INCLUDE, unit=other))["data-presence-unit"] == "fraction"
    assert attributes(html(TAG, unit="px"))["data-presence-unit"] == "fraction"


def test_surface_with_an_unknown_unit_logs_and_raises_in_debug(caplog: pytest.LogCaptureFixture):
    assert attributes(html(INCLUDE, unit="em"))["data-presence-unit"] == "fraction"
    (record,) = caplog.records
    assert "'em'" in record.message
    assert "fraction, px" in record.message
    with pytest.raises(TemplateSyntaxError, match="em"):
        rendered(INCLUDE, request_of(ADA), debug=True, channel=CHANNEL, unit="em")


@pytest.mark.parametrize(("watch", "check"), [(1.0, "/presence/check/"), (0, "")])
def test_surface_has_a_check_where_the_widget_has_one(settings: Any, watch: float, check: str):
    settings.PRESENCE_WATCH = watch
    assert state(request_of(ADA)).check_url == check
    assert state(request_of()).check_url == check


# Who may


def test_surface_of_a_visitor_is_live():
    given = state(request_of())
    assert given.live
    assert read_grant(given.grant).user_id == ""


def test_surface_asks_the_site_about_the_room(settings: Any):
    asked: list[str] = []

    def deny(request: HttpRequest, channel: str) -> bool:
        asked.append(channel)
        return False

    settings.PRESENCE_AUTHORIZE = deny
    assert state(request_of(ADA)) == Surface(channel=CHANNEL, denied=True)
    assert asked == [ROOM]
    assert "<" not in html()


@pytest.mark.parametrize("allowed", [None, lambda request, channel: True])
def test_surface_without_a_request_is_not_live(settings: Any, allowed: Any):
    settings.PRESENCE_AUTHORIZE = allowed
    given = state(None)
    assert (given.live, given.grant, given.tokens_url, given.error) == (False, "", "", "")
    assert given.denied is (allowed is not None)
    assert "<" not in rendered(TAG, None, channel=CHANNEL)[0]


class Lazy:
    """The user of an async view that has not loaded it."""

    @property
    def is_authenticated(self) -> bool:
        raise SynchronousOnlyOperation


def test_surface_without_a_loaded_user_says_how_to_load():
    page = html(TAG, Lazy())
    assert "sync_to_async" in page
    assert "<presence-cursors" not in page


urlpatterns: list[Any] = []


def test_surface_without_our_urls_says_what_to_include(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.ROOT_URLCONF = __name__
    given = state(request_of(ADA))
    assert (given.live, given.grant) == (False, "")
    assert 'path("presence/", include("presence.urls"))' in given.error
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", given.error)
    page = html()
    assert f'<p class="presence presence-error" hidden>{given.error}</p>' in unescape(page)
    assert "<presence-cursors" not in page


# Mistakes


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        (ROOM, "is not a cursor channel"),
        ("doc:42", "such as 'cursors:doc:42'"),
        ("", "is not a cursor channel"),
        (None, "is not a cursor channel"),
        (ADA, "is not a cursor channel"),
        ("cursors:", "has no name"),
        ("cursors:a b", "without spaces"),
        ("cursors:" + "x" * 240, "249 characters"),
    ],
)
@pytest.mark.parametrize("source", [INCLUDE, TAG])
def test_surface_of_an_invalid_channel_logs_and_raises_in_debug(
    channel: Any, why: str, source: str, caplog: pytest.LogCaptureFixture
):
    page = html(f"before{source}after", channel=channel)
    assert page.startswith("before")
    assert page.endswith("after")
    assert "<presence-cursors" not in page
    assert why in unescape(page)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert why in record.message
    assert '{% presence_cursors "cursors:doc:42" %}' in record.message
    with pytest.raises(InvalidChannel, match=why) as raised:
        rendered(source, request_of(ADA), debug=True, channel=channel)
    assert "{% presence_cursors" in str(raised.value)


def test_surface_without_a_channel_says_so(caplog: pytest.LogCaptureFixture):
    page, _ = rendered(INCLUDE, request_of(ADA))
    assert "is not a cursor channel" in unescape(page)
