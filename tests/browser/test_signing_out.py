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
from presence_devtools.servers import wait_until
from tests.browser.conftest import Visitor
from tests.browser.cursor_surface import point_at, shared
from tests.browser.one_page_site import NOTE_LEAVES, live, roster
from tests.browser.test_checks import USE_CONNECTION
from tests.browser.test_watch import shown
from tests.browser.test_widget import MakeVisitor
from tests.websocket_clients import connection_token

if TYPE_CHECKING:
    from tests.browser.conftest import Site

ENVIRONMENT = {"PRESENCE_INTERVAL": "3600", "PRESENCE_LEAVE_GRACE": "20"}
SITE = "presence:site"
SOON = 2.0
"""Seconds within which a revocation takes effect."""
ALL_SUBSCRIBED = """() =>
  Object.values(own.subscriptions()).every(({ state }) => state === "subscribed")"""
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
    """Sign out with the button of the page. Returns when the site has answered."""
    with page.expect_response("**/sign-out/"):
        page.locator("form[action$='/sign-out/'] button").click(no_wait_after=True)


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


def reader(widget: Locator) -> str:
    """Return the id under which a list shows its reader."""
    shown = widget.locator("[data-presence-member][data-presence-self]")
    return shown.get_attribute("data-presence-member") or ""


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

    sign_out(first)
    with soon() as left:
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


def test_log_out_shows_the_leave_to_others_without_a_grace(
    site: Site, visitor: MakeVisitor
) -> None:
    channel = "presence:room:alone"
    grace, ada = visitor(), visitor()
    hers = live(grace.open(site.room("alone"), who="grace"), channel)
    first = ada.open(site.url, who="ada")  # This page is signed out, and closes.
    live(ada.open(site.room("alone")), channel)
    both = [hers, live(hers.page, SITE)]
    for widget in both:
        expect(shown(widget, "Ada Lovelace")).to_have_count(1)
    sign_out(first)
    with soon() as left:
        for widget in both:
            expect(shown(widget, "Ada Lovelace")).to_have_count(0, timeout=left())
    assert grace.complaints == []


def test_page_is_live_after_signing_in_again(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:again"
    ada = visitor()
    first = ada.open(site.url, who="ada")
    page = ada.open(site.room("again"))
    live(page, channel)
    for _ in range(2):
        sign_out(first)
        with soon() as left:
            expect_ended(roster(page, channel), left())
        ada.sign_in("ada")
        first.reload()
        page.reload()
        widget = live(page, channel)
        expect(shown(widget, "Ada Lovelace")).to_have_count(1)
        page.wait_for_timeout(1000 * SOON)  # A look would have closed it again.
        expect(widget).to_have_attribute("data-presence-state", "live")


def test_lost_channel_ends_its_widget_and_spares_the_other(
    site: Site, visitor: MakeVisitor
) -> None:
    channel = "presence:room:lost"
    grace, ada = visitor(), visitor()
    hers = live(grace.open(site.room("lost"), who="grace"), channel)
    page = ada.open(site.room("lost"), who="ada")
    received = diffs(page, SITE)
    page.reload()  # The websocket is listened to from its beginning.
    lost, spared = live(page, channel), live(page, SITE)
    user = reader(lost)
    expect(shown(hers, "Ada Lovelace")).to_have_count(1)
    expect(shown(spared, "Grace Hopper")).to_have_count(1)
    with soon() as left:
        revoke(user=user, channel=channel)
        expect_ended(lost, left())
        expect(shown(hers, "Ada Lovelace")).to_have_count(0, timeout=left())
    visitor().open(site.room("elsewhere"), who="alan")
    expect(shown(spared, "Alan Turing")).to_have_count(1)
    expect(status(spared)).to_have_text("")
    expect(live(hers.page, SITE).locator("[data-presence-member]")).to_have_count(3)
    assert received, "over the websocket that it has"
    assert grace.complaints == []


@pytest.mark.parametrize("lost", ["session", "channel"])
def test_connection_of_the_site_is_closed_with_its_session_alone(
    site: Site, visitor: MakeVisitor, lost: str
) -> None:
    channel = f"presence:room:own-{lost}"
    grace, ada = visitor(), visitor()
    hers = live(grace.open(site.room(f"own-{lost}"), who="grace"), channel)
    first = ada.open(site.url, who="ada")
    page = ada.open(site.room(f"own-{lost}"))
    user = reader(live(page, channel))
    page.evaluate(USE_CONNECTION, [site.centrifugo.ws_url, connection_token(user)])
    page.evaluate("own.on('disconnected', ({ code }) => { globalThis.code = code; })")
    page.wait_for_function(
        "() => Object.keys(own.subscriptions()).some((name) => name.startsWith('session:'))"
    )
    page.wait_for_function(ALL_SUBSCRIBED)
    widget = live(page, channel)
    expect(shown(hers, "Ada Lovelace")).to_have_count(1)
    if lost == "session":
        sign_out(first)
    else:
        revoke(user=user, channel=channel)
    with soon() as left:
        expect_ended(widget, left())
        expect(shown(hers, "Ada Lovelace")).to_have_count(0, timeout=left())
    if lost == "session":
        assert page.evaluate("[own.state, globalThis.code]") == ["disconnected", 4501]
        expect_ended(roster(page, SITE), left())
    else:
        assert page.evaluate("own.state") == "connected"
        live(page, SITE)
    assert grace.complaints == []


def test_cursor_of_a_page_that_is_signed_out_is_gone(site: Site, visitor: MakeVisitor) -> None:
    channel = "cursors:whiteboard"
    grace, ada = visitor(), visitor()
    hers = shared(grace.open(f"{site.url}/whiteboard/", who="grace"), channel)
    first = ada.open(site.url, who="ada")
    page = ada.open(f"{site.url}/whiteboard/")
    point_at(shared(page, channel), 0.5, 0.5)
    cursors = hers.locator("[data-presence-cursor]")
    expect(cursors).to_have_count(1)
    sign_out(first)
    with soon() as left:
        expect(cursors).to_have_count(0, timeout=left())
    expect(page.locator("presence-cursors")).to_have_attribute("data-presence-state", "static")
    assert grace.complaints == []


def test_heartbeat_of_a_page_that_is_signed_out_lets_its_member_go(
    site: Site, visitor: MakeVisitor
) -> None:
    channel = "presence:document:1"
    grace, ada = visitor(), visitor()
    hers = live(grace.open(f"{site.url}/documents/1/", who="grace"), channel)
    first = ada.open(site.url, who="ada")
    page = ada.open(f"{site.url}/documents/1/")
    widget = live(page, channel)
    expect(shown(hers, "Ada Lovelace")).to_have_count(1)
    wait_until(lambda: len(kept(channel)) == 2, "both are kept")
    sign_out(first)
    with soon() as left:
        expect_ended(widget, left())
        wait_until(lambda: len(kept(channel)) == 1, "hers has let go", timeout=left() / 1000)
    with soon() as left:  # The look after that shows it.
        expect(shown(hers, "Ada Lovelace")).to_have_count(0, timeout=left())
    assert grace.complaints == []


def kept(channel: str) -> list[str]:
    """Return the members of the channel that heartbeats keep."""
    found = services.tracker().load_members([channel], timeout=60.0)[channel].members
    return [member.user for member in found]


def test_page_in_the_bfcache_of_a_session_that_is_signed_out_ends_when_it_is_back(
    site: Site, visitor: MakeVisitor, keeping: Browser
) -> None:
    channel = "presence:room:cached"
    watching = visitor().open(site.room("cached"), who="grace")
    hers = live(watching, channel)
    ada = Visitor(keeping.new_context(), site)
    first = ada.open(site.url, who="ada")
    page = ada.open(site.room("cached"))
    live(page, channel)
    expect(shown(hers, "Ada Lovelace")).to_have_count(1)
    page.evaluate("globalThis.isKept = true")
    page.goto(f"{site.url}/variants/")
    sign_out(first)
    page.go_back(wait_until="commit")  # It is not loaded again.
    with soon() as left:
        expect_ended(roster(page, channel), left())
    assert page.evaluate("globalThis.isKept")
    ada.context.close()
