"""Requests and results of the HTTP API. Fields without a default are always written."""

from __future__ import annotations

import msgspec

from .codes import Error
from .wire import NONE, ClientInfo, Position, Raw


class Target(msgspec.Struct, kw_only=True):
    """The connections that a request is about: of a user, or one of them."""

    user: str = ""
    client: str = ""


class Published(msgspec.Struct, kw_only=True):
    """A publication and its options: in the API, and in the answer to a publish proxy."""

    data: Raw = NONE
    skip_history: bool = False
    idempotency_key: str = ""
    version: int = 0
    version_epoch: str = ""


class PublishRequest(Published, kw_only=True):
    channel: str = ""


class UnsubscribeRequest(Target, kw_only=True):
    channel: str = ""


class DisconnectRequest(Target, kw_only=True):
    class Custom(msgspec.Struct):
        code: int = 0
        reason: str = ""

    disconnect: Custom | None = None


class ChannelRequest(msgspec.Struct):
    """Presence and presence stats."""

    channel: str = ""


class HistoryRequest(msgspec.Struct):
    channel: str = ""
    limit: int = 0
    since: Position | None = None


class ChannelsRequest(msgspec.Struct):
    pattern: str = ""


class InfoRequest(msgspec.Struct):
    pass


class Command(msgspec.Struct):
    """One request of a batch: the first field that is set, in this order."""

    publish: PublishRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    disconnect: DisconnectRequest | None = None
    history: HistoryRequest | None = None
    presence: ChannelRequest | None = None
    presence_stats: ChannelRequest | None = None
    info: InfoRequest | None = None
    channels: ChannelsRequest | None = None


class BatchRequest(msgspec.Struct):
    """The field `parallel` is ignored: this server does one thing at a time."""

    commands: list[Command | None] = []


class EmptyResult(msgspec.Struct):
    pass


class PublicationResult(msgspec.Struct, omit_defaults=True):
    data: Raw = NONE
    info: ClientInfo | None = None
    offset: int = 0


class HistoryResult(msgspec.Struct):
    publications: list[PublicationResult]
    epoch: str
    offset: int


class ChannelInfo(msgspec.Struct):
    num_clients: int


class ChannelsResult(msgspec.Struct):
    channels: dict[str, ChannelInfo]


class NodeResult(msgspec.Struct):
    uid: str
    name: str
    version: str
    num_clients: int
    num_users: int
    num_channels: int
    uptime: int
    num_subs: int


class InfoResult(msgspec.Struct):
    nodes: list[NodeResult]


class Response(msgspec.Struct, omit_defaults=True):
    """A reply: either an error or a result."""

    error: Error | None = None
    result: object = None
