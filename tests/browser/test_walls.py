"""Final failures: the page says them once and asks no more."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, WebSocket, expect

from tests.browser.cursor_surface import board
from tests.browser.one_page_site import PATIENCE, Guest, Stage, Visit, include, live, roster
from tests.browser.pages.views import BLOCKING

HTML = {"content_type": "text/html", "body": "<!doctype html><title>Log in</title>"}
WALLS: dict[str, dict[str, Any]] = {
    "redirect": {"status": 302, "headers": {"Location": "/accounts/login/"}},
    "other origin": {"status": 302, "headers": {"Location": "https://login.example/"}},
    "page": {"status": 200, **HTML},
    "unauthorised": {"status": 401, **HTML},
    "forbidden": {"status": 403, **HTML},
    "missing": {"status": 404, **HTML},
    "method": {"status": 405, **HTML},
    "too large": {"status": 413, **HTML},
    "other JSON": {"status": 200, "content_type": "application/json", "body": '{"ok": true}'},
}
SDKS = {
    "throws": "globalThis.Centrifuge = class { constructor() { throw new Error('mistake'); } };",
    "throws as the SDK": """globalThis.Centrifuge = class {
        static UnauthorizedError = class extends Error {};
        constructor() { throw new Error('mistake'); }
    };""",
    "another version": "globalThis.Centrifuge = function Old() { this.connect = () => {}; };",
    "no function": "globalThis.Centrifuge = { version: '0.1' };",
}

NOTE_VIOLATIONS = """
    globalThis.violations = 0;
    addEventListener("securitypolicyviolation", () => { violations += 1; });
"""


class Watched:
    """A page with a clock, of which is noted what it asks for and what it says."""

    def __init__(self, guest: Guest) -> None:
        guest.expected = "Failed to load|not live|login.example|presence: |Content.Security.Policy"
        self.page = page = guest.new_page(clock=True)
        self.asked: list[str] = []
        self.said: list[str] = []
        self.sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: self.sockets.append(socket))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on(
            "console", lambda m: self.said.append(m.text) if m.text.startswith("presence") else None
        )

    def expect_rest(self, line: str = "") -> None:
        """Let two hours pass, in which nothing is asked for, after one line with this text."""
        self.settle()
        before = len(self.asked)
        for _ in range(4):
            self.page.clock.fast_forward("30:00")
        self.page.evaluate("fetch('/favicon.ico?done').catch(() => 0)")
        assert [url for url in self.asked[before:] if "done" not in url] == []
        (said,) = self.said
        assert line in said

    def settle(self) -> None:
        """Let what began before the page was refused come to its end."""
        ends = time.monotonic() + PATIENCE / 1000
        before = -1
        while len(self.asked) > before + 1 or not all(s.is_closed() for s in self.sockets):
            assert time.monotonic() < ends, "the page goes on asking, or keeps its connection"
            before = len(self.asked)
            self.page.clock.run_for(100)
            self.page.evaluate("fetch('/favicon.ico?settling').catch(() => 0)")


@pytest.fixture
def watched(visit: Visit) -> Watched:
    return Watched(visit("ada"))


def expect_refused(page: Page, channel: str) -> None:
    widget = roster(page, channel)
    expect(widget).to_have_attribute("data-presence-state", "static")
    expect(widget.get_by_text("Reload the page")).to_be_visible()


@pytest.mark.parametrize("wall", WALLS)
def test_page_rests_when_a_wall_answers_for_the_tokens(
    watched: Watched, stage: Stage, channel: str, wall: str
) -> None:
    page = watched.page
    page.route("**/presence/tokens/", lambda route: route.fulfill(**WALLS[wall]))
    cursors = channel.replace("presence:", "cursors:")
    page.goto(stage.page(include(channel) + include(f"{channel}-2") + board(cursors)))
    expect_refused(page, channel)
    expect_refused(page, f"{channel}-2")
    watched.expect_rest("/presence/tokens/ answered")


@pytest.mark.parametrize("wall", ["redirect", "page", "other JSON"])
def test_page_rests_when_a_wall_answers_for_the_snapshot(
    watched: Watched, stage: Stage, channel: str, wall: str
) -> None:
    page = watched.page
    page.goto(stage.page(include(channel)))
    live(page, channel)
    page.route("**/presence/snapshot/*", lambda route: route.fulfill(**WALLS[wall]))
    reload = {"type": "presence.reload", "epoch": "another", "version": 1, "within": 0}
    stage.publish(channel, reload)
    page.clock.run_for(100)
    expect_refused(page, channel)
    watched.expect_rest("/presence/snapshot/ answered")


@pytest.mark.parametrize("wall", ["redirect", "page", "missing", "other JSON"])
def test_page_that_is_open_rests_when_its_tokens_are_not_renewed(
    watched: Watched, stage: Stage, channel: str, wall: str
) -> None:
    page = watched.page
    page.goto(stage.page(include(channel) + include(f"{channel}-2")))
    live(page, channel)
    live(page, f"{channel}-2")
    page.route("**/presence/tokens/", lambda route: route.fulfill(**WALLS[wall]))
    page.clock.fast_forward("01:00:01")  # Longer than a token lives.
    expect_refused(page, channel)
    expect_refused(page, f"{channel}-2")
    watched.expect_rest("/presence/tokens/ answered")


@pytest.mark.parametrize("wall", ["redirect", "page", "missing", "other JSON"])
def test_heartbeat_rests_when_a_wall_answers(watched: Watched, stage: Stage, wall: str) -> None:
    page = watched.page
    page.route("**/presence/heartbeat/", lambda route: route.fulfill(**WALLS[wall]))
    page.goto(f"{stage.url}/tracked/wall/?body={{% include 'presence/heartbeat.html' %}}")
    expect(page.locator("presence-heartbeat:defined")).to_have_count(1)
    with page.expect_console_message(lambda m: m.text.startswith("presence")):
        page.clock.fast_forward(31_000)
    page.clock.run_for(1000)
    watched.expect_rest("/presence/heartbeat/ answered")


@pytest.mark.parametrize("sdk", SDKS)
def test_page_rests_with_a_centrifuge_that_is_not_the_sdk(
    watched: Watched, stage: Stage, channel: str, sdk: str
) -> None:
    page = watched.page
    page.add_init_script(SDKS[sdk])
    cursors = channel.replace("presence:", "cursors:")
    page.goto(stage.page(include(channel) + board(cursors)))
    expect_refused(page, channel)
    watched.expect_rest()


@pytest.mark.parametrize("policy", BLOCKING)
def test_page_rests_when_its_policy_blocks_an_address(
    watched: Watched, stage: Stage, channel: str, policy: str
) -> None:
    page = watched.page
    cursors = channel.replace("presence:", "cursors:")
    page.add_init_script(NOTE_VIOLATIONS)
    page.goto(f"{stage.page(include(channel) + board(cursors))}&{urlencode({'policy': policy})}")
    expect_refused(page, channel)
    before = page.evaluate("violations")
    watched.expect_rest("policy blocks")
    assert page.evaluate("violations") - before <= 8  # what the test itself has asked for


@pytest.mark.parametrize("script", ["class Centrifuge {}", "const Centrifuge = 5;"])
def test_page_is_live_beside_a_centrifuge_that_is_not_global(
    visit: Visit, channel: str, script: str
) -> None:
    page = visit("ada", bypass_csp=True).open(f"<script>{script}</script>{include(channel)}")
    live(page, channel)


@pytest.mark.parametrize("file", ["render.js", "vendor/centrifuge.js", "handlers.js"])
@pytest.mark.parametrize("wall", ["missing", "page"])
def test_page_rests_when_a_script_is_not_there(
    watched: Watched, stage: Stage, channel: str, file: str, wall: str
) -> None:
    page = watched.page
    page.route(f"**/presence/js/{file}", lambda route: route.fulfill(**WALLS[wall]))
    page.goto(stage.page(include(channel)))
    expect_refused(page, channel)
    watched.expect_rest(file)


def test_page_tries_again_when_the_network_kept_a_script_away(
    watched: Watched, stage: Stage, channel: str
) -> None:
    page = watched.page
    page.route("**/presence/js/render.js", lambda route: route.abort())
    page.goto(stage.page(include(channel)))
    expect(roster(page, channel).get_by_text("Not live.")).to_be_visible()
    page.unroute("**/presence/js/render.js")
    page.clock.fast_forward(11_000)
    live(page, channel)
