"""Time as an argument: a clock, and timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A pending callback that can be cancelled."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """Unix time in seconds, and timers in seconds from now."""

    def now(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle: ...


class LoopClock:
    """The wall clock, with the timers of the running event loop."""

    def now(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(delay, callback)


class Timers:
    """Named timers: a timer that is set again replaces the former one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._handles: dict[str, Handle] = {}

    def set(self, name: str, delay: float, callback: Callable[[], None]) -> None:
        self.cancel(name)
        self._handles[name] = self._clock.call_later(delay, callback)

    def cancel(self, name: str) -> None:
        if handle := self._handles.pop(name, None):
            handle.cancel()

    def cancel_all(self) -> None:
        for name in list(self._handles):
            self.cancel(name)
