"""What all that is kept in the memory of one process has: a clock, and one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from presence.backends.tracker import AHEAD

__all__ = ["InMemory", "put_right"]


class InMemory:
    """`clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.RLock()


def put_right(times: dict[str, float], now: float) -> None:
    """Set times that are more than a second ahead to `now`: the clock was set back."""
    for name, at in times.items():
        if at > now + AHEAD:
            times[name] = now
