"""Pages without a browser: websocket connections that do what the scripts of a page do."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin

import requests
from websockets.asyncio.client import ClientConnection, connect

from bench.live_site import GRACE, INTERVAL
from tests.browser.one_page_site import Stage, include
from tests.websocket_clients import connection_token

CHECK_AFTER = 1.5
"""Seconds from its subscription after which a page that its roster lacks reports that."""
PATIENCE = 2.0 * INTERVAL
"""Seconds after which a change that nobody saw is lost. They count as its time."""

DIFF = "presence.diff"
Data = dict[str, Any]
Seen = Callable[[Data], bool]
"""Function that returns whether a diff shows what is awaited."""


def join_of(user: str) -> Seen:
    """Return a function that returns whether a diff shows that the user came."""
    return lambda diff: any(member["id"] == user for member in diff.get("joins", ()))


def leave_of(user: str) -> Seen:
    """Return a function that returns whether a diff shows that the user left."""
    return lambda diff: user in diff.get("leaves", ())


class Connection:
    """A connection that answers pings."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._replies: dict[int, asyncio.Future[Data]] = {}

    async def open(self) -> None:
        self._socket: ClientConnection = await connect(self._url, max_size=None)
        self._reading = asyncio.create_task(self._read())
        await self.ask(1, connect={"token": self._token})

    async def ask(self, number: int, **command: Data) -> Data:
        """Send a command, and return its reply. Raises RuntimeError if it is an error."""
        self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, **command}))
        reply = await self._replies[number]
        if "error" in reply:
            raise RuntimeError(f"Centrifugo refused {list(command)}: {reply['error']}")
        return reply

    async def close(self) -> None:
        await self._socket.close()
        await self._reading

    def receive(self, channel: str, diff: Data, moment: float) -> None:
        """Take a diff that came at `moment`."""

    async def _read(self) -> None:
        async for frame in self._socket:
            moment = time.monotonic()
            for line in str(frame).splitlines():
                message = json.loads(line)
                if not message:
                    await self._socket.send("{}")
                elif number := message.get("id"):
                    self._replies.pop(number).set_result(message)
                elif (push := message.get("push", {})).get("pub", {}).get("data", {}).get(
                    "type"
                ) == DIFF:
                    self.receive(push["channel"], push["pub"]["data"], moment)


class Observer(Connection):
    """The page of somebody who is in many rooms, and notes when they show a change."""

    def __init__(self, stage: Stage, rooms: list[str], user: str = "observer") -> None:
        super().__init__(stage.centrifugo.ws_url, connection_token(user, channels=rooms))
        self._awaited: dict[str, list[tuple[Seen, asyncio.Future[float]]]] = {}

    def expect(self, room: str, seen: Seen) -> asyncio.Future[float]:
        """Return a future of the time at which a diff of the room shows what is awaited."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(room, []).append((seen, future))
        return future

    def receive(self, channel: str, diff: Data, moment: float) -> None:
        for awaited in list(self._awaited.get(channel, ())):
            seen, future = awaited
            if seen(diff):
                self._awaited[channel].remove(awaited)
                if not future.done():
                    future.set_result(moment)


class Page(Connection):
    """A page with the widget of a room, of a new user or, if not `signed_in`, of a new visitor.

    `checks` counts the self-checks that it sent.
    """

    def __init__(self, stage: Stage, room: str, *, signed_in: bool = True) -> None:
        self._session, self._stage, self.room = requests.Session(), stage, room
        # A browser sends a request again that meets the end of an idle connection; this does not.
        self._session.headers["Connection"] = "close"
        self._signed_in, self._shown, self.checks = signed_in, False, 0

    async def open(self) -> None:
        """Load the HTML, exchange its grant for tokens, and connect."""
        await asyncio.to_thread(self._load)
        await super().open()

    async def join(self) -> float:
        """Subscribe. Returns the time at which the page asked for that."""
        began = time.monotonic()
        await self.ask(2, subscribe={"channel": self.room, "token": self._granted["token"]})
        if self._granted["self"] and self.listed:
            self._checking = asyncio.create_task(self._check())
        return began

    async def leave(self) -> float:
        """Close the connection. Returns the time at which the page began to."""
        began = time.monotonic()
        await self.close()
        self._session.close()
        return began

    def receive(self, channel: str, diff: Data, moment: float) -> None:
        self._shown = self._shown or self.is_joined_in(diff)

    def is_joined_in(self, diff: Data) -> bool:
        """Return whether the diff shows that the visitor of this page came."""
        if self._signed_in and self.listed:
            return join_of(self._id)(diff)
        return self._count(diff) > self.before

    def is_left_in(self, diff: Data) -> bool:
        """Return whether the diff shows that the visitor of this page left."""
        if self._signed_in and self.listed:
            return leave_of(self._id)(diff)
        return self._count(diff) <= self.before

    def _count(self, diff: Data) -> int:
        return int(diff["total" if self._signed_in else "anonymous"])

    def _load(self) -> None:
        if self._signed_in:
            who = {"who": f"page-{secrets.token_hex(6)}"}
            self._id = self._session.get(f"{self._stage.url}/enter/", params=who).text
        html = self._session.get(self._stage.page(include(self.room))).text
        self.listed = attribute(html, "listed") == "true"
        self.before = int(attribute(html, "total" if self._signed_in else "anonymous"))
        self._grants = {"grants": [attribute(html, "grant")]}
        answer = self._session.post(
            urljoin(self._stage.url, attribute(html, "tokens")), json=self._grants
        ).json()
        self._granted = answer["channels"][self.room]
        if self._granted["self"]:
            self._check_url = urljoin(self._stage.url, attribute(html, "check"))
        super().__init__(answer["url"], answer["connection"])

    async def _check(self) -> None:
        await asyncio.sleep(CHECK_AFTER)
        if not self._shown and self._socket.close_code is None:
            self.checks += 1
            answer = await asyncio.to_thread(self._session.post, self._check_url, json=self._grants)
            answer.raise_for_status()


def attribute(html: str, name: str) -> str:
    """Return the value of `data-presence-<name>` of the page's widget."""
    match = re.search(rf'<presence-roster[^>]*? data-presence-{name}="([^"]*)"', html, re.DOTALL)
    if match is None:
        raise RuntimeError(f"The page has no data-presence-{name}: {html[:500]}")
    return unescape(match[1])


@dataclass
class Times:
    """Seconds from each join and leave of pages until another page sees it, leaves less the grace;
    and the number of self-checks."""

    joins: list[float] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    checks: int = 0


async def come_and_go(
    stage: Stage, observer: Observer, rooms: Sequence[str], times: Times, *, signed_in: bool = True
) -> None:
    """Have a new page join and leave each room, one after the other, at random moments."""
    for room in rooms:
        page = Page(stage, room, signed_in=signed_in)
        await page.open()
        await asyncio.sleep(random.random())
        seen = observer.expect(room, page.is_joined_in)
        began = await page.join()
        times.joins.append(await moment_of(seen) - began)
        await asyncio.sleep(random.random())
        seen = observer.expect(room, page.is_left_in)
        began = await page.leave()
        times.leaves.append(await moment_of(seen) - began - GRACE)
        times.checks += page.checks


async def moment_of(seen: asyncio.Future[float]) -> float:
    """Wait until a change is seen, at most PATIENCE. Returns the time."""
    try:
        return await asyncio.wait_for(seen, PATIENCE)
    except TimeoutError:
        return time.monotonic()


@asynccontextmanager
async def opened(*connections: Connection) -> AsyncIterator[None]:
    """Open connections, and close them afterwards."""
    await asyncio.gather(*(connection.open() for connection in connections))
    try:
        yield
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
