"""Cursors go from browser to browser, and are right whatever windows and pages do."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cursor_surface import (
    NOTE_PLACES,
    board,
    cursor,
    expect_at,
    expect_at_pixels,
    place,
    point_at,
    published,
    shared,
)
from tests.browser.one_page_site import Stage, Visit, pass_time, sockets

HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    """A cursor channel of the test's own."""
    return f"cursors:{re.sub(r'[^a-z0-9_]', '-', request.node.name)}"


def test_cursors_of_three_people_show_in_windows_of_any_size(visit: Visit, channel: str):
    sizes = {"ada": (1280, 720), "bob": (700, 900), "eve": (1000, 500)}
    guests = {
        name: visit(name, viewport={"width": width, "height": height})
        for name, (width, height) in sizes.items()
    }
    surfaces = {name: shared(guest.open(board(channel)), channel) for name, guest in guests.items()}
    places = {"ada": (0.25, 0.5), "bob": (0.75, 0.125), "eve": (0.5, 0.9)}
    for round_ in range(2):
        for name, (x, y) in places.items():
            point_at(surfaces[name], x, y - round_ / 10, steps=5)
        for name, (x, y) in places.items():
            for viewer, surface in surfaces.items():
                if viewer != name:
                    expect_at(surface, guests[name], x, y - round_ / 10)
    for name, surface in surfaces.items():
        expect(cursor(surface, guests[name])).to_have_count(0)
    label = cursor(surfaces["bob"], guests["ada"])
    expect(label).to_contain_text("Ada")
    assert label.evaluate("(item) => Boolean(item.closest('[aria-hidden=true]'))")


def test_cursor_stays_in_place_when_windows_are_resized(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    point_at(hers, 0.8, 0.6)
    expect_at(his, ada, 0.8, 0.6)
    his.page.set_viewport_size({"width": 500, "height": 400})
    expect_at(his, ada, 0.8, 0.6)


def test_cursor_is_where_it_points_in_content_that_scrolls(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    inside = '<div class="board-content"></div>'
    hers, his = (
        shared(guest.open(board(channel, inside=inside, more="data-test-scrolls")), channel)
        for guest in (ada, bob)
    )
    size = hers.evaluate("(box) => [box.scrollWidth, box.scrollHeight]")
    his.evaluate("(box) => box.scrollTo(50, 300)")
    hers.hover(position={"x": 100, "y": 100})
    expect_at_pixels(his, ada, 100, 100)
    hers.evaluate("(box) => box.scrollTo(0, 200)")
    expect_at_pixels(his, ada, 100, 300)
    his.evaluate("(box) => box.scrollTo(0, 0)")
    expect_at_pixels(his, ada, 100, 300)
    for surface in (hers, his):
        assert surface.evaluate("(box) => [box.scrollWidth, box.scrollHeight]") == size


def test_cursor_is_where_it_points_on_a_page_that_scrolls(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    tall = board(channel, more="data-test-tall")
    hers, his = (shared(guest.open(tall), channel) for guest in (ada, bob))
    hers.page.mouse.move(200, 200)
    before = hers.evaluate("(box) => box.getBoundingClientRect().y")
    expect(cursor(his, ada)).to_be_attached()
    first = place(his, ada)
    hers.page.evaluate("scrollTo(0, 500)")
    after = hers.evaluate("(box) => box.getBoundingClientRect().y")
    assert before != after
    expect_at_pixels(his, ada, first[0], first[1] + before - after)


def test_cursor_with_unit_px_is_sent_in_pixels(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob", viewport={"width": 600, "height": 600})
    hers, his = (shared(guest.open(board(channel, unit="px")), channel) for guest in (ada, bob))
    hers.hover(position={"x": 120, "y": 80})
    expect_at_pixels(his, ada, 120, 80)


def test_cursor_goes_when_the_pointer_leaves(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    for leave in (
        lambda: hers.page.mouse.move(1, 1),
        lambda: hers.page.evaluate("dispatchEvent(new Event('blur'))"),
        lambda: hers.page.evaluate(HIDE, True),
    ):
        point_at(hers, 0.5, 0.5)
        point_at(hers, 0.6, 0.6)
        expect(cursor(his, ada)).to_be_attached()
        leave()
        expect(cursor(his, ada)).to_have_count(0)
        hers.page.evaluate(HIDE, False)
        hers.page.mouse.move(1, 1)


def test_cursor_goes_with_its_page_and_with_its_connection(
    visit: Visit, stage: Stage, channel: str
):
    ada, bob = visit("ada"), visit("bob")
    his = shared(bob.open(board(channel)), channel)
    hers = shared(ada.open(board(channel)), channel)
    point_at(hers, 0.5, 0.5)
    expect(cursor(his, ada)).to_be_attached()
    his.page.evaluate("globalThis.gone = 0")
    hers.page.close()
    expect(cursor(his, ada)).to_have_count(0)
    again = shared(ada.open(board(channel)), channel)
    point_at(again, 0.5, 0.5)
    expect(cursor(his, ada)).to_be_attached()
    stage.disconnect(ada.id)
    expect_at(his, ada, 0.5, 0.5)


def test_cursor_that_is_alone_or_rests_sends_nothing(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    page = ada.new_page()
    sent = published(page)
    page.goto(ada.stage.page(board(channel)))
    hers = shared(page, channel)
    for step in range(10):
        point_at(hers, step / 20, 0.5)
    assert sent() == []
    his = shared(bob.open(board(channel)), channel)
    expect_at(his, ada, 0.45, 0.5)
    count = len(sent())
    for _ in range(10):
        point_at(hers, 0.45, 0.5)
    assert len(sent()) == count
    his.page.close()
    bob.context.close()


def test_cursor_that_rests_shows_to_a_page_that_comes_later(visit: Visit, channel: str):
    ada, bob, eve = visit("ada"), visit("bob"), visit("eve")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    point_at(hers, 0.25, 0.75)
    expect_at(his, ada, 0.25, 0.75)
    late = shared(eve.open(board(channel)), channel)
    expect(cursor(late, ada)).to_be_attached(timeout=5000)
    expect_at(late, ada, 0.25, 0.75)


def test_cursor_without_a_sign_of_life_goes(visit: Visit, channel: str, stage: Stage):
    bob = visit("bob")
    page = bob.open(board(channel), clock=True)
    his = shared(page, channel)
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot", "meta": {"name": "Bot"}})
    expect(cursor(his, "bot")).to_be_attached()
    pass_time(page, 9.0)
    expect(cursor(his, "bot")).to_be_attached()
    pass_time(page, 2.0)
    expect(cursor(his, "bot")).to_have_count(0)


def test_cursor_comes_back_after_its_connection_was_lost(visit: Visit, channel: str):
    ada, bob = visit("ada"), visit("bob")
    bob.expected = ada.expected = "ERR_INTERNET_DISCONNECTED"
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    point_at(hers, 0.5, 0.5)
    expect_at(his, ada, 0.5, 0.5)
    ada.stage.disconnect(ada.id)
    ada.stage.disconnect(bob.id)
    point_at(hers, 0.2, 0.2)
    expect_at(his, ada, 0.2, 0.2)


SPOOF = """async ([channel, data]) => {
    const root = document.querySelector("presence-cursors");
    const { presenceTokens, presenceGrant } = root.dataset;
    const answer = await fetch(presenceTokens, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ grants: [presenceGrant] }),
    });
    const { url, connection, channels } = await answer.json();
    const client = new globalThis.Centrifuge(url, { token: connection });
    const sub = client.newSubscription(channel, { token: channels[channel].token });
    sub.subscribe();
    client.connect();
    await sub.ready();
    const codes = [];
    for (const message of data) {
        codes.push(await sub.publish(message).then(() => 0, ({ code }) => code));
    }
    globalThis.hostile = client;
    return codes;
}"""


def test_hostile_browser_moves_only_its_own_cursor(visit: Visit, channel: str):
    ada, bob, mallory = visit("ada"), visit("bob"), visit("mallory", "<i>Mallory</i>")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    evil = mallory.open(board(channel))
    shared(evil, channel)
    point_at(hers, 0.25, 0.25)
    expect_at(his, ada, 0.25, 0.25)
    pretence = {"user": ada.id, "meta": {"name": "Ada"}, "info": {"user": ada.id}}
    bad = [{"x": "0.5", "y": 0.5}, {"x": 7, "y": 0}, {"x": None}, {}, {"gone": 1}, [1, 2], "x"]
    moves = [*bad, {"x": 0.9, "y": 0.9, **pretence}]
    codes = evil.evaluate(SPOOF, [channel, moves])
    assert codes == [0, 0, 0, 0, 0, 107, 107, 0]
    expect_at(his, mallory, 0.9, 0.9)
    expect(cursor(his, mallory)).to_have_count(1)
    expect(cursor(his, mallory)).to_contain_text("<i>Mallory</i>")
    expect(cursor(his, mallory)).not_to_contain_text("Ada")
    expect_at(his, ada, 0.25, 0.25)
    evil.evaluate(SPOOF, [channel, [{"gone": True, **pretence}]])
    expect_at(his, ada, 0.25, 0.25)


def test_anonymous_visitor_sees_cursors_and_sends_none(visit: Visit, channel: str):
    ada, stranger = visit("ada"), visit()
    page = stranger.new_page()
    sent = published(page)
    page.goto(stranger.stage.page(board(channel)))
    theirs = shared(page, channel)
    hers = shared(ada.open(board(channel)), channel)
    point_at(theirs, 0.5, 0.5)
    point_at(hers, 0.1, 0.9)
    expect_at(theirs, ada, 0.1, 0.9)
    assert sent() == []


def test_finger_that_is_lifted_leaves_a_cursor_for_a_moment(visit: Visit, channel: str):
    ada, bob = visit("ada", has_touch=True), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    box = hers.bounding_box()
    assert box is not None
    hers.page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    expect(cursor(his, ada)).to_be_attached()
    expect(cursor(his, ada)).to_have_count(0)


def test_cursors_above_the_limit_are_not_drawn(visit: Visit, channel: str, stage: Stage):
    his = shared(visit("bob").open(board(channel)), channel)
    for number in range(40):
        stage.publish(channel, {"x": number / 40, "y": 0.5, "user": f"bot-{number}"})
    expect(his.locator("[data-presence-cursor]")).to_have_count(30)
    expect(cursor(his, "bot-39")).to_be_attached()
    expect(cursor(his, "bot-0")).to_have_count(0)


def moved(page: Page) -> list[str]:
    found: list[str] = page.evaluate("globalThis.places")
    return found


def test_cursor_that_moves_is_eased(visit: Visit, channel: str, stage: Stage):
    his = shared(visit("bob").open(board(channel)), channel)
    stage.publish(channel, {"x": 0.1, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.1, 0.5)
    his.evaluate(NOTE_PLACES)
    stage.publish(channel, {"x": 0.9, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.9, 0.5)
    assert len(set(moved(his.page))) > 2


def test_cursor_with_reduced_motion_jumps(visit: Visit, channel: str, stage: Stage):
    his = shared(visit("bob", reduced_motion="reduce").open(board(channel)), channel)
    stage.publish(channel, {"x": 0.1, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.1, 0.5)
    his.evaluate(NOTE_PLACES)
    stage.publish(channel, {"x": 0.9, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.9, 0.5)
    assert len(set(moved(his.page))) == 1


def test_page_with_several_surfaces_shows_cursors_on_each(visit: Visit, channel: str, stage: Stage):
    other = f"{channel}-other"
    text = (
        f'<div class="board" data-presence-cursors="{channel}"></div>'
        f'<div class="board" data-presence-cursors="{other}"></div>'
        f'{{% include "presence/cursors.html" with channel="{channel}" %}}'
        f'{{% include "presence/cursors.html" with channel="{other}" %}}'
    )
    page = visit("bob").open(text)
    for each_channel in (channel, other):
        element = page.locator(f'presence-cursors[data-presence-channel="{each_channel}"]')
        expect(element).to_have_attribute("data-presence-state", "live")
        stage.publish(each_channel, {"x": 0.5, "y": 0.5, "user": each_channel})
        surface = page.locator(f'[data-presence-cursors="{each_channel}"]')
        expect_at(surface, each_channel, 0.5, 0.5)
        expect(surface.locator("[data-presence-cursor]")).to_have_count(1)


def test_surface_that_is_removed_unsubscribes_and_is_live_when_it_returns(
    visit: Visit, channel: str, stage: Stage
):
    ada, bob = visit("ada"), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    point_at(hers, 0.5, 0.5)
    expect(cursor(his, ada)).to_be_attached()
    hers.page.evaluate("globalThis.kept = document.querySelector('.board'); kept.remove()")
    expect(cursor(his, ada)).to_have_count(0)
    hers.page.evaluate("document.body.append(globalThis.kept)")
    point_at(shared(hers.page, channel), 0.4, 0.4)
    expect_at(his, ada, 0.4, 0.4)
    assert stage.clients(channel) == 2


def test_page_with_roster_and_surface_has_one_connection(visit: Visit, channel: str):
    room = channel.replace("cursors:", "presence:")
    text = f'{{% include "presence/widget.html" with channel="{room}" %}}' + board(channel)
    ada = visit("ada")
    page = ada.new_page()
    opened = sockets(page)
    page.goto(ada.stage.page(text))
    shared(page, channel)
    roster = page.locator("presence-roster")
    expect(roster).to_have_attribute("data-presence-state", "live")
    assert len(opened) == 1
