"""Members and live cursors in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from presence.backends.memory_members import MemoryMembers
from presence.backends.tracker import is_fresh

__all__ = ["MemoryTracker"]


class MemoryTracker(MemoryMembers):
    """The contract of Tracker under one lock. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._cursors: dict[str, dict[str, tuple[float, bytes]]] = {}
        self._taken: dict[str, tuple[float, int]] = {}
        self._remembered: dict[str, tuple[float, float]] = {}

    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        with self._lock:
            now = self._clock()
            self._pass_by(timeout)
            fresh = self.load_cursors(channel, timeout=timeout)
            self._cursors[channel] = fresh | {u: (now, where) for u, where in cursors.items()}
            return now

    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        with self._lock:
            now = self._clock()
            kept = self._cursors.pop(channel, {})
            fresh = {
                user: one
                for user, one in kept.items()
                if is_fresh(one[0], now=now, timeout=timeout)
            }
            if fresh:
                self._cursors[channel] = fresh
            return dict(fresh)

    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        with self._lock:
            kept = self._cursors.get(channel, {})
            if user not in kept or not kept[user][1].endswith(ending):
                return False
            del kept[user]
            if not kept:
                del self._cursors[channel]
            return True

    def hit_rate_limit(self, name: str, *, limit: int, seconds: float, times: int = 1) -> int:
        with self._lock:
            now = self._clock()
            self._taken = {n: one for n, one in self._taken.items() if one[0] > now}
            ends, before = self._taken.get(name, (0.0, 0))
            if not now < ends <= now + seconds:  # later where the clock was set back
                ends, before = now + seconds, 0
            self._taken[name] = (ends, before + times)
            return max(0, min(times, limit - before))

    def set_flag(self, name: str, *, seconds: float) -> None:
        with self._lock:
            now = self._clock()
            self._remembered = {n: one for n, one in self._remembered.items() if one[0] > now}
            self._remembered[name] = (now + seconds, seconds)

    def has_flag(self, name: str) -> bool:
        with self._lock:
            now = self._clock()
            ends, seconds = self._remembered.get(name, (0.0, 0.0))
            if ends > now + seconds:  # since the clock was set back
                self._remembered[name] = (now + seconds, seconds)
            return ends > now

    def _pass_by(self, timeout: float) -> None:
        """Clear two channels that were not looked at for longest: more than a move can add, so
        those that nobody touches any more do not pile up."""
        for channel in list(islice(self._cursors, 2)):
            self.load_cursors(channel, timeout=timeout)
