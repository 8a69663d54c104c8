"""Pages while a part of the site is down, and after that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from playwright.sync_api import Page, expect

from tests.browser.one_page_site import (
    NOTE_LEAVES,
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    ids,
    include,
    live,
    open_stage,
    roster,
)

LOST = "WebSocket|ERR_INTERNET|Failed to load|not live"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose parts may fail."""
    with open_stage(tmp_path_factory.mktemp("outages")) as stage:
        yield stage


def requests(page: Page, part: str) -> list[str]:
    """Return the requests for URLs with this part from now on."""
    made: list[str] = []
    page.on("request", lambda request: made.append(request.url) if part in request.url else None)
    return made


def test_page_after_a_network_cut_catches_up(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    guest = visit()
    guest.expected = LOST
    page = guest.open(include(channel), clock=True)
    widget = live(page, channel)
    status = widget.locator("[data-presence-part=status]")
    snapshots = requests(page, "/snapshot/")
    guest.cut()
    page.clock.fast_forward("01:00")  # The pings of the server are missed.
    expect(widget).to_have_attribute("data-presence-state", "stale")
    cut_at = page.evaluate("[0, 60_000].map((ms) => new Date(Date.now() - ms).getMinutes())")
    crowd.join("u3", channel)
    crowd.leave("u1")
    tick()
    page.clock.fast_forward("03:00")
    expect(status).to_contain_text("Not live.")
    expect(status).to_have_text(re.compile(rf"As of \d+:({cut_at[0]:02}|{cut_at[1]:02})\s[AP]M\.$"))
    assert ids(widget) == ["u1", "u2"]
    guest.mend()
    page.clock.fast_forward("00:10")  # Longer than it waits between two tries.
    expect(widget).to_have_attribute("data-presence-state", "live")
    expect_ids(widget, ["u2", "u3"])
    expect(status).not_to_contain_text("Not live.")
    assert snapshots == []


def test_page_whose_history_is_lost_fetches_once(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    guest = visit("ada")
    guest.expected = LOST
    page = guest.open(include(channel, "list") + include(channel, "stack"))
    widget = live(page, channel, "list")
    tick()
    expect_ids(widget, [guest.id])
    expect(widget.locator("[data-presence-provisional]")).to_have_count(0)
    snapshots = requests(page, "/snapshot/")
    page.evaluate(NOTE_LEAVES)
    stage.centrifugo.server.stop()
    expect(widget).to_have_attribute("data-presence-state", "stale")
    stage.centrifugo.server.start()
    live(page, channel, "list")
    live(page, channel, "stack")
    crowd.join("u1", channel)
    tick()
    expect_ids(widget, [guest.id, "u1"])
    assert len(snapshots) == 1
    assert page.evaluate("globalThis.left") == []


def test_short_interruption_is_not_mentioned(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    guest = visit("ada")
    page = guest.open(include(channel))
    widget = live(page, channel)
    status = widget.locator("[data-presence-part=status]")
    status.evaluate(
        """(status) => {
            globalThis.said = [];
            new MutationObserver(() => {
                if (status.innerText.trim()) globalThis.said.push(status.innerText);
            }).observe(status, { childList: true, characterData: true, subtree: true });
        }"""
    )
    stage.disconnect(guest.id)
    expect(widget).to_have_attribute("data-presence-state", "stale")
    live(page, channel)
    assert page.evaluate("globalThis.said") == []


def test_widget_without_redis_is_empty_and_fills_itself(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    guest = visit()
    guest.expected = LOST
    stage.redis.stop()
    try:
        page = guest.open(include(channel))
        expect(page.locator("h1")).to_be_visible()
        widget = roster(page, channel)
        expect(widget).to_have_attribute("data-presence-total", "0")
    finally:
        stage.redis.start()
    tick()
    live(page, channel)
    expect_ids(widget, ["u1", "u2"])


def test_flushed_redis_fills_again_and_shows_nobody_leaving(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1"])
    ada = visit("ada")
    page = ada.open(include(channel))
    widget = live(page, channel)
    tick()
    expect_ids(widget, [ada.id, "u1"])
    page.evaluate(NOTE_LEAVES)
    with redis.Redis.from_url(stage.redis_url) as client:
        client.flushall()
    tick()
    crowd.join("u2", channel)
    tick()
    expect_ids(widget, [ada.id, "u1", "u2"])
    assert page.evaluate("globalThis.left") == []


def test_reload_of_a_page_shows_nobody_leaving(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LEAVE_GRACE = 10.0
    ada, grace = visit("ada"), visit("grace")
    watching = ada.open(include(channel))
    hers = live(watching, channel)
    tick()
    page = grace.open(include(channel))
    live(page, channel)
    tick()
    expect_ids(hers, [ada.id, grace.id])
    watching.evaluate(NOTE_LEAVES)
    address = page.url
    for _ in range(3):
        page.goto("about:blank")
        tick()
        page.goto(address)
        live(page, channel)
        tick()
    crowd.join("u1", channel)
    tick()
    expect_ids(hers, [ada.id, grace.id, "u1"])
    expect(hers).to_have_attribute("data-presence-version", "3")
    assert watching.evaluate("globalThis.left") == []


@pytest.mark.parametrize("then", ["", "grace"])
def test_page_after_signing_out_elsewhere_keeps_its_list_and_asks_nothing(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, then: str
) -> None:
    crowd.fill(channel, ["u1"])
    ada = visit("ada")
    ada.expected = "403|not live"
    page = ada.open(include(channel), clock=True)
    widget = live(page, channel)
    tick()
    expect_ids(widget, [ada.id, "u1"])
    if then:
        ada.enter(then)
    else:
        ada.exit()
    page.clock.fast_forward("01:00:01")  # Longer than a token lives.
    expect(widget).to_have_attribute("data-presence-state", "static")
    expect(widget.get_by_text("Reload the page")).to_be_visible()
    expect(widget.locator("[data-presence-member=u1]")).to_be_visible()
    made = requests(page, "/")
    page.clock.fast_forward("02:00:00")
    page.evaluate("fetch('/favicon.ico?done')")
    assert [url for url in made if "done" not in url] == []


def test_module_that_was_missing_is_asked_for_by_the_next_widget(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit()
    guest.expected = "Failed to load|not live"
    guest.context.route("**/presence/js/render.js", lambda route: route.fulfill(status=404))
    page = guest.context.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if "not live" in m.text else None)
    with page.expect_console_message(lambda m: "not live" in m.text):
        page.goto(guest.stage.page(include(channel) + include(channel, "count")))
    guest.context.unroute_all()
    page.evaluate(
        """() => {
            const widget = document.querySelector("presence-roster");
            widget.replaceWith(widget.cloneNode(true));
        }"""
    )
    live(page, channel, "list")
    (once,) = said
    assert once.startswith("presence: ")
    assert once.endswith("; the widget is not live")
