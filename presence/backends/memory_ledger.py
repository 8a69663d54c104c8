"""The books beside the rosters, in the memory of one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from presence.backends.base import KEPT_TICKS, Ledger, TickHistory, TickParts, TickStart
from presence.backends.memory_base import InMemory, put_right

__all__ = ["MemoryLedger"]


class MemoryLedger(InMemory, Ledger):
    """The contract of Ledger under one lock. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._began: float | None = None
        self._open: dict[str, float] = {}
        self._parts: dict[str, tuple[int, dict[int, bytes]]] = {}
        self._records: deque[bytes] = deque(maxlen=KEPT_TICKS)
        self._registry: dict[str, float] = {}

    def begin_tick(self, tick: str) -> TickStart:
        with self._lock:
            now, began, others = self._clock(), self._began, dict(self._open)
            self._began = self._open[tick] = now
            since = None if began is None or began > now else now - began
            return TickStart(now=now, since=since, open=others)

    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> bool:
        with self._lock:
            _, parts = self._parts.get(tick, (of, {}))
            parts[number] = part
            self._parts[tick] = (of, parts)
            return len(parts) >= of

    def load_parts(self, tick: str) -> TickParts:
        with self._lock:
            of, parts = self._parts.get(tick, (0, {}))
            return TickParts(now=self._clock(), of=of, parts=[parts[n] for n in sorted(parts)])

    def close_tick(self, tick: str, record: bytes) -> bool:
        with self._lock:
            if self._open.pop(tick, None) is None:
                return False
            self._parts.pop(tick, None)
            self._records.appendleft(record)
            return True

    def load_ticks(self) -> TickHistory:
        with self._lock:
            now = self._clock()
            return TickHistory(
                now=now,
                began=None if self._began is None else min(self._began, now),
                open=dict(self._open),
                records=list(self._records),
            )

    def register_channels(self, channels: Sequence[str]) -> None:
        with self._lock:
            self._registry |= dict.fromkeys(channels, self._clock())

    def unregistered_channels(self, channels: Sequence[str]) -> list[str]:
        with self._lock:
            return [channel for channel in channels if channel not in self._registry]

    def registered_channels(self, *, within: float) -> list[str]:
        with self._lock:
            put_right(self._registry, self._clock())
            since = self._clock() - within
            self._registry = {c: at for c, at in self._registry.items() if at >= since}
            return list(self._registry)
