"""The widget with a screen reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from presence_devtools.servers import ROOT
from tests.browser.one_page_site import (
    EVERY,
    Crowd,
    Tick,
    Visit,
    include,
    live,
    pass_time,
    roster,
)

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
EIGHT = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"]


def violations(page: Page) -> list[str]:
    """Violations that axe-core finds in the page."""
    page.evaluate("(source) => { if (!globalThis.axe) (0, eval)(source); }", _source(AXE))
    found: list[str] = page.evaluate(
        """async () => (await axe.run()).violations.flatMap(({ id, nodes }) =>
            nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))"""
    )
    return found


def _source(path: Path) -> str:
    assert path.exists(), "no axe-core: run `npm ci`"
    return path.read_text(encoding="utf-8")


def announcing(channel: str, variant: str) -> str:
    return f'{{% presence_widget "{channel}" variant="{variant}" announce=True %}}'


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_widget_of_each_variant_passes_axe(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, scheme: Any
) -> None:
    crowd.fill(channel, EIGHT)
    crowd.join("yellow", channel, name="Bright Colour", color="#ffe000")
    crowd.join("pic", channel, name="With Picture", avatar="/static/demo/people/ada.svg")
    visit().open(include(channel))
    tick()
    body = [include(channel, variant) for variant in ("list", "count", "none")]
    # axe brings its own scripts and needs `eval`; that the widget needs none is shown elsewhere.
    guest = visit("ada", color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = guest.open("".join([announcing(channel, "stack"), *body]))
    widget = live(page, channel, "stack")
    live(page, channel, "none")
    assert violations(page) == []
    widget.get_by_role("button").click()
    panel = widget.get_by_role("group", name="Everybody here")
    expect(panel.get_by_text("u8", exact=True)).to_be_visible()
    assert violations(page) == []


def test_widget_that_is_not_live_passes_axe(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    ada = visit("ada", bypass_csp=True, reduced_motion="reduce")
    ada.expected = "not live|403"
    body = "".join(include(channel, variant) for variant in ("stack", "list", "count"))
    ada.context.route("**/presence/tokens/", lambda route: route.fulfill(status=403, json={}))
    page = ada.open(body)
    expect(roster(page, channel, "list").get_by_text("not update itself")).to_be_visible()
    assert violations(page) == []


def test_light_of_each_state_has_words(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(include(channel))
    light = live(page, channel).locator(".presence-light")
    expect(light).to_have_text("Live", use_inner_text=True)
    guest = visit()
    guest.context.route("**/presence/tokens/", lambda route: route.abort())
    guest.expected = "Failed to load"
    static = roster(guest.open(include(channel)), channel).locator(".presence-light")
    expect(static).to_have_text("Not live", use_inner_text=True)


RECORD = """(root) => {
    globalThis.said = [];
    for (const region of root.querySelectorAll("[aria-live], [role=status]")) {
        new MutationObserver(() => {
            const text = region.textContent.trim();
            if (text && text !== globalThis.said.at(-1)) globalThis.said.push(text);
        }).observe(region, { childList: true, characterData: true, subtree: true });
    }
}"""


def test_announcer_says_one_sentence_a_tick(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["a1", "a2"])
    tick()
    page = visit().open(announcing(channel, "list"), clock=True)
    widget = live(page, channel)
    widget.evaluate(RECORD)
    crowd.fill(channel, ["b1", "b2", "b3"])
    crowd.leave("a1")
    tick()
    region = widget.locator("[data-presence-part=announcement]")
    expect(region).to_have_text("3 joined, 1 left")
    expect(region).to_have_attribute("aria-live", "polite")
    # Diffs that come sooner than ticks do wait for the time of the next.
    crowd.leave("b1")
    tick()
    expect(widget).to_have_attribute("data-presence-total", "3")
    crowd.join("c1", channel)
    crowd.join("c2", channel)
    tick()
    expect(widget).to_have_attribute("data-presence-total", "5")
    pass_time(page, 10)
    assert page.evaluate("globalThis.said") == ["3 joined, 1 left"]
    pass_time(page, EVERY)
    expect(region).to_have_text("2 joined, 1 left")
    assert page.evaluate("globalThis.said") == ["3 joined, 1 left", "2 joined, 1 left"]


def test_announcer_is_silent_about_oneself(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "own"])
    tick()
    page = visit().open(announcing(channel, "list"), clock=True)
    widget = live(page, channel)
    widget.evaluate("(root) => root.setAttribute('data-presence-self-id', 'own')")
    widget.evaluate(RECORD)
    crowd.leave("u1", "own")
    tick()
    expect(widget).to_have_attribute("data-presence-total", "0")
    pass_time(page, 1)
    assert page.evaluate("globalThis.said") == ["1 left"]


def test_widget_without_announce_says_nothing(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    widget.evaluate(RECORD)
    crowd.fill(channel, ["b1", "b2"])
    tick()
    expect(widget).to_have_attribute("data-presence-total", "2")
    assert page.evaluate("globalThis.said") == []
