"""The template tags of the widget: contents of a page, and messages about mistakes."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext, TemplateSyntaxError
from django.test import Client, RequestFactory
from django.urls import include, path

from presence import services
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import read_grant
from presence.exceptions import InvalidChannel, StoreError
from presence.roster.messages import Member, Position
from presence.web import page as web_page
from presence.web.visitors import visitor_of
from presence.web.widget import Widget, palette_index
from tests.stored_rooms import fill
from tests.unit.http_requests import request_of

ROOM = "presence:doc:42"
LOAD = "{% load presence_tags cache %}"
INCLUDE = '{% include "presence/widget.html" %}'
TAGS = {"presence_tags": "presence.templatetags.presence_tags"}


def engine(**options: Any) -> Engine:
    libraries = {
        **TAGS,
        **{name: f"django.templatetags.{name}" for name in ("cache", "static", "i18n", "l10n")},
    }
    return Engine(app_dirs=True, libraries=libraries, **options)


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = "project.urls"
    web_page.warn_once.cache_clear()


def context_of(request: HttpRequest | None, /, **values: Any) -> Context:
    return RequestContext(request, values) if request else Context(values)


def html(source: str, request: HttpRequest | None = None, /, **values: Any) -> str:
    return engine().from_string(LOAD + source).render(context_of(request, **values))


def state(
    argument: str, request: HttpRequest | None, used: Engine | None = None, /, **values: Any
) -> Widget:
    """Return the context that `{% presence_state <argument> as presence %}` gives."""
    source = LOAD + "{% presence_state " + argument + " as presence %}"
    context = context_of(request, **values)
    assert (used or engine()).from_string(source).render(context) == ""
    given = context["presence"]
    assert isinstance(given, Widget)
    return given


def channels_in(page: str) -> list[str]:
    return re.findall(r'data-presence-channel="([^"]*)"', page)


# Which channel


def test_include_without_a_channel_shows_the_default(settings: Any):
    assert channels_in(html(INCLUDE, request_of())) == ["presence:site"]
    settings.PRESENCE_CHANNEL = "presence:lobby"
    assert channels_in(html(INCLUDE, request_of())) == ["presence:lobby"]


def test_include_with_a_channel_shows_it():
    source = '{% include "presence/widget.html" with channel="presence:doc:42" %}'
    assert channels_in(html(source, request_of())) == [ROOM]


@pytest.mark.parametrize("page_channel", ["presence:other", object(), None])
def test_tag_ignores_a_variable_channel_of_the_page(page_channel: object):
    source = '{% presence_widget "presence:doc:42" %}{% presence_widget %}'
    page = html(source, request_of(), channel=page_channel)
    assert channels_in(page) == [ROOM, "presence:site"]
    assert html("{% presence_widget room %}{{ channel }}", request_of(), room=ROOM, channel="news")


def test_tag_keeps_the_context_of_the_page():
    context = context_of(request_of(), marker="kept")
    template = {"presence/widget.html": "{{ marker }} {{ request.path }} {{ channel }}"}
    used = Engine(
        libraries=TAGS,
        loaders=[("django.template.loaders.locmem.Loader", template)],
        context_processors=["django.template.context_processors.request"],
    )
    page = used.from_string("{% load presence_tags %}{% presence_widget %}").render(context)
    assert page == "kept / presence:site"


@pytest.mark.parametrize("invalid", ["", "INVALID", "<%s is missing>"])
def test_state_in_an_engine_that_marks_missing_variables_is_the_default(invalid: str):
    used = engine(string_if_invalid=invalid)
    assert state("channel", request_of(), used).channel == "presence:site"


def test_widget_escapes_a_channel_that_is_marked_safe():
    name = "presence:<b>'\"&"
    page = html("{% presence_widget name|safe %}", request_of(), name=name)
    assert "<b>" not in page
    assert unescape(channels_in(page)[0]) == name
    assert type(state("name|safe", request_of(), name=name).channel) is str


# What is given


def test_state_has_members_version_urls_and_grant():
    info = {"avatar": "/a/42.png", "color": "#4363d8"}
    fill(services.store(), ROOM, Member("17", "Grace"), Member("42", "Ada Lovelace", info))
    given = state("channel", request_of(User(pk=42)), channel=ROOM)
    assert (given.channel, given.feed, given.epoch, given.version) == (ROOM, ROOM, "e1", 1)
    assert (given.listed, given.total, given.anonymous, given.every) == (True, 2, 0, 5.0)
    assert given.age is not None
    assert given.position == Position(7, "StBPPVJn")
    assert (given.tokens_url, given.snapshot_url) == ("/presence/tokens/", "/presence/snapshot/")
    assert (given.live, given.user_id, given.denied, given.error) == (True, "42", False, "")
    assert given.self_id == "42"
    grant = read_grant(given.grant)
    assert (grant.channel, grant.user_id) == (ROOM, "42")
    grace, ada = given.members
    assert (grace.id, grace.is_self, ada.is_self) == ("17", False, True)
    assert (ada.name, ada.initials, ada.avatar) == ("Ada Lovelace", "AL", "/a/42.png")
    assert (ada.own_colour, ada.colour) == ("#4363d8", palette_index("42"))
    assert json.loads(ada.info_json) == info


@pytest.mark.parametrize(("user", "owner"), [(User(pk=42), "42"), (None, "")])
def test_widget_owner_of_the_grant_is_beside_it(user: Any, owner: str):
    page = html(INCLUDE, request_of(user))
    (shown,) = re.findall(r'data-presence-owner="([^"]*)"', page)
    (grant,) = re.findall(r'data-presence-grant="([^"]*)"', page)
    assert shown == read_grant(grant).user_id == owner


def test_state_of_another_namespace_has_a_roster_feed(settings: Any):
    settings.PRESENCE_CHANNELS = ["chat:*"]
    given = state("'chat:7'", request_of())
    assert (given.channel, given.feed, given.live) == ("chat:7", "roster:chat:7", True)


def test_state_of_a_room_never_polled_is_empty_and_live():
    given = state("'presence:new'", request_of())
    assert (given.version, given.epoch, given.age, given.position) == (0, "", None, None)
    assert (given.members, given.total, given.live) == ((), 0, True)


def test_state_of_a_stream_without_an_epoch_has_no_position():
    fill(services.store(), ROOM, Member("1", "A"), position=Position(0, ""))
    assert state(f"'{ROOM}'", request_of()).position is None


def test_state_of_a_counted_room_lists_nobody():
    people = [Member(str(n), f"User {n}") for n in range(11)]
    fill(services.store(), ROOM, *people, anonymous=2, list_limit=10)
    given = state(f"'{ROOM}'", request_of())
    assert (given.listed, given.members) == (False, ())
    assert (given.total, given.anonymous) == (11, 2)


@pytest.mark.django_db
def test_state_of_a_listed_visitor_marks_them_as_self():
    client = Client()
    session = client.session
    session["x"] = 1
    session.save()
    request = request_of()
    request.session = session  # type: ignore[assignment]
    own = visitor_of(request).anonymous
    fill(services.store(), ROOM, Member(own, "Anonymous"), Member("anon_other", "Anonymous"))
    given = state(f"'{ROOM}'", request)
    assert [member.is_self for member in given.members] == [True, False]
    assert (given.user_id, given.self_id) == ("", own)
    assert f'data-presence-self-id="{own}"' in html(
        "{% presence_widget room %}", request, room=ROOM
    )
    assert session.session_key not in given.grant


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "x" * 10_000,
        "🦊👩‍👩‍👧",
        "\u202eadA\u200f",
        "{{ settings.SECRET_KEY }}{% load x %}",
        "a\nb\x00c",
    ],
)
def test_widget_escapes_everything_from_the_store(text: str):
    fill(services.store(), ROOM, Member(text, text, {"avatar": text, "color": text, "x": text}))
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert " onerror" not in re.sub(r'"[^"]*"|>[^<]*<', "", page)
    (shown,) = (name for name in re.findall(r'data-presence-name="([^"]*)"', page) if name)
    assert unescape(shown) == text
    (info,) = (name for name in re.findall(r'data-presence-info="([^"]*)"', page) if name)
    assert json.loads(unescape(info))["x"] == text


# Variants

FULL = [Member(str(n), f"User {n}") for n in range(8)]


def shown(page: str, attribute: str) -> list[str]:
    """The values of an attribute outside of templates."""
    return re.findall(rf' {attribute}="([^"]*)"', page[: page.index("<template")])


@pytest.mark.parametrize(
    ("source", "variant"),
    [
        ("{% presence_widget %}", "stack"),
        ('{% presence_widget variant="list" %}', "list"),
        ('{% include "presence/widget.html" %}', "stack"),
        ('{% include "presence/widget.html" with variant="count" %}', "count"),
        ('{% include "presence/widget.html" with variant="none" %}', "none"),
    ],
)
def test_widget_takes_the_variant_of_the_page(source: str, variant: str):
    page = html(source, request_of())
    assert f'data-presence-variant="{variant}"' in page
    assert (' hidden\n  data-presence-variant="none"' in page) is (variant == "none")


def test_stack_is_one_button_of_the_newest_faces_and_opens_a_popover_with_everybody():
    fill(services.store(), ROOM, *FULL, anonymous=2)
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert shown(page, "data-presence-face") == ["3", "4", "5", "6", "7"]
    assert shown(page, "data-presence-member") == [member.id for member in FULL]
    assert "<span data-presence-more>3</span>" in page
    (key,) = re.findall(r'id="([^"]+)" popover', page)
    assert f'popovertarget="{key}" aria-controls="{key}"' in page
    button = page[page.index("<button") : page.index("</button>")]
    assert shown(button + "<template", "data-presence-face") == ["3", "4", "5", "6", "7"]
    assert page.count("<button") == 1
    # Each has words of its own: a site may leave out either.
    assert page.count('data-presence-part="anonymous-words"') == 2
    assert page.count('<p class="presence-anonymous"') == 2


@pytest.mark.parametrize("people", [1, 5])
def test_stack_with_room_for_all_faces_is_a_button_with_no_more(people: int):
    fill(services.store(), ROOM, *FULL[:people])
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert 'data-presence-more="0"' in page
    assert len(shown(page, "data-presence-face")) == people
    assert page.count("<button") == 1


@pytest.mark.parametrize("own", [0, 3, 7])
@pytest.mark.parametrize(
    ("variant", "limit", "others"),
    [("stack", None, 4), ("stack", 2, 1), ("stack", 1, 0), ("list", 4, 3)],
)
def test_widget_with_more_people_than_its_limit_shows_oneself_first_and_the_newest(
    own: int, variant: str, limit: int | None, others: int
):
    fill(services.store(), ROOM, *FULL)
    source = "{% presence_widget room variant=variant limit=limit %}"
    request = request_of(User(pk=own))
    page = html(source, request, room=ROOM, variant=variant, limit=limit)
    rest = [member.id for member in FULL if member.id != str(own)]
    assert shown(page, "data-presence-member") == [str(own), *rest]
    expected = [str(own), *rest[len(rest) - others :]]
    if variant == "stack":
        assert shown(page, "data-presence-face") == expected
        assert "data-presence-folded" not in page
    else:
        items = re.findall(r'<li class="[^"]*" data-presence-member="(\d)"([^>]*)>', page)
        assert [id_ for id_, rest in items if "data-presence-folded" not in rest] == expected
    assert f'data-presence-more="{len(FULL) - len(expected)}"' in page


@pytest.mark.parametrize(("people", "more"), [(20, 0), (21, 1), (181, 161)])
def test_list_folds_everybody_beyond_twenty(people: int, more: int):
    fill(services.store(), ROOM, *(Member(f"{n:03}", f"User {n}") for n in range(people)))
    page = html('{% presence_widget room variant="list" %}', request_of(), room=ROOM)
    assert page.count(" data-presence-folded") == more
    assert f">and {more} more<" in page
    assert ('data-presence-part="rest" hidden' in page) is not more


@pytest.mark.parametrize("other", ["7", None, True, 2.5, ["a"]])
def test_limit_of_the_page_that_is_something_else_is_the_default(other: object):
    page = html('{% include "presence/widget.html" %}', request_of(), limit=other)
    assert 'data-presence-limit="5"' in page


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one_raises_in_debug_and_is_logged_elsewhere(
    caplog: pytest.LogCaptureFixture, limit: int
):
    source = "{% presence_widget limit=limit %}"
    assert 'data-presence-limit="5"' in html(source, request_of(), limit=limit)
    assert f"limit is {limit}:" in caplog.text
    with pytest.raises(TemplateSyntaxError, match="1 or more"):
        engine(debug=True).from_string(LOAD + source).render(context_of(request_of(), limit=limit))


@pytest.mark.parametrize(("variant", "folded"), [("list", False), ("count", True), ("none", True)])
def test_every_variant_has_the_members_for_scripts(variant: str, folded: bool):
    fill(services.store(), ROOM, *FULL)
    source = "{% presence_widget room variant=variant %}"
    page = html(source, request_of(), room=ROOM, variant=variant)
    assert shown(page, "data-presence-member") == [member.id for member in FULL]
    assert ('data-presence-part="members" hidden' in page) is folded
    assert "data-presence-face" not in page
    assert ("presence-summary" in page) is (variant != "none")


@pytest.mark.parametrize("variant", ["stack", "list"])
def test_counted_room_shows_oneself_and_says_why_there_are_no_names(variant: str):
    fill(services.store(), ROOM, *FULL, list_limit=5)
    request = request_of(User(pk=77, first_name="Ada", username="ada"))
    page = html("{% presence_widget room variant=variant %}", request, room=ROOM, variant=variant)
    assert shown(page, "data-presence-member") == ["77"]
    assert shown(page, "data-presence-name") == ["Ada"]
    assert page.count('data-presence-part="counted">Too many people') == (variant == "stack") + 1
    assert 'data-presence-total="8"' in page


@pytest.mark.parametrize("channel", [ROOM, "chat:lobby"])
def test_counted_room_shows_nobody_to_a_stranger_or_one_who_only_watches(
    settings: Any, channel: str
):
    settings.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    fill(services.store(), channel, *FULL, list_limit=5)
    watching = request_of(User(pk=77)) if channel == "chat:lobby" else request_of()
    page = html("{% presence_widget room %}", watching, room=channel)
    assert shown(page, "data-presence-member") == []
    assert "Too many people" in page


def test_listed_room_says_nothing_of_names_that_are_missing():
    fill(services.store(), ROOM, *FULL)
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert page.count('data-presence-part="counted" hidden>') == 2


@pytest.mark.parametrize(("total", "words"), [(1, "person"), (7, "people")])
def test_total_and_heading_have_words_that_fit_the_number(total: int, words: str):
    fill(services.store(), ROOM, *FULL[:total])
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert f">{words}</span>" in page
    assert f">{total} {words} here</p>" in page


def test_widget_has_a_long_name_in_a_title():
    name = "Wolfeschlegelsteinhausen " * 8
    fill(services.store(), ROOM, Member("1", name))
    page = html('{% presence_widget room variant="list" %}', request_of(), room=ROOM)
    assert f'title="{name}"' in page


@pytest.mark.parametrize(
    ("setting", "user", "stranger"),
    [("count", None, True), ("list", None, False), ("ignore", None, False), ("count", 1, False)],
)
def test_only_a_counted_visitor_is_told_that_the_number_includes_them(
    settings: Any, setting: str, user: int | None, stranger: bool
):
    settings.PRESENCE_ANONYMOUS = setting
    request = request_of(User(pk=user)) if user else request_of()
    page = html("{% presence_widget room %}", request, room=ROOM)
    assert ("data-presence-stranger" in page) is stranger


def test_stack_of_a_counted_room_is_a_number():
    fill(services.store(), ROOM, *FULL, list_limit=5)
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert '<span class="presence-total" data-presence-total>8</span>' in page
    assert shown(page, "data-presence-face") == []
    assert 'data-presence-more="0"' in page


def test_widget_ids_are_unique_on_a_page():
    page = html("{% presence_widget %}{% presence_widget %}", request_of())
    keys = re.findall(r' id="([^"]+)"', page)
    assert len(set(keys)) == len(keys) == 2


@pytest.mark.parametrize("other", [object(), 7, None, ["list"]])
def test_widget_ignores_a_variable_variant_with_another_meaning(other: object):
    page = html('{% include "presence/widget.html" %}', request_of(), variant=other)
    assert 'data-presence-variant="stack"' in page


def test_tag_ignores_a_variable_variant_of_the_page():
    page = html("{% presence_widget %}", request_of(), variant="list", announce=True)
    assert 'data-presence-variant="stack"' in page
    assert "aria-live" not in page


def test_widget_with_an_unknown_variant_logs_and_raises_in_debug(caplog: pytest.LogCaptureFixture):
    source = '{% include "presence/widget.html" with variant="lsit" %}'
    assert 'data-presence-variant="stack"' in html(source, request_of())
    (record,) = caplog.records
    assert "'lsit'" in record.message
    assert "stack, list, count, none" in record.message
    with pytest.raises(TemplateSyntaxError, match="lsit"):
        engine(debug=True).from_string(source).render(context_of(request_of()))


def test_widget_announces_only_where_asked():
    quiet = html("{% presence_widget %}", request_of())
    assert "aria-live" not in quiet
    assert "data-presence-announce" not in quiet
    page = html("{% presence_widget announce=True %}", request_of())
    assert 'aria-live="polite" data-presence-part="announcement"' in page
    assert 'data-presence-form1="{n} joined"' in page
    assert page.count("data-presence-announce") == 1


@pytest.mark.parametrize(
    "part", ["_member", "_members", "_summary", "_overflow", "_anonymous", "_status"]
)
def test_widget_takes_a_part_of_the_site(part: str):
    mine = {f"presence/{part}.html": "MINE"}
    loaders = ["django.template.loaders.app_directories.Loader"]
    used = Engine(
        libraries=engine().libraries,
        loaders=[("django.template.loaders.locmem.Loader", mine), *loaders],
    )
    page = used.from_string(LOAD + "{% presence_widget %}").render(context_of(request_of()))
    assert "MINE" in page


def test_widget_has_nothing_inline():
    fill(services.store(), ROOM, Member("1", "A", {"color": "#123456", "avatar": "/a.png"}))
    page = html("{% presence_widget room announce=True %}", request_of(), room=ROOM)
    assert 'data-presence-colour="#123456"' in page
    assert not re.search(r" style=|<style| on\w+=|<script(?![^>]* src=)", page)


# Where there is less than a whole site


def test_state_on_a_site_without_authentication_is_live():
    fill(services.store(), ROOM, Member("42", "Ada"))
    given = state(f"'{ROOM}'", RequestFactory().get("/"))
    assert (given.live, given.user_id, given.total) == (True, "", 1)


def test_state_without_a_request_is_static():
    fill(services.store(), ROOM, Member("42", "Ada"))
    given = state(f"'{ROOM}'", None)
    assert [member.name for member in given.members] == ["Ada"]
    assert (given.live, given.grant, given.tokens_url, given.snapshot_url) == (False, "", "", "")
    assert (given.user_id, given.members[0].is_self, given.error) == ("", False, "")
    page = html("{% presence_widget room %}", None, room=ROOM)
    assert "data-presence-grant" not in page
    assert "<script" not in page


def test_state_ignores_a_variable_request_with_another_meaning():
    assert not state(f"'{ROOM}'", None, request="a request for comments").live
    assert state(f"'{ROOM}'", None, request=request_of()).live


def test_state_while_the_store_is_down_is_empty_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    calls: list[object] = []

    def down(self: MemoryStore, channels: object) -> None:
        calls.append(channels)
        raise StoreError("Redis cannot be reached")

    monkeypatch.setattr(MemoryStore, "load_snapshots", down)
    request = request_of(User(pk=42))
    for channel in (ROOM, "presence:site"):
        given = state(f"'{channel}'", request)
        assert (given.version, given.members, given.age, given.every) == (0, (), None, 5.0)
        assert (given.live, given.error) == (True, "")
        assert read_grant(given.grant).channel == channel
    assert calls == [[ROOM]], "the second widget of the page does not wait once more"
    (record,) = (record for record in caplog.records if record.name == "presence.widget")
    assert (record.levelname, record.exc_info is None) == ("ERROR", False)
    assert "data-presence-grant" in html("{% presence_widget %}", request_of())


def test_state_with_an_unknown_backend_raises(settings: Any):
    settings.PRESENCE_BACKEND = "rediss"
    with pytest.raises(ImproperlyConfigured, match="PRESENCE_BACKEND"):
        state("channel", request_of())


urlpatterns: list[Any] = []


def test_state_without_our_urls_says_what_to_include(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.ROOT_URLCONF = __name__
    fill(services.store(), ROOM, Member("42", "Ada"))
    for _ in range(2):
        given = state(f"'{ROOM}'", request_of())
        assert (given.live, given.grant, given.total) == (False, "", 1)
        assert 'path("presence/", include("presence.urls"))' in given.error
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", given.error)
    page = html("{% presence_widget room %}", request_of(), room=ROOM)
    assert f'<p class="presence presence-error" hidden>{given.error}</p>' in unescape(page)
    assert "data-presence-grant" not in page


def test_widget_shows_an_error_in_debug_alone(settings: Any):
    settings.ROOT_URLCONF = __name__
    template = engine(debug=True).from_string(LOAD + "{% presence_widget room %}")
    page = template.render(context_of(request_of(), room=ROOM))
    assert '<p class="presence presence-error">This is not live' in page


def test_state_has_urls_of_another_path(settings: Any):
    settings.ROOT_URLCONF = (path("who/is/here/", include("presence.urls")),)
    assert state("channel", request_of()).tokens_url == "/who/is/here/tokens/"


def deny(request: HttpRequest, channel: str) -> bool:
    return False


@pytest.mark.parametrize("with_request", [True, False])
def test_state_that_the_site_denies_shows_nothing(settings: Any, with_request: bool):
    settings.PRESENCE_AUTHORIZE = deny
    fill(services.store(), ROOM, Member("42", "Ada"), anonymous=3)
    given = state(f"'{ROOM}'", request_of(User(pk=42)) if with_request else None)
    assert given == Widget(channel=ROOM, feed=ROOM, denied=True)
    assert "Ada" not in html("{% presence_widget room %}", request_of(), room=ROOM)


# Mistakes


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("presence:a b", "without spaces"),
        ("presence:\x1b", "printable ASCII"),
        ("presence:" + "x" * 291, "300 characters"),
        ("doc:42", "PRESENCE_CHANNELS"),
        ("cursors:doc:42", "use presence/cursors.html for cursors"),
        ("", "is empty"),
        (None, "not NoneType"),
        (User(pk=1, username="a model instance"), "not User"),
    ],
)
@pytest.mark.parametrize("source", [INCLUDE, "{% presence_widget channel %}"])
def test_widget_of_an_invalid_channel_logs_and_raises_in_debug(
    channel: Any, why: str, source: str, caplog: pytest.LogCaptureFixture
):
    page = html(f"before{source}after", request_of(), channel=channel)
    assert page.startswith("before")
    assert page.endswith("after")
    assert "data-presence-grant" not in page
    assert why in unescape(page)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert why in record.message
    assert '{% presence_widget "presence:doc:42" %}' in record.message
    with pytest.raises(InvalidChannel, match=why) as raised:
        state("channel", request_of(), engine(debug=True), channel=channel)
    assert "{% presence_widget" in str(raised.value)


# Cached fragments


def test_widget_in_a_cached_fragment_grants_to_its_user(settings: Any):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    source = "{% cache 60 here user_id %}{% presence_widget %}{% endcache %}"
    pages = [html(source, request_of(User(pk=key)), user_id=key) for key in (42, 42, 43)]
    grants = [
        read_grant(match[1])
        for page in pages
        if (match := re.search(r'data-presence-grant="([^"]+)"', page))
    ]
    assert [grant.user_id for grant in grants] == ["42", "42", "43"]
    assert pages[0] == pages[1]
