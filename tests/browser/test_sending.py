"""Cursor messages that a browser sends, and cursors that it draws after it was hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from presence_devtools.servers import wait_until
from tests.browser.cursor_surface import (
    board,
    cursor,
    expect_at,
    place,
    point_at,
    published,
    shared,
)
from tests.browser.one_page_site import Guest, Stage, Visit, pass_time

Sent = Callable[[], list[dict[str, Any]]]

GONE = {"gone": True}
SHOW = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
PERSISTED = "(name) => { dispatchEvent(new PageTransitionEvent(name, { persisted: true })); }"


@pytest.fixture
def channel(channel: str) -> str:
    """A cursor channel of the test's own."""
    return channel.replace("presence:", "cursors:")


def open_clocked(guest: Guest, channel: str) -> tuple[Locator, Sent]:
    """The guest's surface on a page whose time stands still, and what it publishes."""
    page = guest.new_page(clock=True)
    sent = published(page)
    page.goto(guest.stage.page(board(channel)))
    surface = shared(page, channel)
    now: float = page.evaluate("Date.now()")
    page.clock.pause_at(now / 1000 + 10)
    return surface, sent


def expect_sent(page: Page, sent: Sent, count: int) -> None:
    """Wait until so many messages were sent, and no more were."""

    def enough() -> bool:
        page.evaluate("0")
        return len(sent()) >= count

    wait_until(enough, f"{count} messages were sent")
    assert len(sent()) == count, sent()


def expect_last(page: Page, sent: Sent, message: dict[str, Any]) -> None:
    """Wait until this is what was sent last."""

    def is_last() -> bool:
        page.evaluate("0")
        return sent()[-1] == message

    wait_until(is_last, f"{message} was sent last")


@pytest.fixture
def pair(visit: Visit, channel: str) -> tuple[Locator, Sent, Locator, Guest]:
    """Ada's surface, whose time stands still, what she sends, Bob's surface, and Ada."""
    ada = visit("ada")
    his = shared(visit("bob").open(board(channel)), channel)
    hers, sent = open_clocked(ada, channel)
    point_at(hers, 0.5, 0.5)
    expect_at(his, ada, 0.5, 0.5)
    hers.page.clock.run_for(1000)
    return hers, sent, his, ada


def test_fast_pointer_sends_one_position_an_interval(
    pair: tuple[Locator, Sent, Locator, Guest],
) -> None:
    hers, sent, his, ada = pair
    count = len(sent())
    for round_ in range(1, 6):
        for step in range(10):
            point_at(hers, round_ / 10, step / 10)
        hers.page.clock.run_for(49)
        assert len(sent()) <= count + round_
        hers.page.clock.run_for(1)
    # The first goes at once, then one an interval.
    expect_at(his, ada, 0.5, 0.9)
    expect_sent(hers.page, sent, count + 6)
    hers.page.clock.run_for(1000)
    expect_sent(hers.page, sent, count + 6)


def test_resting_pointer_keeps_its_cursor_until_it_leaves(
    pair: tuple[Locator, Sent, Locator, Guest],
) -> None:
    hers, sent, his, ada = pair
    count = len(sent())
    hers.page.clock.run_for(3400)
    assert len(sent()) == count
    for more in (1, 2, 3):
        hers.page.clock.run_for(4500)
        expect_sent(hers.page, sent, count + more)
    assert all(message == {"x": 0.5, "y": 0.5} for message in sent())
    hers.page.mouse.move(1, 1)
    expect(cursor(his, ada)).to_have_count(0)
    expect_sent(hers.page, sent, count + 4)
    expect_last(hers.page, sent, GONE)
    for step in range(10):
        hers.page.mouse.move(1, 1 + step)
    pass_time(hers.page, 60)
    expect_sent(hers.page, sent, count + 4)


def test_cursor_of_a_blurred_window_is_back_with_the_next_move(
    pair: tuple[Locator, Sent, Locator, Guest],
) -> None:
    hers, sent, his, ada = pair
    hers.page.evaluate("dispatchEvent(new Event('blur'))")
    expect(cursor(his, ada)).to_have_count(0)
    expect_last(hers.page, sent, GONE)
    hers.page.evaluate("dispatchEvent(new Event('focus'))")
    pass_time(hers.page, 10)
    expect_last(hers.page, sent, GONE)
    point_at(hers, 0.25, 0.75)
    expect_at(his, ada, 0.25, 0.75)


def test_surface_from_the_bfcache_is_live_again(visit: Visit, channel: str) -> None:
    ada, bob = visit("ada"), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    point_at(hers, 0.5, 0.5)
    expect_at(his, ada, 0.5, 0.5)
    hers.page.evaluate(PERSISTED, "pagehide")
    expect(cursor(his, ada)).to_have_count(0)
    hers.page.evaluate(PERSISTED, "pageshow")
    shared(hers.page, channel)
    point_at(hers, 0.25, 0.75)
    expect_at(his, ada, 0.25, 0.75)
    point_at(his, 0.75, 0.25)
    expect_at(hers, bob, 0.75, 0.25)


def test_hidden_page_draws_nothing_and_is_right_when_it_is_seen(
    visit: Visit, stage: Stage, channel: str
) -> None:
    his, sent = open_clocked(visit("bob"), channel)
    at = {"y": 0.5, "user": "bot"}
    stage.publish(channel, {"x": 0.25, **at})
    expect(cursor(his, "bot")).to_be_attached()
    before = place(his, "bot")
    his.page.evaluate(SHOW, True)
    # Nobody sees a frame in a hidden page: its time stands still here.
    for step in range(10):
        stage.publish(channel, {"x": 0.3 + step / 20, **at})
    stage.publish(channel, {"x": 0.1, "y": 0.1, "user": "last"})
    expect(cursor(his, "last")).to_be_attached()
    assert place(his, "bot") == before
    his.page.evaluate(SHOW, False)
    his.page.clock.fast_forward(2000)
    width: int = his.evaluate("(box) => box.clientWidth")
    assert abs(place(his, "bot")[0] - 0.75 * width) < 1
    assert sent() == []


def test_page_hidden_for_long_shows_no_old_cursors(
    visit: Visit, stage: Stage, channel: str
) -> None:
    his, _ = open_clocked(visit("bob"), channel)
    stage.publish(channel, {"x": 0.25, "y": 0.5, "user": "bot"})
    expect(cursor(his, "bot")).to_be_attached()
    his.page.evaluate(SHOW, True)
    now: float = his.page.evaluate("Date.now()")
    # Timers of hidden pages are late.
    his.page.clock.set_system_time(now / 1000 + 11)
    expect(cursor(his, "bot")).to_be_attached()
    his.page.evaluate(SHOW, False)
    assert cursor(his, "bot").count() == 0


def test_cursor_after_an_outage_is_shown_once(visit: Visit, stage: Stage, channel: str) -> None:
    ada, bob = visit("ada"), visit("bob")
    bob.expected = "ERR_INTERNET_DISCONNECTED"
    his = shared(bob.open(board(channel)), channel)
    hers = shared(ada.open(board(channel)), channel)
    point_at(hers, 0.5, 0.5)
    expect_at(his, ada, 0.5, 0.5)
    element = his.page.locator("presence-cursors")
    bob.cut()
    stage.disconnect(bob.id)
    expect(element).to_have_attribute("data-presence-state", "stale")
    hers.page.close()
    wait_until(lambda: stage.clients(channel) == 0, "she has left")
    again = shared(ada.open(board(channel)), channel)
    point_at(again, 0.25, 0.25)
    bob.mend()
    expect(element).to_have_attribute("data-presence-state", "live")
    # For a moment both are drawn: the new one comes before the old one is known to be gone.
    wait_until(lambda: is_alone_at(cursor(his, ada), 0.25), "her new cursor alone", timeout=5)


def is_alone_at(cursors: Locator, fraction: float) -> bool:
    """Return whether there is one cursor, at that fraction of both sides of its layer."""
    found: list[list[float]] = cursors.evaluate_all(
        """(items) => items.filter((item) => item.isConnected).map((item) => {
            const layer = item.parentElement.getBoundingClientRect();
            const { x, y } = item.getBoundingClientRect();
            return [(x - layer.x) / layer.width, (y - layer.y) / layer.height];
        })"""
    )
    return len(found) == 1 and all(abs(at - fraction) < 0.01 for at in found[0])
