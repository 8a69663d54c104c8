"""Browsers on a site whose next tick is an hour away: looks alone keep the pages up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import Visitor
from tests.browser.one_page_site import NOTE_LEAVES, live
from tests.browser.test_widget import MakeVisitor

if TYPE_CHECKING:
    from tests.browser.conftest import Site

ENVIRONMENT = {"PRESENCE_INTERVAL": "3600", "PRESENCE_LEAVE_GRACE": "1"}
CHECKED = 2500
"""Milliseconds after which a page has sent its check, if it sends one."""


def shown(widget: Locator, name: str) -> Locator:
    return widget.locator(f'[data-presence-member][data-presence-name="{name}"]')


def checks(visitor: Visitor) -> list[str]:
    """Return the checks that pages of the visitor send from now on."""
    found: list[str] = []

    def note(url: str) -> None:
        if "/presence/check/" in url:
            found.append(url)

    visitor.context.on("request", lambda request: note(request.url))
    return found


def test_watch_shows_joins_and_leaves_between_two_ticks(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:meet"
    ada, grace = visitor(), visitor()
    hers = live(ada.open(site.room("meet"), who="ada"), channel)
    page = grace.open(site.room("meet"), who="grace")
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    expect(shown(live(page, channel), "Ada Lovelace")).to_have_count(1)

    page.close(run_before_unload=True)
    expect(shown(hers, "Grace Hopper")).to_have_count(0)
    expect(hers).to_have_attribute("data-presence-total", "1")
    assert ada.complaints == []
    assert grace.complaints == []


def test_member_who_reloads_shows_no_leave(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:reload"
    ada, grace = visitor(), visitor()
    watching = ada.open(site.room("reload"), who="ada")
    hers = live(watching, channel)
    page = grace.open(site.room("reload"), who="grace")
    live(page, channel)
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    watching.evaluate(NOTE_LEAVES)
    sent = checks(grace)
    for _ in range(3):
        page.reload()
        live(page, channel)
    visitor().open(site.room("reload"), who="alan")
    expect(shown(hers, "Alan Turing")).to_have_count(1)
    page.wait_for_timeout(CHECKED)
    left = watching.evaluate("globalThis.left")
    assert [detail for detail in left if detail["channel"] == channel] == []
    assert sent == []


def test_page_that_the_browser_keeps_leaves_and_comes_back_live(
    site: Site, visitor: MakeVisitor, keeping: Browser
) -> None:
    channel = "presence:room:kept"
    hers = live(visitor().open(site.room("kept"), who="ada"), channel)
    grace = Visitor(keeping.new_context(), site)
    page = grace.open(site.room("kept"), who="grace")
    live(page, channel)
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    page.evaluate("globalThis.isKept = true")
    page.goto(site.room("elsewhere"))
    expect(shown(hers, "Grace Hopper")).to_have_count(0)
    page.go_back(wait_until="commit")  # It is not loaded again.
    live(page, channel)
    assert page.evaluate("globalThis.isKept")
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    assert grace.complaints == []
    grace.context.close()


def test_widget_that_is_taken_away_leaves(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:away"
    ada, grace = visitor(), visitor()
    hers = live(ada.open(site.room("away"), who="ada"), channel)
    page = grace.open(site.room("away"), who="grace")
    hers_too = live(page, channel)
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    hers_too.evaluate("(widget) => widget.remove()")
    expect(shown(hers, "Grace Hopper")).to_have_count(0)


def test_member_who_came_by_a_swap_is_shown(site: Site, visitor: MakeVisitor) -> None:
    """Grace leaves and Alan comes while no look is taken: the count is the same afterwards."""
    channel = "presence:room:swap"
    hers = live(visitor().open(site.room("swap"), who="ada"), channel)
    grace, alan = visitor(), visitor()
    page = grace.open(site.room("swap"), who="grace")
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    alan.sign_in("alan")
    sent = checks(alan)
    site.worker.stop()
    try:
        page.close(run_before_unload=True)
        his = live(alan.open(site.room("swap")), channel)
        expect(shown(his, "Alan Turing")).to_have_count(1)
        his.page.wait_for_timeout(CHECKED)
    finally:
        site.worker.start()
    assert len(sent) == 1
    expect(shown(hers, "Alan Turing")).to_have_count(1)
    expect(shown(hers, "Grace Hopper")).to_have_count(0)
    his.page.wait_for_timeout(CHECKED)
    assert len(sent) == 1
    assert alan.complaints == []
