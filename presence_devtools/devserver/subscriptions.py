"""The subscriptions of one connection: how they begin, what they are sent, how they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from .admission import Applicant, admit, check_token, recover
from .codes import (
    ALREADY_SUBSCRIBED,
    BAD_REQUEST,
    EXPIRED,
    INAPPROPRIATE_PROTOCOL,
    INSUFFICIENT_STATE,
    INVALID_TOKEN,
    LIMIT_EXCEEDED,
    MALFORMED,
    PERMISSION_DENIED,
    SUBSCRIPTION_EXPIRED,
    TOKEN_EXPIRED,
    UNSUBSCRIBED_EXPIRED,
    UNSUBSCRIBED_STATE,
    Disconnect,
    HangUpError,
    RefusedError,
    Unsubscribe,
)
from .hub import Client
from .node import Node
from .tokens import InvalidTokenError, SubscribeOptions
from .wire import (
    NONE,
    ClientInfo,
    ExpiryResult,
    Position,
    Publication,
    Push,
    Raw,
    Reply,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    encode,
)


class Connection(Client, Applicant, Protocol):
    """What the subscriptions of a connection need of it."""

    conn_info: Raw

    def send(self, message: bytes) -> None: ...


class Subscription(msgspec.Struct):
    """One channel of one connection."""

    options: SubscribeOptions
    position: Position
    checked_at: float
    server_side: bool
    from_token: bool


class Subscriptions:
    """Channel -> subscription, for one connection."""

    def __init__(self, node: Node, connection: Connection) -> None:
        self._node = node
        self._connection = connection
        self._channels: dict[str, Subscription] = {}

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def __len__(self) -> int:
        return len(self._channels)

    def channels_from_token(self) -> set[str]:
        """The channels of the connection token's claims."""
        return {channel for channel, each in self._channels.items() if each.from_token}

    def info(self, channel: str = "") -> ClientInfo:
        """Who this is, as others see it; with the channel info of a subscription."""
        mine = self._connection
        subscription = self._channels.get(channel)
        chan_info = subscription.options.info if subscription else NONE
        return ClientInfo(mine.user, mine.id, mine.conn_info, chan_info)

    def subscribe(self, request: SubscribeRequest) -> SubscribeResult:
        """A client asks. Raises RefusedError and HangUpError as Centrifugo answers."""
        config = self._node.config
        if not request.channel:
            raise HangUpError(MALFORMED)
        if len(request.channel.encode()) > config.channel.max_length > 0:
            raise RefusedError(BAD_REQUEST)
        if request.channel in self:
            raise RefusedError(ALREADY_SUBSCRIBED)
        if len(self) >= config.client.channel_limit > 0:
            raise RefusedError(LIMIT_EXCEEDED)
        return self.add(request, admit(request, self._connection, self._node))

    def add(
        self,
        request: SubscribeRequest,
        options: SubscribeOptions,
        *,
        server_side: bool = False,
        from_token: bool = False,
    ) -> SubscribeResult:
        """Subscribe with `options`; the join is not announced, that is `announce`.

        Refuses an expiry in the past (110), and what `recover` refuses.
        """
        channel = request.channel
        now = self._node.clock.now()
        result = SubscribeResult(data=options.data)
        if options.expire_at:
            ttl = int(options.expire_at) - int(now)
            if ttl <= 0:
                raise RefusedError(EXPIRED)
            if not server_side:
                result.expires, result.ttl = True, ttl
        top = Position()
        if options.positioning or options.recovery:
            top = recover(request, options, result, self._node)
        result.was_recovering = request.recover
        self._channels[channel] = Subscription(options, top, now, server_side, from_token)
        self._node.hub.subscribe(channel, self._connection)
        if options.presence:
            self._node.hub.presence.add(channel, self.info(channel))
        return result

    def announce(self, channels: Iterable[str]) -> None:
        """Tell of joins; to be called once the client has its reply."""
        for channel in channels:
            if channel in self and self._channels[channel].options.join_leave:
                self._node.join(channel, self.info(channel))

    def remove(self, channel: str) -> None:
        """End a subscription, if there is one; the client is told nothing, the others a leave."""
        if channel not in self:
            return
        info = self.info(channel)
        options = self._channels.pop(channel).options
        if options.presence:
            self._node.hub.presence.remove(channel, self._connection.id)
        if options.join_leave:
            self._node.leave(channel, info)
        self._node.hub.unsubscribe(channel, self._connection)

    def remove_all(self) -> None:
        for channel in list(self._channels):
            self.remove(channel)

    def end(self, channel: str, reason: Unsubscribe) -> None:
        """End a subscription and tell the client why."""
        self.remove(channel)
        self._connection.send(encode(Reply(push=Push(channel=channel, unsubscribe=reason))))

    def refresh(self, request: SubRefreshRequest) -> ExpiryResult:
        """A new token for a subscription. Raises RefusedError and HangUpError.

        One that has expired by `exp` ends the subscription's own expiry: Centrifugo answers so.
        """
        subscription = self._channels.get(request.channel)
        if subscription is None:
            raise RefusedError(PERMISSION_DENIED) if request.channel else HangUpError(MALFORMED)
        if subscription.server_side:
            raise HangUpError(MALFORMED)
        if not request.token:
            raise RefusedError(BAD_REQUEST)
        try:
            token = check_token(request.channel, request.token, self._connection, self._node)
            options = token.options
        except InvalidTokenError as error:
            raise HangUpError(INVALID_TOKEN) from error
        except RefusedError as error:
            if error.error is not TOKEN_EXPIRED:
                raise
            options = SubscribeOptions()
        ttl = int(options.expire_at) - int(self._node.clock.now())
        if options.expire_at and ttl < 0:
            raise RefusedError(EXPIRED)
        subscription.options.info = options.info
        subscription.options.expire_at = options.expire_at
        return ExpiryResult(expires=True, ttl=ttl) if options.expire_at else ExpiryResult()

    def deliver(
        self, channel: str, publication: Publication, position: Position, message: bytes
    ) -> None:
        """Send a publication, if it is the next one where positions count."""
        subscription = self._channels.get(channel)
        if subscription is None:
            return
        if not message:
            self._connection.close(INAPPROPRIATE_PROTOCOL)
            return
        if publication.offset and _positioned(subscription):
            mine = subscription.position
            if position.epoch != mine.epoch or publication.offset > mine.offset + 1:
                self._drop(channel, UNSUBSCRIBED_STATE, INSUFFICIENT_STATE)
                return
            if publication.offset <= mine.offset:
                return
            subscription.position = position
            subscription.checked_at = self._node.clock.now()
        self._connection.send(message)

    def deliver_moved(self, channel: str, message: bytes) -> None:
        """Send a join or leave, if this subscription wants them."""
        subscription = self._channels.get(channel)
        if subscription is not None and subscription.options.push_join_leave:
            self._connection.send(message)

    def check(self) -> None:
        """Renew presence, end what has expired or lost its place; done every so often."""
        client = self._node.config.client
        now = self._node.clock.now()
        for channel, subscription in list(self._channels.items()):
            expire_at = subscription.options.expire_at
            if expire_at and int(now) > expire_at + int(client.expired_sub_close_delay):
                self._drop(channel, UNSUBSCRIBED_EXPIRED, SUBSCRIPTION_EXPIRED)
                continue
            if subscription.options.presence:
                self._node.hub.presence.add(channel, self.info(channel))
            due = now - subscription.checked_at > client.channel_position_check_delay
            if _positioned(subscription) and due:
                namespace = self._node.config.channel_options(channel)
                if namespace and self._node.top(channel, namespace) != subscription.position:
                    self._drop(channel, UNSUBSCRIBED_STATE, INSUFFICIENT_STATE)
                subscription.checked_at = now

    def _drop(self, channel: str, reason: Unsubscribe, disconnect: Disconnect) -> None:
        """End a client's subscription; a server-side one takes the connection with it."""
        if self._channels[channel].server_side:
            self._connection.close(disconnect)
        else:
            self.end(channel, reason)


def _positioned(subscription: Subscription) -> bool:
    return subscription.options.positioning or subscription.options.recovery
