"""Signing out, and losing a channel, as open pages and other people see it.

The next tick is an hour away and the leave grace is long: looks alone end connections.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from presence import services
from presence.access import revoke
from tests.browser.conftest import Visitor
from tests.browser.cursor_surface import point_at, shared
from tests.browser.one_page_site import NOTE_LEAVES, live, roster
from tests.browser.test_watch import shown
from tests.browser.test_widget import MakeVisitor

if TYPE_CHECKING:
    from tests.browser.conftest import Site

ENVIRONMENT = {"PRESENCE_INTERVAL": "3600", "PRESENCE_LEAVE_GRACE": "20"}
SITE = "presence:site"
SOON = 2.0
"""Seconds within which a revocation takes effect."""
REFUSED = "presence: .* was refused"
SAY = """(status) => {
    globalThis.said = [];
    const note = () => globalThis.said.push(status.textContent);
    new MutationObserver(note).observe(status, { childList: true });
}"""


@pytest.fixture(autouse=True)
def store(site: Site, settings: Any) -> None:
    """Use the store of the running site in this process."""
    settings.PRESENCE_REDIS_URL = site.redis_url


def sign_out(page: Page) -> None:
    """Sign out with the button of the page."""
    page.locator("form[action$='/sign-out/'] button").click()
    page.wait_for_load_state()


@contextmanager
def soon() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the milliseconds that are left of SOON."""
    ends = time.monotonic() + SOON
    yield lambda: max(1.0, 1000 * (ends - time.monotonic()))


def status(widget: Locator) -> Locator:
    return widget.locator("[data-presence-part=status-text]")


def expect_ended(widget: Locator, within: float) -> None:
    """Wait until the widget is static and says that access has ended."""
    line = widget.locator("[data-presence-part=status]")
    text = line.get_attribute("data-presence-revoked")
    assert text
    expect(status(widget)).to_have_text(text, timeout=within)
    expect(widget).to_have_attribute("data-presence-state", "static")


def diffs(page: Page, channel: str) -> list[dict[str, Any]]:
    """Return the diffs of the channel that the websockets of the page receive from now on."""
    found: list[dict[str, Any]] = []

    def read(frame: str | bytes) -> None:
        for line in str(frame).splitlines():
            push = json.loads(line).get("push", {})
            data = push.get("pub", {}).get("data", {})
            if push.get("channel") == channel and data.get("type") == "presence.diff":
                found.append(data)

    page.on("websocket", lambda socket: socket.on("framereceived", read))
    return found


def requests(page: Page, path: str) -> list[str]:
    """Return the requests for the path that the page sends from now on."""
    found: list[str] = []

    def note(url: str) -> None:
        if path in url:
            found.append(url)

    page.on("request", lambda request: note(request.url))
    return found


def test_log_out_ends_the_other_tabs_and_spares_the_other_device(
    site: Site, visitor: MakeVisitor
) -> None:
    channel = "presence:room:two"
    grace, laptop, phone, alan = visitor(), visitor(), visitor(), visitor()
    watching = grace.open(site.room("two"), who="grace")
    hers = live(watching, channel)
    first = laptop.open(site.url, who="ada")
    second = laptop.open(site.room("two"))
    phone.sign_in("ada")
    device = phone.open("about:blank")
    received, asked = diffs(device, channel), requests(device, "/presence/")
    device.goto(site.room("two"))
    for page in (second, device):
        expect(shown(live(page, channel), "Grace Hopper")).to_have_count(1)
    expect(shown(hers, "Ada Lovelace")).to_have_count(1)
    status(live(second, channel)).evaluate(SAY)
    for page in (watching, device):
        page.evaluate(NOTE_LEAVES)
    before = [*asked]

    with soon() as left:
        sign_out(first)
        for name in (channel, SITE):
            expect_ended(roster(second, name), left())
    alan.open(site.room("two"), who="alan")
    for widget in (hers, live(device, channel)):
        expect(shown(widget, "Alan Turing")).to_have_count(1)
        assert [m["member"]["name"] for m in widget.page.evaluate("globalThis.left")] == []
    assert second.evaluate("globalThis.said.filter(Boolean).length") == 1, "read out once"
    assert asked == before, "no snapshot, no new token"
    versions = [diff["version"] for diff in received]
    assert [diff["base"] for diff in received[1:]] == versions[:-1]
    assert str(versions[-1]) == live(device, channel).get_attribute("data-presence-version")
    assert [phone.complaints, grace.complaints] == [[], []]
