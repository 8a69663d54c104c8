"""Time that passes only when a test says so, and work that is done where it is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final

__all__ = ["Clock", "Inline"]

MOMENT: Final = 1e-6
"""Seconds between two readings: of two things that were said, the later one counts."""


class Clock:
    """Seconds since 1970; begins `now`, at the time of day unless that is given."""

    def __init__(self, now: float | None = None) -> None:
        self._now = time.time() if now is None else now

    def __call__(self) -> float:
        self._now += MOMENT
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises ValueError for less than none."""
        if not seconds >= 0:
            raise ValueError(f"The clock cannot be advanced by {seconds!r} s: give at least 0")
        self._now += seconds


class Inline(Executor):
    """Does each piece of work at once, in the thread that hands it in: a history runs the same way
    every time, and inside the transaction of the test."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done
