"""Live cursors in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from presence.backends.memory_base import InMemory
from presence.backends.tracker import Tracker

__all__ = ["MemoryTracker"]


class MemoryTracker(InMemory, Tracker):
    """The contract of Tracker under one lock. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._cursors: dict[str, dict[str, tuple[float, bytes]]] = {}
        self._taken: dict[str, tuple[float, int]] = {}
        self._remembered: dict[str, float] = {}

    def move(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        with self._lock:
            now = self._clock()
            fresh = self.cursors(channel, timeout=timeout)
            self._cursors[channel] = fresh | {u: (now, where) for u, where in cursors.items()}
            return now

    def cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        with self._lock:
            since = self._clock() - timeout
            kept = self._cursors.pop(channel, {})
            fresh = {user: one for user, one in kept.items() if one[0] >= since}
            if fresh:
                self._cursors[channel] = fresh
            return dict(fresh)

    def remove(self, channel: str, user: str) -> bool:
        with self._lock:
            return self._cursors.get(channel, {}).pop(user, None) is not None

    def take(self, name: str, *, most: int, seconds: float) -> bool:
        with self._lock:
            now = self._clock()
            self._taken = {n: one for n, one in self._taken.items() if one[0] > now}
            ends, times = self._taken.get(name, (now + seconds, 0))
            self._taken[name] = (ends, times + 1)
            return times < most

    def remember(self, name: str, *, seconds: float) -> None:
        with self._lock:
            now = self._clock()
            self._remembered = {n: ends for n, ends in self._remembered.items() if ends > now}
            self._remembered[name] = now + seconds

    def remembers(self, name: str) -> bool:
        with self._lock:
            return self._remembered.get(name, 0.0) > self._clock()
