"""Permissions of a client in a channel, by the options of the namespace."""

from __future__ import annotations

from .codes import BAD_REQUEST, NOT_AVAILABLE, PERMISSION_DENIED, UNKNOWN_CHANNEL, RefusedError
from .config import PRIVATE_PREFIX, ChannelOptions, Config
from .wire import Raw


def check_data(data: Raw, options: ChannelOptions) -> None:
    """Refuse (107) data that `publication_data_format` does not allow."""
    object_only = options.publication_data_format == "json_object"
    if not data or (object_only and not bytes(data).lstrip().startswith(b"{")):
        raise RefusedError(BAD_REQUEST)


class Access:
    """Permissions of the user of one connection."""

    def __init__(self, config: Config, user: str) -> None:
        self._config = config
        self._user = user

    def options(self, channel: str) -> ChannelOptions:
        """Return the options of a channel that this client may name.

        Refuses an unknown namespace (102) and names that are not ASCII (107).
        """
        options = self._config.channel_options(channel)
        if options is None:
            raise RefusedError(UNKNOWN_CHANNEL)
        if not channel.isascii():
            raise RefusedError(BAD_REQUEST)
        return options

    def check_subscribe(self, channel: str, options: ChannelOptions) -> None:
        """Refuse (103) a subscription without a token that the namespace does not allow."""
        if channel.startswith(PRIVATE_PREFIX):
            raise RefusedError(PERMISSION_DENIED)
        self._require(options.allow_subscribe_for_client and self._user)

    def check_publish(self, options: ChannelOptions, *, subscribed: bool) -> None:
        allowed = options.allow_publish_for_client or (
            options.allow_publish_for_subscriber and subscribed
        )
        self._require(allowed and self._user)

    def check_presence(self, options: ChannelOptions, *, subscribed: bool) -> None:
        if not options.presence:
            raise RefusedError(NOT_AVAILABLE)
        self._require(self.sees_presence(options, subscribed=subscribed))

    def sees_presence(self, options: ChannelOptions, *, subscribed: bool) -> bool:
        allowed = options.allow_presence_for_client or (
            options.allow_presence_for_subscriber and subscribed
        )
        return allowed and self._user != ""

    def _require(self, allowed: object) -> None:
        if not allowed:
            raise RefusedError(PERMISSION_DENIED)
