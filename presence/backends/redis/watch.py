"""The watch in Redis: a hash for the last look, and a sorted set of the due channels."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from presence.backends.base import AGAIN, KEPT_DUE, Counts, LookStart, LookState, WatchStore
from presence.backends.redis.connection import Connection
from presence.backends.redis.server import Command


class RedisWatch(Connection, WatchStore):
    """The contract of WatchStore."""

    def begin_look(
        self, holder: str, *, lease: float, limit: int, known: str = ""
    ) -> LookStart | None:
        look, due = self._run(
            [
                self._timed("begin_look", self._keys.watch, holder, lease, known),
                self._timed("due", self._keys.due, limit),
            ],
        )
        if not look:
            return None
        marks = dict(zip(due[::2], map(float, due[1::2]), strict=True))
        channels = self._channels(self._keys.due, marks)
        counts = Counts(look[1].decode(), look[2] or b"")
        return LookStart(counts, {c: marks[c.encode()] for c in channels})

    def _look(self, look: LookState) -> Command:
        rest = "" if look.rest is None else look.rest
        return self._timed("look", self._keys.watch, look.holder, rest, *(look.counts or ()))

    def _mark_due(self, due: Mapping[str, float]) -> Command:
        pairs = chain.from_iterable(due.items())
        return self._timed("mark_due", self._keys.due, AGAIN, KEPT_DUE, *pairs)

    def _settle_due(self, settled: Mapping[str, float], due: Mapping[str, float]) -> Command:
        parts = [part for c, at in settled.items() for part in (c, repr(at), due.get(c, ""))]
        return self._timed("settle_due", self._keys.due, AGAIN, *parts)
