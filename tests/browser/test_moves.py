"""Moves within a site: others see nobody leave. The next tick is an hour away.

A look misses the member of a page that is gone; the grace holds them until the next page is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
from playwright.sync_api import Browser, Page, expect

from presence.backends.redis.keys import Keys
from presence_devtools.servers import wait_until
from tests.browser.conftest import Visitor
from tests.browser.one_page_site import live
from tests.browser.test_widget import MakeVisitor

if TYPE_CHECKING:
    from tests.browser.conftest import Site

ENVIRONMENT = {"PRESENCE_INTERVAL": "3600", "PRESENCE_LEAVE_GRACE": "10"}
SITE = "presence:site"
GONE = 40_000
"""Milliseconds for a leave to show: the grace, and looks of a busy machine."""
NOTE_CHANGES = """() => {
    globalThis.changes = [];
    for (const name of ["presence:join", "presence:leave"]) {
        const note = ({ detail }) => globalThis.changes.push([name, detail.channel]);
        document.addEventListener(name, note);
    }
}"""


def changes(page: Page) -> list[list[str]]:
    """Return the joins and leaves that the page has shown since NOTE_CHANGES, by channel."""
    found: list[list[str]] = page.evaluate("globalThis.changes")
    return sorted(found)


def wait_until_missed(site: Site, channel: str) -> None:
    """Wait until a look missed a member of the channel, which is due when their grace ends."""
    with redis.Redis.from_url(site.redis_url) as client:
        due = Keys("presence").due
        wait_until(lambda: client.zscore(due, channel) is not None, "a look missed the member")


def test_member_who_moves_within_the_site_shows_no_leave(
    site: Site, visitor: MakeVisitor, keeping: Browser
) -> None:
    room, other = "presence:room:here", "presence:room:quiet-corner"
    watching = visitor().open(site.room("here"), who="ada")
    hers = live(watching, room)
    grace = Visitor(keeping.new_context(), site)
    page = grace.open(site.room("here"), who="grace")
    live(page, room)
    for widget in (hers, live(watching, SITE)):
        expect(widget).to_have_attribute("data-presence-total", "2")
    watching.evaluate(NOTE_CHANGES)

    page.reload()
    live(page, room)
    page.evaluate("globalThis.isKept = true")
    page.locator("nav.rooms a", has_text="Quiet corner").click()
    live(page, other)
    wait_until_missed(site, room)
    page.go_back(wait_until="commit")
    live(page, room)
    assert page.evaluate("globalThis.isKept"), "the browser kept the page"
    page.go_forward(wait_until="commit")
    live(page, other)
    page.go_back(wait_until="commit")
    live(page, room)
    page.goto(site.url)
    live(page, SITE)
    page.goto(site.room("here"))
    live(page, room)
    assert changes(watching) == []

    page.close(run_before_unload=True)
    expect(hers).to_have_attribute("data-presence-total", "1", timeout=GONE)
    expect(live(watching, SITE)).to_have_attribute("data-presence-total", "1", timeout=GONE)
    assert changes(watching) == [["presence:leave", room], ["presence:leave", SITE]]
    assert grace.complaints == []
    grace.context.close()
