"""Real websocket connections through centrifuge-python, driven from ordinary (sync) tests.

`python -m tests.websocket_clients URL '{"ada": ["presence:room"]}'` connects users until it is
killed: a process that a test stops or kills, as networks and computers do.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import jwt
from centrifuge import (
    Client,
    ClientEventHandler,
    PublicationContext,
    SubscribedContext,
    Subscription,
    SubscriptionEventHandler,
)

from presence_devtools.servers import ROOT, TOKEN_SECRET

T = TypeVar("T")


def connection_token(user: str, *, name: str = "", channels: Sequence[str] = ()) -> str:
    """Return a connection token; the server subscribes to `channels`."""
    claims: dict[str, Any] = {"sub": user, "exp": int(time.time()) + 3600}
    if name:
        claims["info"] = {"name": name, "info": {}, "iat": time.time()}
    if channels:
        claims["channels"] = list(channels)
    return jwt.encode(claims, TOKEN_SECRET, "HS256")


def subscription_token(user: str, channel: str) -> str:
    """Return a token for one channel."""
    claims = {"sub": user, "channel": channel, "exp": int(time.time()) + 3600}
    return jwt.encode(claims, TOKEN_SECRET, "HS256")


class Recorder(SubscriptionEventHandler):
    """Messages that a subscriber received, and whether each subscription recovered."""

    def __init__(self) -> None:
        self.publications: list[dict[str, Any]] = []
        self.recovered: list[bool] = []

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.publications.append(ctx.pub.data)

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.recovered.append(ctx.recovered)


class Swarm:
    """Connections in an event loop of their own; every call waits for the answer of the server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.clients: dict[str, list[Client]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    def connect(self, user: str, *channels: str, name: str = "", key: str = "") -> None:
        """Open a connection of `user`; the server subscribes it to the channels."""
        token = connection_token(user, name=name, channels=channels)
        self.clients.setdefault(key or user, []).append(self.run(self._connect(token)))

    def connect_all(self, users: Sequence[tuple[str, str]]) -> None:
        """Open a connection for each (user, channel), at once."""

        async def work() -> list[Client]:
            tokens = [connection_token(u, name=f"User {u}", channels=[c]) for u, c in users]
            return await asyncio.gather(*(self._connect(token) for token in tokens))

        for (user, _), client in zip(users, self.run(work()), strict=True):
            self.clients.setdefault(user, []).append(client)

    def disconnect(self, *keys: str) -> None:
        """Close every connection of these users."""

        async def work() -> None:
            gone = [client for key in keys for client in self.clients.pop(key, [])]
            await asyncio.gather(*(client.disconnect() for client in gone))

        self.run(work())

    def subscribe(self, user: str, channel: str) -> Recorder:
        """Open a connection of `user` that subscribes to `channel` itself, and records."""
        recorder = Recorder()

        async def work() -> None:
            client = await self._connect(connection_token(user, name=f"User {user}"))
            self.clients.setdefault(user, []).append(client)

            async def token(_: Any) -> str:
                return subscription_token(user, channel)

            subscription: Subscription = client.new_subscription(
                channel, events=recorder, get_token=token
            )
            await subscription.subscribe()
            await subscription.ready(timeout=20)

        self.run(work())
        return recorder

    def close(self) -> None:
        self.disconnect(*list(self.clients))
        self.run(_finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _connect(self, token: str) -> Client:
        client = Client(self._url, events=ClientEventHandler(), token=token, timeout=20)
        await client.connect()
        await client.ready(timeout=20)
        return client


async def _finish() -> None:
    """Wait for the closing handshakes, which continue after `disconnect`."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=10)


def start_process(url: str, users: Mapping[str, Sequence[str]]) -> subprocess.Popen[bytes]:
    """Start a process that connects each user to their channels. The caller kills it."""
    module = [sys.executable, "-m", "tests.websocket_clients"]
    return subprocess.Popen([*module, url, json.dumps(users)], cwd=ROOT)


def main(url: str, users: Mapping[str, Sequence[str]]) -> None:
    swarm = Swarm(url)
    for user, channels in users.items():
        swarm.connect(user, *channels, name=f"User {user}")
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
