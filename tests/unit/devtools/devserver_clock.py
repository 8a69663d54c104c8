"""A clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable


class Alarm:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """`forward` runs every timer that is due, in order."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._alarms: list[Alarm] = []

    def now(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(self._now + delay, callback)
        self._alarms.append(alarm)
        return alarm

    def forward(self, seconds: float) -> None:
        end = self._now + seconds
        while due := [a for a in self._alarms if a.at <= end and not a.cancelled]:
            alarm = min(due, key=lambda each: each.at)
            self._alarms.remove(alarm)
            self._now = max(self._now, alarm.at)
            alarm.callback()
        self._now = end

    @property
    def waiting(self) -> int:
        """Return the number of timers."""
        return sum(not alarm.cancelled for alarm in self._alarms)
