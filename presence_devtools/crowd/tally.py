"""Counts of what the crowd did, and their lines on the terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts since `now`, a time in seconds; `problems` are counted by their text.

    `arrived` counts the people who are connected and those who were given up.
    """

    users: int
    now: float
    arrived: int = 0
    connected: int = 0
    reconnects: int = 0
    sent: int = 0
    received: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    _last: tuple[float, int, int] | None = None
    _told: Counter[str] = field(default_factory=Counter)

    def line(self, now: float) -> str:
        """Return a line of rates and problems since the last line."""
        since, sent, received = self._last or (self.now, 0, 0)
        seconds = max(now - since, 0.001)
        self._last = (now, self.sent, self.received)
        problems, self._told = self.problems - self._told, self.problems.copy()
        people = f"{self.connected} of {self.users}"
        return self._said(
            problems,
            f"connecting {people}" if self.arrived < self.users else f"{people} connected",
            f"{(self.sent - sent) / seconds:,.0f} moves/s sent",
            f"{(self.received - received) / seconds:,.0f}/s received",
        )

    def summary(self, now: float) -> str:
        """Return the line of totals, for the end."""
        return self._said(
            self.problems,
            f"{self.users} were here for {now - self.now:.0f} s",
            f"{self.sent:,} moves sent",
            f"{self.received:,} messages received",
        )

    def _said(self, problems: Counter[str], *counts: str) -> str:
        parts = [*counts, f"{self.reconnects} reconnects"]
        if problems:
            (worst, times), *others = problems.most_common()
            more = f", and {len(others)} other problems" if others else ""
            parts.append(f"{times} x {worst}{more}")
        return " · ".join(parts)
