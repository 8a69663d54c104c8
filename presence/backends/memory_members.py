"""Members without a websocket, and who was seen when, in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from presence.backends.memory_base import InMemory, put_right
from presence.backends.tracker import StoredPresence, Tracker, TrackerState
from presence.roster.people import ServerMember

__all__ = ["MemoryMembers"]

Source = tuple[str, str]
"""User and source."""


class MemoryMembers(InMemory, Tracker):
    """The part of Tracker about members, under one lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._members: dict[str, dict[Source, ServerMember]] = {}
        self._rosters: dict[str, bytes] = {}
        self._profiles: dict[str, tuple[float, float, bytes]] = {}
        self._seen: dict[str, float] = {}

    def save_member(
        self, channel: str, user: str, *, source: str, meta: bytes, timeout: float
    ) -> ServerMember:
        with self._lock:
            now = self._clock()
            kept = self._fresh(channel, timeout)
            before = kept.get((user, source))
            before = before and before.by(now)
            joined = before.joined if before else now
            said = before.said if before and before.meta == meta else now
            record = ServerMember(user, source, joined, now, meta, said)
            self._members[channel] = kept | {(user, source): record}
            return record

    def delete_member(
        self, channel: str, user: str, *, source: str, timeout: float
    ) -> ServerMember | None:
        with self._lock:
            kept = self._fresh(channel, timeout)
            record = kept.pop((user, source), None)
            if not kept:
                self._members.pop(channel, None)
            return record

    def touch_member(self, channel: str, user: str, *, source: str, timeout: float) -> bool:
        with self._lock:
            kept = self._fresh(channel, timeout)
            if (record := kept.get((user, source))) is None:
                return False
            now = self._clock()
            kept[user, source] = msgspec.structs.replace(record.by(now), beat=now)
            return True

    def load_members(
        self, channels: Sequence[str], *, timeout: float
    ) -> dict[str, list[ServerMember]]:
        with self._lock:
            now = self._clock()
            return {c: _in_order(self._fresh(c, timeout), now) for c in channels}

    def load_present(self, channels: Sequence[str], *, timeout: float) -> dict[str, StoredPresence]:
        with self._lock:
            found = self.load_members(channels, timeout=timeout)
            return {c: StoredPresence(self._rosters.get(c, b""), found[c]) for c in channels}

    def load_tracker_state(self, *, timeout: float) -> TrackerState:
        with self._lock:
            now = self._clock()
            channels = frozenset(c for c in list(self._members) if self._fresh(c, timeout))
            self._profiles = {
                # One that was noted before the clock was set back is of now, once.
                user: (min(at, now), min(ends, now + ends - at), shown)
                for user, (at, ends, shown) in self._profiles.items()
                if ends > now
            }
            return TrackerState(
                channels, {u: (at, one) for u, (at, _, one) in self._profiles.items()}
            )

    def save_profile(self, user: str, shown: bytes, *, seconds: float) -> float:
        with self._lock:
            now = self._clock()
            self._profiles[user] = (now, now + seconds, shown)
            return now

    def note_last_seen(self, users: Mapping[str, float]) -> None:
        with self._lock:
            now = self._clock()
            put_right(self._seen, now)
            for user, at in users.items():
                at = min(at, now)
                self._seen[user] = max(at, self._seen.get(user, at))

    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        with self._lock:
            put_right(self._seen, self._clock())
            return {user: self._seen[user] for user in users if user in self._seen}

    def _fresh(self, channel: str, timeout: float) -> dict[Source, ServerMember]:
        """Those of the channel, with the stale ones cleared away; what is kept, to be changed."""
        now = self._clock()
        kept = self._members.pop(channel, {})
        # One who beat before the clock was set back stays, but not for ever.
        fresh = {key: one for key, one in kept.items() if abs(now - one.beat) <= timeout}
        if fresh:
            self._members[channel] = fresh
        return fresh


def _in_order(kept: Mapping[Source, ServerMember], now: float) -> list[ServerMember]:
    return sorted(
        (one.by(now) for one in kept.values()), key=lambda one: (one.joined, one.user, one.source)
    )
