"""What a backend gives beside rosters: members without a websocket, who was seen when, cursors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from presence.roster.people import ServerMember

__all__ = ["StoredPresence", "Tracker", "TrackerState", "is_fresh"]

AHEAD: Final = 1.0
"""Seconds by which a time may lie ahead: clocks are set back, by little or by much."""


def is_fresh(at: float, *, now: float, timeout: float) -> bool:
    """Whether a cursor of the time `at` counts. One that is yet to come has no known age."""
    return now - timeout <= at <= now + AHEAD


class TrackerState(msgspec.Struct, frozen=True):
    """What a tick has to know at its beginning, beside the known channels.

    `channels` had a member join or beat within the time-out (one may be named in which all have
    left since, or in which a beat revived nobody). `profiles`: the bytes that were noted of a user
    last, and when.
    """

    channels: frozenset[str] = frozenset()
    profiles: dict[str, tuple[float, bytes]] = {}


class StoredPresence(msgspec.Struct, frozen=True):
    """Who is in a channel: the roster as the sync left it (b"" if there is none), and the members
    without a websocket, in order of arrival. `damage` says why the roster cannot be read."""

    roster: bytes = b""
    members: list[ServerMember] = []
    damage: str = ""


class Tracker(ABC):
    """Members and cursors by channel and user, each with a time of its own.

    Every method may raise StoreError. Metadata, profiles and positions are opaque bytes; times are
    the store's, in seconds since 1970, time-outs are in seconds. A member is here until they leave,
    or until `timeout` seconds have passed since they joined or beat: then they are stale, and as
    good as gone to every method. (A clock that is set back makes nobody stay for more than twice
    that.) Writers of different users, or of different sources of one user, lose nothing of one
    another's.
    """

    @abstractmethod
    def save_member(
        self, channel: str, user: str, *, source: str, meta: bytes, timeout: float
    ) -> ServerMember:
        """Note that a user is here; the record. The same source again takes the place of the
        first, and keeps its time of joining unless that was stale; so, too, the time at which the
        metadata was said, where that is the same."""

    @abstractmethod
    def delete_member(
        self, channel: str, user: str, *, source: str, timeout: float
    ) -> ServerMember | None:
        """Forget what that source said of a user; the record, None where there was none."""

    @abstractmethod
    def touch_member(self, channel: str, user: str, *, source: str, timeout: float) -> bool:
        """Note a sign of life. False where there is no such record: it revives nobody."""

    @abstractmethod
    def load_members(
        self, channels: Sequence[str], *, timeout: float
    ) -> dict[str, list[ServerMember]]:
        """The records of each channel, in order of arrival, then by user and source, in one round
        trip. Clears the stale ones away, except one that was written to meanwhile."""

    @abstractmethod
    def load_present(self, channels: Sequence[str], *, timeout: float) -> dict[str, StoredPresence]:
        """As `members`, with the roster of each channel, in the same round trip."""

    @abstractmethod
    def load_tracker_state(self, *, timeout: float) -> TrackerState:
        """What a tick begins with, in one round trip; forgets what has passed."""

    @abstractmethod
    def save_profile(self, user: str, shown: bytes, *, seconds: float) -> float:
        """Note for `seconds` what is to be shown of a user, in the place of what was noted before.
        Returns the time noted."""

    @abstractmethod
    def note_last_seen(self, users: Mapping[str, float]) -> None:
        """Note when users were last in a channel, unless a later time is known."""

    @abstractmethod
    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        """When each of the users of whom that is known was last in a channel, in one round trip."""

    @abstractmethod
    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        """Note where the cursors of some users are, in one round trip. Returns the time noted.

        Cursors without a sign for more than `timeout` seconds are cleared away in passing, so that
        those of a busy channel that nobody reads do not pile up.
        """

    @abstractmethod
    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        """When and where the cursor of each user was, in the last `timeout` seconds.

        Clears the others away, except one that was moved meanwhile; so, too, those whose time is
        yet to come, as it is after the clock was set back.
        """

    @abstractmethod
    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        """Forget the cursor of a user, if its position ends so; whether there was such a one,
        which may have been stale."""

    @abstractmethod
    def hit_rate_limit(self, name: str, *, limit: int, seconds: float, times: int = 1) -> int:
        """Take `name` so many `times`. Returns how many of these are among the first `most` of its
        window.

        A window is `seconds` long and begins with the first time after the one before.
        """

    @abstractmethod
    def set_flag(self, name: str, *, seconds: float) -> None:
        """Keep in mind for `seconds` what is known of `name`."""

    @abstractmethod
    def has_flag(self, name: str) -> bool:
        """Whether that is so now."""

    def admit(self, name: str, *, limit: int, seconds: float, known: str) -> tuple[bool, bool]:
        """`take` of `name` and `remembers` of `known`; one round trip, where there are any."""
        return bool(self.hit_rate_limit(name, limit=limit, seconds=seconds)), self.has_flag(known)
