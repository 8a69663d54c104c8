"""Two browsers on a site whose next tick is an hour away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Visitor
from tests.browser.one_page_site import NOTE_LEAVES, live
from tests.browser.test_widget import MakeVisitor

if TYPE_CHECKING:
    from tests.browser.conftest import Site

ENVIRONMENT = {
    "PRESENCE_INTERVAL": "3600",
    "PRESENCE_NUDGE": "0.5",
    "PRESENCE_LEAVE_GRACE": "1",
}


def shown(widget: Locator, name: str) -> Locator:
    return widget.locator(f'[data-presence-member][data-presence-name="{name}"]')


def test_nudge_shows_joins_and_leaves_between_two_ticks(site: Site, visitor: MakeVisitor) -> None:
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


def counted(visitor: Visitor) -> Visitor:
    """Count the beacons of the visitor's pages where the next page finds it.

    The browser tells nobody of requests that outlive their page.
    """
    visitor.context.add_init_script(
        """
        const send = navigator.sendBeacon.bind(navigator);
        navigator.sendBeacon = (...given) => {
            localStorage.beacons = Number(localStorage.beacons ?? 0) + 1;
            return send(...given);
        };
        """
    )
    return visitor


def beacons(page: Page) -> int:
    return int(page.evaluate("Number(localStorage.beacons ?? 0)"))


def test_beacon_of_a_member_who_comes_back_shows_no_leave(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:reload"
    ada, grace = visitor(), counted(visitor())
    watching = ada.open(site.room("reload"), who="ada")
    hers = live(watching, channel)
    page = grace.open(site.room("reload"), who="grace")
    live(page, channel)
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    watching.evaluate(NOTE_LEAVES)
    before = beacons(page)
    for n in range(3):
        page.reload()
        live(page, channel)
        assert beacons(page) == before + n + 1
    visitor().open(site.room("reload"), who="alan")
    expect(shown(hers, "Alan Turing")).to_have_count(1)
    left = watching.evaluate("globalThis.left")
    assert [detail for detail in left if detail["channel"] == channel] == []


def test_page_that_is_only_hidden_sends_no_beacon(site: Site, visitor: MakeVisitor) -> None:
    grace = counted(visitor())
    page = grace.open(site.room("hidden"), who="grace")
    live(page, "presence:room:hidden")
    before = beacons(page)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert beacons(page) == before
    page.goto(site.room("elsewhere"))
    assert beacons(page) == before + 1


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


def test_widget_that_is_taken_away_sends_a_beacon(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:away"
    ada, grace = visitor(), counted(visitor())
    hers = live(ada.open(site.room("away"), who="ada"), channel)
    page = grace.open(site.room("away"), who="grace")
    hers_too = live(page, channel)
    expect(shown(hers, "Grace Hopper")).to_have_count(1)
    before = beacons(page)
    hers_too.evaluate("(widget) => widget.remove()")
    expect(shown(hers, "Grace Hopper")).to_have_count(0)
    assert beacons(page) == before + 1
