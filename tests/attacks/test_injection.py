"""Hostile strings in every field, on every surface that a server writes.

A page with hostile strings has to have the very elements and attributes of the page with harmless
ones. How scripts draw them is tested in tests/browser/test_attacks.py.
"""

from __future__ import annotations

import itertools
import logging
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import RequestContext, Template
from django.test import Client, RequestFactory

from presence import services
from presence.admin import admin_channel
from presence.backends.redis.keys import Keys
from presence.centrifugo.tokens import make_grant
from presence.roster.channel_names import escape, matches
from presence.roster.messages import Member
from presence.templatetags import presence_tags
from presence.web.heartbeat import Lifeline, make_lifeline
from project.documents.models import Document
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

HOSTILE = {
    "an element": "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "the end of an attribute": "\"'><svg onload=alert(1)>",
    "an attribute": "x\" onmouseover=alert(1) y='",
    "the end of a template": "</template></presence-roster><iframe srcdoc='<script>1</script>'>",
    "a comment": "<!--x--!><script>1</script>-->",
    "character data": "<![CDATA[<script>1</script>]]>",
    "template code": "{{ settings.SECRET_KEY }}{% load x %}{{ 7|add:7 }}",
    "entities": "&lt;script&gt;&#x3c;img src=x&#62;",
    "CSS": "red;background:url(https://evil.example/);}</style><script>1</script>",
    "the end of a script": "</script><script>1</script>",
}
CHANNELS = {kind: text.replace(" ", "/").replace("#", "") for kind, text in HOSTILE.items()}
"""Channels that are valid: no spaces, and no "#"."""
URLS = ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "\tjavascript:alert(1)", "data:text/html,<b>",
        "vbscript:x", "//evil.example/a.png", "/\\evil.example/a.png", "\\\\evil.example\\a",
        "blob:x", "file:///etc/passwd", "https:evil", "", None, 7,
        ["javascript:1"], {"a": "b"}]  # fmt: skip
COLOURS = ["red", "red;}", "url(https://evil.example/)", "#12345g", "#12", "expression(alert(1))",
           "#123456;background:red", "var(--x)", "\n#123456", "#١٢٣", None, ["#123"]]  # fmt: skip
ADDRESSES = ("src", "href", "action", "formaction", "srcdoc", "srcset", "style", "xlink:href")


class Skeleton(HTMLParser):
    """Elements of a page with the names of their attributes, and all values that are addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]

    def handle_comment(self, data: str) -> None:
        self.elements.append(("!", ()))


@pytest.fixture(autouse=True)
def memory(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_ANONYMOUS = "list"


DRAWN_BY_THE_SITE = ("/documents/", "/documents/{pk}/", "/reading-room/")
"""Pages whose own templates write the `avatar` of records, which is as the site's hook made it."""
WIDGETS = ("list", "stack", "count", "none")
PAGES = ("/", "/rooms/attacked/", "/documents/", "/documents/{pk}/", "/reading-room/",
         "/admin/documents/document/", "/admin/documents/document/{pk}/change/")  # fmt: skip


def surfaces(members: list[Member]) -> dict[str, Skeleton]:
    """Return all pages with these members in all their rooms."""
    services._forget_all()
    document = Document.objects.create(title="Plan")
    names = ["site", "room:attacked", "document", f"document:{document.pk}", "reading-room"]
    for room in [admin_channel(document), *(f"presence:{name}" for name in names)]:
        fill(services.store(), room, *members)
    staff, _ = User.objects.get_or_create(username="staff", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(staff)
    found = {}
    for page in PAGES:
        answer = client.get(page.format(pk=document.pk))
        assert answer.status_code == 200
        found[page] = Skeleton(answer.content.decode().replace(f"/{document.pk}/", "/0/"))
    for variant in WIDGETS:
        html = render(f'{{% presence_widget "presence:site" variant="{variant}" %}}', staff)
        found[variant] = Skeleton(html)
    tags = '{% presence_list "presence:site" as people %}{{ people }}'
    found["list tag"] = Skeleton(render(tags, staff))
    document.delete()
    return found


def render(code: str, user: Any = None, **variables: Any) -> str:
    request = RequestFactory().get("/")
    request.user = user or User(pk=1, username="ada")
    context = RequestContext(request, variables)
    return str(Template("{% load presence_tags %}" + code).render(context))


def assert_same(found: dict[str, Skeleton], harmless: dict[str, Skeleton]) -> None:
    for surface, page in found.items():
        assert page.elements == harmless[surface].elements, surface
        assert page.addresses == harmless[surface].addresses, surface


def test_pages_with_hostile_names_and_ids_have_no_element_more():
    texts = [*HOSTILE.values()]
    hostile = [Member(text, text, {"note": text, text: text}) for text in texts]
    harmless = [Member("x" * n, "x", {"note": "x"}) for n, _ in enumerate(texts, start=1)]
    assert_same(surfaces(hostile), surfaces(harmless))


def test_pages_with_hostile_avatars_and_colours_have_no_address_more():
    infos = [
        {"avatar": url, "color": colour}
        for url, colour in itertools.zip_longest(URLS, COLOURS, fillvalue="red")
    ]
    hostile = surfaces([Member(f"{n}", "x", info) for n, info in enumerate(infos)])
    harmless = surfaces([Member(f"{n}", "x", {}) for n, _ in enumerate(infos)])
    assert_same({name: hostile[name] for name in hostile.keys() - {*DRAWN_BY_THE_SITE}}, harmless)


def test_pages_with_an_avatar_that_ends_its_attribute_have_no_attribute_more():
    member = Member("1", "x", {"avatar": 'https://x/"onerror="alert(1)'})
    pictures = [
        names
        for page in surfaces([member]).values()
        for tag, names in page.elements
        if tag == "img"
    ]
    assert pictures
    assert "onerror" not in itertools.chain(*pictures)


@pytest.mark.parametrize("kind", CHANNELS)
def test_elements_of_a_hostile_channel_have_no_element_more(kind: str):
    codes = ["{% presence_widget room %}", "{% presence_cursors cursors %}"]
    for code in codes:
        pages = [
            Skeleton(render(code, room=f"presence:{name}", cursors=f"cursors:{name}"))
            for name in (CHANNELS[kind], "harmless")
        ]
        assert pages[0].elements == pages[1].elements
        assert all(not address.startswith("javascript") for address in pages[0].addresses)


@pytest.mark.parametrize("kind", CHANNELS)
def test_patterns_of_a_hostile_channel_match_it_alone(kind: str):
    channel = f"presence:{CHANNELS[kind]}*?[a-z]{{b,c}}\\"
    assert matches(escape(channel), channel)
    assert not matches(escape(channel), channel + "x")
    assert not matches(escape(channel), "presence:other")


def test_redis_keys_of_hostile_channels_are_all_different():
    keys = Keys("presence")
    parts = ["a", "}", "{", ":members", ":cursors", ":slots", "*", "\\", "\r\n", "a}:members", "#"]
    channels = {"".join(name) for name in itertools.product(parts, repeat=3)}
    found = [
        key(channel)
        for channel in channels
        for key in (keys.channel, keys.members, keys.cursors, keys.slots)
    ]
    assert len({*found}) == len(found)
    own = [value for value in vars(keys).values() if value != keys._base]
    assert not {*found} & {*own, *map(keys.taken, channels), *map(keys.remembered, channels)}


LINES = ["\nlevel=forged", "\r\nlevel=forged", "\x1b[2Jlevel=forged", "\u2028level=forged",
         "\x00level=forged", "\x85level=forged"]  # fmt: skip


@pytest.mark.parametrize("text", LINES, ids=ascii)
def test_log_with_hostile_strings_has_one_line_for_each_message(
    settings: Any, caplog: pytest.LogCaptureFixture, text: str
):
    def fails(request: HttpRequest, channel: str) -> bool:
        raise ValueError(f"no room {text}")

    settings.PRESENCE_AUTHORIZE = fails
    settings.PRESENCE_FETCH = settings.PRESENCE_VISIBLE = fails
    user = User.objects.create(username=f"u{text}")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    with caplog.at_level(logging.DEBUG, logger="presence"):
        for channel in ("presence:a", f"presence:{text}"):
            grant = make_grant(channel, str(user.pk), now=time.time())
            lifeline = Lifeline(channel, str(user.pk), 0.0, text, text, "{}")
            client.post("/presence/tokens/", {"grants": [grant]}, "application/json")
            client.get("/presence/snapshot/", {"grant": grant})
            token = make_lifeline(lifeline, now=time.time())
            client.post("/presence/heartbeat/", {"tokens": [token]}, "application/json")
    records = [record for record in caplog.records if record.name.startswith("presence")]
    assert records
    for record in records:
        assert record.getMessage().isprintable()


@pytest.mark.parametrize("text", LINES, ids=ascii)
def test_headers_with_hostile_strings_are_those_of_harmless_ones(text: str):
    client = Client(raise_request_exception=False)
    found = []
    for given in (text, "harmless"):
        grant = make_grant(f"presence:{given}", "", now=time.time())
        answers = [
            client.get("/presence/snapshot/", {"grant": grant}),
            client.get("/presence/snapshot/", {"grant": given}),
            client.post("/presence/tokens/", {"grants": [given]}, "application/json"),
        ]
        found.append([{**answer.headers, "Content-Length": ""} for answer in answers[1:]])
    assert found[0] == found[1]


def test_nonce_with_hostile_string_stays_in_its_attribute():
    page = Skeleton(f"<script{presence_tags.presence_nonce(nonce_context())}></script>")
    assert page.elements == [("script", ("nonce",))]


def nonce_context() -> RequestContext:
    return RequestContext(RequestFactory().get("/"), {"csp_nonce": HOSTILE["an attribute"]})
