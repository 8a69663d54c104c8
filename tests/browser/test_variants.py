"""The variants of the widget."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

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
    overflowing,
    roster,
    sockets,
)
from tests.stored_rooms import fill

SEVEN = ["u1", "u2", "u3", "u4", "u5", "u6", "u7"]


def part(widget: Locator, name: str) -> Locator:
    return widget.locator(f'[data-presence-part="{name}"]')


def faces(widget: Locator) -> list[str]:
    """Return the users whose avatars are in the stack."""
    found = part(widget, "faces").locator("[data-presence-face]")
    return [str(face.get_attribute("data-presence-face")) for face in found.all()]


def test_list_shows_joins_and_leaves(visit: Visit, crowd: Crowd, tick: Tick, channel: str) -> None:
    crowd.join("u1", channel, name="Ada Lovelace")
    tick()
    widget = live(visit().open(include(channel)), channel)
    expect_ids(widget, ["u1"])
    crowd.join("u2", channel, name="Grace Hopper")
    tick()
    expect_ids(widget, ["u1", "u2"])
    crowd.leave("u1")
    tick()
    expect_ids(widget, ["u2"])
    expect(widget).to_have_attribute("data-presence-total", "1")


def test_widget_without_a_variant_is_a_stack(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(f'{{% include "presence/widget.html" with channel="{channel}" %}}')
    expect(roster(page, channel)).to_have_attribute("data-presence-variant", "stack")


def test_stack_has_five_faces_and_a_button_for_everybody(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, SEVEN)
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    assert faces(widget) == SEVEN[2:]
    button, panel = part(widget, "overflow"), part(widget, "panel")
    expect(button).to_contain_text("+2")
    expect(panel).to_be_hidden()
    button.click()
    expect(panel).to_be_visible()
    for who in SEVEN:
        expect(panel.get_by_text(who, exact=True)).to_be_visible()
    page.mouse.click(5, 5)
    expect(panel).to_be_hidden()


def test_button_counts_joins_and_leaves(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, SEVEN[:5])
    tick()
    widget = live(visit().open(include(channel, "stack")), channel)
    button, more = part(widget, "overflow"), widget.locator(".presence-more")
    expect(button).to_be_visible()
    expect(more).to_be_hidden()
    crowd.join("u6", channel)
    tick()
    expect(more).to_have_text("+1")
    expect(part(widget, "faces").locator('[data-presence-face="u1"]')).to_have_count(0)
    assert faces(widget) == SEVEN[1:6]
    crowd.leave("u2")
    tick()
    expect(more).to_be_hidden()
    expect(button).to_be_visible()
    expect(part(widget, "faces").locator('[data-presence-face="u1"]')).to_be_visible()
    assert faces(widget) == ["u1", *SEVEN[2:6]]


def test_button_works_by_keyboard_and_gives_the_focus_back(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, SEVEN)
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    button, panel = part(widget, "overflow"), part(widget, "panel")
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    expect(page.get_by_role("button", expanded=False)).to_have_count(1)
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    expect(page.get_by_role("button", expanded=True)).to_have_count(1)
    page.keyboard.press("Tab")
    assert panel.evaluate("(panel) => panel.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


@pytest.mark.parametrize("inside", [True, False])
def test_button_of_a_room_that_everybody_left_stays_until_the_focus_leaves_it(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, inside: bool
) -> None:
    crowd.fill(channel, SEVEN)
    tick()
    page = visit().open(include(channel, "stack") + '<a href="#">Next</a>')
    widget = live(page, channel)
    button, panel = part(widget, "overflow"), part(widget, "panel")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    if inside:
        page.keyboard.press("Tab")
    crowd.leave(*SEVEN)
    tick()
    expect_ids(widget, [])
    expect(page.get_by_role("button", name="Show everybody", expanded=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()
    expect(page.get_by_role("button", name="Show everybody", expanded=False)).to_be_visible()
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link")).to_be_focused()
    expect(button).to_be_hidden()


def test_panel_of_a_long_list_keeps_its_padding_at_the_end(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    fill(
        services.store(),
        channel,
        *(Member(f"u{n:02}", f"Name {n}") for n in range(40)),
        anonymous=3,
    )
    page = visit().open(include(channel, "stack"))
    widget = roster(page, channel)
    part(widget, "overflow").click()
    panel = part(widget, "panel")
    panel.evaluate("(panel) => panel.scrollTo(0, panel.scrollHeight)")
    room = panel.evaluate(
        """(panel) => {
            const last = [...panel.querySelectorAll("li, p:not([hidden])")].at(-1);
            return panel.getBoundingClientRect().bottom - last.getBoundingClientRect().bottom;
        }"""
    )
    assert room >= 12


def test_button_without_scripts_opens_the_list(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, SEVEN)
    tick()
    widget = roster(visit(java_script_enabled=False).open(include(channel, "stack")), channel)
    name = part(widget, "panel").get_by_text("u7", exact=True)
    expect(name).to_be_hidden()
    part(widget, "overflow").click()
    expect(name).to_be_visible()
    expect(part(widget, "panel").get_by_role("heading")).to_have_text("7 people here")
    # What needs a script is not there.
    expect(part(widget, "search")).to_be_hidden()


@pytest.mark.parametrize("variant", ["stack", "list", "count"])
def test_anonymous_visitors_are_a_number(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, variant: str
) -> None:
    page = visit().open(include(channel, variant))
    widget = live(page, channel)
    count = part(widget, "anonymous").and_(page.locator(":visible"))
    expect(count).to_have_count(0)
    tick()
    expect(count).to_be_visible()
    expect(count).to_have_text("+ 1 anonymous visitor (this is you)", use_inner_text=True)
    live(visit().open(include(channel, variant)), channel)
    tick()
    expect(count).to_have_text("+ 2 anonymous visitors (including you)", use_inner_text=True)
    assert ids(widget) == []


def test_member_with_several_tabs_is_there_once_and_marked_as_oneself(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("zoe", channel)
    tick()
    ada = visit("ada")
    first = ada.open(include(channel) + include(channel, "stack"))
    second = ada.open(include(channel))
    tick()
    for page in (first, second):
        widget = live(page, channel, "list")
        expect_ids(widget, [ada.id, "zoe"])
        expect(widget).to_have_attribute("data-presence-total", "2")
        expect(widget.get_by_text("(you)")).to_have_count(2)
        expect(widget.get_by_text("(you)").and_(page.locator(":visible"))).to_have_count(1)
    second.close()
    tick()
    expect_ids(live(first, channel, "list"), [ada.id, "zoe"])


def test_oneself_is_shown_at_once(visit: Visit, crowd: Crowd, tick: Tick, channel: str) -> None:
    ada = visit("ada")
    page = ada.open(include(channel))
    widget = live(page, channel)
    expect_ids(widget, [ada.id])
    expect(widget.locator("[data-presence-member][data-presence-provisional]")).to_have_count(1)
    expect(widget).to_have_attribute("data-presence-total", "1")
    tick()
    expect(widget.locator("[data-presence-provisional]")).to_have_count(0)
    expect_ids(widget, [ada.id])
    expect(widget).to_have_attribute("data-presence-total", "1")


def test_count_names_nobody(visit: Visit, crowd: Crowd, tick: Tick, channel: str) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    page = visit().open(include(channel, "count"))
    widget = live(page, channel)
    number = widget.locator("[data-presence-total]:visible")
    expect(number).to_have_text("2")
    expect(widget.get_by_text("u1").and_(page.locator(":visible"))).to_have_count(0)
    crowd.join("u3", channel)
    tick()
    expect(number).to_have_text("3")
    expect(widget).to_have_attribute("data-presence-total", "3")


def test_variant_none_shows_nothing_and_is_live(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(include(channel, "none"))
    widget = live(page, channel)
    crowd.join("u1", channel)
    tick()
    expect(widget).to_have_attribute("data-presence-total", "1")
    expect(widget).to_be_hidden()


def test_widgets_of_one_channel_agree_over_one_connection(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, SEVEN[:2])
    tick()
    ada = visit("ada")
    page = ada.new_page()
    opened = sockets(page)
    page.goto(stage.page(include(channel, "list") + include(channel, "stack")))
    listed, stacked = live(page, channel, "list"), live(page, channel, "stack")
    crowd.fill(channel, SEVEN[2:4])
    tick()
    expect_ids(listed, [ada.id, *SEVEN[:4]])
    expect_ids(stacked, ids(listed))
    assert faces(stacked) == ids(listed)
    assert len(opened) == 1


@pytest.mark.parametrize("language", ["en", "ar"])
def test_stack_runs_in_the_direction_of_the_language(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, language: str
) -> None:
    for n, name in enumerate(["أدا لوفلايس", "Grace Hopper", "محمد بن موسى الخوارزمي", "Алан"]):
        crowd.join(f"u{n}", channel, name=name)
    crowd.fill(channel, ["v1", "v2", "v3"])
    tick()
    guest = visit(locale=language, viewport={"width": 320, "height": 640})
    page = guest.open("".join(include(channel, variant) for variant in ("stack", "list", "count")))
    live(page, channel, "count")
    lefts = live(page, channel, "stack").evaluate(
        """(root) => [...root.querySelectorAll("[data-presence-face], .presence-more")]
            .map((face) => face.getBoundingClientRect().left)"""
    )
    assert lefts == sorted(lefts, reverse=language == "ar")
    assert len(lefts) == 6
    assert overflowing(page) == []
    page.locator(".presence-overflow").click()
    expect(part(live(page, channel, "stack"), "panel")).to_be_visible()
    assert overflowing(page) == []
