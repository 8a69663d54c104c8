"""A site of one page whose ticks are a test's to run: Redis, Centrifugo and web, no worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from playwright.sync_api import BrowserContext, Locator, Page, WebSocket, expect

from presence_devtools import servers
from tests.websocket_clients import Swarm

EVERY = 60.0  # seconds between two ticks, as the pages are told
PATIENCE = 15_000  # ms
expect.set_options(timeout=PATIENCE)

NOTE_LEAVES = """() => {
    globalThis.left = [];
    document.addEventListener("presence:leave", ({ detail }) => globalThis.left.push(detail));
}"""


@dataclass
class Stage:
    """The running parts; each can be stopped and started again."""

    url: str
    web: servers.Server
    redis: servers.Server
    redis_url: str
    centrifugo: servers.Centrifugo

    def page(self, body: str) -> str:
        """URL of a page with this template text in its body."""
        return f"{self.url}/?{urlencode({'body': body})}"

    def publish(self, channel: str, data: object) -> None:
        """Send everybody who is subscribed any data at all."""
        self._ask("publish", channel=channel, data=data)

    def disconnect(self, user: str) -> None:
        """Break the connections of a user, who may come back."""
        self._ask("disconnect", user=user, disconnect={"code": 3008, "reason": "try again"})

    def clients(self, channel: str) -> int:
        """Return the number of connections that are subscribed."""
        return int(self._ask("presence_stats", channel=channel)["num_clients"])

    def _ask(self, method: str, **arguments: object) -> Any:
        request = urllib.request.Request(
            f"{self.centrifugo.api_url}/{method}",
            data=json.dumps(arguments).encode(),
            headers={"X-API-Key": servers.API_KEY, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)["result"]


def tell_of_joins(namespaces: list[dict[str, Any]]) -> None:
    """Have Centrifugo tell the subscribers of every channel of joins and leaves."""
    for namespace in namespaces:
        namespace.update(join_leave=True, force_push_join_leave=True)


def write_config(directory: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Write the project's configuration of Centrifugo, with its namespaces changed by `change`.

    Its pings are as far apart as Centrifugo's own are: for a page whose clock a test moves, seconds
    pass in which the server sends none.
    """
    config = json.loads(servers.CONFIG.read_text())
    config["client"] |= {"ping_interval": "25s", "pong_timeout": "8s"}
    change(config["channel"]["namespaces"])
    path = directory / "centrifugo.json"
    path.write_text(json.dumps(config))
    return path


@contextmanager
def open_stage(
    directory: Path, config: Path | None = None, *, every: float = EVERY
) -> Iterator[Stage]:
    """A stage that keeps its files in `directory`, with the configuration of `write_config`.

    Its pages are told that it ticks `every` so many seconds.
    """
    config = config or write_config(directory, lambda namespaces: None)
    with (
        servers.redis_server(directory) as (redis_url, redis),
        servers.centrifugo_server(directory, config) as centrifugo,
    ):
        environment = {
            **os.environ,
            **centrifugo.environment,
            "PRESENCE_REDIS_URL": redis_url,
            "DATABASE_PATH": str(directory / "stage.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "tests.browser.pages.settings",
            "PRESENCE_INTERVAL": str(every),
            "DEBUG": "1",
        }
        migrate = servers.manage("migrate", "-v", "0")
        subprocess.run(migrate, env=environment, check=True, timeout=120)
        port = servers.free_port()
        url = f"http://127.0.0.1:{port}"
        serve = ["gunicorn", "project.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "8"]
        web = servers.Server(
            [sys.executable, "-m", *serve],
            environment,
            lambda: answers(url + "/favicon.ico"),
            directory / "web.log",
        )
        web.start()
        try:
            yield Stage(url, web, redis, redis_url, centrifugo)
        finally:
            web.stop()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status < 300)
    except OSError:
        return False


class Crowd(Swarm):
    """Members without a browser: connections that the server subscribes to channels."""

    def join(self, who: str, *channels: str, name: str = "", **info: Any) -> None:
        """Open one more connection of the user `who`, known as `name` or else by the id."""
        token = self.token(who, *channels, name=name, **info)
        self.clients.setdefault(who, []).append(self.run(self._connect(token)))

    def token(self, who: str, *channels: str, name: str = "", **info: Any) -> str:
        """Return the token of a connection that the server subscribes to the channels."""
        signed = {"name": name or who, "info": info, "iat": time.time()}
        claims = {"sub": who, "exp": int(time.time()) + 3600, "channels": list(channels)}
        return jwt.encode({**claims, "info": signed}, servers.TOKEN_SECRET, "HS256")

    def fill(self, channel: str, whos: Sequence[str]) -> None:
        """A member each, in this order."""
        for who in whos:
            self.join(who, channel)

    def leave(self, *whos: str) -> None:
        """Close every connection of these users."""
        self.disconnect(*whos)


class Guest:
    """One person with a browser of their own. Collects what the consoles complain of."""

    def __init__(self, context: BrowserContext, stage: Stage) -> None:
        self.context = context
        self.stage = stage
        self.id = ""
        self.expected = r"(?!)"
        self._said: list[str] = []

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the consoles that were not `expected` (a pattern)."""
        return [text for text in self._said if not re.search(self.expected, text)]

    def enter(self, who: str, name: str = "") -> Guest:
        """Sign in, without a page."""
        query = urlencode({"who": who, **({"name": name} if name else {})})
        self.id = self.context.request.get(f"{self.stage.url}/enter/?{query}").text()
        return self

    def exit(self) -> None:
        """Sign out, as in another tab."""
        self.context.request.get(f"{self.stage.url}/leave/")

    def cut(self) -> None:
        """Take the network away."""
        self.context.set_offline(True)

    def mend(self) -> None:
        """Give the network back."""
        self.context.set_offline(False)

    def open(self, body: str, *, clock: bool = False) -> Page:
        """A page with this template text in its body. With `clock`, the test turns its time."""
        page = self.new_page(clock=clock)
        page.goto(self.stage.page(body))
        return page

    def new_page(self, *, clock: bool = False) -> Page:
        """An empty page whose console is listened to."""
        page = self.context.new_page()
        self.listen(page)
        if clock:
            page.clock.install()
        return page

    def listen(self, page: Page) -> None:
        page.on(
            "console",
            lambda m: self._said.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self._said.append(str(error)))


Visit = Callable[..., Guest]
"""Type of the fixture `visit`."""
Tick = Callable[..., None]
"""Type of the fixture `tick`."""


def include(channel: str, variant: str = "list") -> str:
    """Return the template text of a widget, as sites write it."""
    return f'{{% include "presence/widget.html" with channel="{channel}" variant="{variant}" %}}'


def roster(page: Page, channel: str, variant: str = "") -> Locator:
    """Return the widget of a channel."""
    which = f'[data-presence-variant="{variant}"]' if variant else ""
    return page.locator(f'presence-roster[data-presence-channel="{channel}"]{which}')


def live(page: Page, channel: str, variant: str = "") -> Locator:
    """Return the widget of a channel, once it is live."""
    found = roster(page, channel, variant)
    expect(found).to_have_attribute("data-presence-state", "live")
    return found


def sockets(page: Page) -> list[WebSocket]:
    """Return the websockets that the page opens from now on."""
    found: list[WebSocket] = []
    page.on("websocket", lambda socket: found.append(socket))
    return found


def overflowing(page: Page) -> list[str]:
    """Elements that are wider than the window, or than the widget that they are in."""
    found: list[str] = page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll("presence-roster")]
            .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.outerHTML)"""
    )
    return found


def pass_time(page: Page, seconds: float) -> None:
    """Let a page with an installed clock live through so much time, while the server pings it."""
    while seconds > 0:
        page.clock.fast_forward(round(min(seconds, 20) * 1000))
        seconds -= 20


def ids(widget: Locator) -> list[str]:
    """Return the members that the widget shows, in the order of the page, without those who
    leave."""
    found: list[str] = widget.evaluate(
        """(root) => [...root.querySelectorAll("[data-presence-member]")]
            .filter((member) => !("presenceLeaving" in member.dataset))
            .map((member) => member.dataset.presenceMember)"""
    )
    return found


def expect_ids(widget: Locator, wanted: Sequence[str]) -> None:
    """Wait until the widget shows exactly these members, in this order."""
    ends = time.monotonic() + PATIENCE / 1000
    while (shown := ids(widget)) != list(wanted):
        assert time.monotonic() < ends, f"{shown} are shown, not {list(wanted)}"
        widget.page.wait_for_timeout(20)
