"""Live cursors: moved from Python, and from browser to browser, on one site."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

from playwright.sync_api import Browser, sync_playwright

from bench import crowded, latency, writes
from bench.crowd import Crowd
from bench.site import config
from bench.sizes import Sizes
from presence_devtools import servers
from tests.browser.conftest import FLAGS
from tests.browser.one_page_site import open_stage

READERS: Final = 10
"""Connections that receive what Python publishes."""


def run(sizes: Sizes) -> dict[str, object]:
    """Results of all cases; `browser` is None where there is no Chromium."""
    limit = {"PRESENCE_CURSOR_LIMIT": str(crowded.MOVING)}
    with tempfile.TemporaryDirectory() as name, patch.dict(os.environ, limit):
        directory = Path(name)
        with open_stage(directory, config(directory)) as stage:
            crowd = Crowd(stage.centrifugo.ws_url, servers.TOKEN_SECRET)
            try:
                crowd.connect({f"r{n}": [writes.CHANNEL] for n in range(READERS)})
                written = writes.run(stage, sizes)
            finally:
                crowd.close()
            with chromium() as browser:
                shown = browser and {
                    "latency": latency.run(browser, stage, sizes),
                    "frames": crowded.frames(browser, stage, sizes),
                    "memory": crowded.memory(browser, stage, sizes),
                    "chromium": browser.version,
                }
    return {"writes": written, "browser": shown}


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """A headless Chromium; None where there is none."""
    path = servers.chromium_binary()
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
