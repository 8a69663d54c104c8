"""Pages that record what they are told, and a crowd that notes what it does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

from centrifuge import (
    Client,
    ClientEventHandler,
    PublicationContext,
    SubscribedContext,
    SubscriptionEventHandler,
)

from presence.backends.redis.store import RedisStore
from presence.exceptions import StoreError
from tests.faults.checker import Heard, Move
from tests.websocket_clients import Swarm, connection_token, subscription_token

RECONNECT = {"min_reconnect_delay": 0.2, "max_reconnect_delay": 1.0}

Fetch = Callable[[], dict[str, Any] | None]
"""Function that returns a snapshot, or None where there is none yet. Raises StoreError."""


def snapshots(url: str, room: str) -> Fetch:
    """Return a function that reads the snapshot of a room as the endpoint of pages does."""
    store = RedisStore(url, timeout=2.0)

    def fetch() -> dict[str, Any] | None:
        stored = store.load_snapshots([room])[room].snapshot
        return json.loads(stored) if stored else None

    return fetch


class Page(SubscriptionEventHandler):
    """Subscriber that records all, and fetches a snapshot when `roster.js` would: after a
    subscription that recovered nothing, for another epoch, a gap or a reload."""

    def __init__(self, fetch: Fetch) -> None:
        self.record: list[Heard] = []
        self._fetch = fetch
        self._version: tuple[str, int] = ("", -1)
        self._again = False
        self._fetching: asyncio.Task[None] | None = None

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        recovered = ctx.was_recovering and ctx.recovered
        self.record.append(Heard(time.monotonic(), "subscribed", recovered))
        if not recovered:
            self._version = ("", -1)
            self._need_snapshot()

    async def on_publication(self, ctx: PublicationContext) -> None:
        data = ctx.pub.data
        self.record.append(Heard(time.monotonic(), "publication", data))
        if data["type"] == "presence.reload" or data["epoch"] != self._version[0]:
            self._need_snapshot()
        elif data["version"] == self._version[1] + 1:
            self._version = data["epoch"], data["version"]
        elif data["version"] > self._version[1]:
            self._need_snapshot()

    def _need_snapshot(self) -> None:
        self._again = True  # what is under way may be older than this
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._show_snapshot())

    async def _show_snapshot(self) -> None:
        while self._again:
            self._again = False
            try:
                found = await asyncio.to_thread(self._fetch)
            except StoreError:
                found = None
            if found:
                self.record.append(Heard(time.monotonic(), "snapshot", found))
                self._version = found["epoch"], found["version"]
            else:
                self._again = True
                await asyncio.sleep(0.2)  # as pages do, with a pause


class Crowd(Swarm):
    """Users of one room, with a journal of their moves; they reconnect at once, as browsers do.

    With more `urls`, connections are spread over them.
    """

    def __init__(self, room: str, *urls: str) -> None:
        super().__init__(urls[0])
        self._urls = cycle(urls)
        self.room = room
        self.moves: list[Move] = []
        self.pages: dict[str, Page] = {}

    def come(self, *users: str) -> None:
        self.connect_all([(user, self.room) for user in users])
        self.moves += [Move(time.monotonic(), user, True) for user in users]

    def go(self, *users: str) -> None:
        self.moves += [Move(time.monotonic(), user, False) for user in users]
        self.disconnect(*users)

    def watch(self, user: str, fetch: Fetch) -> None:
        """Have a page of `user` show the room, and record it."""
        page = self.pages[user] = Page(fetch)

        async def token(_: Any) -> str:
            return subscription_token(user, self.room)

        async def work() -> None:
            client = await self._connect(connection_token(user, name=f"User {user}"))
            self.clients.setdefault(user, []).append(client)
            subscription = client.new_subscription(
                self.room,
                events=page,
                get_token=token,
                min_resubscribe_delay=0.2,
                max_resubscribe_delay=1.0,
            )
            await subscription.subscribe()
            await subscription.ready(timeout=20)

        self.run(work())
        self.moves.append(Move(time.monotonic(), user, True))

    async def _connect(self, token: str) -> Client:
        client = Client(
            next(self._urls), events=ClientEventHandler(), token=token, timeout=20, **RECONNECT
        )
        await client.connect()
        await client.ready(timeout=30)
        return client
