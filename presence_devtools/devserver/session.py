"""Connection of one client without its socket: commands in, messages out."""

from __future__ import annotations

import uuid
from typing import Protocol

from . import commands
from .access import Access
from .codes import (
    CHANNEL_LIMIT,
    CONNECTION_EXPIRED,
    INSUFFICIENT_STATE,
    INVALID_TOKEN,
    MALFORMED,
    TOKEN_EXPIRED,
    Disconnect,
    HangUpError,
    RefusedError,
    Unsubscribe,
)
from .inbox import Inbox
from .keepalive import KeepAlive
from .node import VERSION, Node
from .proxy import ProxiedPublish
from .subscriptions import Subscriptions
from .tokens import connection_token
from .wire import (
    NONE,
    Command,
    ConnectRequest,
    ConnectResult,
    ExpiryResult,
    Position,
    Publication,
    Reply,
    SubscribeRequest,
    encode,
)


class Transport(Protocol):
    """Way to the client. Both methods return at once."""

    def send(self, message: bytes) -> None: ...

    def close(self, disconnect: Disconnect) -> None: ...


class Session:
    """One connection. It has no user until a `connect` command."""

    def __init__(self, node: Node, transport: Transport) -> None:
        self.node = node
        self.id = str(uuid.uuid4())
        self.user = ""
        self.conn_info = NONE
        self.meta = NONE
        self.access = Access(node.config, "")
        self.subscriptions = Subscriptions(node, self)
        self.closed = False
        self._transport = transport
        self._connected = False
        self._keepalive = KeepAlive(self)
        self.inbox = Inbox(self)

    def run(self, command: Command) -> ProxiedPublish | None:
        """Execute one command and reply, or return a publication that the site must allow first.

        Raises RefusedError and HangUpError as `commands.run` does.
        """
        if command.connect is None and not self._connected:
            raise HangUpError(MALFORMED)
        if command.id == 0:
            self._keepalive.pong()
        elif command.connect is not None:
            self._connect(command.id, command.connect)
        else:
            return commands.run(self, command)
        return None

    def _connect(self, command_id: int, request: ConnectRequest) -> None:
        if self._connected:
            raise HangUpError(MALFORMED)
        client = self.node.config.client
        if not request.token:
            raise HangUpError(MALFORMED)
        token = connection_token(request.token, self.node.config, self.node.clock.now())
        channels = token.subscriptions
        if len(channels) > client.channel_limit > 0:
            raise HangUpError(CHANNEL_LIMIT)
        self.user, self.conn_info, self.meta = token.user, token.info, token.meta
        self.access = Access(self.node.config, token.user)
        expiry = self._keepalive.expire_at(token.expire_at)
        self._connected = True
        self.node.hub.add(self)
        result = ConnectResult(
            client=self.id,
            version=VERSION,
            expires=expiry.expires,
            ttl=expiry.ttl,
            ping=int(max(client.ping_interval, 0)),
            pong=client.pong_timeout > 0,
        )
        for channel, options in channels.items():
            wanted = request.subs.get(channel, SubscribeRequest())
            wanted.channel = channel
            result.subs[channel] = self.subscriptions.add(wanted, options, server_side=True)
        self.send(encode(Reply(id=command_id, connect=result)))
        self.subscriptions.announce(channels)
        self._keepalive.start()

    def renew(self, token: str) -> ExpiryResult:
        """Accept a new connection token for the same user and the same channels."""
        try:
            fresh = connection_token(token, self.node.config, self.node.clock.now())
        except RefusedError as error:
            if error.error is TOKEN_EXPIRED:
                raise HangUpError(CONNECTION_EXPIRED) from error
            raise
        if fresh.user != self.user:
            raise HangUpError(INVALID_TOKEN)
        self.meta = fresh.meta or self.meta
        mine = self.subscriptions
        if not mine.channels_from_token() <= set(fresh.subscriptions):
            raise HangUpError(INSUFFICIENT_STATE)
        if any(channel not in mine for channel in fresh.subscriptions):
            raise HangUpError(INSUFFICIENT_STATE)
        if not fresh.expire_at:
            return ExpiryResult()
        self.conn_info = fresh.info or self.conn_info
        return self._keepalive.expire_at(fresh.expire_at)

    def send(self, message: bytes) -> None:
        if not self.closed:
            self._transport.send(message)

    def close(self, disconnect: Disconnect) -> None:
        """Leave every channel and close the transport; do nothing the second time."""
        if self.closed:
            return
        self.closed = True
        self._keepalive.stop()
        self.subscriptions.remove_all()
        if self._connected:
            self.node.hub.remove(self)
        self._transport.close(disconnect)

    def deliver(
        self, channel: str, publication: Publication, position: Position, message: bytes
    ) -> None:
        self.subscriptions.deliver(channel, publication, position, message)

    def deliver_moved(self, channel: str, message: bytes) -> None:
        self.subscriptions.deliver_moved(channel, message)

    def unsubscribe_by_server(self, channel: str, reason: Unsubscribe) -> None:
        self.subscriptions.end(channel, reason)
