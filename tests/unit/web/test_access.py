"""Permissions for channels, and the channels that exist."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from presence.exceptions import InvalidChannel
from presence.web.access import authorise

REQUEST = RequestFactory().get("/")


def only_rooms(request: HttpRequest, channel: str) -> bool:
    assert request is REQUEST
    return channel.startswith("presence:room:")


def forbid(request: HttpRequest, channel: str) -> bool:
    raise PermissionDenied


async def later(request: HttpRequest, channel: str) -> bool:
    return False


def test_authorise_without_the_setting_allows_everybody():
    assert authorise(REQUEST, "presence:doc:42")
    assert authorise(None, "presence:doc:42")


def test_authorise_returns_the_answer_of_the_setting():
    with override_settings(PRESENCE_AUTHORIZE=only_rooms):
        assert authorise(REQUEST, "presence:room:1")
        assert not authorise(REQUEST, "presence:doc:42")
    with override_settings(PRESENCE_AUTHORIZE=f"{__name__}.forbid"):
        assert not authorise(REQUEST, "presence:room:1")


@override_settings(PRESENCE_AUTHORIZE=only_rooms)
def test_authorise_without_a_request_denies():
    assert not authorise(None, "presence:room:1")


def test_authorise_of_cursors_asks_about_their_room():
    with override_settings(PRESENCE_AUTHORIZE=only_rooms):
        assert authorise(REQUEST, "cursors:room:1")
        assert not authorise(REQUEST, "cursors:doc:42")
        assert not authorise(None, "cursors:room:1")


@pytest.mark.parametrize("patterns", [["chat:*"], ["*"]])
def test_authorise_of_cursors_needs_no_polled_room(patterns: list[str]):
    with override_settings(PRESENCE_CHANNELS=patterns):
        assert authorise(REQUEST, "cursors:doc:42")


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@override_settings(PRESENCE_AUTHORIZE=later)
def test_authorise_with_an_async_function_denies(caplog: pytest.LogCaptureFixture):
    assert not authorise(REQUEST, "presence:room:1")
    assert "PRESENCE_AUTHORIZE failed: TypeError: it is an async function" in caplog.text


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("presence:a b", "without spaces"),
        ("presence:a\x00b", "printable ASCII"),
        ("presence:a\nb", "printable ASCII"),
        ("presence:" + "x" * 291, "300 characters"),
        ("presence:zoë", "printable ASCII"),
        ("", "is empty"),
        ("roster:chat:1", "lies in"),
        ("cursors:", "has no name"),
        ("cursors:a b", "without spaces"),
    ],
)
def test_authorise_of_an_invalid_name_raises(channel: str, why: str):
    with pytest.raises(InvalidChannel, match=why):
        authorise(REQUEST, channel)


@pytest.mark.parametrize(("channel", "add"), [("chat:1", "'chat:[*]'"), ("lobby", "'lobby'")])
def test_authorise_of_an_unpolled_channel_names_the_setting(channel: str, add: str):
    with pytest.raises(InvalidChannel, match=f"PRESENCE_CHANNELS .* such as {add}"):
        authorise(REQUEST, channel)
    with override_settings(PRESENCE_CHANNELS=["presence:*", "{chat,lob}*"]):
        assert authorise(REQUEST, channel)


@override_settings(PRESENCE_CHANNELS=["presence:[a"])
def test_authorise_with_an_invalid_pattern_names_the_setting():
    with pytest.raises(ImproperlyConfigured, match="PRESENCE_CHANNELS: Pattern"):
        authorise(REQUEST, "presence:a")
