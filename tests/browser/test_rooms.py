"""Rooms too large to be listed."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from presence import services
from presence.roster.messages import Member
from tests.browser.one_page_site import (
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    ids,
    include,
    live,
    roster,
)
from tests.stored_rooms import fill

AT_ONCE = "Math.random = () => 0;"  # A page waits at random before it fetches.


def people(first: int, last: int) -> list[str]:
    return [f"u{n:02}" for n in range(first, last + 1)]


def shows(widget: Any, total: int, listed: bool) -> None:
    expect(widget).to_have_attribute("data-presence-total", str(total))
    expect(widget.locator("[data-presence-total]:visible").first).to_have_text(str(total))
    expect(widget).to_have_attribute("data-presence-listed", "true" if listed else "false")


def test_room_is_counted_above_the_limit_and_listed_well_below_it(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LIST_LIMIT = 10
    crowd.fill(channel, people(1, 10))
    tick()
    guest = visit()
    guest.context.add_init_script(AT_ONCE)
    page = guest.open(include(channel, "list") + include(channel, "stack"))
    widget, stacked = live(page, channel, "list"), live(page, channel, "stack")
    shows(widget, 10, listed=True)
    expect_ids(widget, people(1, 10))

    crowd.join("u11", channel)
    tick()
    for each in (widget, stacked):
        shows(each, 11, listed=False)
        expect_ids(each, [])
    crowd.leave("u01", "u02")
    crowd.join("u12", channel)
    tick()
    shows(widget, 10, listed=False)
    crowd.leave("u03")
    tick()
    shows(widget, 9, listed=False)
    assert ids(stacked) == []

    crowd.leave("u04")
    crowd.leave("u05")
    crowd.join("u13", channel)
    tick()
    left = ["u06", "u07", "u08", "u09", "u10", "u11", "u12", "u13"]
    for each in (widget, stacked):
        shows(each, 8, listed=True)
        expect_ids(each, left)
    crowd.leave("u13")
    tick()
    expect_ids(widget, left[:-1])
    shows(widget, 7, listed=True)


def test_counts_are_right_all_through_the_churn(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LIST_LIMIT = 5
    guest = visit()
    guest.context.add_init_script(AT_ONCE)
    page = guest.open(include(channel, "list"))
    widget = live(page, channel)
    here: list[str] = []
    names = (f"c{n:03}" for n in count())
    for joins, leaves in [(4, 0), (2, 0), (3, 4), (5, 1), (0, 5), (0, 2), (4, 1), (1, 4)]:
        gone, here = here[:leaves], here[leaves:]
        come = [next(names) for _ in range(joins)]
        crowd.fill(channel, come)
        crowd.leave(*gone)
        here += come
        tick()
        expect(widget).to_have_attribute("data-presence-total", str(len(here)))
        expect(widget.locator("[data-presence-total]:visible")).to_have_text(str(len(here)))
        listed = services.store().load_states([channel]).states[channel].listed
        expect_ids(widget, here if listed else [])
    live(page, channel)


def test_counted_room_shows_nobody_but_oneself(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LIST_LIMIT = 2
    crowd.fill(channel, people(1, 3))
    tick()
    ada = visit("ada")
    widget = live(ada.open(include(channel, "stack")), channel)
    shows(widget, 3, listed=False)
    tick()
    shows(widget, 4, listed=False)
    assert ids(widget) == [ada.id]


def weight(page: Page, channel: str) -> tuple[int, int]:
    """Characters and elements of the widget."""
    found = roster(page, channel).evaluate(
        "(root) => [root.outerHTML.length, root.querySelectorAll('*').length]"
    )
    return found[0], found[1]


@pytest.mark.parametrize("variant", ["stack", "list"])
def test_counted_room_of_ten_thousand_costs_a_page_no_more_than_three(
    visit: Visit, tick: Tick, channel: str, stage: Stage, variant: str
) -> None:
    store = services.store()
    crowd = [Member(f"u{n}", f"User {n}", {"color": "#123456"}) for n in range(10_000)]
    few, many = f"{channel}-few", f"{channel}-many"
    fill(store, few, *crowd[:3])
    fill(store, many, *crowd, anonymous=2_000)
    page = visit("ada").open(include(few, variant) + include(many, variant))
    widget = live(page, many)
    shows(widget, 10_000, listed=False)
    characters, elements = weight(page, many)
    assert characters <= weight(page, few)[0] + 200
    assert elements <= weight(page, few)[1]
    # A tick says numbers, however many come and go.
    epoch = widget.get_attribute("data-presence-epoch")
    diff = {"type": "presence.diff", "epoch": epoch, "base": 1, "version": 2}
    stage.publish(many, {**diff, "total": 12_345, "anonymous": 7})
    shows(widget, 12_345, listed=False)
    expect(widget).to_have_attribute("data-presence-anonymous", "7")


def test_five_thousand_listed_members_change_in_place(
    visit: Visit, tick: Tick, channel: str, stage: Stage
) -> None:
    members = [Member(f"u{n}", f"User {n}") for n in range(5_000)]
    fill(services.store(), channel, *members, list_limit=10_000)
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    page.evaluate(
        """() => {
            globalThis.touched = new Set();
            new MutationObserver((records) => {
                for (const { target, addedNodes, removedNodes } of records) {
                    for (const node of [target, ...addedNodes, ...removedNodes]) {
                        const near = node instanceof Element ? node : node.parentElement;
                        const member = near?.closest(".presence-member");
                        if (!member) continue;
                        const { presenceMember: here, presenceLeaving: gone } = member.dataset;
                        globalThis.touched.add(here ?? gone ?? member.dataset.presenceFace);
                    }
                }
            }).observe(document, {
                childList: true, subtree: true, attributes: true, characterData: true,
            });
        }"""
    )
    epoch = widget.get_attribute("data-presence-epoch")
    diff = {"type": "presence.diff", "epoch": epoch, "base": 1, "version": 2}
    joins = [{"id": "new", "name": "New One", "info": {}}]
    totals = {"total": 4_999, "anonymous": 0}
    stage.publish(channel, {**diff, "joins": joins, "leaves": ["u7", "u4000"], **totals})
    shows(widget, 4_999, listed=True)
    for gone in ("u7", "u4000"):
        expect(widget.locator(f'[data-presence-name="User {gone[1:]}"]')).to_have_count(0)
    expect(widget.locator('[data-presence-member="new"]')).to_have_count(1)
    # The newest of all takes the place of one face: that of u995, as ties are ordered by id.
    assert sorted(page.evaluate("[...globalThis.touched]")) == ["new", "u4000", "u7", "u995"]
