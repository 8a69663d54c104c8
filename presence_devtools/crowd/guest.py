"""One connection of the crowd, through centrifuge-python."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    ClientState,
    ConnectedContext,
    ConnectingContext,
    DisconnectedContext,
    ErrorContext,
    PublicationContext,
    SubscribedContext,
    SubscriptionErrorContext,
    SubscriptionEventHandler,
    UnsubscribedContext,
)

from presence_devtools.crowd.plan import Plan
from presence_devtools.crowd.reasons import ended, refused, said
from presence_devtools.crowd.tally import Tally
from presence_devtools.crowd.walk import Point, Walk

__all__ = ["Guest", "Refused"]

PATIENCE = 10.0
"""Seconds for a connection and its subscriptions to stand, and for an answer to a move."""

LATEST = 5.0
"""Seconds between two attempts to connect again, at most: as in a page."""

ASKED = 0
"""The code of what this side asked for."""


class Refused(Exception):
    """Somebody did not get in; says why, and which setting to look at."""


class Guest:
    """Person `number`. What happens to the connection later is counted in the tally."""

    def __init__(self, number: int, plan: Plan, tally: Tally) -> None:
        self._plan, self._tally, self._number = plan, tally, number
        self._in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = {plan.channel, plan.cursors} - {""}
        self._client = Client(
            plan.url,
            events=_Connection(self, tally),
            get_token=self._connection_token,
            timeout=PATIENCE,
            max_reconnect_delay=LATEST,
        )
        self._cursors: Any = None
        self._shown: Point | None = None
        self._connected = False
        self._stopped = False

    async def enter(self) -> None:
        """Connect and subscribe. Raises Refused, and goes on trying where that may help."""
        await self._client.connect()
        for channel in sorted(self._missing):
            events = _Subscription(self, self._tally, channel)
            subscription = self._client.new_subscription(
                channel, events, get_token=self._subscription_token
            )
            if channel == self._plan.cursors:
                self._cursors = subscription
            await subscription.subscribe()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._in
        except TimeoutError:
            raise Refused(f"Centrifugo did not answer within {PATIENCE:g} s") from None

    async def wander(self, random: Random) -> None:
        """Move about until told to stop. What is not taken is counted."""
        loop = asyncio.get_running_loop()
        due = last = loop.time()
        walk = Walk(random, now=due)
        # Not by cancelling alone, which the SDK may lose.
        while not self._stopped and self._client.state is not ClientState.DISCONNECTED:
            # Who is late leaves moves out.
            due = max(due + self._plan.interval, loop.time())
            await asyncio.sleep(due - loop.time())
            point = walk.at(loop.time())
            if not self._connected:
                continue
            if point != self._shown or (point and loop.time() - last >= self._plan.keep_alive):
                last = loop.time()
                await self._show(point)

    def stop(self) -> None:
        """Stand still from now on."""
        self._stopped = True

    async def leave(self) -> None:
        """Take the cursor away, and close the connection."""
        if self._shown and self._connected:
            await self._show(None)
        await self._client.disconnect()

    async def _show(self, point: Point | None) -> None:
        x, y = point or (0.0, 0.0)
        message = {"x": round(x, 4), "y": round(y, 4)} if point else {"gone": True}
        before, self._shown = self._shown, point
        try:
            await self._cursors.publish(message)
        except CentrifugeError as error:
            self._shown = before
            self._tally.problems[said(error)] += 1
        else:
            self._tally.sent += 1

    async def _connection_token(self) -> str:
        return self._plan.issuer(self._number).connection()

    async def _subscription_token(self, channel: str) -> str:
        return self._plan.issuer(self._number).subscription(channel)

    def connected(self) -> None:
        """The connection stands, for the first time or again."""
        self._tally.connected += 1
        self._connected = True

    def disconnected(self, why: str) -> None:
        """The connection has ended; `why` is "" where nothing is wrong."""
        self._tally.connected -= self._connected
        self._connected = False
        if why:
            self.failed(why)

    def subscribed(self, channel: str) -> None:
        """The subscription to `channel` stands."""
        self._missing.discard(channel)
        if not self._missing and not self._in.done():
            self._in.set_result(None)

    def failed(self, why: str) -> None:
        """Something went wrong: a reason not to get in or, later, one to be counted."""
        if self._in.done():
            self._tally.problems[why] += 1
        else:
            self._in.set_exception(Refused(why))


class _Connection(ClientEventHandler):  # type: ignore[misc]  # centrifuge is not typed
    def __init__(self, guest: Guest, tally: Tally) -> None:
        self._guest, self._tally = guest, tally

    async def on_connected(self, ctx: ConnectedContext) -> None:
        self._guest.connected()

    async def on_connecting(self, ctx: ConnectingContext) -> None:
        if ctx.code != ASKED:
            self._tally.reconnects += 1
            self._guest.disconnected("")

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self._guest.disconnected("" if ctx.code == ASKED else ended(ctx.code, ctx.reason))

    async def on_error(self, ctx: ErrorContext) -> None:
        self._guest.failed(said(ctx.error))


class _Subscription(SubscriptionEventHandler):  # type: ignore[misc]
    def __init__(self, guest: Guest, tally: Tally, channel: str) -> None:
        self._guest, self._tally, self._channel = guest, tally, channel

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self._guest.subscribed(self._channel)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        if ctx.code != ASKED:
            self._guest.failed(refused(self._channel, ctx.code, ctx.reason))

    async def on_publication(self, ctx: PublicationContext) -> None:
        self._tally.received += 1

    async def on_error(self, ctx: SubscriptionErrorContext) -> None:
        self._guest.failed(said(ctx.error))
