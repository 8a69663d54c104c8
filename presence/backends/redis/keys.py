"""The Redis keys of the store: built here alone."""

from __future__ import annotations

from presence.backends.base import SCHEMA


class Keys:
    """The Redis keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._base = f"{prefix}:{SCHEMA}"
        self.channels = f"{self._base}:channels"
        """Sorted set channel -> time of its last good poll."""
        self.nodes = f"{self._base}:nodes"
        """Hash: the Centrifugo nodes that the last tick or look saw, and since when."""
        self.watch = f"{self._base}:watch"
        """Hash: the lease or the rest, and the counts of the last look."""
        self.due = f"{self._base}:due"
        """Sorted set channel -> time from which it is to be polled."""
        self.revoked = f"{self._base}:revoked"
        """Sorted set revocation, with when it was made and ends -> when it was enforced."""
        self.open = f"{self._base}:open"
        """Hash: when the newest tick began, and each that has not ended."""
        self.ticks = f"{self._base}:ticks"
        """List: the records of the last ticks, newest first."""
        self.registry = f"{self._base}:registry"
        """Sorted set channel -> when a page or a token was last made for it."""
        self.tracked = f"{self._base}:tracked"
        """Sorted set channel -> when a member without a websocket last joined or beat."""
        self.profiles = f"{self._base}:profiles"
        """Hash user -> when it was noted, when that ends, and what is to be shown of them."""
        self.seen = f"{self._base}:seen"
        """Sorted set user -> when they were last in a channel."""

    def channel(self, channel: str) -> str:
        """The hash of one channel; the braces keep it in one cluster slot."""
        return f"{self._base}:{{{channel}}}"

    def is_channel(self, key: str) -> bool:
        """Whether `key` is the hash of a channel."""
        return key.startswith(f"{self._base}:{{") and key.endswith("}")

    def kind(self, key: str) -> str:
        """The type of the value that this app keeps under `key`, as Redis names it."""
        if key in (self.channels, self.registry, self.tracked, self.seen, self.due, self.revoked):
            return "zset"
        if key == self.ticks:
            return "list"
        named = key.startswith((f"{self._base}:taken:", f"{self._base}:remembered:"))
        return "string" if named else "hash"

    def slots(self, channel: str) -> str:
        """Hash of the claimed slots of one channel: slot -> when, and for how long."""
        return f"{self.channel(channel)}:slots"

    def cursors(self, channel: str) -> str:
        """The hash of the cursors of one channel: user -> time and position."""
        return f"{self.channel(channel)}:cursors"

    def members(self, channel: str) -> str:
        """The hash of the members without a websocket of one channel: user and source -> record."""
        return f"{self.channel(channel)}:members"

    def taken(self, name: str) -> str:
        """How often `name` was taken in its present window."""
        return f"{self._base}:taken:{name}"

    def remembered(self, name: str) -> str:
        """There while `name` is remembered."""
        return f"{self._base}:remembered:{name}"

    def tick(self, tick: str) -> str:
        """The hash of the parts of a tick."""
        return f"{self._base}:tick:{tick}"
