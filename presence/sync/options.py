"""The settings of a tick, as plain values."""

from __future__ import annotations

from typing import Literal

import msgspec

from presence.roster import channel_names
from presence.roster.commit import Rules
from presence.roster.enriching import Fetch
from presence.roster.merge import AnonymousMode

__all__ = ["Options"]

DiscoveryMode = Literal["channels", "registry"]
"""Source of the channels: Centrifugo (the active ones), or the tokens that pages asked for."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a tick. Times in seconds; `timeout` is for members without a websocket."""

    patterns: tuple[str, ...] = ("presence:*",)
    interval: float = 60.0
    discovery: DiscoveryMode = "channels"
    token_lifetime: float = 3600.0
    shard_size: int = 1000
    batch_size: int = 100
    anonymous: AnonymousMode = "count"
    rules: Rules = Rules()
    timeout: float = 60.0
    fetch: Fetch | None = None

    @property
    def deadline(self) -> float:
        """Seconds after which a tick stops beginning new batches."""
        return max(self.interval, 30.0)

    @property
    def sweep_after(self) -> float:
        """Seconds without a poll after which an empty channel is forgotten."""
        return max(10 * self.interval, 600.0)

    @property
    def registered_within(self) -> float:
        """Seconds for which a page or a token keeps its channel polled: until the token is
        renewed, however late."""
        return self.token_lifetime + max(self.interval, 60.0)

    @property
    def fingerprint(self) -> str:
        """What else decides a roster, beside Centrifugo's reply."""
        fetching = ":fetch" if self.fetch else ""
        return f"{channel_names.SCHEMA}:{self.anonymous}:{self.rules.list_limit}{fetching}"
