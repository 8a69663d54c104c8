"""Costs of cursors and diffs in a browser: latency of a move, script in each frame, memory."""

from __future__ import annotations

import shutil
import subprocess
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import msgspec
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from bench.bounds import Sizes
from bench.cursors import Writer
from presence_devtools import servers
from tests.browser.conftest import FLAGS
from tests.browser.cursor_surface import board, shared
from tests.browser.one_page_site import Guest, Stage
from tests.websocket_clients import connection_token, subscription_token


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """Run a headless Chromium; None if there is none."""
    path = servers.chromium_binary()
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


FRAME: Final = 1000 / 60
"""Milliseconds."""
ALLOWED: Final = 1.2
"""Bare publishes that a move may take, plus a frame."""
FIRST_MOVES: Final = 5
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


def latency(browser: Browser, stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Return milliseconds one way (medians); `ratio` compares ours with its limit."""
    guests = [Guest(browser.new_context(), stage) for _ in range(4)]
    ours = [_surface(guest, who) for guest, who in zip(guests[:2], ("ann", "ben"), strict=True)]
    bare = [_bare(guest, who) for guest, who in zip(guests[2:], ("cat", "dan"), strict=True)]
    spent: dict[str, list[list[float]]] = {"ours": [[], []], "bare": [[], []]}
    for page in ours + bare:
        page.evaluate("(samples) => run(samples)", FIRST_MOVES)
    for _ in range(sizes.latency_rounds):
        for kind, (first, second) in {"ours": ours, "bare": bare}.items():
            for way, (sender, watcher) in enumerate(((first, second), (second, first))):
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
    """Return the times from each moment of sending to the first arrival after it.

    An arrival may come up to a frame before, as the two clocks differ. Without an arrival the time
    is infinite. A move that is slower than the pause to the next one does not shorten the time of
    that one.
    """
    ends = [*arrived, inf]
    return [ends[bisect_left(arrived, moment - FRAME)] - moment for moment in sent]


def _times(sender: Page, watcher: Page, samples: int) -> list[float]:
    """Return the milliseconds of each of so many moves."""
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


MOVING: Final = 100
"""Cursors that move while frames are counted."""
RATE: Final = 20
"""Moves of each cursor in a second."""
GROUP: Final = 20
"""Cursors in one call: people do not move all at once."""
WARM_UP: Final = 1.0
"""Seconds in which a crowd moves before anything is measured."""
RESTING: Final = 50
"""Cursors whose memory is measured."""
TURNS: Final = 40
"""Moves of each cursor before one is replaced and Centrifugo's queue may run empty."""

COUNT_FRAMES: Final = """() => {
    globalThis.counted = 0;
    const count = () => { globalThis.counted += 1; requestAnimationFrame(count); };
    requestAnimationFrame(count);
}"""

COUNT_MOVES: Final = """(channel) => {
    globalThis.taken = 0;
    const { client } = globalThis[Symbol.for("presence")].page.feeds.get(channel);
    client.getSubscription(channel).on("publication", () => { globalThis.taken += 1; });
}"""


def frames(browser: Browser, stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Return the milliseconds of all script of the page in a frame (median of some windows of
    time), with that for receiving messages."""
    key = "bench:frames"
    with Writer(stage) as writer, _viewer(browser, stage, key) as (page, devtools):
        page.evaluate(COUNT_FRAMES)
        writer.begin("crowd", key, MOVING, GROUP, MOVING * RATE / GROUP)
        expect(page.locator("[data-presence-cursor]")).to_have_count(MOVING)
        _window(page, devtools, WARM_UP)
        found = [_window(page, devtools, sizes.frame_seconds) for _ in range(sizes.frame_windows)]
        writer.begin("stop")
        moves: float = writer.end()
        writer.end()
    spent = [script / drawn for script, drawn, _ in found]
    return {
        "cursors": MOVING,
        "moves_a_second": moves,
        "frames_a_second": median(drawn / length for _, drawn, length in found),
        "script_ms": 1000 * median(spent),
        "spread_ms": [1000 * min(spent), 1000 * max(spent)],
        "script_share": median(script / length for script, _, length in found),
    }


def memory(browser: Browser, stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Return heap (MB) and nodes of the page, without garbage, before and after the moves."""
    key = "bench:heap"
    with Writer(stage) as writer, _viewer(browser, stage, key) as (page, devtools):
        page.evaluate(COUNT_MOVES, f"cursors:{key}")
        crowd = _Crowd(writer, page, key)
        chunks = sizes.heap_moves // (TURNS * RESTING)
        for _ in range(max(1, chunks // 10)):
            crowd.move()
        before = _held(page, devtools)
        seconds = sum(crowd.move() for _ in range(chunks))
        after = _held(page, devtools)
    return {
        "cursors": RESTING,
        "moves": chunks * TURNS * RESTING,
        "seconds": seconds,
        "before": before,
        "after": after,
        "ratio": after["heap_mb"] / before["heap_mb"],
    }


class _Crowd:
    """Cursors that move as fast as the page receives them; one is replaced each time."""

    def __init__(self, writer: Writer, page: Page, key: str) -> None:
        self._writer, self._page, self._key = writer, page, key
        self._first = self._sent = 0

    def move(self) -> float:
        """Move all cursors TURNS times. Returns the seconds until the page had received it."""
        started = time.perf_counter()
        users = list(range(self._first, self._first + RESTING))
        self._writer.ask("turns", self._key, users, TURNS)
        self._writer.ask("remove", self._key, self._first)
        self._first += 1
        self._sent += TURNS * RESTING + 1
        self._page.wait_for_function("(sent) => globalThis.taken >= sent", arg=self._sent)
        return time.perf_counter() - started


def _window(page: Page, devtools: CDPSession, seconds: float) -> tuple[float, int, float]:
    """Return seconds of script, frames drawn, and seconds passed, in about so many seconds."""

    def now() -> tuple[float, int, float]:
        metrics = _metrics(devtools)
        return (
            metrics["ScriptDuration"],
            page.evaluate("() => globalThis.counted"),
            metrics["Timestamp"],
        )

    before = now()
    page.wait_for_timeout(1000 * seconds)
    script, drawn, moment = (end - start for end, start in zip(now(), before, strict=True))
    return script, int(drawn), moment


def _held(page: Page, devtools: CDPSession) -> dict[str, float]:
    """Return the memory of the page at rest, after garbage collection."""
    expect(page.locator("[data-presence-cursor]")).to_have_count(RESTING - 1)
    for _ in range(3):
        page.wait_for_timeout(300)
        devtools.send("HeapProfiler.collectGarbage")
    metrics = _metrics(devtools)
    return {"heap_mb": metrics["JSHeapUsedSize"] / 1e6, "nodes": metrics["Nodes"]}


def _metrics(devtools: CDPSession) -> dict[str, float]:
    found = devtools.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in found}


@contextmanager
def _viewer(browser: Browser, stage: Stage, key: str) -> Iterator[tuple[Page, CDPSession]]:
    """Open a page with the cursors of the key, and its developer tools."""
    guest = Guest(browser.new_context(), stage)
    page = guest.enter("viewer").open(board(f"cursors:{key}"))
    shared(page, f"cursors:{key}")
    devtools = guest.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    yield page, devtools
    guest.context.close()
    if guest.complaints:
        raise RuntimeError(f"the page complained: {guest.complaints}")


SCRIPT: Final = Path(__file__).with_name("apply.mjs")
MEMBERS: Final = 5000
CHANGES: Final = 100
ROUNDS: Final = 15


class _Spent(msgspec.Struct):
    """Milliseconds of each round."""

    apply: list[float]
    copy: list[float]


def applied() -> dict[str, float] | None:
    """Return the milliseconds of a diff and of a copy, and their ratio (medians); None without a
    Node."""
    node = shutil.which("node")
    if node is None:
        return None
    sizes = [str(size) for size in (MEMBERS, CHANGES, ROUNDS)]
    done = subprocess.run([node, SCRIPT, *sizes], stdout=subprocess.PIPE, check=True)
    spent = msgspec.json.decode(done.stdout, type=_Spent)
    return {
        "apply_ms": median(spent.apply),
        "copy_ms": median(spent.copy),
        "ratio": median(
            applied / copy for applied, copy in zip(spent.apply, spent.copy, strict=True)
        ),
    }
