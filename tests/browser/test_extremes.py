"""Sites that change the widget, pages full of widgets, widgets full of people."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from presence import services
from presence.roster.messages import Member
from tests.browser.one_page_site import (
    Crowd,
    Guest,
    Stage,
    Tick,
    Visit,
    expect_ids,
    ids,
    include,
    live,
    overflowing,
    roster,
)
from tests.stored_rooms import fill

if TYPE_CHECKING:
    from tests.browser.conftest import Site


AT_ONCE = "Math.random = () => 0;"  # A page waits at random before it fetches.

# The ids of the members whose elements changed in any way.
TOUCHED = """(root) => {
    globalThis.touched = new Set();
    new MutationObserver((records) => {
        for (const { target, addedNodes, removedNodes } of records) {
            for (const node of [target, ...addedNodes, ...removedNodes]) {
                const near = node instanceof Element ? node : node.parentElement;
                const data = near?.closest(".presence-member")?.dataset;
                if (!data) continue;
                touched.add(data.presenceMember ?? data.presenceLeaving ?? data.presenceFace);
            }
        }
    }).observe(root, { childList: true, subtree: true, attributes: true, characterData: true });
}"""

CHECK_SYNCS = """() => {
    globalThis.syncs = [];
    const note = ({ detail, target }) => syncs.push({
        listed: detail.listed, total: detail.total, members: detail.members.length,
        drawn: target.querySelectorAll("[data-presence-member]").length,
        attribute: Number(target.dataset.presenceTotal),
    });
    document.addEventListener("presence:sync", note);
}"""


def names(widget: Locator) -> list[str]:
    return widget.locator(".own-row:not([inert]) .own-name").all_text_contents()


def own_page(guest: Guest, stage: Stage, body: str) -> Page:
    """A page of the site that has parts of the widget of its own."""
    page = guest.new_page()
    page.goto(f"{stage.page(body)}&engine=own")
    return page


@pytest.mark.parametrize("variant", ["list", "stack"])
def test_templates_of_the_site_draw_members_and_joins(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, variant: str
) -> None:
    crowd.join("u1", channel, name="First <One>")
    crowd.join("u2", channel, name="Second")
    tick()
    still = own_page(visit(java_script_enabled=False), stage, include(channel, variant))
    painted = roster(still, channel)
    assert names(painted) == ["First <One>", "Second"]
    page = own_page(visit(), stage, include(channel, variant))
    widget = live(page, channel)
    assert names(widget) == ["First <One>", "Second"]
    expect(widget.get_by_role("heading")).to_have_text("In the room: 2 (2)")

    crowd.join("u3", channel, name="Third <b>")
    crowd.leave("u1")
    tick()
    expect_ids(widget, ["u2", "u3"])
    expect(widget.get_by_role("heading")).to_have_text("In the room: 2 (2)")
    crowd.join("u2", channel, name="Renamed")  # What was signed last wins.
    tick()
    second = widget.locator('[data-presence-member="u2"]')
    expect(second.locator(".own-name")).to_have_text("Renamed")
    assert names(widget) == ["Renamed", "Third <b>"]
    expect(second).to_have_attribute("data-presence-name", "Renamed")

    # Nothing but the site's own, whoever drew it.
    again = live(own_page(visit(), stage, include(channel, variant)), channel)
    rows = ".own-row:not([inert])"
    mine, theirs = (
        each.locator(rows).evaluate_all("(all) => all.map((item) => item.textContent)")
        for each in (widget, again)
    )
    assert mine == theirs
    assert widget.locator(".presence-avatar, .presence-summary").count() == 0
    if variant == "stack":
        faces = widget.locator(".own-face:not([inert])")
        expect(faces).to_have_count(2)
        assert faces.locator(".own-name").all_text_contents() == ["Renamed", "Third <b>"]


def test_page_with_more_widgets_than_a_request_takes_is_live(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    widgets = 120
    body = (
        f'{{% for _ in ""|ljust:{widgets}|make_list %}}'
        f'{{% with n=forloop.counter|stringformat:"s" %}}{{% with channel="{channel}-"|add:n %}}'
        '{% include "presence/widget.html" with variant="list" %}{% endwith %}{% endwith %}'
        "{% endfor %}"
    )
    guest = visit("ada")
    page = guest.new_page()
    asked: list[int] = []

    def note(request: Any) -> None:
        if request.url.endswith("/presence/tokens/"):
            asked.append(len(json.loads(request.post_data)["grants"]))

    page.on("request", note)
    page.goto(stage.page(body))
    expect(page.locator('[data-presence-state="live"]')).to_have_count(widgets)
    assert sum(asked) == widgets
    assert max(asked) <= 100
    expect(page.locator(f'[data-presence-member="{guest.id}"]')).to_have_count(widgets)
    last = f"{channel}-{widgets}"
    crowd.join("u1", last)
    tick(last)
    expect_ids(roster(page, last), [guest.id, "u1"])


def test_hundred_changes_among_ten_thousand_draw_nobody_else(
    visit: Visit, tick: Tick, channel: str, stage: Stage
) -> None:
    members = [Member(f"u{n:04}", f"User {n}", {"color": "#123456"}) for n in range(10_000)]
    fill(services.store(), channel, *members, list_limit=20_000, position=None)
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    expect(widget).to_have_attribute("data-presence-listed", "true")
    assert len(ids(widget)) == 10_000
    widget.evaluate(TOUCHED)
    joins = [{"id": f"n{n}", "name": f"New {n}", "info": {}} for n in range(40)]
    updates = [{"id": f"u{n}", "name": f"Renamed {n}", "info": {}} for n in range(5_000, 5_020)]
    leaves = [f"u{n:04}" for n in range(100, 4_100, 100)]
    stage.publish(
        channel,
        {
            **{"type": "presence.diff", "epoch": "e1", "base": 1, "version": 2},
            **{"joins": joins, "leaves": leaves, "updates": updates},
            **{"total": 10_000, "anonymous": 3},
        },
    )
    expect(widget).to_have_attribute("data-presence-version", "2")
    expect(widget.locator("[data-presence-leaving]")).to_have_count(0)
    expect(widget.locator('[data-presence-member="u5019"]')).to_contain_text("Renamed 5019")
    assert len(ids(widget)) == 10_000
    assert ids(widget)[-40:] == [member["id"] for member in joins]
    faces = [f"u{n}" for n in range(9_995, 10_000)]  # They give way to who came last.
    changed = {*leaves, *faces, *(member["id"] for member in joins + updates)}
    assert set(page.evaluate("[...touched]")) == changed


def test_sync_events_are_right_while_a_room_passes_its_limit(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LIST_LIMIT = 20
    ada = visit("ada")
    ada.context.add_init_script(AT_ONCE)
    page = ada.open(include(channel, "list") + include(channel, "stack"))
    widgets = [live(page, channel, variant) for variant in ("list", "stack")]
    page.evaluate(CHECK_SYNCS)
    here: list[str] = []
    fresh = (f"c{n:03}" for n in count())
    listings: list[bool] = []
    # With ada: 18, 21, 19, 18, 17, 20, 23, 16.
    for joins, leaves in [(17, 0), (5, 2), (2, 4), (4, 5), (6, 7), (5, 2), (8, 5), (3, 10)]:
        gone, here = here[:leaves], here[leaves:]
        come = [next(fresh) for _ in range(joins)]
        crowd.fill(channel, come)
        crowd.leave(*gone)
        here += come
        tick()
        listed = services.store().load_states([channel]).states[channel].listed
        listings.append(listed)
        for widget in widgets:
            expect(widget).to_have_attribute("data-presence-total", str(len(here) + 1))
            expect(widget).to_have_attribute("data-presence-listed", str(listed).lower())
            expect(widget).to_have_attribute("data-presence-state", "live")
            expect_ids(widget, [ada.id, *here] if listed else [ada.id])
    assert listings == [True, False, False, False, True, True, False, True]
    syncs = page.evaluate("syncs")
    assert {sync["listed"] for sync in syncs} == {True, False}
    for sync in syncs:
        assert sync["attribute"] == sync["total"]
        assert sync["members"] == (sync["total"] if sync["listed"] else 0)


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_demo_pages_are_no_wider_than_a_phone(chromium: Browser, site: Site, locale: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, locale=locale)
    page = context.new_page()
    for path in ("/", "/rooms/launch-plan/", "/variants/"):
        page.goto(site.url + path)
        expect(page.locator('[data-presence-state="live"]').first).to_be_visible()
        assert overflowing(page) == []
        assert page.evaluate("document.documentElement.dir") == {"en": "ltr", "ar": "rtl"}[locale]
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        expect(page.locator(".skip")).to_be_in_viewport()
    context.close()
