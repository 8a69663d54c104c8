"""From a pointer that moves in one page to a cursor drawn in another, against a bare publish.

Each way apart, and then the mean of both: where the clocks of two pages differ, one way gains what
the other one loses. Nothing is asked of the pages while they measure.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from statistics import median, quantiles
from typing import Final

from playwright.sync_api import Browser, Page

from bench.sizes import Sizes
from tests.browser.cursor_surface import board, shared
from tests.browser.one_page_site import Guest, Stage
from tests.websocket_clients import connection_token, subscription_token

FRAME: Final = 1000 / 60
"""Milliseconds."""
ALLOWED: Final = 1.2
"""Bare publishes that a move may take, beside a frame."""
WARM_UP: Final = 5
"""Moves of each page that are not counted."""
CHANNEL: Final = "cursors:bench:latency"
BARE: Final = "cursors:bench:bare"
SDK: Final = "presence/js/vendor/centrifuge.js"

WATCH: Final = """() => {
    const clock = () => performance.timeOrigin + performance.now();
    globalThis.arrived = [];
    let turn = 0;
    globalThis.note = () => globalThis.arrived.push(clock());
    // It is moved a little, and at rest again after some 250 ms; 350 are 7 intervals of sending.
    globalThis.run = async (samples) => {
        const sent = [];
        while (sent.length < samples) {
            await new Promise((go) => setTimeout(go, 350 + 34 * Math.random()));
            sent.push(clock());
            globalThis.send((turn += 1) % 2 ? 0.3 : 0.32);
        }
        await new Promise((go) => setTimeout(go, 350));
        return sent;
    };
}"""

SURFACE: Final = """(surface) => {
    globalThis.send = (share) => {
        const { left, top, width, height } = surface.getBoundingClientRect();
        const [clientX, clientY] = [left + share * width, top + height / 2];
        const how = { isPrimary: true, bubbles: true, clientX, clientY };
        surface.dispatchEvent(new PointerEvent("pointermove", how));
    };
    let last;
    new MutationObserver((all) => {
        for (const { target } of all) {
            if (target.style.transform !== last) globalThis.note();
            last = target.style.transform;
        }
    }).observe(surface, { subtree: true, attributeFilter: ["style"] });
}"""

SUBSCRIBE: Final = """async ({ url, user, token, channel, subscription }) => {
    const client = new globalThis.Centrifuge(url, { token });
    const sub = client.newSubscription(channel, { token: subscription });
    sub.on("publication", ({ info }) => info.user === user || globalThis.note());
    globalThis.send = (x) => sub.publish({ x, y: 0.5 });
    sub.subscribe();
    client.connect();
    await sub.ready();
}"""


def run(browser: Browser, stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Milliseconds, medians, one way; `ratio` holds ours against what it may take."""
    guests = [Guest(browser.new_context(), stage) for _ in range(4)]
    ours = [_surface(guest, who) for guest, who in zip(guests[:2], ("ann", "ben"), strict=True)]
    bare = [_bare(guest, who) for guest, who in zip(guests[2:], ("cat", "dan"), strict=True)]
    spent: dict[str, list[list[float]]] = {"ours": [[], []], "bare": [[], []]}
    for page in ours + bare:
        page.evaluate("(samples) => run(samples)", WARM_UP)
    for _ in range(sizes.latency_rounds):
        for kind, (one, other) in {"ours": ours, "bare": bare}.items():
            for way, (sender, watcher) in enumerate(((one, other), (other, one))):
                spent[kind][way] += _times(sender, watcher, sizes.latency_samples)
    complaints = [text for guest in guests for text in guest.complaints]
    for guest in guests:
        guest.context.close()
    if complaints:
        raise RuntimeError(f"pages complained: {complaints}")
    ms = {kind: sum(map(median, ways)) / 2 for kind, ways in spent.items()}
    return {
        "samples": len(spent["ours"][0]) * 2,
        "ms": ms,
        "quartiles": {kind: quantiles(ways[0] + ways[1], n=4) for kind, ways in spent.items()},
        "clocks_apart_ms": {
            kind: (median(ways[0]) - median(ways[1])) / 2 for kind, ways in spent.items()
        },
        "ratio": ms["ours"] / (ALLOWED * ms["bare"] + FRAME),
    }


def firsts(sent: list[float], arrived: list[float]) -> list[float]:
    """From each moment of sending to the first arrival after it, or a frame before it at most, as
    two clocks differ; infinite where there is none. A move that takes longer than the time to the
    next one makes that one's time no shorter."""
    ends = [*arrived, inf]
    return [ends[bisect_left(arrived, moment - FRAME)] - moment for moment in sent]


def _times(sender: Page, watcher: Page, samples: int) -> list[float]:
    """Milliseconds that so many moves took, each."""
    watcher.evaluate("() => { globalThis.arrived = []; }")
    sent: list[float] = sender.evaluate("(samples) => run(samples)", samples)
    arrived: list[float] = watcher.evaluate("() => globalThis.arrived")
    return firsts(sent, arrived)


def _surface(guest: Guest, who: str) -> Page:
    page = guest.enter(who).open(board(CHANNEL))
    page.evaluate(WATCH)
    shared(page, CHANNEL).evaluate(SURFACE)
    return page


def _bare(guest: Guest, who: str) -> Page:
    page = guest.open(f"<script src=\"{{% static '{SDK}' %}}\"></script>")
    page.evaluate(WATCH)
    page.evaluate(
        SUBSCRIBE,
        {
            "user": who,
            "url": guest.stage.centrifugo.ws_url,
            "token": connection_token(who, name=who),
            "channel": BARE,
            "subscription": subscription_token(who, BARE),
        },
    )
    return page
