"""Live cursors in Redis: one hash per channel, one field per user."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import chain

from presence.backends.redis.connection import milliseconds
from presence.backends.redis.members import RedisMembers
from presence.backends.tracker import is_fresh

__all__ = ["RedisTracker"]

logger = logging.getLogger("presence.redis")


class RedisTracker(RedisMembers):
    """The contract of Tracker. A field of a hash of cursors is the time, a space, and the position.

    A hash that nothing is written to for the time-out is gone whole.
    """

    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        arguments = [self._moment(), milliseconds(timeout), *chain.from_iterable(cursors.items())]
        (now,) = self._evaluate([("move", self._keys.cursors(channel), arguments)])
        return float(now)

    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        key = self._keys.cursors(channel)
        with self._pipeline() as pipe:
            # In this order: or a move that comes between the two would be one of the future.
            pipe.hgetall(key)
            pipe.time()
            found, moment = self._execute(pipe)
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
            self._evaluate([("retire", key, stale)])
        return fresh

    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        key = self._keys.cursors(channel)
        if ending:
            return bool(self._evaluate([("drop", key, [user, ending])], once=True)[0])
        return bool(self._ask(lambda pipe: pipe.hdel(key, user), once=True))

    def hit_rate_limit(self, name: str, *, limit: int, seconds: float, times: int = 1) -> int:
        arguments = [milliseconds(seconds), limit, times]
        return int(self._evaluate([("take", self._keys.taken(name), arguments)], once=True)[0])

    def set_flag(self, name: str, *, seconds: float) -> None:
        life = milliseconds(seconds)
        self._ask(lambda pipe: pipe.set(self._keys.remembered(name), life, px=life))

    def has_flag(self, name: str) -> bool:
        return bool(self._evaluate([("remembers", self._keys.remembered(name), [])])[0])

    def admit(self, name: str, *, limit: int, seconds: float, known: str) -> tuple[bool, bool]:
        taken, found = self._evaluate(
            [
                ("take", self._keys.taken(name), [milliseconds(seconds), limit, 1]),
                ("remembers", self._keys.remembered(known), []),
            ],
            once=True,
        )
        return bool(taken), bool(found)
