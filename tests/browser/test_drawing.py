"""Django and the script draw alike, and neither undoes what the other did."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from presence import services
from presence.roster.names import clean_name
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

HOSTILE = {
    "html": "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "attribute": "\"><b data-presence-member='x'>'&amp;",
    "emoji": "👩‍👩‍👧‍👦 Zoë 🏳️‍🌈",
    "marks": "\u202egnitirw \u2067إلى اليمين",
    "long": "Wolfeschlegelsteinhausen" * 417,
    "spaced": "name " * 2000,
}

# Whoever is moved is removed first. (Of what the parser adds it tells twice.)
RECORD = """
    globalThis.removed = [];
    const MEMBER = "[data-presence-member], [data-presence-face]";
    new MutationObserver((records) => {
        for (const node of records.flatMap(({ removedNodes }) => [...removedNodes])) {
            if (!(node instanceof Element)) continue;
            if (node.matches(MEMBER) || node.querySelector(MEMBER)) removed.push(node.outerHTML);
        }
    }).observe(document, { childList: true, subtree: true });
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
        for (const { value } of list.getEntries()) shifts.push(value);
    }).observe({ type: "layout-shift", buffered: true });
"""

MOTION = """
    globalThis.motions = [];
    const note = (node, leaving) => {
        const id = node.querySelector("[data-presence-part=name]").textContent;
        motions.push({ id, leaving, inert: node.inert, eased: node.getAnimations().length > 0 });
    };
    new MutationObserver((records) => {
        for (const { type, target, addedNodes } of records) {
            if (type === "attributes" && target.matches(".presence-member")) note(target, true);
            for (const node of addedNodes) {
                if (node instanceof Element && node.matches(".presence-member")) note(node, false);
            }
        }
    }).observe(document, {
        childList: true, subtree: true, attributeFilter: ["data-presence-leaving"],
    });
"""


def member(widget: Locator, who: str) -> Locator:
    return widget.locator(f'[data-presence-member="{who}"]')


def assert_same(page: Page, other: Page, channel: str, selector: str) -> None:
    """The first element of the selector is node for node the same in both pages."""
    theirs = roster(other, channel).locator(selector).first.evaluate("(node) => node.outerHTML")
    mine = roster(page, channel).locator(selector).first
    same = mine.evaluate(
        """(node, theirs) => {
            const holder = document.createElement("template");
            holder.innerHTML = theirs;
            return node.isEqualNode(holder.content.firstElementChild);
        }""",
        theirs,
    )
    assert same, f"{mine.evaluate('(node) => node.outerHTML')}\n is not\n{theirs}"


@pytest.mark.parametrize("variant", ["list", "stack"])
def test_member_rendered_by_django_looks_like_one_drawn_by_the_script(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, variant: str
) -> None:
    early = visit("ada").open(include(channel, variant))
    live(early, channel)
    crowd.join("plain", channel, name="Alan Turing")
    crowd.join("dark", channel, name="Dark Ink", color="#ffe000")
    crowd.join("light", channel, name="Light Ink", color="#123")
    crowd.join("pic", channel, name="With Picture", avatar="/static/demo/people/grace.svg")
    crowd.join("odd", channel, name=HOSTILE["attribute"], color="red;}", avatar="javascript:1")
    tick()
    expect(roster(early, channel)).to_have_attribute("data-presence-total", "6")
    late = visit().open(include(channel, variant))
    live(late, channel)
    expect(roster(early, channel).locator("[data-presence-joining]")).to_have_count(0)
    for who in ("plain", "dark", "light", "pic", "odd"):
        assert_same(early, late, channel, f'[data-presence-member="{who}"]')
        if variant == "stack" and who != "dark":  # Not among the newest.
            assert_same(early, late, channel, f'[data-presence-face="{who}"]')


@pytest.mark.parametrize("variant", ["list", "stack", "count"])
def test_widget_that_goes_live_moves_nothing(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, variant: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6", "u7"])
    ada = visit("ada")
    page = ada.open(include(channel, variant))
    live(page, channel)
    tick()
    page.add_init_script(RECORD)
    page.reload()
    widget = live(page, channel)
    order = widget.locator("[data-presence-member]").count()
    assert order == 8
    tick()
    assert page.evaluate("globalThis.removed") == []
    assert page.evaluate("globalThis.shifts") == []


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_joins_and_leaves_ease_except_with_reduced_motion(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, motion: Any
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    guest = visit(reduced_motion=motion)
    page = guest.new_page()
    page.add_init_script(MOTION)
    page.goto(stage.page(include(channel)))
    widget = live(page, channel)
    page.evaluate("globalThis.motions.length = 0")
    eased = motion == "no-preference"
    crowd.join("u3", channel)
    tick()
    expect_ids(widget, ["u1", "u2", "u3"])
    joined = {"id": "u3", "leaving": False, "inert": False, "eased": eased}
    assert page.evaluate("globalThis.motions") == [joined]
    crowd.leave("u1")
    tick()
    expect(member(widget, "u1")).to_have_count(0)
    left = {"id": "u1", "leaving": True, "inert": True, "eased": True}
    if eased:
        assert page.evaluate("globalThis.motions.slice(1)") == [left]
    else:
        assert not any(motion["eased"] for motion in page.evaluate("globalThis.motions"))
        assert widget.locator(".presence-member").count() == 2
    expect(widget).to_have_attribute("data-presence-total", "2")


def test_member_who_comes_back_while_leaving_stays(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    crowd.leave("u1")
    tick()
    expect(widget).to_have_attribute("data-presence-total", "2")
    crowd.join("u1", channel)
    tick()
    expect(widget).to_have_attribute("data-presence-total", "3")
    expect_ids(widget, ["u2", "u3", "u1"])
    expect(widget.locator("[data-presence-leaving]")).to_have_count(0)
    back = member(widget, "u1")
    expect(back).to_be_visible()
    assert back.evaluate("(item) => item.inert") is False


def test_member_who_comes_and_goes_quickly_is_there_once(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    page = visit().open(include(channel), clock=True)
    widget = live(page, channel)
    diff = {"type": "presence.diff", "epoch": widget.get_attribute("data-presence-epoch")}
    comes = {"joins": [{"id": "u1", "name": "u1", "info": {}}], "total": 2}
    goes = {"leaves": ["u1"], "total": 1}
    steps = [(goes, 130), (comes, 130), (goes, 200), (comes, 300), ({"total": 2}, 500)]
    for version, (step, wait) in enumerate(steps, start=1):
        news = {"base": version, "version": version + 1, "joins": [], "leaves": [], **step}
        stage.publish(channel, {**diff, "updates": [], "anonymous": 0, **news})
        expect(widget).to_have_attribute("data-presence-version", str(version + 1))
        page.clock.run_for(wait)
    expect(widget.locator(".presence-member")).to_have_count(2)
    expect_ids(widget, ["u2", "u1"])


def test_list_that_opens_eases_in_only_members_who_join(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6"])
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    crowd.fill(channel, ["u7"])
    tick()
    expect_ids(widget, ["u1", "u2", "u3", "u4", "u5", "u6", "u7"])
    expect(widget.locator("[data-presence-joining]")).to_have_count(0)
    eased = widget.evaluate(
        """(root) => {
            root.querySelector(".presence-panel").showPopover();
            const members = [...root.querySelectorAll("[data-presence-member]")];
            return members.filter((item) => item.getAnimations().length).length;
        }"""
    )
    assert eased == 0


def test_stylesheet_of_the_site_sets_custom_properties(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(f'<div class="own">{include(channel)}</div>')
    avatar = live(page, channel).locator(".presence-avatar").first
    expect(avatar).to_have_css("width", "64px")
    expect(avatar).to_have_css("height", "64px")


def test_popup_takes_its_ink_from_a_property(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6"])
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    widget.evaluate("(root) => root.style.setProperty('--presence-ink-page', 'rgb(1, 2, 3)')")
    widget.get_by_role("button").click()
    expect(widget.locator(".presence-panel")).to_have_css("color", "rgb(1, 2, 3)")


@pytest.mark.parametrize("variant", ["list", "stack"])
def test_hostile_name_is_drawn_as_text(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, variant: str
) -> None:
    early = visit(viewport={"width": 360, "height": 640}).open(include(channel, variant))
    live(early, channel)
    for who, name in HOSTILE.items():
        crowd.join(who, channel, name=name)
    tick()
    expect(roster(early, channel)).to_have_attribute("data-presence-total", str(len(HOSTILE)))
    late = visit(viewport={"width": 360, "height": 640}).open(include(channel, variant))
    for page in (early, late):
        widget = live(page, channel)
        if variant == "stack":
            widget.get_by_role("button").click()
        for who, name in HOSTILE.items():
            label = member(widget, who).locator("[data-presence-part=name]")
            # The server takes out what could reorder a line, and what is too long.
            assert label.text_content() == clean_name(name)
            assert member(widget, who).get_attribute("data-presence-name") == clean_name(name)
            box = label.bounding_box()
            assert box is not None
            assert box["width"] <= 360
            assert box["height"] <= 200
        assert widget.locator("script, b").count() == 0
        assert page.title() == "Stage"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


SHARE = """async (root) => {
    const { modules } = await import("/static/presence/js/widget.js");
    const { draw, page } = await modules(root);
    const drawn = root.querySelector("template").content.firstElementChild.cloneNode(true);
    draw.drawMember(drawn, { id: "9", name: "Ada <b>", info: { color: "#123456" } });
    root.after(drawn);
    return page.clientIds.get(page.feeds.get(root.dataset.presenceChannel).client);
}"""


def test_other_script_shares_what_the_page_has_loaded(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(include(channel))
    client = live(page, channel).evaluate(SHARE)
    (reply,) = services.gateway().presence([channel])
    assert f'"{client}"'.encode() in bytes(reply)
    drawn = page.locator("presence-roster + li")
    expect(drawn.get_by_text("Ada <b>", exact=True)).to_be_visible()
    expect(drawn).to_have_attribute("data-presence-colour", "#123456")
