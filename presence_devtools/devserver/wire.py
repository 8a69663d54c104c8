"""JSON of both protocols, with the field order, omissions and escapes of Centrifugo.

Fields that Centrifugo always writes have no default here. All others are left out when they have
their default.
"""

from __future__ import annotations

import re

import msgspec

from .codes import Error, Unsubscribe

Raw = msgspec.Raw
NONE = Raw(b"")
SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
# Go's encoding/json escapes these characters in strings; they occur nowhere else in valid JSON.
ESCAPES = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place in a stream: offsets count from 1, an epoch names one life of the stream."""

    offset: int = 0
    epoch: str = ""


class ClientInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One client. The infos are kept without spaces, as they are read far more often than set."""

    user: str
    client: str
    conn_info: Raw = NONE
    chan_info: Raw = NONE


class Publication(msgspec.Struct, frozen=True, omit_defaults=True):
    data: Raw = NONE
    info: ClientInfo | None = None
    offset: int = 0
    epoch: str = ""
    version: int = 0


class SubscribeRequest(msgspec.Struct):
    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: int = 0
    join_leave: bool = False


class ConnectRequest(msgspec.Struct):
    token: str = ""
    subs: dict[str, SubscribeRequest] = {}


class ChannelRequest(msgspec.Struct):
    """Unsubscribe, presence and presence stats."""

    channel: str = ""


class PublishRequest(msgspec.Struct):
    channel: str = ""
    data: Raw = NONE


class RefreshRequest(msgspec.Struct):
    token: str = ""


class SubRefreshRequest(msgspec.Struct):
    channel: str = ""
    token: str = ""


class AnyRequest(msgspec.Struct):
    """A request whose content does not matter."""


class Command(msgspec.Struct):
    """A command of a client: the first field that is set, in this order."""

    id: int = 0
    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: ChannelRequest | None = None
    publish: PublishRequest | None = None
    presence: ChannelRequest | None = None
    presence_stats: ChannelRequest | None = None
    history: ChannelRequest | None = None
    rpc: AnyRequest | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


class SubscribeResult(msgspec.Struct, omit_defaults=True):
    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: list[Publication] = []
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    was_recovering: bool = False


class ConnectResult(msgspec.Struct, omit_defaults=True):
    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0
    subs: dict[str, SubscribeResult] = {}
    ping: int = 0
    pong: bool = False


class ExpiryResult(msgspec.Struct, omit_defaults=True):
    """Refresh and sub refresh."""

    expires: bool = False
    ttl: int = 0


class EmptyResult(msgspec.Struct):
    """Publish and unsubscribe."""


class PresenceResult(msgspec.Struct):
    presence: dict[str, ClientInfo]


class PresenceStatsResult(msgspec.Struct):
    num_clients: int
    num_users: int


class Moved(msgspec.Struct):
    """Join and leave."""

    info: ClientInfo


class Push(msgspec.Struct, omit_defaults=True):
    channel: str = ""
    pub: Publication | None = None
    join: Moved | None = None
    leave: Moved | None = None
    unsubscribe: Unsubscribe | None = None


class Reply(msgspec.Struct, omit_defaults=True):
    """A message to a client. Without any field set, a ping."""

    id: int = 0
    error: Error | None = None
    push: Push | None = None
    connect: ConnectResult | None = None
    subscribe: SubscribeResult | None = None
    unsubscribe: EmptyResult | None = None
    publish: EmptyResult | None = None
    presence: PresenceResult | None = None
    presence_stats: PresenceStatsResult | None = None
    refresh: ExpiryResult | None = None
    sub_refresh: ExpiryResult | None = None


PING = b"{}"
decode_command = msgspec.json.Decoder(Command).decode


def encode(reply: Reply) -> bytes:
    """Encode a reply as one line: newlines separate messages, so those in raw data are dropped."""
    return msgspec.json.encode(reply).replace(b"\n", b"")


def compact(raw: Raw) -> Raw:
    """Return a copy of `raw` without spaces, as Go's encoding/json writes it."""
    return Raw(SPACE.sub(rb"\1", bytes(raw))) if raw else NONE


def escape(body: bytes) -> bytes:
    """Return `body`, which is valid JSON, with the escapes that Go's encoding/json writes."""
    for char, written in ESCAPES.items():
        body = body.replace(char, written)
    return body


def own(raw: Raw) -> Raw:
    """Return a copy, so that the message around `raw` can be freed."""
    return raw.copy() if raw else NONE
