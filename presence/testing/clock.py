"""A clock that a test moves, and an executor that works at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

__all__ = ["Clock", "Inline"]


class Clock:
    """Seconds since 1970: `now`, until a test moves it. Each reading adds `step` seconds."""

    def __init__(self, now: float = 1_700_000_000.0, *, step: float = 0.0) -> None:
        self.now = now
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; a negative number sets the clock back."""
        self.now += seconds


class Inline(Executor):
    """Does each piece of work at once, in the thread that submits it: a test runs the same way
    every time, and inside its own transaction."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done
