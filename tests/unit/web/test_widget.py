"""How a member is drawn. tests/js/render.test.js holds the twins of these cases."""

from __future__ import annotations

import pytest

from presence.roster.merge import read_presence
from presence.roster.messages import Member
from presence.roster.people import ANONYMOUS_NAME
from presence.web.widget import draw, palette_index, safe_colour, safe_url


@pytest.mark.parametrize(
    ("id_", "index"),
    # FNV-1a of "", "a" and "foobar" are 0x811c9dc5, 0xe40c292c and 0xbf9cf968.
    [("", 0x811C9DC5 % 12), ("a", 0xE40C292C % 12), ("foobar", 0xBF9CF968 % 12)],
)
def test_palette_index_is_fnv_1a(id_: str, index: int):
    assert palette_index(id_) == index


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "HTTP://example.org", "/a/42.png", "/"]
)
def test_safe_url_keeps_http_urls_and_paths(url: str):
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "data:image/png;base64,AAAA", "//example.org/a.png"),
        *("/\\example.org", "a.png", " /a.png", "https:a", "", None, 42, ["/a.png"]),
    ],
)
def test_safe_url_drops_anything_else(url: object):
    assert safe_url(url) == ""


@pytest.mark.parametrize("colour", ["#fff", "#4363D8"])
def test_safe_colour_keeps_hex_colours(colour: str):
    assert safe_colour(colour) == colour


@pytest.mark.parametrize(
    "colour", ["red", "#ffff", "#fff;}", "#fff\n", "#ggg", "#\uff11\uff12\uff13", "", None, 7, {}]
)
def test_safe_colour_drops_anything_else(colour: object):
    assert safe_colour(colour) == ""


def test_draw_gives_safe_parts_and_json():
    info = {"avatar": "/a/42.png", "color": "#4363d8", "note": '"><script>'}
    drawn = draw(Member("42", "Ada Lovelace", info), self_id="42")
    assert (drawn.id, drawn.name, drawn.initials, drawn.is_self) == (
        *("42", "Ada Lovelace", "AL"),
        True,
    )
    assert (drawn.avatar, drawn.own_colour) == ("/a/42.png", "#4363d8")
    assert drawn.info_json == ('{"avatar":"/a/42.png","color":"#4363d8","note":"\\"><script>"}')
    assert drawn.colour == palette_index("42")


@pytest.mark.parametrize(("id_", "self_id"), [("42", "43"), ("42", ""), ("", "")])
def test_draw_of_another_member_is_not_self(id_: str, self_id: str):
    assert not draw(Member(id_, "Ada"), self_id=self_id).is_self


def test_draw_of_a_visitor_translates_the_name():
    found, _ = read_presence(b'{"presence":{"c1":{"user":""}}}', anonymous="list")
    (member,) = found.members.values()
    assert member.name == ANONYMOUS_NAME
    drawn = draw(member, self_id="", anonymous="Ohne Namen")
    assert (drawn.name, drawn.shown_name, drawn.initials) == (ANONYMOUS_NAME, "Ohne Namen", "ON")
    named = draw(Member("42", "Ada"), self_id="", anonymous="Ohne Namen")
    assert (named.name, named.shown_name) == ("Ada", "Ada")
