"""The options of Centrifugo's configuration that are heeded, with Centrifugo's defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

Seconds = NewType("Seconds", float)

PRIVATE_PREFIX = "$"
NAMESPACE_BOUNDARY = ":"


@dataclass(kw_only=True)
class ChannelOptions:
    """How the channels of one namespace behave."""

    presence: bool = False
    join_leave: bool = False
    force_push_join_leave: bool = False
    history_size: int = 0
    history_ttl: Seconds = Seconds(0)
    history_meta_ttl: Seconds = Seconds(0)
    force_positioning: bool = False
    allow_positioning: bool = False
    force_recovery: bool = False
    allow_recovery: bool = False
    allow_subscribe_for_anonymous: bool = False
    allow_subscribe_for_client: bool = False
    allow_publish_for_anonymous: bool = False
    allow_publish_for_subscriber: bool = False
    allow_publish_for_client: bool = False
    allow_presence_for_anonymous: bool = False
    allow_presence_for_subscriber: bool = False
    allow_presence_for_client: bool = False
    allow_history_for_anonymous: bool = False
    allow_history_for_subscriber: bool = False
    allow_history_for_client: bool = False
    allow_user_limited_channels: bool = False
    publication_data_format: str = ""
    publish_proxy_enabled: bool = False

    @property
    def keeps_history(self) -> bool:
        return self.history_size > 0 and self.history_ttl > 0


@dataclass(kw_only=True)
class Namespace(ChannelOptions):
    name: str = ""


@dataclass(kw_only=True)
class ProxyHttpSection:
    static_headers: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class ProxySection:
    """Where the site is asked, and with what."""

    endpoint: str = ""
    timeout: Seconds = Seconds(1)
    include_connection_meta: bool = False
    http_headers: list[str] = field(default_factory=list)
    http: ProxyHttpSection = field(default_factory=ProxyHttpSection)


@dataclass(kw_only=True)
class ChannelProxySection:
    publish: ProxySection = field(default_factory=ProxySection)


@dataclass(kw_only=True)
class ChannelSection:
    without_namespace: ChannelOptions = field(default_factory=ChannelOptions)
    namespaces: list[Namespace] = field(default_factory=list)
    history_meta_ttl: Seconds = Seconds(30 * 24 * 3600)
    proxy: ChannelProxySection = field(default_factory=ChannelProxySection)
    publication_data_format: str = ""
    max_length: int = 255


@dataclass(kw_only=True)
class TokenSection:
    hmac_secret_key: str = ""


@dataclass(kw_only=True)
class ClientSection:
    allowed_origins: list[str] = field(default_factory=list)
    token: TokenSection = field(default_factory=TokenSection)
    allow_anonymous_connect_without_token: bool = False
    insecure: bool = False
    ping_interval: Seconds = Seconds(25)
    pong_timeout: Seconds = Seconds(8)
    expired_close_delay: Seconds = Seconds(25)
    expired_sub_close_delay: Seconds = Seconds(25)
    stale_close_delay: Seconds = Seconds(10)
    presence_update_interval: Seconds = Seconds(27)
    channel_position_check_delay: Seconds = Seconds(40)
    channel_limit: int = 128
    queue_max_size: int = 1 << 20
    history_max_publication_limit: int = 300
    recovery_max_publication_limit: int = 300


@dataclass(kw_only=True)
class HttpServerSection:
    address: str = ""
    port: int = 8000


@dataclass(kw_only=True)
class HttpApiSection:
    key: str = ""
    insecure: bool = False


@dataclass(kw_only=True)
class HealthSection:
    enabled: bool = False


@dataclass(kw_only=True)
class WebSocketSection:
    message_size_limit: int = 65536
    write_timeout: Seconds = Seconds(1)


@dataclass(kw_only=True)
class Config:
    """What `centrifugo.json` and the CENTRIFUGO_* environment say, as far as it is heeded."""

    http_server: HttpServerSection = field(default_factory=HttpServerSection)
    client: ClientSection = field(default_factory=ClientSection)
    http_api: HttpApiSection = field(default_factory=HttpApiSection)
    channel: ChannelSection = field(default_factory=ChannelSection)
    health: HealthSection = field(default_factory=HealthSection)
    websocket: WebSocketSection = field(default_factory=WebSocketSection)

    def channel_options(self, channel: str) -> ChannelOptions | None:
        """The options of `channel`'s namespace; None when there is no such namespace."""
        name, boundary, _ = channel.removeprefix(PRIVATE_PREFIX).partition(NAMESPACE_BOUNDARY)
        if not boundary:
            return self.channel.without_namespace
        return next((known for known in self.channel.namespaces if known.name == name), None)
