"""The errors of this package. Each message says what is wrong and how to fix it."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CentrifugoAnswerError",
    "CentrifugoError",
    "CentrifugoRefused",
    "CentrifugoUnreachable",
    "CommandError",
    "FetchFailed",
    "InvalidChannel",
    "InvalidGrant",
    "InvalidMessage",
    "PresenceError",
    "StoreDamaged",
    "StoreError",
]


class PresenceError(Exception):
    """Base of all errors of this package. Never raised itself."""


class InvalidChannel(PresenceError, ValueError):
    """A name that no browser could subscribe to, or that no pattern polls."""


class InvalidMessage(PresenceError, ValueError):
    """Bytes that are not a message of the expected type."""


class CentrifugoError(PresenceError):
    """Base of the errors of Centrifugo. None of them means that a channel is empty."""


class CentrifugoUnreachable(CentrifugoError):
    """No complete answer in time: the connection was refused or lost, or a deadline passed."""


class CentrifugoRefused(CentrifugoError):
    """Centrifugo refused the request, and will refuse it again: wrong key, wrong URL."""


class CentrifugoAnswerError(CentrifugoError):
    """An answer of Centrifugo that cannot be read: incomplete, or of another shape."""


class CommandError(CentrifugoError):
    """The error with which Centrifugo answered one command.

    `code` is Centrifugo's error code, see https://centrifugal.dev/docs/server/codes.
    """

    # Unknown channel, bad request, not available: a retry fails the same way.
    PERMANENT: ClassVar = frozenset({102, 107, 108})
    REMEDIES: ClassVar = {
        102: "the channel's namespace is missing from Centrifugo's configuration "
        "(channel.namespaces)",
        103: "the namespace does not allow it: check its allow_* options",
        107: "Centrifugo finds the request malformed: check the channel name",
        108: "the namespace has the feature switched off: set presence: true and "
        "history_size / history_ttl for it",
    }

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        text = f"Centrifugo answered error {self.code} ({self.message})"
        remedy = self.REMEDIES.get(self.code)
        return f"{text}: {remedy}" if remedy else text

    @property
    def permanent(self) -> bool:
        """Whether the command fails until the configuration changes."""
        return self.code in self.PERMANENT


class FetchFailed(PresenceError):
    """PRESENCE_FETCH failed: members are shown without its additions until it works again."""


class StoreError(PresenceError):
    """The store (Redis) could not be read or written. No commit is lost."""


class StoreDamaged(StoreError):
    """The state of one channel in the store cannot be read. The next tick replaces it with the
    state of Centrifugo; other channels are not affected."""


class InvalidGrant(PresenceError):
    """A grant that is forged, expired or another user's, or whose channel is denied by now."""
