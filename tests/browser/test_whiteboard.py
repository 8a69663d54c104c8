"""The demo's whiteboard, as two of its visitors see it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence_devtools import servers
from project.people import PEOPLE
from tests.browser.conftest import Site, Visitor
from tests.browser.cursor_surface import cursor, expect_at, point_at, shared
from tests.browser.one_page_site import overflowing
from tests.browser.test_accessible import violations

CHANNEL = "cursors:whiteboard"
PHONE = {"width": 390, "height": 844}
CLIP: Any = {"x": 0, "y": 80, "width": 1040, "height": 560}
WIDER_THAN_ITS_BOX = """[...document.querySelectorAll("h1, .notes li")].filter((element) => {
  const text = document.createRange();
  text.selectNodeContents(element);
  return text.getBoundingClientRect().width > element.getBoundingClientRect().width + 1;
}).map((element) => element.textContent.trim())"""
PLACES = [(0.17, 0.52), (0.37, 0.14), (0.56, 0.6), (0.9, 0.12), (0.8, 0.7), (0.3, 0.75)]


def at_the_board(visitor: Visitor, who: str = "") -> Page:
    page = visitor.open(f"{visitor.site.url}/whiteboard/", who=who)
    expect(page.locator("presence-cursors")).to_have_attribute("data-presence-state", "live")
    return page


def test_whiteboard_shows_two_people_to_each_other(
    visitor: Callable[..., Visitor], site: Site
) -> None:
    people = {"ada": visitor(), "grace": visitor()}
    pages = {who: at_the_board(visitor, who) for who, visitor in people.items()}
    hers, theirs = (shared(page, CHANNEL) for page in pages.values())
    for page in pages.values():
        page.set_viewport_size({"width": 1000, "height": 900})
    theirs.page.set_viewport_size(PHONE)
    hers.scroll_into_view_if_needed()
    theirs.scroll_into_view_if_needed()
    point_at(hers, 0.25, 0.5)
    point_at(theirs, 0.75, 0.25)
    seen = theirs.locator("[data-presence-cursor]")
    expect(seen).to_contain_text("Ada")
    expect_at(theirs, str(seen.get_attribute("data-presence-cursor")), 0.25, 0.5)
    seen = hers.locator("[data-presence-cursor]")
    expect(seen).to_contain_text("Grace")
    grace = str(seen.get_attribute("data-presence-cursor"))
    expect_at(hers, grace, 0.75, 0.25)
    point_at(theirs, 0.5, 0.1)
    expect_at(hers, grace, 0.5, 0.1)
    theirs.page.close()
    expect(cursor(hers, grace)).to_have_count(0)
    assert [text for visitor in people.values() for text in visitor.complaints] == []


@pytest.mark.parametrize("path", ["/whiteboard/", "/rooms/design-review/"])
@pytest.mark.parametrize("locale", ["de", "fr", "es"])
def test_demo_on_a_narrow_phone_keeps_long_words_in_their_boxes(
    chromium: Browser, site: Site, locale: str, path: str
) -> None:
    page = chromium.new_page(locale=locale, viewport={"width": 320, "height": 640})
    try:
        page.goto(f"{site.url}{path}")
        assert page.evaluate(WIDER_THAN_ITS_BOX) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    finally:
        page.close()


def test_page_fits_a_phone_with_cursors_at_its_edges(
    visitor: Callable[..., Visitor],
) -> None:
    ada, grace = visitor(), visitor()
    hers = shared(at_the_board(ada, "ada"), CHANNEL)
    page = at_the_board(grace, "grace")
    page.set_viewport_size(PHONE)
    theirs = shared(page, CHANNEL)
    hers.scroll_into_view_if_needed()
    for place in [(0.98, 0.5), (0.97, 0.97), (0.03, 0.97)]:
        point_at(hers, *place)
        seen = theirs.locator("[data-presence-cursor]")
        expect(seen).to_be_attached()
        expect_at(theirs, str(seen.get_attribute("data-presence-cursor")), *place)
        assert overflowing(page) == []
    assert ada.complaints + grace.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_whiteboard_passes_axe(
    chromium: Browser, visitor: Callable[..., Visitor], site: Site, scheme: str
) -> None:
    # axe needs `eval`; that the page needs none is shown above, where nothing complains.
    context = chromium.new_context(bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    try:
        page = at_the_board(Visitor(context, site), "grace")
        hers = shared(at_the_board(visitor(), "ada"), CHANNEL)
        hers.scroll_into_view_if_needed()
        point_at(hers, 0.4, 0.4)
        expect(shared(page, CHANNEL).locator("[data-presence-cursor]")).to_contain_text("Ada")
        assert violations(page) == []
    finally:
        context.close()


def test_whiteboard_matches_its_screenshot(chromium: Browser, site: Site, tmp_path: Path) -> None:
    """`make screenshots` keeps the picture for the README."""
    view: Any = {"viewport": {"width": 1040, "height": 640}, "device_scale_factor": 1.5}
    context = chromium.new_context(**view, reduced_motion="reduce")
    try:
        page = at_the_board(Visitor(context, site), "katherine")
        surface = shared(page, CHANNEL)
        others = [person for name, person in PEOPLE.items() if name != "katherine"]
        gateway = Gateway(HttpTransport(site.centrifugo.api_url, servers.API_KEY))
        for person, (x, y) in zip(others, PLACES, strict=False):
            meta = {"name": person.full_name, "color": person.color}
            move = {"x": x, "y": y, "user": person.username, "meta": meta}
            gateway.send([(CHANNEL, msgspec.Raw(json.dumps(move).encode()))])
            expect(cursor(surface, person.username)).to_contain_text(person.full_name)
        picture = Path(os.environ.get("SCREENSHOTS") or tmp_path) / "whiteboard.png"
        page.screenshot(path=picture, clip=CLIP)
        assert picture.stat().st_size > 10_000
    finally:
        context.close()
