"""The faces of a stack and the names of a list: the visible ones, and the way to the others."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from presence import services
from presence.roster.messages import Member
from tests.browser.one_page_site import (
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    include,
    live,
    roster,
)
from tests.stored_rooms import fill

SEVEN = ["u1", "u2", "u3", "u4", "u5", "u6", "u7"]
CROWD = [Member(f"u{n:02}", f"Person {n:02}") for n in range(29)] + [Member("zoe", "Zoë Øster")]

# Whether the point where each face meets the one before belongs to the one before.
ON_TOP = """(faces) => faces.slice(1).every((face, at) => {
    const before = faces[at].getBoundingClientRect();
    const { left, right } = face.getBoundingClientRect();
    const rtl = left < before.left;
    const x = rtl ? before.left + 1 : before.right - 1;
    const found = document.elementFromPoint(x, before.top + before.height / 2);
    return faces[at].contains(found) && x > left && x < right;
})"""

# By how many pixels letters reach out of what is seen of their face.
BEYOND = """(faces) => Math.max(...faces.map((face, at) => {
    const range = document.createRange();
    range.selectNodeContents(face.querySelector("[data-presence-part=initials]"));
    const text = range.getBoundingClientRect();
    const { left, right } = face.getBoundingClientRect();
    const covered = at ? faces[at - 1].getBoundingClientRect().right : left;
    return Math.max(covered - text.left, text.right - right);
}))"""


def part(widget: Locator, name: str) -> Locator:
    return widget.locator(f'[data-presence-part="{name}"]')


def shown_faces(widget: Locator) -> list[str]:
    found = part(widget, "faces").locator("[data-presence-face]")
    return [str(face.get_attribute("data-presence-face")) for face in found.all()]


def overlaps(first: Locator, second: Locator) -> bool:
    a, b = first.bounding_box(), second.bounding_box()
    assert a is not None
    assert b is not None
    apart = a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
    return not (apart or a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"])


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_faces_overlap_with_the_first_on_top_and_hide_no_letter(
    visit: Visit, tick: Tick, channel: str, locale: str
) -> None:
    members = [Member(str(n), "William Moore") for n in range(5)]
    fill(services.store(), channel, *members)
    page = visit(locale=locale).open(include(channel, "stack"))
    found = live(page, channel).locator("[data-presence-face]")
    assert found.evaluate_all(ON_TOP)
    if locale == "en":
        assert found.evaluate_all(BEYOND) <= 0


def test_full_stack_shows_oneself_first_and_the_newest(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    ada = visit("ada")
    page = ada.open(include(channel, "stack") + include(channel))
    widget = live(page, channel, "stack")
    tick()
    crowd.fill(channel, SEVEN)
    tick()
    expect_ids(widget, [ada.id, *SEVEN])
    assert shown_faces(widget) == [ada.id, *SEVEN[3:]]
    # Django chooses the same.
    page.reload()
    widget = live(page, channel, "stack")
    assert shown_faces(widget) == [ada.id, *SEVEN[3:]]
    expect_ids(widget, [ada.id, *SEVEN])
    part(widget, "overflow").click()
    first = part(widget, "members").locator("li").first
    expect(first).to_contain_text("(you)")
    expect(first).not_to_have_css("border-bottom-width", "0px")


def test_empty_room_has_no_stop_for_the_keyboard(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(include(channel, "stack") + '<a href="#">Next</a>')
    widget = live(page, channel)
    expect(part(widget, "overflow")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link")).to_be_focused()
    crowd.join("u1", channel)
    tick()
    expect(part(widget, "overflow")).to_be_visible()


def test_name_of_a_face_shows_below_and_goes_with_escape(
    visit: Visit, tick: Tick, channel: str
) -> None:
    fill(services.store(), channel, Member("u1", "Ada Lovelace"), Member("u2", "Grace Hopper"))
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    face = widget.locator('[data-presence-face="u2"]')
    label = face.locator(".presence-label")
    face.hover()
    expect(label).to_have_css("clip-path", "none")
    assert not overlaps(label, widget.locator(".presence-summary"))
    # One can point at the name itself.
    box = label.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] - 2)
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    expect(label).to_have_css("clip-path", "none")
    page.keyboard.press("Escape")
    expect(label).not_to_have_css("clip-path", "none")
    page.mouse.move(0, 0)
    face.hover()
    expect(label).to_have_css("clip-path", "none")


def test_names_of_all_faces_show_on_focus_and_go_with_escape(
    visit: Visit, tick: Tick, channel: str
) -> None:
    fill(services.store(), channel, Member("u1", "Ada Lovelace"), Member("u2", "Grace Hopper"))
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    tip = part(widget, "names")
    page.keyboard.press("Tab")
    name = "Ada Lovelace, Grace Hopper Show everybody"
    expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    expect(tip).to_have_css("clip-path", "none")
    assert not overlaps(tip, widget.locator(".presence-summary"))
    page.keyboard.press("Escape")
    expect(tip).not_to_have_css("clip-path", "none")
    page.keyboard.press("Enter")
    panel = part(widget, "panel")
    expect(panel.get_by_role("heading")).to_have_text("2 people here")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(tip).not_to_have_css("clip-path", "none")


def test_counted_room_shows_oneself_before_and_after_it_is_live(
    visit: Visit, tick: Tick, channel: str
) -> None:
    members = [Member(str(n), f"User {n}") for n in range(500, 510)]
    fill(services.store(), channel, *members, list_limit=5)
    ada = visit("ada")
    page = ada.context.new_page()
    page.route("**/presence/tokens/", lambda route: route.abort())
    page.goto(ada.stage.page(include(channel, "stack")))
    widget = roster(page, channel)
    expect(widget.get_by_text("Too many people to list their names.").last).to_be_visible()
    expect_ids(widget, [ada.id])
    page.unroute("**/presence/tokens/")
    page.reload()
    widget = live(page, channel)
    expect_ids(widget, [ada.id])
    assert shown_faces(widget) == [ada.id]
    expect(widget.locator(".presence-total")).to_have_text("10")
    expect(widget).to_have_attribute("data-presence-total", "10")


@pytest.mark.parametrize("scripts", [True, False])
def test_long_list_opens_and_closes(visit: Visit, tick: Tick, channel: str, scripts: bool) -> None:
    fill(services.store(), channel, *CROWD)
    page = visit(java_script_enabled=scripts).open(include(channel))
    widget = live(page, channel) if scripts else roster(page, channel)
    seen = widget.locator("[data-presence-member]:visible")
    expect(seen).to_have_count(20)
    expect(widget.get_by_text("Zoë Øster")).to_be_visible()
    expect(widget.get_by_text("Person 00")).to_be_hidden()
    widget.get_by_text("and 10 more").click()
    expect(seen).to_have_count(30)
    expect(part(widget, "search")).to_be_visible(visible=scripts)
    widget.get_by_text("Show fewer").click()
    expect(seen).to_have_count(20)


def test_search_finds_members_and_survives_joins_and_leaves(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    fill(services.store(), channel, *CROWD)
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    part(widget, "overflow").click()
    field = part(widget, "field")
    seen = part(widget, "members").locator("[data-presence-member]:visible")
    expect(seen).to_have_count(30)
    field.fill("oster ZOE")
    expect(seen).to_have_count(1)
    expect(seen).to_contain_text("Zoë Øster")
    diff = {"type": "presence.diff", "epoch": "e1", "base": 1, "version": 2, "anonymous": 0}
    joins = [{"id": "n1", "name": "Zoë Oster-Neu"}, {"id": "n2", "name": "Nobody else"}]
    stage.publish(channel, {**diff, "joins": joins, "leaves": ["u03"], "total": 31})
    expect(seen).to_have_count(2)
    expect(field).to_be_focused()
    expect(field).to_have_value("oster ZOE")
    field.fill("xyz")
    expect(seen).to_have_count(0)
    expect(part(widget, "panel").get_by_role("status")).to_have_text("Nobody has that name.")
    page.mouse.click(5, 5)
    expect(part(widget, "panel")).to_be_hidden()
    part(widget, "overflow").click()
    expect(field).to_have_value("")
    expect(seen).to_have_count(31)


def test_search_is_not_offered_for_nineteen(visit: Visit, tick: Tick, channel: str) -> None:
    fill(services.store(), channel, *CROWD[:19])
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    part(widget, "overflow").click()
    expect(part(widget, "panel")).to_be_visible()
    expect(part(widget, "search")).to_be_hidden()


NOTE_OPENED = """(cancel) => {
    globalThis.opened = [];
    document.addEventListener("presence:open", (event) => {
        opened.push([event.detail.channel, event.detail.member]);
        if (cancel) event.preventDefault();
    });
}"""


@pytest.mark.parametrize("cancel", [False, True])
def test_click_on_a_face_dispatches_open_and_opens_the_list_unless_cancelled(
    visit: Visit, tick: Tick, channel: str, cancel: bool
) -> None:
    fill(services.store(), channel, Member("u1", "Ada", {"team": "x"}), Member("u2", "Grace"))
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    page.evaluate(NOTE_OPENED, cancel)
    widget.locator('[data-presence-face="u1"] .presence-avatar').click()
    ada = {"id": "u1", "name": "Ada", "info": {"team": "x"}}
    assert page.evaluate("opened") == [[channel, ada]]
    panel = part(widget, "panel")
    expect(panel).to_be_visible(visible=not cancel)
    if not cancel:
        panel.get_by_text("Grace").click()
        assert page.evaluate("opened.length") == 2
        expect(panel).to_be_visible()


COLOUR = '(item) => getComputedStyle(item.querySelector(".presence-avatar")).backgroundColor'
UNABLE = """(() => {
    const supports = CSS.supports.bind(CSS);
    CSS.supports = (...all) => !all.join().includes("attr(") && supports(...all);
})()"""


@pytest.mark.parametrize("able", [True, False])
def test_own_colour_survives_new_stylesheets_and_reaches_shadow_roots(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, able: bool
) -> None:
    fill(services.store(), channel, Member("u1", "Ada", {"color": "#123456"}))
    guest = visit()
    if not able:
        guest.context.add_init_script(UNABLE)
    page = guest.open(include(channel))
    widget = live(page, channel)
    page.evaluate("document.adoptedStyleSheets = []")
    crowd.join("u2", channel, name="Grace", color="#654321")
    tick()
    grace = widget.locator('[data-presence-member="u2"]')
    assert grace.evaluate(COLOUR) == "rgb(101, 67, 33)"
    assert page.evaluate("document.adoptedStyleSheets.length") == 0
    # A policy forbids the attribute in HTML, but not the property that a script sets.
    style = grace.get_attribute("style") or ""
    assert ("#654321" in style) is not able
    moved = grace.evaluate(
        """(item) => {
            const root = document.body.appendChild(document.createElement("div"))
                .attachShadow({ mode: "open" });
            root.append(document.querySelector("link[href*=presence]").cloneNode());
            const box = root.appendChild(document.createElement("div"));
            box.className = "presence";
            box.append(item);
            globalThis.moved = item;
            return new Promise((go) => { root.querySelector("link").onload = () => go(true); });
        }"""
    )
    assert moved
    assert page.evaluate(f"({COLOUR})(moved)") == "rgb(101, 67, 33)"


def test_touch_opens_the_list_of_names(visit: Visit, tick: Tick, channel: str) -> None:
    fill(services.store(), channel, Member("u1", "Ada"), Member("u2", "Grace"))
    page: Page = visit(has_touch=True, is_mobile=True).open(include(channel, "stack"))
    widget = live(page, channel)
    widget.locator('[data-presence-face="u2"]').tap()
    panel = part(widget, "panel")
    expect(panel.get_by_text("Grace")).to_be_visible()
    expect(panel.get_by_text("Ada")).to_be_visible()


def test_panel_has_the_ink_of_the_page(visit: Visit, tick: Tick, channel: str) -> None:
    fill(services.store(), channel, Member("u1", "Ada"))
    page = visit().open(f'<div class="dark">{include(channel, "stack")}</div>')
    widget = live(page, channel)
    page.evaluate("document.querySelector('.dark').style.color = 'rgb(240, 230, 220)'")
    part(widget, "overflow").click()
    panel = part(widget, "panel")
    expect(panel).to_have_css("color", "rgb(240, 230, 220)")
    # Nearly black below light letters.
    background: Any = panel.evaluate(
        """(panel) => {
            const brush = new OffscreenCanvas(1, 1).getContext("2d");
            brush.fillStyle = getComputedStyle(panel).backgroundColor;
            brush.fillRect(0, 0, 1, 1);
            return [...brush.getImageData(0, 0, 1, 1).data];
        }"""
    )
    assert max(background[:3]) < 60
    assert background[3] == 255
