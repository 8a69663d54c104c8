"""Tabs of a real Chromium that go: closed, left by a link, or killed."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import cycle
from typing import Final

from playwright.async_api import Browser, BrowserType, Error, Page, async_playwright

from bench.live_site import GRACE
from bench.pages import PATIENCE, Observer, join_of, leave_of, moment_of, opened
from presence_devtools import servers
from tests.browser.conftest import FLAGS
from tests.browser.one_page_site import Stage, include

AT_ONCE: Final = 10
"""Tabs that are open before the first of them goes."""
AWAY: Final = '<a href="/?body=away">away</a>'
NOTE_KEPT: Final = """() => {
    addEventListener("pagehide", ({ persisted }) => sessionStorage.setItem("kept", persisted));
}"""
Go = Callable[[Page], Awaitable[float]]
"""Function that makes the page of a tab go. Returns the time at which it did."""


async def gone(stage: Stage, tries: int) -> dict[str, list[float]]:
    """Return the seconds, from the end of the grace, until others see that tabs went.

    The result is empty if there is no Chromium.
    """
    path = servers.chromium_binary()
    found: dict[str, list[float]] = defaultdict(list)
    if path is None:
        return found
    async with async_playwright() as playwright:
        browser = await _launch(playwright.chromium, path)
        for way, go in {"tab: closed": _close, "tab: left by a link": _follow}.items():
            for count in _parts(tries):
                found[way] += await _watch(stage, [browser], count, go)
        await browser.close()
        for count in _parts(tries):
            browsers = [await _launch(playwright.chromium, path) for _ in range(count)]
            for way, kind in {
                "tab: killed": "renderer",
                "tab: its browser killed": "browser",
            }.items():
                found[way] += await _watch(stage, browsers, count, partial(_kill, kind))
    return found


def _parts(tries: int) -> list[int]:
    return [min(AT_ONCE, tries - at) for at in range(0, tries, AT_ONCE)]


async def _launch(chromium: BrowserType, path: str) -> Browser:
    """Run a Chromium that keeps pages for the way back, as those of people do."""
    return await chromium.launch(
        executable_path=path, args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    )


async def _watch(stage: Stage, browsers: list[Browser], count: int, go: Go) -> list[float]:
    """Open `count` tabs, each in a room of its own, and have one after the other go."""
    rooms = [f"presence:tab:{secrets.token_hex(6)}" for _ in range(count)]
    observer, gone = Observer(stage, rooms), []
    async with opened(observer):
        tabs = [
            await _open(stage, browser, room, observer)
            for room, browser in zip(rooms, cycle(browsers), strict=False)
        ]
        for room, (user, page) in zip(rooms, tabs, strict=True):
            await asyncio.sleep(random.random())
            seen = observer.expect(room, leave_of(user))
            gone.append((await go(page), seen))
        seconds = [await moment_of(seen) - began - GRACE for began, seen in gone]
        for _, page in tabs:
            with suppress(Error):  # The browser was killed.
                await page.context.close()
    return seconds


async def _open(stage: Stage, browser: Browser, room: str, observer: Observer) -> tuple[str, Page]:
    """Open a tab of a new user, and wait until others see them. Returns the user's id as well."""
    context = await browser.new_context()
    entered = await context.request.get(f"{stage.url}/enter/?who=tab-{secrets.token_hex(6)}")
    user, page = await entered.text(), await context.new_page()
    seen = observer.expect(room, join_of(user))
    await page.goto(stage.page(include(room) + AWAY))
    await asyncio.wait_for(seen, PATIENCE)
    return user, page


async def _close(page: Page) -> float:
    began = time.monotonic()
    await page.close(run_before_unload=True)
    return began


async def _follow(page: Page) -> float:
    """Follow a link. Raises RuntimeError if the browser does not keep the page."""
    await page.evaluate(NOTE_KEPT)
    began = time.monotonic()
    await page.get_by_text("away").click()
    await page.wait_for_url("**/?body=away")
    if await page.evaluate("sessionStorage.kept") != "true":
        raise RuntimeError("The browser has no back/forward cache: it did not keep the page.")
    return began


async def _kill(kind: str, page: Page) -> float:
    """Kill the processes of this kind of the page's browser, which has no other page."""
    browser = page.context.browser
    assert browser is not None
    devtools = await browser.new_browser_cdp_session()
    found = (await devtools.send("SystemInfo.getProcessInfo"))["processInfo"]
    began = time.monotonic()
    for process in found:
        if process["type"] == kind:
            os.kill(process["id"], signal.SIGKILL)
    return began
