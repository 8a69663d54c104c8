"""A limit for log lines that would repeat."""

from __future__ import annotations

from math import inf


class LogLimit:
    """Admits one log line in a while. Times are seconds of any clock, which may be set back."""

    def __init__(self) -> None:
        self._quiet_until = -inf

    def admits(self, now: float, *, every: float) -> bool:
        """Return True unless one was admitted or held back in the last `every` seconds."""
        if 0 < self._quiet_until - now <= every:
            return False
        self.hold(now, seconds=every)
        return True

    def hold(self, now: float, *, seconds: float) -> None:
        """Admit none for `seconds` from now."""
        self._quiet_until = now + seconds
