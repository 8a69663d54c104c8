"""The tags presence_count, presence_list and is_present: values, and failures without an error
page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext

from presence import services
from presence.backends.memory import MemoryStore
from presence.exceptions import InvalidChannel, StoreError
from presence.roster.messages import Member
from presence.web import page as web_page
from tests.stored_rooms import fill
from tests.unit.http_requests import request_of

ROOM = "presence:doc:42"
SITE = "presence:site"
LIST = "{% for person in people %}{{ person.name }};{% endfor %}"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    web_page.warn_once.cache_clear()


def html(
    source: str, request: HttpRequest | None = None, *, debug: bool = False, **values: Any
) -> str:
    engine = Engine(libraries={"presence_tags": "presence.templatetags.presence_tags"}, debug=debug)
    context = RequestContext(request, values) if request else Context(values)
    return engine.from_string("{% load presence_tags %}" + source).render(context)


def test_presence_tags_agree_on_count_list_and_presence():
    fill(services.store(), ROOM, Member("17", "Grace"), Member("42", "Ada", {"color": "#4363d8"}))
    page = (
        "{% presence_count room %} {% presence_count room as n %}{{ n|add:1 }} "
        "{% presence_list room as people %}{% for p in people %}{{ p.id }}={{ p.name }}"
        "{{ p.color }};{% endfor %} "
        "{% is_present ada room as here %}{{ here|yesno }} {% is_present other room %}"
    )
    users = {"ada": User(pk=42), "other": User(pk=43)}
    assert html(page, request_of(), room=ROOM, **users) == ("2 3 17=Grace;42=Ada#4363d8; yes False")


def test_presence_tags_without_a_channel_use_the_default(settings: Any):
    fill(services.store(), SITE, Member("1", "A"))
    page = "{% presence_count %}{% presence_list as people %}" + LIST + "{% is_present 1 %}"
    assert html(page, request_of(), channel=ROOM) == "1A;True"
    settings.PRESENCE_CHANNEL = ROOM
    fill(services.store(), ROOM, Member("2", "B"), Member("3", "C"))
    assert html("{% presence_count %}", request_of()) == "2"


def test_presence_list_has_tracked_members_with_flat_meta():
    services.tracker().save_member(
        ROOM, "bot-1", source="", meta=b'{"name": "Robot", "color": "#aaa"}', timeout=60.0
    )
    page = "{% presence_list room as people %}{{ people.0.color }}{% is_present 'bot-1' room %}"
    assert html(page, request_of(), room=ROOM) == "#aaaTrue"


@pytest.mark.parametrize("nobody", [None, AnonymousUser(), User(), ""])
def test_is_present_of_nobody_is_false(nobody: object):
    fill(services.store(), SITE, Member("None", "A"))
    assert html("{% is_present who %}", request_of(), who=nobody) == "False"


def test_presence_list_is_escaped():
    fill(services.store(), SITE, Member("1", "<b>"))
    assert "<b>" not in html("{% presence_list %}", request_of())


def test_presence_tags_read_each_channel_once_a_page(reads: list[Sequence[str]]):
    page = "{% presence_count %}{% presence_list as a %}{% is_present 1 %}{% presence_count room %}"
    request = request_of()
    html(page * 2, request, room=ROOM)
    assert reads == [[SITE], [ROOM]]
    html("{% presence_count %}", request_of())
    assert reads == [[SITE], [ROOM], [SITE]]


def test_presence_tags_of_a_live_view_read_again(
    reads: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr(web_page.time, "monotonic", lambda: now)
    request = request_of()
    assert html("{% presence_count %}", request) == "0"
    fill(services.store(), SITE, Member("1", "A"))
    assert html("{% presence_count %}", request) == "0"
    now += web_page.LOOK_UP_LIFETIME
    assert html("{% presence_count %}", request) == "1"
    assert len(reads) == 2


def test_presence_tags_of_a_denied_channel_read_nothing(settings: Any, reads: list[Sequence[str]]):
    fill(services.store(), ROOM, Member("42", "Ada"))
    asked: list[tuple[HttpRequest, str]] = []
    settings.PRESENCE_AUTHORIZE = lambda request, channel: asked.append((request, channel))
    request = request_of()
    page = "{% presence_count room %}{% presence_list room as people %}{{ people }}"
    assert html(page + "{% is_present 42 room %}", request, room=ROOM) == "0[]False"
    assert asked == [(request, ROOM)]
    assert html("{% presence_count room %}", room=ROOM) == "0"  # Nobody to ask about.
    assert reads == []


def test_presence_tags_while_the_store_is_down_log_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    tries: list[object] = []

    def present(*args: object, **options: object) -> None:
        tries.append(args)
        raise StoreError("no Redis")

    monkeypatch.setattr(MemoryStore, "load_members", present)
    page = "{% presence_count %}{% presence_list as people %}{{ people }}{% is_present 1 %}"
    with caplog.at_level(logging.ERROR, "presence"):
        assert html(page + "{% presence_count room %}", request_of(), room=ROOM) == "0[]False0"
    assert len(tries) == len(caplog.records) == 1


@pytest.mark.parametrize("tag", ["presence_count", "presence_list", "is_present 1"])
@pytest.mark.parametrize("wrong", ["two words", "news:1", "cursors:doc:42", "", None, 42])
def test_presence_tags_of_a_wrong_channel_log_and_raise_in_debug(
    tag: str, wrong: object, caplog: pytest.LogCaptureFixture
):
    source = "{% " + tag + " room %}"
    with pytest.raises(InvalidChannel, match=rf"{{% {tag.split()[0]} %}}"):
        html(source, request_of(), debug=True, room=wrong)
    with caplog.at_level(logging.ERROR, "presence"):
        assert html(source, request_of(), room=wrong) in ("0", "[]", "False")
    assert len(caplog.records) == 1


def test_presence_tags_without_a_loaded_user_say_how_to_load(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    def authorize(request: HttpRequest, channel: str) -> bool:
        raise SynchronousOnlyOperation

    settings.PRESENCE_AUTHORIZE = authorize
    with caplog.at_level(logging.WARNING, "presence"):
        assert html("{% presence_count %}", request_of()) == "0"
    assert "sync_to_async" in caplog.text
