"""Cursors in Redis, one hash per channel with one field per user; rate limits and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from presence.backends.base import Hit, Limits
from presence.backends.redis.connection import Connection, milliseconds, script
from presence.backends.tracker import CursorStore, is_fresh
from presence.transport.log_lines import line_logger

logger = line_logger("presence.redis")


class RedisCursors(Connection, CursorStore):
    """The contract of CursorStore. A field of a hash is the time, a space, and the position.

    A hash that nothing is written to for the time-out is gone whole.
    """

    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        moves = chain.from_iterable(cursors.items())
        key = self._keys.cursors(channel)
        (now,) = self._run([self._timed("move", key, milliseconds(timeout), *moves)])
        return float(now)

    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        key = self._keys.cursors(channel)
        # In this order: or a move that comes between the two would be one of the future.
        found, moment = self._run([("HGETALL", key), ("TIME",)])
        now = self._time(moment)
        fresh, stale = {}, []
        for user, value in found.items():
            at, _, position = value.partition(b" ")
            try:
                name, time = user.decode(), float(at)
            except ValueError as error:
                logger.error("cursor=unreadable channel=%s user=%r error=%s", channel, user, error)
                stale += [user, value]
                continue
            if is_fresh(time, now=now, timeout=timeout):
                fresh[name] = (time, position)
            else:
                stale += [user, value]
        if stale:
            self._run([script("retire", key, *stale)])
        return fresh

    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        key = self._keys.cursors(channel)
        delete = script("drop", key, user, ending) if ending else ("HDEL", key, user)
        return bool(self._run([delete], once=True)[0])


class RedisLimits(Connection, Limits):
    """The contract of Limits: a key for each window and flag, a hash of slots by channel."""

    def check_limits(
        self, hits: Sequence[Hit], flags: Sequence[str] = ()
    ) -> tuple[list[int], list[bool]]:
        commands = [
            script("take", self._keys.taken(name), milliseconds(seconds), limit, times)
            for name, limit, seconds, times in hits
        ]
        commands += [script("remembers", self._keys.remembered(name)) for name in flags]
        found = self._run(commands, once=bool(hits))
        return [int(n) for n in found[: len(hits)]], [bool(n) for n in found[len(hits) :]]

    def set_flag(self, name: str, *, seconds: float) -> None:
        life = milliseconds(seconds)
        self._run([("SET", self._keys.remembered(name), life, "PX", life)])

    def claim_slot(self, channel: str, slot: int, *, seconds: float) -> bool:
        claim = self._timed("claim", self._keys.slots(channel), slot, milliseconds(seconds))
        return bool(self._run([claim], once=True)[0])
