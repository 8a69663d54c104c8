"""Surfaces on pages that scripts change in place: copied, replaced, removed, written again."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.cursor_surface import board, cursor, expect_at, point_at, shared
from tests.browser.one_page_site import Stage, Visit


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    """A cursor channel of the test's own."""
    return f"cursors:{re.sub(r'[^a-z0-9_]', '-', request.node.name)}"


def test_surface_that_is_copied_has_no_cursors_of_the_original(
    visit: Visit, stage: Stage, channel: str
):
    his = shared(visit("bob").open(board(channel)), channel)
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot"})
    expect(cursor(his, "bot")).to_be_attached()
    his.evaluate("(box) => { const copy = box.cloneNode(true); box.replaceWith(copy); }")
    again = shared(his.page, channel)
    expect(again.locator("[data-presence-cursor]")).to_have_count(0)
    stage.publish(channel, {"x": 0.25, "y": 0.5, "user": "bot"})
    expect_at(again, "bot", 0.25, 0.5)
    expect(again.locator(".presence-cursors-layer")).to_have_count(1)


def test_surface_replaced_apart_from_its_include_is_found_again(visit: Visit, channel: str):
    text = (
        f'<div class="board" data-presence-cursors="{channel}"></div>'
        f'{{% include "presence/cursors.html" with channel="{channel}" %}}'
    )
    ada, bob = visit("ada"), visit("bob")
    hers = ada.open(text)
    element = hers.locator("presence-cursors")
    expect(element).to_have_attribute("data-presence-state", "live")
    his = shared(bob.open(board(channel)), channel)
    hers.evaluate("""() => {
        const box = document.querySelector(".board");
        box.replaceWith(box.cloneNode(false));
    }""")
    point_at(hers.locator(".board"), 0.5, 0.5)
    point_at(hers.locator(".board"), 0.25, 0.75)
    expect_at(his, ada, 0.25, 0.75)
    point_at(his, 0.5, 0.5)
    expect_at(hers.locator(".board"), bob, 0.5, 0.5)


def test_surface_that_is_removed_publishes_gone_before_it_unsubscribes(
    visit: Visit, stage: Stage, channel: str
):
    room = channel.replace("cursors:", "presence:")
    ada, bob = visit("ada"), visit("bob")
    page = ada.new_page()
    frames: list[str] = []
    sockets: list[WebSocket] = []

    def listen(socket: WebSocket) -> None:
        sockets.append(socket)
        socket.on("framesent", lambda text: frames.append(text))

    page.on("websocket", listen)
    roster = f'{{% include "presence/widget.html" with channel="{room}" %}}'
    page.goto(stage.page(roster + board(channel)))
    hers, his = shared(page, channel), shared(bob.open(board(channel)), channel)
    point_at(hers, 0.5, 0.5)
    expect(cursor(his, ada)).to_be_attached()
    (socket,) = sockets
    with socket.expect_event("framesent", lambda text: '"unsubscribe"' in text):
        hers.evaluate("(box) => box.remove()")
    expect(cursor(his, ada)).to_have_count(0)
    commands = [json.loads(line) for text in frames for line in text.splitlines() if line]
    about = [
        next(name for name in ("publish", "unsubscribe") if name in command)
        for command in commands
        if "unsubscribe" in command or command.get("publish", {}).get("data", {}).get("gone")
    ]
    assert about == ["publish", "unsubscribe"]


def test_surface_with_a_new_grant_stays_subscribed(visit: Visit, stage: Stage, channel: str):
    bob = visit("bob")
    bob.expected = "403|not live"
    page = bob.open(board(channel))
    his = shared(page, channel)
    grant = page.evaluate("""() => {
        const { dataset } = document.querySelector("presence-cursors");
        const kept = dataset.presenceGrant;
        // A grant is exchanged again where it was made for somebody else.
        dataset.presenceGrant = "forged";
        dataset.presenceOwner = "0";
        return kept;
    }""")
    element = page.locator("presence-cursors")
    expect(element).to_have_attribute("data-presence-state", "static")
    page.evaluate(
        """([grant, owner]) => {
            const { dataset } = document.querySelector("presence-cursors");
            dataset.presenceGrant = grant;
            dataset.presenceOwner = owner;
        }""",
        [grant, bob.id],
    )
    expect(element).to_have_attribute("data-presence-state", "live")
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.5, 0.5)
