"""The log of ticks and the registry of channels in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from presence.backends.base import (
    KEPT_DUE,
    KEPT_TICKS,
    ChannelRegistry,
    KnownChannels,
    TickHistory,
    TickLog,
    TickParts,
    TickStart,
)
from presence.backends.redis import fields
from presence.backends.redis.connection import Connection, milliseconds, script
from presence.backends.redis.server import Command
from presence.transport.log_lines import line_logger

logger = line_logger("presence.redis")

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
        (moment, *pairs), _ = self._run(
            [
                self._timed("begin", self._keys.open, tick),
                self._timed("forget_due", self._keys.due, KEPT_DUE),
            ]
        )
        now = float(moment)
        began, times = self._open(dict(zip(pairs[::2], pairs[1::2], strict=True)))
        return TickStart(
            now=now,
            since=None if began is None or began > now else now - began,
            open=times,
        )

    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> TickParts | None:
        adding = self._timed("add", self._keys.tick(tick), number, part, of, KEPT_PARTS)
        ((moment, *pairs),) = self._run([adding])
        if not pairs:
            return None
        return _parts(float(moment), dict(zip(pairs[::2], pairs[1::2], strict=True)))

    def close_tick(self, tick: str, record: bytes) -> bool:
        if not self._run([("HDEL", self._keys.open, _TICK + tick)], once=True)[0]:
            return False
        adding = ("LPUSH", self._keys.ticks, record)
        trimming = ("LTRIM", self._keys.ticks, 0, KEPT_TICKS - 1)
        self._run([adding, trimming, ("UNLINK", self._keys.tick(tick))], once=True)
        return True

    def load_ticks(self, *, records: bool = True, parts: bool = False) -> TickHistory:
        commands: list[Command] = [("TIME",), ("HGETALL", self._keys.open)]
        if records:
            commands.append(("LRANGE", self._keys.ticks, 0, -1))
            commands.append(("HMGET", self._keys.watch, "until", "length"))
        moment, found, *loaded = self._run(commands)
        began, times = self._open(found)
        now = self._time(moment)
        return TickHistory(
            now=now,
            began=None if began is None else min(began, now),
            open=times,
            records=loaded[0] if loaded else [],
            parts=self._load_parts(list(times), now) if parts else {},
            looked=_looked(*loaded[1], now=now) if loaded else None,
        )

    def _load_parts(self, ticks: Sequence[str], now: float) -> dict[str, TickParts]:
        found = self._run([("HGETALL", self._keys.tick(tick)) for tick in ticks])
        return {tick: _parts(now, parts) for tick, parts in zip(ticks, found, strict=True)}

    def register_channels(self, channels: Sequence[str]) -> None:
        if channels:
            kept = milliseconds(KEPT_REGISTRY)
            self._run([self._timed("register", self._keys.registry, kept, *channels)])

    def unregistered_channels(self, channels: Sequence[str]) -> list[str]:
        if not channels:
            return []
        (scores,) = self._run([("ZMSCORE", self._keys.registry, *channels)])
        return [channel for channel, at in zip(channels, scores, strict=True) if at is None]

    def known_channels(self, *, registered_within: float | None = None) -> KnownChannels:
        commands = [self._timed("known", self._keys.channels)]
        if registered_within is not None:
            commands.append(self._timed("registered", self._keys.registry, registered_within))
        rows, *registered = self._run(commands)
        times = dict(zip(rows[::2], map(float, rows[1::2]), strict=True))
        channels = self._channels(self._keys.channels, times)
        return KnownChannels(
            {channel: times[channel.encode()] for channel in channels},
            [c for names in registered for c in self._channels(self._keys.registry, names)],
        )

    def _open(self, entries: Mapping[bytes, bytes]) -> tuple[float | None, dict[str, float]]:
        """When the newest tick began, and each that is open; what cannot be read is forgotten."""
        times: dict[str, float] = {}
        strange: list[bytes] = []
        for name, began in entries.items():
            try:
                times[name.decode()] = fields.seconds(began)
            except ValueError as error:
                strange += [name, began]
                logger.error("entry=deleted key=%s name=%r error=%r", self._keys.open, name, error)
        if strange:
            self._run([script("retire", self._keys.open, *strange)])
        newest = times.pop("began", None)
        return newest, {name.removeprefix(_TICK): at for name, at in times.items()}


def _looked(until: bytes | None, length: bytes | None, *, now: float) -> float | None:
    """Return when a lease or a rest of that length began, which ends `until` then."""
    try:
        return min(fields.seconds(until or b"") - fields.seconds(length or b""), now)
    except ValueError:  # there was no look
        return None


def _parts(now: float, found: Mapping[bytes, bytes]) -> TickParts:
    of = found.get(b"of", b"0")
    numbers = sorted((number for number in found if number.isdigit()), key=int)
    return TickParts(
        now=now,
        of=int(of) if of.isdigit() and len(of) < MOST_DIGITS else 0,
        parts=[found[number] for number in numbers],
    )
