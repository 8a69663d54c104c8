"""The books beside the rosters, in Redis."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from presence.backends.base import KEPT_TICKS, Begun, Ledger, Logged, Parts
from presence.backends.redis.connection import Connection, milliseconds

__all__ = ["RedisLedger"]

logger = logging.getLogger("presence.redis")

KEPT_PARTS = 86_400
"""Seconds for which the parts of a tick that nobody ended are kept."""

KEPT_REGISTRY = 30 * 86_400.0
"""Seconds after which a registry that nothing is added to is gone, should no tick ever read it."""

MOST_DIGITS = 10
"""Digits of the number of parts of a tick."""

_TICK = "tick:"


class RedisLedger(Connection, Ledger):
    """The contract of Ledger."""

    def begin(self, tick: str) -> Begun:
        ((moment, *pairs),) = self._evaluate([("begin", self._keys.open, [self._moment(), tick])])
        now = float(moment)
        began, times = self._open(dict(zip(pairs[::2], pairs[1::2], strict=True)))
        return Begun(
            now=now,
            since=None if began is None or began > now else now - began,
            open=times,
        )

    def add(self, tick: str, number: int, part: bytes, *, of: int) -> bool:
        arguments = [number, part, of, KEPT_PARTS]
        return bool(self._evaluate([("add", self._keys.tick(tick), arguments)])[0])

    def parts(self, tick: str) -> Parts:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.hgetall(self._keys.tick(tick))
            moment, found = self._execute(pipe)
        of = found.pop(b"of", b"0")
        numbers = sorted((number for number in found if number.isdigit()), key=int)
        return Parts(
            now=self._time(moment),
            of=int(of) if of.isdigit() and len(of) < MOST_DIGITS else 0,
            parts=[found[number] for number in numbers],
        )

    def close(self, tick: str, record: bytes) -> bool:
        if not self._ask(lambda pipe: pipe.hdel(self._keys.open, _TICK + tick), once=True):
            return False
        with self._pipeline() as pipe:
            pipe.lpush(self._keys.ticks, record)
            pipe.ltrim(self._keys.ticks, 0, KEPT_TICKS - 1)
            pipe.unlink(self._keys.tick(tick))
            self._execute(pipe, once=True)
        return True

    def ticks(self) -> Logged:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.hgetall(self._keys.open)
            pipe.lrange(self._keys.ticks, 0, -1)
            moment, found, records = self._execute(pipe)
        began, times = self._open(found)
        now = self._time(moment)
        return Logged(
            now=now,
            began=None if began is None else min(began, now),
            open=times,
            records=records,
        )

    def register(self, channels: Sequence[str]) -> None:
        if channels:
            kept = milliseconds(KEPT_REGISTRY)
            given = [self._moment(), kept, *channels]
            self._evaluate([("register", self._keys.registry, given)])

    def unregistered(self, channels: Sequence[str]) -> list[str]:
        if not channels:
            return []
        scores: Any = self._ask(lambda pipe: pipe.zmscore(self._keys.registry, list(channels)))
        return [channel for channel, at in zip(channels, scores, strict=True) if at is None]

    def registered(self, *, within: float) -> list[str]:
        given = [self._moment(), repr(within)]
        (names,) = self._evaluate([("registered", self._keys.registry, given)])
        return list(self._channels(self._keys.registry, names))

    def _open(self, fields: Mapping[bytes, bytes]) -> tuple[float | None, dict[str, float]]:
        """When the newest tick began, and each that is open; what cannot be read is forgotten."""
        times: dict[str, float] = {}
        strange: list[bytes] = []
        for name, began in fields.items():
            try:
                times[name.decode()] = _finite(began)
            except ValueError as error:
                strange += [name, began]
                logger.error("entry=deleted key=%s name=%r error=%r", self._keys.open, name, error)
        if strange:
            self._evaluate([("retire", self._keys.open, strange)])
        newest = times.pop("began", None)
        return newest, {name.removeprefix(_TICK): at for name, at in times.items()}


def _finite(raw: bytes) -> float:
    if not math.isfinite(at := float(raw)):
        raise ValueError(f"{raw[:40]!r} is no time")
    return at
