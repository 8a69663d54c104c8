"""What a backend gives live cursors: where each was last, and who may go on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

__all__ = ["Tracker", "is_fresh"]

AHEAD: Final = 1.0
"""Seconds by which a time may lie ahead: clocks are set back, by little or by much."""


def is_fresh(at: float, *, now: float, timeout: float) -> bool:
    """Whether a cursor of the time `at` counts. One that is yet to come has no known age."""
    return now - timeout <= at <= now + AHEAD


class Tracker(ABC):
    """Cursors by channel and user, each with a time of its own.

    Every method may raise StoreError. Positions are opaque bytes; times are the store's, in seconds
    since 1970. Writers of different users lose nothing of one another's.
    """

    @abstractmethod
    def move(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        """Note where the cursors of some users are, in one round trip. Returns the time noted.

        Cursors without a sign for more than `timeout` seconds are cleared away in passing, so that
        those of a busy channel that nobody reads do not pile up.
        """

    @abstractmethod
    def cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        """When and where the cursor of each user was, in the last `timeout` seconds.

        Clears the others away, except one that was moved meanwhile; so, too, those whose time is
        yet to come, as it is after the clock was set back.
        """

    @abstractmethod
    def remove(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        """Forget the cursor of a user, if its position ends so; whether there was such a one,
        which may have been stale."""

    @abstractmethod
    def take(self, name: str, *, most: int, seconds: float) -> bool:
        """Whether `name` was taken at most `most` times in its window, this time included.

        A window is `seconds` long and begins with the first time after the one before.
        """

    @abstractmethod
    def remember(self, name: str, *, seconds: float) -> None:
        """Keep in mind for `seconds` what is known of `name`."""

    @abstractmethod
    def remembers(self, name: str) -> bool:
        """Whether that is so now."""

    def admit(self, name: str, *, most: int, seconds: float, known: str) -> tuple[bool, bool]:
        """`take` of `name` and `remembers` of `known`; one round trip, where there are any."""
        return self.take(name, most=most, seconds=seconds), self.remembers(known)
