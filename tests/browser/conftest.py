"""A whole site (web, worker, beat, Redis, Centrifugo) and a headless Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from presence import services
from presence_devtools import servers
from tests.browser.one_page_site import EVERY, Crowd, Guest, Stage, open_stage

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """A Chromium of the machine. Without one: a skip that says so, or a failure under CI."""
    if path := servers.chromium_binary():
        return path
    reason = "no Chromium: install it, or set CHROMIUM_BIN, for the browser tests"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Site:
    """The running demo site; `web`, `worker`, `beat`, `redis` and `centrifugo` can be stopped."""

    url: str
    web: servers.Server
    worker: servers.Server
    beat: servers.Server
    redis: servers.Server
    redis_url: str
    centrifugo: servers.Centrifugo
    environment: dict[str, str]

    def room(self, slug: str) -> str:
        return f"{self.url}/rooms/{slug}/"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """One site for the tests of a module; each test takes a room of its own.

    A module's ENVIRONMENT has the settings in which its site is another.
    """
    directory = tmp_path_factory.mktemp("site")
    chromium_path()
    with (
        servers.redis_server(directory) as (redis_url, redis),
        servers.centrifugo_server(directory) as centrifugo,
    ):
        environment = {
            **os.environ,
            **centrifugo.environment,
            "PRESENCE_REDIS_URL": redis_url,
            "CELERY_BROKER_URL": redis_url.replace("/0", "/1"),
            "DATABASE_PATH": str(directory / "site.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PRESENCE_INTERVAL": "0.5",
            "PRESENCE_LEAVE_GRACE": "2",
            "DEBUG": "1",
            **getattr(request.module, "ENVIRONMENT", {}),
        }
        subprocess.run(
            servers.manage("migrate", "-v", "0"), env=environment, check=True, timeout=120
        )
        yield from _serve(directory, environment, redis_url, redis, centrifugo)


def _serve(
    directory: Path,
    environment: dict[str, str],
    redis_url: str,
    redis: servers.Server,
    centrifugo: servers.Centrifugo,
) -> Iterator[Site]:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"

    def process(name: str, command: list[str], answers: Callable[[], bool]) -> servers.Server:
        log = directory / f"{name}.log"
        return servers.Server([sys.executable, "-m", *command], environment, answers, log)

    bind = f"127.0.0.1:{port}"
    celery = ["celery", "--quiet", "-A", "project"]
    site = Site(
        url=url,
        web=process(
            "web", ["gunicorn", "project.wsgi", "--bind", bind, "--threads", "8"], lambda: _ok(url)
        ),
        worker=process("worker", [*celery, "worker", "--concurrency", "2"], lambda: True),
        beat=process("beat", [*celery, "beat", "--pidfile="], lambda: True),
        redis=redis,
        redis_url=redis_url,
        centrifugo=centrifugo,
        environment=environment,
    )
    started: list[servers.Server] = []
    try:
        for server in (site.web, site.worker, site.beat):
            server.start()
            started.append(server)
        yield site
    finally:
        for server in started:
            if server.process:
                server.process.terminate()  # Each takes its time: all of them at once.
        for server in started:
            server.stop()


def _ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


# No wider than this package: while it runs, other tests could not use an event loop.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def keeping(chromium: Browser) -> Iterator[Browser]:
    """A browser that keeps pages for the way back, as those of people do."""
    browser = chromium.browser_type.launch(
        executable_path=chromium_path(),
        args=FLAGS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def package_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="module")
def stage(package_stage: Stage) -> Stage:
    """The stage that all tests share. A module that breaks its parts opens one of its own."""
    return package_stage


@pytest.fixture
def crowd(stage: Stage) -> Iterator[Crowd]:
    crowd = Crowd(stage.centrifugo.ws_url)
    yield crowd
    crowd.close()


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    """A channel of the test's own."""
    return f"presence:{re.sub(r'[^a-z0-9_]', '-', request.node.name)}"


@pytest.fixture
def tick(stage: Stage, settings: Any, channel: str) -> Callable[..., None]:
    """Poll the test's channel, or those given. Whoever is missing has left at once."""
    for name, value in stage.centrifugo.environment.items():
        setattr(settings, name, value)
    settings.PRESENCE_REDIS_URL = stage.redis_url
    settings.PRESENCE_INTERVAL = EVERY
    settings.PRESENCE_LEAVE_GRACE = 0.0

    def run(*channels: str) -> None:
        report = services.sync().tick(list(channels) or [channel])
        assert not report.errors, report.failures

    return run


@pytest.fixture
def visit(chromium: Browser, stage: Stage) -> Iterator[Callable[..., Guest]]:
    """Make visitors of the stage: `visit("ada")`, `visit(locale="ar")`, `visit()` for a stranger.

    Nobody's console may have complained in the end, but of what the visitor's `expected` matches.
    """
    made: list[Guest] = []

    def make(who: str = "", name: str = "", **context: Any) -> Guest:
        guest = Guest(chromium.new_context(**context), stage)
        made.append(guest)
        return guest.enter(who, name) if who else guest

    yield make
    for guest in made:
        guest.context.close()
    complaints = [text for guest in made for text in guest.complaints]
    assert complaints == []


class Visitor:
    """One person with a browser of their own. Collects what the console complains of."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.site = site
        self.complaints: list[str] = []

    def open(self, url: str, *, who: str = "") -> Page:
        """Open a page, signed in as a sample person if `who` is given."""
        if who:
            self.sign_in(who)
        page = self.context.new_page()
        page.on(
            "console",
            lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(url)
        return page

    def sign_in(self, who: str) -> None:
        """Sign in on the front page, as a visitor would."""
        page = self.context.new_page()
        page.goto(self.site.url)
        page.locator(f"form[action$='/sign-in/{who}/'] button").first.click()
        page.wait_for_load_state()
        page.close()


@pytest.fixture
def visitor(chromium: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Make visitors: `visitor()` or, for one without JavaScript, `visitor(java_script=False)`."""
    made: list[Visitor] = []

    def make(*, java_script: bool = True) -> Visitor:
        visitor = Visitor(chromium.new_context(java_script_enabled=java_script), site)
        made.append(visitor)
        return visitor

    yield make
    for visitor in made:
        visitor.context.close()
