"""The log of ticks and the registry of channels in Redis."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from presence.backends.base import (
    KEPT_TICKS,
    ChannelRegistry,
    KnownChannels,
    TickHistory,
    TickLog,
    TickParts,
    TickStart,
)
from presence.backends.redis.connection import Call, Connection, milliseconds

logger = logging.getLogger("presence.redis")

KEPT_PARTS = 86_400
"""Seconds for which the parts of a tick that nobody ended are kept."""

KEPT_REGISTRY = 30 * 86_400.0
"""Seconds after which a registry that nothing is added to is gone, should no tick ever read it."""

MOST_DIGITS = 10
"""Digits of the number of parts of a tick."""

_TICK = "tick:"


class RedisLedger(Connection, TickLog, ChannelRegistry):
    """The contracts of TickLog and ChannelRegistry."""

    def begin_tick(self, tick: str) -> TickStart:
        ((moment, *pairs),) = self._evaluate([("begin", self._keys.open, [self._moment(), tick])])
        now = float(moment)
        began, times = self._open(dict(zip(pairs[::2], pairs[1::2], strict=True)))
        return TickStart(
            now=now,
            since=None if began is None or began > now else now - began,
            open=times,
        )

    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> TickParts | None:
        given = [self._moment(), number, part, of, KEPT_PARTS]
        ((moment, *pairs),) = self._evaluate([("add", self._keys.tick(tick), given)])
        if not pairs:
            return None
        return _parts(float(moment), dict(zip(pairs[::2], pairs[1::2], strict=True)))

    def close_tick(self, tick: str, record: bytes) -> bool:
        if not self._ask(lambda pipe: pipe.hdel(self._keys.open, _TICK + tick), once=True):
            return False
        with self._pipeline() as pipe:
            pipe.lpush(self._keys.ticks, record)
            pipe.ltrim(self._keys.ticks, 0, KEPT_TICKS - 1)
            pipe.unlink(self._keys.tick(tick))
            self._execute(pipe, once=True)
        return True

    def load_ticks(self, *, records: bool = True, parts: bool = False) -> TickHistory:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.hgetall(self._keys.open)
            if records:
                pipe.lrange(self._keys.ticks, 0, -1)
            moment, found, *loaded = self._execute(pipe)
        began, times = self._open(found)
        now = self._time(moment)
        return TickHistory(
            now=now,
            began=None if began is None else min(began, now),
            open=times,
            records=loaded[0] if loaded else [],
            parts=self._load_parts(list(times), now) if parts else {},
        )

    def _load_parts(self, ticks: Sequence[str], now: float) -> dict[str, TickParts]:
        if not ticks:
            return {}
        with self._pipeline() as pipe:
            for tick in ticks:
                pipe.hgetall(self._keys.tick(tick))
            found = self._execute(pipe)
        return {tick: _parts(now, parts) for tick, parts in zip(ticks, found, strict=True)}

    def register_channels(self, channels: Sequence[str]) -> None:
        if channels:
            kept = milliseconds(KEPT_REGISTRY)
            given = [self._moment(), kept, *channels]
            self._evaluate([("register", self._keys.registry, given)])

    def unregistered_channels(self, channels: Sequence[str]) -> list[str]:
        if not channels:
            return []
        scores: Any = self._ask(lambda pipe: pipe.zmscore(self._keys.registry, list(channels)))
        return [channel for channel, at in zip(channels, scores, strict=True) if at is None]

    def known_channels(self, *, registered_within: float | None = None) -> KnownChannels:
        calls: list[Call] = [("known", self._keys.channels, [self._moment()])]
        if registered_within is not None:
            given = [self._moment(), repr(registered_within)]
            calls.append(("registered", self._keys.registry, given))
        rows, *registered = self._evaluate(calls)
        times = dict(zip(rows[::2], map(float, rows[1::2]), strict=True))
        channels = self._channels(self._keys.channels, times)
        return KnownChannels(
            {channel: times[channel.encode()] for channel in channels},
            [c for names in registered for c in self._channels(self._keys.registry, names)],
        )

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


def _parts(now: float, found: Mapping[bytes, bytes]) -> TickParts:
    of = found.get(b"of", b"0")
    numbers = sorted((number for number in found if number.isdigit()), key=int)
    return TickParts(
        now=now,
        of=int(of) if of.isdigit() and len(of) < MOST_DIGITS else 0,
        parts=[found[number] for number in numbers],
    )


def _finite(raw: bytes) -> float:
    if not math.isfinite(at := float(raw)):
        raise ValueError(f"{raw[:40]!r} is no time")
    return at
