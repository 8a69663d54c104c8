"""The requests and results of the HTTP API. What has no default is always written."""

from __future__ import annotations

import msgspec

from .codes import Error
from .tokens import Override
from .wire import NONE, ClientInfo, Position, Raw


class Target(msgspec.Struct, kw_only=True):
    """Whose connections a request is about."""

    user: str = ""
    client: str = ""
    session: str = ""


class Published(msgspec.Struct, kw_only=True):
    """What is published and how; so speaks the API, and a site that a publish proxy asks."""

    data: Raw = NONE
    b64data: str = ""
    skip_history: bool = False
    tags: dict[str, str] = {}
    idempotency_key: str = ""
    version: int = 0
    version_epoch: str = ""


class PublishRequest(Published, kw_only=True):
    channel: str = ""


class BroadcastRequest(Published, kw_only=True):
    channels: list[str] = []


class SubscribeRequest(Target, kw_only=True):
    channel: str = ""
    expire_at: int = 0
    info: Raw = NONE
    b64info: str = ""
    data: Raw = NONE
    b64data: str = ""
    recover_since: Position | None = None
    override: Override | None = None


class UnsubscribeRequest(Target, kw_only=True):
    channel: str = ""


class DisconnectRequest(Target, kw_only=True):
    class Custom(msgspec.Struct):
        code: int = 0
        reason: str = ""

    disconnect: Custom | None = None
    whitelist: list[str] = []


class RefreshRequest(Target, kw_only=True):
    expired: bool = False
    expire_at: int = 0
    info: Raw = NONE


class ChannelRequest(msgspec.Struct):
    """Presence, presence stats, and removing a history."""

    channel: str = ""


class HistoryRequest(msgspec.Struct):
    channel: str = ""
    limit: int = 0
    since: Position | None = None
    reverse: bool = False


class ChannelsRequest(msgspec.Struct):
    pattern: str = ""


class InfoRequest(msgspec.Struct):
    pass


class RpcRequest(msgspec.Struct):
    method: str = ""


class Command(msgspec.Struct):
    """One request of a batch; the first that is set, in this order, is the one taken."""

    publish: PublishRequest | None = None
    broadcast: BroadcastRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    disconnect: DisconnectRequest | None = None
    history: HistoryRequest | None = None
    history_remove: ChannelRequest | None = None
    presence: ChannelRequest | None = None
    presence_stats: ChannelRequest | None = None
    info: InfoRequest | None = None
    rpc: RpcRequest | None = None
    refresh: RefreshRequest | None = None
    channels: ChannelsRequest | None = None


class BatchRequest(msgspec.Struct):
    """`parallel` is taken and changes nothing: this server does one thing at a time."""

    commands: list[Command | None] = []
    parallel: bool = False


class EmptyResult(msgspec.Struct):
    pass


class PublicationResult(msgspec.Struct, omit_defaults=True):
    data: Raw = NONE
    info: ClientInfo | None = None
    offset: int = 0
    tags: dict[str, str] = {}


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
    """A reply: one of the two."""

    error: Error | None = None
    result: object = None


class BroadcastResult(msgspec.Struct):
    responses: list[Response]
