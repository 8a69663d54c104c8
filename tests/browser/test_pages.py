"""Kinds of pages: strict ones, those without scripts, and those that swap what they hold."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from presence_devtools.servers import wait_until
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
    sockets,
)

VARIANTS = ("stack", "list", "count", "none")


def test_page_violates_no_strict_policy(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6"])
    crowd.join("own", channel, name="Own Colour", color="#ffe000")
    tick()
    guest = visit("ada")
    page = guest.new_page()
    page.add_init_script(
        """
        globalThis.violations = [];
        document.addEventListener("securitypolicyviolation", ({ violatedDirective, sample }) => {
            globalThis.violations.push(`${violatedDirective} ${sample}`);
        });
        """
    )
    body = "".join(include(channel, variant) for variant in VARIANTS)
    answer = page.goto(stage.page(body))
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; connect-src 'self' ws://")
    assert "unsafe" not in policy
    for variant in VARIANTS:
        live(page, channel, variant)
    crowd.join("late", channel, name="Late", color="#123456", avatar="/static/demo/logo.svg")
    crowd.leave("u1")
    tick()
    listed = live(page, channel, "list")
    expect(listed.locator("[data-presence-member=late]")).to_be_visible()
    own = listed.locator("[data-presence-member=own] .presence-avatar")
    expect(own).to_have_css("background-color", "rgb(255, 224, 0)")
    page.get_by_role("button").click()
    assert page.evaluate("globalThis.violations") == []


def test_page_without_scripts_is_whole(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("u1", channel, name="Ada Lovelace")
    crowd.join("u2", channel, name="Grace Hopper")
    tick()
    page = visit(java_script_enabled=False).open(
        "".join(include(channel, variant) for variant in VARIANTS)
    )
    listed = roster(page, channel, "list")
    expect(listed).to_have_attribute("data-presence-state", "static")
    expect(listed.get_by_text("Ada Lovelace")).to_be_visible()
    expect(listed.get_by_text("Grace Hopper")).to_be_visible()
    stacked = roster(page, channel, "stack").locator("[data-presence-face]:visible")
    expect(stacked).to_have_count(2)
    counted = roster(page, channel, "count")
    expect(counted.locator("[data-presence-total]:visible")).to_have_text("2")
    expect(page.get_by_text("Not live.").and_(page.locator(":visible"))).to_have_count(0)


SWAP = """async () => {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
}"""


def test_page_swap_unsubscribes_and_the_next_page_is_live(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    ada = visit("ada")
    page = ada.new_page()
    opened = sockets(page)
    page.goto(stage.page(include(channel) + include(channel, "stack")))
    live(page, channel, "list")
    tick()
    page.evaluate("() => { globalThis.main = document.querySelector('main'); main.remove(); }")
    wait_until(lambda: stage.clients(channel) == 0, "the removed widgets unsubscribed")
    crowd.fill(channel, ["u1"])
    tick()
    page.evaluate("() => document.body.append(globalThis.main)")
    for variant in ("list", "stack"):
        expect_ids(live(page, channel, variant), [ada.id, "u1"])
    tick()
    expect_ids(live(page, channel, "list"), [ada.id, "u1"])

    page.evaluate(SWAP)
    expect_ids(live(page, channel, "list"), [ada.id, "u1"])
    crowd.fill(channel, ["u2"])
    tick()
    expect_ids(live(page, channel, "stack"), [ada.id, "u1", "u2"])
    assert stage.clients(channel) == 3
    assert len([socket for socket in opened if not socket.is_closed()]) == 1


def test_widget_that_is_copied_is_live(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6"])
    tick()
    ada = visit("ada")
    page = ada.open(include(channel, "stack"))
    widget = live(page, channel)
    expect(widget).to_have_attribute("data-presence-total", "7")
    page.evaluate(
        """() => {
            const copy = document.querySelector("presence-roster").cloneNode(true);
            copy.id = "copy";
            document.body.append(copy);
        }"""
    )
    copy = page.locator("#copy")
    crowd.leave("u1")
    tick()
    for each in (copy, page.locator("presence-roster:not(#copy)")):
        expect(each).to_have_attribute("data-presence-total", "6")
        assert sorted(ids(each)) == sorted(["u2", "u3", "u4", "u5", "u6", ada.id])
        each.get_by_role("button").click()
        expect(each.locator("[data-presence-member=u6]")).to_be_visible()
        page.keyboard.press("Escape")


def test_widget_that_is_moved_stays_subscribed(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit("ada").open(include(channel))
    widget = live(page, channel)
    tick()
    expect(widget.locator("[data-presence-provisional]")).to_have_count(0)
    page.evaluate(
        """() => {
            globalThis.states = [];
            const widget = document.querySelector("presence-roster");
            new MutationObserver(() => globalThis.states.push(widget.dataset.presenceState))
                .observe(widget, { attributeFilter: ["data-presence-state"] });
            document.body.append(widget);
        }"""
    )
    crowd.fill(channel, ["u1"])
    tick()
    expect(widget.locator("[data-presence-member=u1]")).to_be_visible()
    assert set(page.evaluate("globalThis.states")) <= {"live"}


def test_widgets_of_many_channels_share_a_connection(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    rooms = [f"{channel}-{n}" for n in range(3)]
    guest = visit()
    page = guest.new_page()
    opened = sockets(page)
    page.goto(stage.page("".join(include(room) for room in rooms)))
    for n, room in enumerate(rooms):
        live(page, room)
        crowd.join(f"u{n}", room)
    tick(*rooms)
    for n, room in enumerate(rooms):
        expect_ids(live(page, room), [f"u{n}"])
    assert len(opened) == 1


@pytest.mark.parametrize("hashed", ["widget.js", "widget.js?hashed"])
def test_module_under_two_urls_follows_once(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, hashed: str
) -> None:
    guest = visit()
    page = guest.new_page()
    opened = sockets(page)
    page.goto(stage.page(include(channel)))
    widget = live(page, channel)
    crowd.fill(channel, ["u1"])
    tick()
    expect_ids(widget, ["u1"])
    shown = page.evaluate(
        """async ([url, channel]) => {
            const { presence } = await import(url);
            const room = await presence.subscribe(channel);
            return room.members.map(({ id }) => id);
        }""",
        [f"/static/presence/js/{hashed}", channel],
    )
    assert shown == ["u1"]
    assert len(opened) == 1


NONSENSE: list[object] = [
    "text",
    7,
    [],
    {"type": "presence.diff"},
    {"type": "unknown", "version": 99},
    {"type": "presence.diff", "epoch": 1, "base": "x", "version": None, "joins": 3},
]


def test_malformed_publications_change_nothing(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    epoch = widget.get_attribute("data-presence-epoch")
    diff = {"type": "presence.diff", "epoch": epoch, "total": 9, "anonymous": 9}
    bad = [{"id": "x", "name": 4, "info": {}}]
    for nonsense in [
        *NONSENSE,
        {**diff, "base": 1, "version": 2, "joins": bad},
        {**diff, "base": 0, "version": 1, "leaves": ["u1"]},
        {**diff, "base": 1, "version": 2, "leaves": [3]},
    ]:
        stage.publish(channel, nonsense)
    crowd.fill(channel, ["u3"])
    tick()
    expect_ids(widget, ["u1", "u2", "u3"])
    expect(widget).to_have_attribute("data-presence-total", "3")
    expect(widget).to_have_attribute("data-presence-version", "2")
    assert ids(widget) == ["u1", "u2", "u3"]
