"""A clock that stands still until a test turns it, forward or back."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """Seconds since 1970."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; fewer than none set the clock back."""
        self.now += seconds
