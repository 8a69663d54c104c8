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
    ReplyError,
    SubscribedContext,
    SubscriptionErrorContext,
    SubscriptionEventHandler,
    UnsubscribedContext,
)
from websockets.exceptions import InvalidStatus, InvalidURI

from presence.conf import masked
from presence_devtools.crowd.people import Plan
from presence_devtools.crowd.tally import Tally
from presence_devtools.crowd.walk import Point, Walk

INVALID_TOKEN = 3500  # a code of disconnects
UNKNOWN_CHANNEL, PERMISSION_DENIED, TOKEN_EXPIRED = 102, 103, 109  # codes of replies

SIGNED = "CENTRIFUGO_TOKEN_SECRET must equal Centrifugo's client.token.hmac_secret_key"
CLOCK = "Centrifugo finds new tokens expired: set the clocks of both machines (NTP)"

PATIENCE = 10.0
"""Seconds for a connection with its subscriptions, and for an answer to a move."""

LATEST = 5.0
"""Maximum of seconds between two attempts to connect, as in a page."""

ASKED = 0
"""Code of a disconnect or unsubscribe that this side asked for."""


class Refused(Exception):
    """Raised if a person cannot connect; the message names the setting to check."""


class Guest:
    """The connection of person `number`. Later failures are counted in the tally."""

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
        """Connect and subscribe. Raises Refused; retries failures that may pass."""
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
        """Move until `stop`. Moves that Centrifugo refuses are counted."""
        loop = asyncio.get_running_loop()
        due = last = loop.time()
        walk = Walk(random, now=due)
        # A cancellation alone does not suffice: the SDK may swallow it.
        while not self._stopped and self._client.state is not ClientState.DISCONNECTED:
            # Moves that are overdue are skipped.
            due = max(due + self._plan.interval, loop.time())
            await asyncio.sleep(due - loop.time())
            point = walk.at(loop.time())
            if not self._connected:
                continue
            if point != self._shown or (point and loop.time() - last >= self._plan.keep_alive):
                last = loop.time()
                await self._show(point)

    def stop(self) -> None:
        """Stop moving."""
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
            self._tally.problems[_why(error)] += 1
        else:
            self._tally.sent += 1

    async def _connection_token(self) -> str:
        return self._plan.issuer(self._number).connection()

    async def _subscription_token(self, channel: str) -> str:
        return self._plan.issuer(self._number).subscription(channel)

    def connected(self) -> None:
        """Note that the connection is open, for the first time or again."""
        self._tally.connected += 1
        self._connected = True

    def disconnected(self, reason: str) -> None:
        """Note that the connection has ended; `reason` is "" if nothing is wrong."""
        self._tally.connected -= self._connected
        self._connected = False
        if reason:
            self.failed(reason)

    def subscribed(self, channel: str) -> None:
        """Note the subscription to `channel`."""
        self._missing.discard(channel)
        if not self._missing and not self._in.done():
            self._in.set_result(None)

    def failed(self, reason: str) -> None:
        """Note a failure: it ends `enter` or, later, is counted."""
        if self._in.done():
            self._tally.problems[reason] += 1
        else:
            self._in.set_exception(Refused(reason))


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
        self._guest.disconnected("" if ctx.code == ASKED else _ended(ctx.code, ctx.reason))

    async def on_error(self, ctx: ErrorContext) -> None:
        self._guest.failed(_why(ctx.error))


class _Subscription(SubscriptionEventHandler):  # type: ignore[misc]
    def __init__(self, guest: Guest, tally: Tally, channel: str) -> None:
        self._guest, self._tally, self._channel = guest, tally, channel

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self._guest.subscribed(self._channel)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        if ctx.code != ASKED:
            self._guest.failed(_refused(self._channel, ctx.code, ctx.reason))

    async def on_publication(self, ctx: PublicationContext) -> None:
        self._tally.received += 1

    async def on_error(self, ctx: SubscriptionErrorContext) -> None:
        self._guest.failed(_why(ctx.error))


def _why(error: Exception) -> str:
    """Return why a connection or a move failed, with the setting to check."""
    if isinstance(error, ReplyError):
        if error.code == TOKEN_EXPIRED:
            return CLOCK
        return f"Centrifugo answers error {error.code} ({error.message})"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return f"no websocket there (HTTP {status}): look at CENTRIFUGO_WS_URL"
    if isinstance(error, InvalidURI):
        return "no URL of a websocket: look at CENTRIFUGO_WS_URL"
    if isinstance(error, OSError):
        text = error.strerror or masked(error) or type(error).__name__
        return f"cannot reach Centrifugo ({text}): is it running, and is CENTRIFUGO_WS_URL right?"
    return masked(error) or type(error).__name__


def _ended(code: int, reason: str) -> str:
    """Return why Centrifugo ended a connection for good."""
    if code == INVALID_TOKEN:
        return f"Centrifugo refuses our tokens: {SIGNED}"
    return f"Centrifugo ended the connection ({code} {reason})"


def _refused(channel: str, code: int, reason: str) -> str:
    """Return why there is no subscription to `channel`."""
    namespace = channel.partition(":")[0]
    if code == UNKNOWN_CHANNEL:
        return f"Centrifugo has no namespace {namespace!r}: see channel.namespaces of its file"
    if code == PERMISSION_DENIED:
        return f"Centrifugo refuses our tokens for {channel}: {SIGNED}"
    return f"Centrifugo refuses {channel} ({code} {reason})"
