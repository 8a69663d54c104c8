"""Contract of a tracker: members without a websocket, last seen, cursors, limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from presence.backends.base import Limits
from presence.roster.people import ServerMember

__all__ = [
    "AHEAD",
    "MANY",
    "CursorStore",
    "MemberKey",
    "MemberStore",
    "StoredPresence",
    "Tracker",
    "TrackerState",
    "in_order",
    "is_fresh",
]

MemberKey = tuple[str, str, str]
"""Channel, user and source of a member."""

AHEAD: Final = 1.0
"""Seconds by which a time may lie ahead: clocks are set back, by little or by much."""


def is_fresh(at: float, *, now: float, timeout: float) -> bool:
    """Return whether a cursor of the time `at` counts. A time in the future tells no age."""
    return now - timeout <= at <= now + AHEAD


def in_order(members: Iterable[ServerMember], now: float) -> list[ServerMember]:
    """Return the members in order of arrival, then by user and source. None arrived after `now`."""
    arrived = [member.by(now) for member in members]
    return sorted(arrived, key=lambda member: (member.joined, member.user, member.source))


class TrackerState(msgspec.Struct, frozen=True):
    """State of the tracker that a tick loads at its beginning.

    In each of `channels` a member joined or beat within the timeout. Some may be empty: all have
    left since, or the beat was refused. `profiles` has the last bytes stored for each user, and
    their time.
    """

    channels: frozenset[str] = frozenset()
    profiles: dict[str, tuple[float, bytes]] = {}


class StoredPresence(msgspec.Struct, frozen=True):
    """The members of a channel without a websocket, in order of arrival, and its roster.

    `roster` has the bytes that the sync wrote last; b"" if there are none, or none were asked for.
    `damage` says why the roster cannot be read.
    """

    roster: bytes = b""
    members: list[ServerMember] = []
    damage: str = ""


MANY: Final = 500
"""Records of a channel above which no user may have most of them."""


class MemberStore(ABC):
    """Members by channel, user and source.

    A member is present until it leaves, or until `timeout` seconds have passed since it joined or
    beat. Then it is stale, and gone for every method. (If the clock is set back, nobody stays for
    more than twice that.) Writers of different users or of different sources do not overwrite each
    other.
    """

    @abstractmethod
    def save_member(
        self, channel: str, user: str, *, source: str, meta: bytes, timeout: float
    ) -> ServerMember:
        """Note that a user is here. Returns the record.

        It replaces a record of the same source, and keeps its time of joining unless that is
        stale. If `meta` is the same, it also keeps the time at which that was said. Where a channel
        has more than MANY records and most are the user's, one of these is deleted that has not
        beaten for long: the user is still here by the others.
        """

    def touch_member(self, channel: str, user: str, *, source: str, timeout: float) -> bool:
        """Do `touch_members` for one member."""
        return self.touch_members([(channel, user, source)], timeout=timeout)[0]

    @abstractmethod
    def touch_members(self, members: Sequence[MemberKey], *, timeout: float) -> list[bool]:
        """Note a sign of life of each member, in one round trip; in a cluster one a primary.

        Where there is no such record, nobody is revived, and the answer is False.
        """

    @abstractmethod
    def delete_member(
        self, channel: str, user: str, *, source: str, timeout: float
    ) -> ServerMember | None:
        """Forget what a source said of a user. Returns that record, None if there was none."""

    @abstractmethod
    def load_members(
        self, channels: Sequence[str], *, timeout: float, rosters: bool = False
    ) -> dict[str, StoredPresence]:
        """Load the members of each channel, in order of arrival, then by user and source, in one
        round trip; with `rosters` also the roster of each.

        Stale members are deleted, except one that was written meanwhile.
        """

    @abstractmethod
    def load_tracker_state(self, *, timeout: float) -> TrackerState:
        """Load what a tick begins with, in one round trip, and forget what has ended."""

    @abstractmethod
    def save_profile(self, user: str, shown: bytes, *, seconds: float) -> float:
        """Keep for `seconds` what is to be shown of a user. It replaces what was noted before.

        Returns the time noted.
        """

    @abstractmethod
    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        """Return when each user was last in a channel, in one round trip: see Writes.last_seen.

        Unknown users are left out. The latest of the times that were written counts.
        """


class CursorStore(ABC):
    """Cursors by channel and user, each with a time of its own. A position is opaque bytes."""

    @abstractmethod
    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        """Note where the cursors of some users are, in one round trip. Returns the time noted.

        Also deletes some cursors without a sign for more than `timeout` seconds, so that those of
        a busy channel that nobody reads do not pile up.
        """

    @abstractmethod
    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        """Return the time and position of each cursor of the last `timeout` seconds.

        The others are deleted, except one that moved meanwhile; so are those of a time in the
        future, as there are after the clock was set back.
        """

    @abstractmethod
    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        """Forget the cursor of a user if its position has this ending.

        Returns whether there was one, which may have been stale.
        """


class Tracker(MemberStore, CursorStore, Limits):
    """Members without a websocket, cursors, users and limits, for pages and Python code.

    Every method may raise StoreError. Metadata, profiles and positions are opaque bytes. Times are
    the store's, in seconds since 1970; timeouts are in seconds.
    """
