"""Subscriptions of one connection: permission, recovery, delivery, end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from .codes import (
    ALREADY_SUBSCRIBED,
    BAD_REQUEST,
    EXPIRED,
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
from .config import ChannelOptions
from .node import Node
from .tokens import InvalidTokenError, SubscribeOptions, SubscriptionToken, subscription_token
from .wire import (
    NONE,
    ClientInfo,
    ExpiryResult,
    Position,
    Publication,
    Push,
    Reply,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    encode,
)

if TYPE_CHECKING:
    from .session import Session


class Subscription(msgspec.Struct):
    """Subscription of one connection to one channel."""

    options: SubscribeOptions
    position: Position
    checked_at: float
    server_side: bool


class Subscriptions:
    """Subscriptions of one connection, by channel."""

    def __init__(self, node: Node, connection: Session) -> None:
        self._node = node
        self._connection = connection
        self._channels: dict[str, Subscription] = {}

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def __len__(self) -> int:
        return len(self._channels)

    def channels_from_token(self) -> set[str]:
        """Return the channels that the connection token named."""
        return {channel for channel, each in self._channels.items() if each.server_side}

    def info(self, channel: str = "") -> ClientInfo:
        """Return the client info that others see, with the channel info of a subscription."""
        mine = self._connection
        subscription = self._channels.get(channel)
        chan_info = subscription.options.info if subscription else NONE
        return ClientInfo(mine.user, mine.id, mine.conn_info, chan_info)

    def subscribe(self, request: SubscribeRequest) -> SubscribeResult:
        """Subscribe for a client. Raises RefusedError and HangUpError as Centrifugo answers."""
        config = self._node.config
        if not request.channel:
            raise HangUpError(MALFORMED)
        if len(request.channel.encode()) > config.channel.max_length > 0:
            raise RefusedError(BAD_REQUEST)
        if request.channel in self:
            raise RefusedError(ALREADY_SUBSCRIBED)
        if len(self) >= config.client.channel_limit > 0:
            raise RefusedError(LIMIT_EXCEEDED)
        return self.add(request, _admit(request, self._connection, self._node))

    def add(
        self,
        request: SubscribeRequest,
        options: SubscribeOptions,
        *,
        server_side: bool = False,
    ) -> SubscribeResult:
        """Subscribe with `options`; `announce` tells the others of the join.

        Refuses an expiry in the past (110).
        """
        channel = request.channel
        now = self._node.clock.now()
        result = SubscribeResult()
        if options.expire_at:
            ttl = int(options.expire_at) - int(now)
            if ttl <= 0:
                raise RefusedError(EXPIRED)
            if not server_side:
                result.expires, result.ttl = True, ttl
        top = Position()
        if options.recovery:
            top = _recover(request, result, self._node)
        result.was_recovering = request.recover
        self._channels[channel] = Subscription(options, top, now, server_side)
        self._node.hub.subscribe(channel, self._connection)
        if options.presence:
            self._node.hub.presence.add(channel, self.info(channel))
        return result

    def announce(self, channels: Iterable[str]) -> None:
        """Announce joins. Call it after the reply to the client was sent."""
        for channel in channels:
            if channel in self and self._channels[channel].options.join_leave:
                self._node.join(channel, self.info(channel))

    def remove(self, channel: str) -> None:
        """End a subscription, if there is one, and announce the leave; send the client nothing."""
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
        """End a subscription and send the client the reason."""
        self.remove(channel)
        self._connection.send(encode(Reply(push=Push(channel=channel, unsubscribe=reason))))

    def refresh(self, request: SubRefreshRequest) -> ExpiryResult:
        """Renew a subscription with a new token. Raises RefusedError and HangUpError.

        As in Centrifugo, a token past its `exp` makes the subscription last for ever.
        """
        subscription = self._channels.get(request.channel)
        if subscription is None:
            raise RefusedError(PERMISSION_DENIED) if request.channel else HangUpError(MALFORMED)
        if subscription.server_side:
            raise HangUpError(MALFORMED)
        if not request.token:
            raise RefusedError(BAD_REQUEST)
        try:
            token = _check_token(request.channel, request.token, self._connection, self._node)
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
        """Send a publication; with recovery, only if it is the next one."""
        subscription = self._channels.get(channel)
        if subscription is None:
            return
        if publication.offset and subscription.options.recovery:
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
        """Renew presence, and end subscriptions that have expired or lost their position."""
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
            if subscription.options.recovery and due:
                namespace = self._node.config.channel_options(channel)
                if namespace and self._node.top(channel, namespace) != subscription.position:
                    self._drop(channel, UNSUBSCRIBED_STATE, INSUFFICIENT_STATE)
                subscription.checked_at = now

    def _drop(self, channel: str, reason: Unsubscribe, disconnect: Disconnect) -> None:
        """End a subscription; for a server-side one, close the connection."""
        if self._channels[channel].server_side:
            self._connection.close(disconnect)
        else:
            self.end(channel, reason)


def _admit(request: SubscribeRequest, session: Session, node: Node) -> SubscribeOptions:
    """Return the options of a subscription: of its token, else of the namespace if that allows it.

    Raises RefusedError for an unknown namespace (102), a bad name (107), a missing permission or a
    forged token (103), and an expired token (109). Raises HangUpError (3500) for a token of another
    channel, user or connection.
    """
    access = session.access
    namespace = access.options(request.channel)
    if request.token:
        try:
            options = _check_token(request.channel, request.token, session, node).options
        except InvalidTokenError as error:
            raise RefusedError(PERMISSION_DENIED) from error
    else:
        access.check_subscribe(request.channel, namespace)
        options = SubscribeOptions.of(namespace)
    if request.join_leave and namespace.join_leave:
        options.push_join_leave |= access.sees_presence(namespace, subscribed=True)
    return options


def _check_token(channel: str, token: str, session: Session, node: Node) -> SubscriptionToken:
    """Read a subscription token for this channel, user and connection.

    Raises as `subscription_token` does, and HangUpError (3500) for a token of another client.
    """
    checked = subscription_token(token, node.config, node.clock.now())
    same = checked.channel == channel and checked.user == session.user
    if not same or checked.client not in ("", session.id):
        raise HangUpError(INVALID_TOKEN)
    return checked


def _recover(request: SubscribeRequest, result: SubscribeResult, node: Node) -> Position:
    """Put the position into `result`, and the missed publications if all of them are kept.

    Returns the top of the stream.
    """
    channel = request.channel
    namespace = node.config.channel_options(channel) or ChannelOptions()
    top = node.top(channel, namespace)
    result.positioned = result.recoverable = True
    result.epoch, result.offset = top.epoch, top.offset
    if not request.recover:
        return top
    since = Position(offset=request.offset, epoch=request.epoch)
    try:
        missed, _ = node.history(channel, namespace, limit=-1, since=since)
    except RefusedError:
        recovered, missed = False, []
    else:
        recovered = since.offset == top.offset
        if missed:
            recovered = missed[0].offset == since.offset + 1 and missed[-1].offset == top.offset
    if recovered:
        result.recovered, result.publications, result.offset = True, missed, since.offset
    return top
