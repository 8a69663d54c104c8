"""A whole site, with its worker and its beat: two browsers, and what people see."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.one_page_site import expect_ids, ids, live

if TYPE_CHECKING:
    from tests.browser.conftest import Site, Visitor

MakeVisitor = Callable[..., "Visitor"]


def test_widget_shows_two_people_to_each_other(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:meet"
    ada, grace = visitor(), visitor()
    hers = live(ada.open(site.room("meet"), who="ada"), channel)
    expect(hers.locator("[data-presence-self]").first).to_be_attached()
    expect(hers).to_have_attribute("data-presence-total", "1")
    (first,) = ids(hers)

    page = grace.open(site.room("meet"), who="grace")
    his = live(page, channel)
    expect(hers).to_have_attribute("data-presence-total", "2")
    expect(his).to_have_attribute("data-presence-total", "2")
    (second,) = set(ids(hers)) - {first}
    expect_ids(hers, [first, second])
    expect_ids(his, [second, first])  # Oneself comes first.

    page.close()
    expect_ids(hers, [first])
    expect(hers).to_have_attribute("data-presence-total", "1")
    assert ada.complaints == []
    assert grace.complaints == []
