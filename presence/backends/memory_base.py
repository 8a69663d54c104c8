"""What all that is kept in the memory of one process has: a clock, and one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["InMemory"]


class InMemory:
    """`clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
