"""Live views of djust and consumers of Channels under daphne: quiet viewers stay, others go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from presence import services
from presence.cursors import CursorTracker
from presence.manager import PresenceManager
from presence_devtools import servers
from presence_devtools.servers import wait_until
from tests.browser.one_page_site import answers

pytestmark = pytest.mark.skipif(
    os.environ.get("CI") != "true"
    and any(find_spec(name) is None for name in ("djust", "daphne", "channels")),
    reason="djust is not installed: pip install --group djust",
)

TIMEOUT = 20.0
"""PRESENCE_TIMEOUT of the site."""
ROUTES = {"/board/:room/": "tests.browser.live_pages.views.WhiteboardView"}
GONE_WITHIN = 3.0
"""Seconds in which a viewer who closes is gone."""


class LiveSite:
    """The running site: its URL, its process and its environment."""

    def __init__(self, url: str, web: servers.Server, environment: dict[str, str]) -> None:
        self.url, self.web, self.environment = url, web, environment

    def joined(self, page: Page, room: str) -> int:
        """Return how often handle_presence_join was called for a room."""
        rooms: list[str] = page.request.get(f"{self.url}/joined/").json()
        return rooms.count(room)

    def log(self) -> str:
        assert self.web.log is not None
        return Path(self.web.log).read_text()


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Iterator[LiveSite]:
    with servers.redis_server(tmp_path) as (redis_url, _):
        settings.PRESENCE_REDIS_URL = redis_url
        settings.PRESENCE_TIMEOUT = TIMEOUT
        environment = {
            **os.environ,
            "PRESENCE_REDIS_URL": redis_url,
            "DATABASE_PATH": str(tmp_path / "live.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "tests.browser.live_pages.settings",
            "DEBUG": "1",
        }
        migrate = servers.manage("migrate", "-v", "0", "--skip-checks")
        subprocess.run(migrate, env=environment, check=True, timeout=120)
        port = servers.free_port()
        url = f"http://127.0.0.1:{port}"
        serve = ["daphne", "-p", str(port), "tests.browser.live_pages.asgi:application"]
        web = servers.Server(
            [sys.executable, "-m", *serve],
            environment,
            lambda: answers(url + "/joined/"),
            tmp_path / "web.log",
        )
        web.start()
        try:
            yield LiveSite(url, web, environment)
        finally:
            web.stop()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def ids(room: str) -> list[str]:
    return [record["id"] for record in PresenceManager.list_presences(f"board:{room}")]


def expect_gone(room: str, within: float) -> float:
    """Wait until nobody is in the room. Returns the seconds that took."""
    began = time.monotonic()
    wait_until(lambda: ids(room) == [], f"nobody is in {room}", timeout=within)
    return time.monotonic() - began


def open_board(site: LiveSite, page: Page, room: str, *, kind: str = "board") -> str:
    """Open a live view as a signed-in user. Returns the id of the user, once tracked."""
    user = page.request.get(f"{site.url}/enter/?who=ada").text()
    page.goto(f"{site.url}/{kind}/{room}/")
    wait_until(lambda: ids(room) == [user], "the live view is tracked")
    return user


def open_socket(site: LiveSite, page: Page, room: str) -> str:
    """Open the socket of a consumer, in a page that sends nothing. Returns the id of the user."""
    user = page.request.get(f"{site.url}/enter/?who=ada").text()
    page.goto(f"{site.url}/joined/")
    address = f"{site.url.replace('http', 'ws')}/ws/document/{room}/"
    page.evaluate("(url) => { globalThis.socket = new WebSocket(url) }", address)
    wait_until(lambda: ids(room) == [user], "the consumer is tracked")
    return user


def test_live_view_is_counted_once_stays_while_quiet_and_goes_when_closed(
    site: LiveSite, page: Page
) -> None:
    user = open_board(site, page, "quiet")
    assert site.joined(page, "quiet") == 1
    page.wait_for_function("document.getElementById('count').textContent === '1'")
    page.locator("#move").click()
    wait_until(
        lambda: CursorTracker.get_cursors("board:quiet").get(user, {}).get("x") == 3,
        "the cursor moves",
    )
    for _ in range(30):
        page.wait_for_timeout(1000)
        assert ids("quiet") == [user]
    members = services.tracker().load_members(["presence:board:quiet"], timeout=TIMEOUT)
    assert len(members["presence:board:quiet"].members) == 1
    assert site.joined(page, "quiet") == 1
    page.close()
    print(f"gone after {expect_gone('quiet', GONE_WITHIN):.2f} s")
    assert CursorTracker.get_cursors("board:quiet") == {}
    assert "Error" not in site.log()


def test_consumer_stays_while_quiet_and_goes_when_closed(site: LiveSite, page: Page) -> None:
    user = open_socket(site, page, "socket")
    for _ in range(30):
        page.wait_for_timeout(1000)
        assert ids("socket") == [user]
    assert site.joined(page, "socket") == 1
    page.close()
    expect_gone("socket", GONE_WITHIN)


@pytest.mark.parametrize("kind", ["restored", "overriding"])
def test_live_view_that_restores_its_state_or_makes_its_key_is_tracked_once(
    site: LiveSite, page: Page, kind: str
) -> None:
    user = open_board(site, page, "again", kind=kind)
    (record,) = PresenceManager.list_presences("board:again")
    assert (record["id"], record["color"]) == (user, "#e74c3c")
    assert site.joined(page, "again") == 1
    page.close()
    expect_gone("again", GONE_WITHIN)
    assert "Traceback" not in site.log()


def test_live_view_that_another_replaces_goes_at_once(site: LiveSite, page: Page) -> None:
    user = open_board(site, page, "first")
    page.wait_for_function("document.getElementById('count').textContent === '1'")
    # As djust's tag `djust_client_config` writes it.
    page.evaluate("(routes) => { globalThis.djust._routeMap = routes }", ROUTES)
    page.locator("#follow").click()
    wait_until(lambda: ids("next") == [user], "the next live view is tracked")
    assert "GET /board/next/" not in site.log(), "a page was loaded"
    print(f"gone after {expect_gone('first', GONE_WITHIN):.2f} s")
    page.close()
    expect_gone("next", GONE_WITHIN)


def test_views_of_killed_process_are_gone_after_the_timeout(site: LiveSite, page: Page) -> None:
    open_board(site, page, "killed")
    assert site.web.process is not None
    site.web.process.kill()
    print(f"gone after {expect_gone('killed', TIMEOUT + 1):.2f} s")


def test_live_view_that_is_only_rendered_tracks_nobody(site: LiveSite, page: Page) -> None:
    assert page.request.get(f"{site.url}/board/rendered/").ok
    assert (ids("rendered"), site.joined(page, "rendered")) == ([], 0)


def test_system_checks_say_nothing_about_the_mixin(site: LiveSite) -> None:
    check = servers.manage("check")
    done = subprocess.run(check, env=site.environment, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert "System check identified" in said
    assert "live_pages.views" not in said, said
    assert "presence" not in said.lower(), said
