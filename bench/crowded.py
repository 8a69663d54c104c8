"""What many cursors cost the page that draws them: script in each frame, and memory in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from playwright.sync_api import Browser, CDPSession, Page, expect

from bench.sizes import Sizes
from bench.writer import Writer
from tests.browser.cursor_surface import board, shared
from tests.browser.one_page_site import Guest, Stage

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
"""Moves of each before one goes and another one comes, and Centrifugo's queue is let run empty."""

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
    """Milliseconds of script in a frame (median of some windows of time), of everything that the
    page runs: taking messages, too."""
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
    """The page's heap (MB) and its nodes, garbage collected, before and after so many moves."""
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
    """Cursors that move as fast as the page takes it; each time one of them is another one."""

    def __init__(self, writer: Writer, page: Page, key: str) -> None:
        self._writer, self._page, self._key = writer, page, key
        self._first = self._sent = 0

    def move(self) -> float:
        """Move them all, TURNS times. The seconds until the page had taken it."""
        started = time.perf_counter()
        users = list(range(self._first, self._first + RESTING))
        self._writer.ask("turns", self._key, users, TURNS)
        self._writer.ask("remove", self._key, self._first)
        self._first += 1
        self._sent += TURNS * RESTING + 1
        self._page.wait_for_function("(sent) => globalThis.taken >= sent", arg=self._sent)
        return time.perf_counter() - started


def _window(page: Page, devtools: CDPSession, seconds: float) -> tuple[float, int, float]:
    """Seconds of script, frames drawn, and seconds passed, in about so many seconds."""

    def now() -> tuple[float, int, float]:
        metrics = _metrics(devtools)
        return (
            metrics["ScriptDuration"],
            page.evaluate("() => globalThis.counted"),
            metrics["Timestamp"],
        )

    before = now()
    page.wait_for_timeout(1000 * seconds)
    script, drawn, moment = (one - other for one, other in zip(now(), before, strict=True))
    return script, int(drawn), moment


def _held(page: Page, devtools: CDPSession) -> dict[str, float]:
    """Memory of the page at rest, without garbage."""
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
    """A page that shows the cursors of the key, and its developer tools."""
    guest = Guest(browser.new_context(), stage)
    page = guest.enter("viewer").open(board(f"cursors:{key}"))
    shared(page, f"cursors:{key}")
    devtools = guest.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    yield page, devtools
    guest.context.close()
    if guest.complaints:
        raise RuntimeError(f"the page complained: {guest.complaints}")
