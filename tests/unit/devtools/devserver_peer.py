"""A session of the devserver without a socket, and its client."""

from __future__ import annotations

from typing import Any

import jwt
import msgspec

from presence_devtools.devserver.clock import Clock
from presence_devtools.devserver.codes import Disconnect
from presence_devtools.devserver.config import (
    ChannelProxySection,
    ChannelSection,
    ClientSection,
    Config,
    Namespace,
    ProxySection,
    TokenSection,
)
from presence_devtools.devserver.node import Node
from presence_devtools.devserver.session import Session
from tests.unit.devtools.devserver_clock import FakeClock

SECRET = "a-secret-of-at-least-thirty-two-bytes"


class Wire:
    """Transport that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.disconnect: Disconnect | None = None

    def send(self, message: bytes) -> None:
        self.messages.append(msgspec.json.decode(message))

    def close(self, disconnect: Disconnect) -> None:
        self.disconnect = disconnect

    @property
    def code(self) -> int:
        return self.disconnect.code if self.disconnect else 0


def node_of(clock: Clock, namespace: Namespace, proxy: ProxySection | None = None) -> Node:
    """Return a node with one namespace."""
    client = ClientSection(token=TokenSection(hmac_secret_key=SECRET))
    channel = ChannelSection(namespaces=[namespace])
    channel.proxy = ChannelProxySection(publish=proxy or ProxySection())
    return Node(Config(client=client, channel=channel), clock)


class Peer:
    """Client of a session: sends commands and keeps the replies."""

    def __init__(self, node: Node) -> None:
        self.wire = Wire()
        self.session = Session(node, self.wire)
        self._clock = node.clock

    def say(self, **command: Any) -> bool:
        return self.session.inbox.receive(msgspec.json.encode({"id": 1, **command}))

    def token(self, lasting: float = 0, **claims: Any) -> str:
        if lasting:
            claims["exp"] = int(self._clock.now() + lasting)
        return jwt.encode({"sub": "42", **claims}, SECRET, "HS256")

    def connect(self, lasting: float = 0, **claims: Any) -> Peer:
        self.say(connect={"token": self.token(lasting, **claims)})
        return self

    def subscribe(self, channel: str = "presence:a", lasting: float = 0) -> Peer:
        grant = self.token(lasting, channel=channel)
        self.say(subscribe={"channel": channel, "token": grant})
        return self

    def live(self, clock: FakeClock, seconds: float) -> None:
        """Let time pass second by second, answering pings."""
        for _ in range(int(seconds)):
            seen = len(self.wire.messages)
            clock.forward(1)
            if {} in self.wire.messages[seen:]:
                self.session.inbox.receive(b"{}")
