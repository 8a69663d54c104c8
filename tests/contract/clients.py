"""The public clients for the contract tests; each method waits for the answer of the server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from centrifuge import (
    Client,
    ClientEventHandler,
    ReplyError,
    Subscription,
    SubscriptionEventHandler,
)

from presence_devtools.servers import ROOT, TOKEN_SECRET

PATIENCE = 30.0
LONGEST_LINE = 1 << 24
DRIVER = ROOT / "tests" / "contract" / "js" / "driver.mjs"


def token(user: str = "42", *, secret: str = TOKEN_SECRET, **claims: Any) -> str:
    """Return a JWT of either kind; `channel` makes it a subscription token."""
    return jwt.encode({"sub": user, **claims}, secret, "HS256")


def soon(seconds: float) -> int:
    """Return an expiry that many seconds from now."""
    return int(time.time() + seconds)


async def eventually(condition: Callable[[], bool], what: str, *, within: float = 10.0) -> None:
    """Return once `condition` holds. Raises AssertionError with `what` after a time-out."""
    ends = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


class Events:
    """Events that an SDK reported, in order; `passed` has the names that `next` skipped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.passed: list[str] = []

    def put(self, name: str, context: Any) -> None:
        self._queue.put_nowait((name, context))

    async def next(self, name: str) -> Any:
        """Return the context of the next event called `name`; skip others before it."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found, context = await self._queue.get()
                    if found == name:
                        return context
                    self.passed.append(found)
        except TimeoutError:
            raise AssertionError(f"no {name} but {self.passed}") from None


NAMES = {
    "connecting", "connected", "disconnected", "error", "subscribing", "subscribed",
    "unsubscribed", "publication", "join", "leave",
}  # fmt: skip


def _handler(base: type, events: Events) -> Any:
    """Return an event handler of centrifuge-python that puts everything into `events`."""

    def report(name: str) -> Callable[[Any, Any], Awaitable[None]]:
        async def on(self: Any, context: Any) -> None:
            events.put(name, context)

        return on

    methods = {f"on_{name}": report(name) for name in NAMES if hasattr(base, f"on_{name}")}
    return type("Handler", (base,), methods)()


class Visitor:
    """A connection through centrifuge-python."""

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        self.events = Events()
        self.client = Client(
            url,
            token=token,
            events=_handler(ClientEventHandler, self.events),
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.2,
            **options,
        )
        self.id = ""

    async def connect(self) -> Visitor:
        await self.client.connect()
        self.id = (await self.events.next("connected")).client
        return self

    async def publish(self, channel: str, data: Any) -> int:
        """Publish. Returns the code of the error, 0 if it succeeded."""
        try:
            await self.client.publish(channel, data)
        except ReplyError as error:
            return int(error.code)
        return 0

    async def subscribe(self, channel: str, token: str = "", **options: Any) -> Subscribed:
        """Return a subscription that has been confirmed."""
        subscribed = self.begin(channel, token, **options)
        await subscribed.subscription.subscribe()
        subscribed.context = await subscribed.events.next("subscribed")
        return subscribed

    def begin(self, channel: str, token: str = "", **options: Any) -> Subscribed:
        """Return a subscription that has not been requested yet."""
        events = Events()
        handler = _handler(SubscriptionEventHandler, events)
        options = {"min_resubscribe_delay": 0.05, "max_resubscribe_delay": 0.2, **options}
        subscription = self.client.new_subscription(channel, handler, token=token, **options)
        return Subscribed(subscription, events)


class Subscribed:
    """Subscription of a Visitor, its events, and the context of its first `subscribed`."""

    def __init__(self, subscription: Subscription, events: Events) -> None:
        self.subscription = subscription
        self.events = events
        self.context: Any = None


class Browser:
    """A connection through centrifuge-js, in a Node process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._reader = asyncio.create_task(self._read())
        self._events: dict[str | None, Events] = {}

    @classmethod
    async def open(cls, url: str, token: str, **options: Any) -> Browser:
        """Start Node and connect; `options` are the SDK's."""
        process = await asyncio.create_subprocess_exec(
            node(),
            str(DRIVER),
            url,
            json.dumps({"token": token, **options}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        return cls(process)

    def tell(self, do: str, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **command}).encode() + b"\n")

    async def next(self, name: str, channel: str | None = None) -> Any:
        """Return the next event of a subscription or, without a channel, of the client."""
        return await self._of(channel).next(name)

    def passed(self, channel: str | None = None) -> list[str]:
        """Return the names of the events that `next` has skipped."""
        return self._of(channel).passed

    async def ask(self, do: str, **command: Any) -> Any:
        """Return the answer to a command: {"result": …} or {"error": …}."""
        self.tell(do, **command)
        return await self.next(do)

    async def subscribe(self, channel: str, **options: Any) -> Any:
        """Return the context of `subscribed`."""
        self.tell("subscribe", channel=channel, options=options)
        return await self.next("subscribed", channel)

    async def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()
        await self._reader

    def _of(self, channel: str | None) -> Events:
        return self._events.setdefault(channel, Events())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if not line.endswith(b"\n"):
                return  # the process ended in the middle of it
            event = json.loads(line)
            self._of(event.get("channel")).put(event["on"], event)


def node() -> str:
    """Return the path of node. Without it or the npm packages: skip, but fail in CI."""
    found = shutil.which("node")
    missing = [name for name in ("centrifuge", "ws") if not (ROOT / "node_modules" / name).exists()]
    if found and not missing:
        return found
    reason = "centrifuge-js needs node on PATH and `npm ci`" + f": {missing}" * bool(missing)
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
