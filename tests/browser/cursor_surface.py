"""A shared surface on a page of the stage, and what can be seen and heard of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cent import BatchRequest, Client, PublishRequest
from playwright.sync_api import Locator, Page, expect

from presence_devtools import servers
from tests.browser.one_page_site import PATIENCE, Guest, Stage

# How many pixels off is still the same place: sizes are whole pixels, positions four decimals.
NEAR = 2.0

# What moves a cursor, and where each frame drew it.
NOTE_PLACES = """(board) => {
    globalThis.places = [];
    new MutationObserver((all) => {
        for (const { target } of all) globalThis.places.push(target.style.transform);
    }).observe(board, { subtree: true, attributeFilter: ["style"] });
}"""


# Counts what the page has taken of a channel.
COUNT_MOVES = """(channel) => {
    const { client } = globalThis[Symbol.for("presence")].page.feeds.get(channel);
    const sub = client.getSubscription(channel);
    if (globalThis.counted !== sub) sub.on("publication", () => { globalThis.taken += 1; });
    Object.assign(globalThis, { counted: sub, taken: 0 });
}"""


def board(channel: str, *, unit: str = "", inside: str = "", more: str = "") -> str:
    """Return the template text of a surface, as sites write it."""
    given = f' unit="{unit}"' if unit else ""
    include = f'{{% include "presence/cursors.html" with channel="{channel}"{given} %}}'
    return f'<div class="board" {more}>{inside}{include}</div>'


def shared(page: Page, channel: str) -> Locator:
    """Return the surface of a channel, once it is live."""
    element = page.locator(f'presence-cursors[data-presence-channel="{channel}"]')
    expect(element).to_have_attribute("data-presence-state", "live")
    return page.locator(".board", has=element)


def cursor(surface: Locator, who: Guest | str) -> Locator:
    """Return the cursor of another user on the surface."""
    user = who if isinstance(who, str) else who.id
    return surface.locator(f'[data-presence-cursor="{user}"]')


def point_at(surface: Locator, x: float, y: float, *, steps: int = 1) -> None:
    """Move the mouse to a fraction of the surface."""
    found: list[float] = surface.evaluate(
        """(box, [x, y]) => {
            const { left, top } = box.getBoundingClientRect();
            const { clientLeft, clientTop, clientWidth, clientHeight } = box;
            return [left + clientLeft + x * clientWidth, top + clientTop + y * clientHeight];
        }""",
        [x, y],
    )
    surface.page.mouse.move(*found, steps=steps)


def place(surface: Locator, who: Guest | str) -> tuple[float, float]:
    """Place at which a cursor is drawn: pixels from the content's top left corner."""
    (found,) = places(surface, who)
    return found


def places(surface: Locator, who: Guest | str) -> list[tuple[float, float]]:
    """Places of all cursors of somebody: for a second, one of a lost connection may be left."""
    found: list[list[float]] = cursor(surface, who).evaluate_all(
        """(items) => items.map((item) => {
            // It may just have been taken away, to come back elsewhere.
            if (!item.isConnected) return [NaN, NaN];
            const layer = item.parentElement.getBoundingClientRect();
            const { x, y } = item.getBoundingClientRect();
            return [x - layer.x, y - layer.y];
        })"""
    )
    return [(x, y) for x, y in found]


def expect_at(surface: Locator, who: Guest | str, x: float, y: float) -> None:
    """Wait until somebody's cursor is drawn at this fraction of the surface."""
    size: list[float] = surface.evaluate("(box) => [box.clientWidth, box.clientHeight]")
    expect_at_pixels(surface, who, x * size[0], y * size[1])


def expect_at_pixels(surface: Locator, who: Guest | str, x: float, y: float) -> None:
    """Wait until somebody's only cursor is drawn so many pixels from the top left corner."""
    last: list[tuple[float, float]] = []
    for _ in range(PATIENCE // 20):
        last = places(surface, who)
        if len(last) == 1 and abs(last[0][0] - x) <= NEAR and abs(last[0][1] - y) <= NEAR:
            return
        surface.page.wait_for_timeout(20)
    raise AssertionError(f"the cursors are at {last}, not one at {(x, y)}")


def published(page: Page) -> Callable[[], list[dict[str, Any]]]:
    """Record the publications of the page from now on, in all its sockets."""
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: frames.append(text)))

    def found() -> list[dict[str, Any]]:
        commands = [json.loads(line) for text in frames for line in str(text).splitlines() if line]
        return [command["publish"]["data"] for command in commands if "publish" in command]

    return found


def stir(stage: Stage, surface: Locator, channel: str, moves: int, *, cursors: int = 50) -> None:
    """Let cursors come, make so many moves between them and go, as fast as the page takes it."""
    client = Client(stage.centrifugo.api_url, servers.API_KEY)
    page, rounds = surface.page, max(1, moves // cursors)
    page.evaluate(COUNT_MOVES, channel)

    def send(data: Callable[[int], dict[str, Any]]) -> None:
        """Return one message of each kind."""
        requests = [
            PublishRequest(channel=channel, data={"user": f"bot-{number}", **data(number)})
            for number in range(cursors)
        ]
        client.batch(BatchRequest(requests=requests))

    for round_ in range(rounds):
        x = (round_ % 10) / 10
        send(lambda number, x=x: {"x": x, "y": number / cursors, "meta": {"name": f"Bot {number}"}})
        if round_ % 20 == 19:  # Nobody may be so slow that Centrifugo cuts them off.
            page.wait_for_function("(sent) => taken >= sent", arg=(round_ + 1) * cursors)
    expect(surface.locator("[data-presence-cursor]").first).to_be_attached()
    send(lambda _: {"gone": True})
    page.wait_for_function("(sent) => taken >= sent", arg=(rounds + 1) * cursors)
    expect(surface.locator("[data-presence-cursor]")).to_have_count(0)


def held(page: Page) -> dict[str, int]:
    """Memory of the page after garbage collection: bytes of heap, DOM nodes, listeners."""
    devtools = page.context.new_cdp_session(page)
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    counts = devtools.send("Memory.getDOMCounters")
    heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
    devtools.detach()
    return {"heap": heap, "nodes": counts["nodes"], "listeners": counts["jsEventListeners"]}
