"""The books beside the rosters, in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from presence.backends.base import KEPT_TICKS, Begun, Ledger, Logged, Parts
from presence.backends.connection import Connection

__all__ = ["RedisLedger"]

KEPT_PARTS = 86_400
"""Seconds for which the parts of a tick that nobody ended are kept."""

_TICK = "tick:"


class RedisLedger(Connection, Ledger):
    """The contract of Ledger."""

    def begin(self, tick: str) -> Begun:
        ((moment, *pairs),) = self._evaluate([("begin", self._keys.open, [self._moment(), tick])])
        before = dict(zip(pairs[::2], pairs[1::2], strict=True))
        now, began = float(moment), before.get(b"began")
        return Begun(
            now=now, since=None if began is None else now - float(began), open=_open(before)
        )

    def add(self, tick: str, number: int, part: bytes, *, of: int) -> bool:
        arguments = [number, part, of, KEPT_PARTS]
        return bool(self._evaluate([("add", self._keys.tick(tick), arguments)])[0])

    def parts(self, tick: str) -> Parts:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.hgetall(self._keys.tick(tick))
            moment, found = self._execute(pipe)
        of = int(found.pop(b"of", 0))
        parts = [found[number] for number in sorted(found, key=int)]
        return Parts(now=self._time(moment), of=of, parts=parts)

    def close(self, tick: str, record: bytes) -> bool:
        if not self._ask(lambda pipe: pipe.hdel(self._keys.open, _TICK + tick)):
            return False
        with self._pipeline() as pipe:
            pipe.lpush(self._keys.ticks, record)
            pipe.ltrim(self._keys.ticks, 0, KEPT_TICKS - 1)
            pipe.unlink(self._keys.tick(tick))
            self._execute(pipe)
        return True

    def ticks(self) -> Logged:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.hgetall(self._keys.open)
            pipe.lrange(self._keys.ticks, 0, -1)
            moment, found, records = self._execute(pipe)
        began = found.get(b"began")
        return Logged(
            now=self._time(moment),
            began=None if began is None else float(began),
            open=_open(found),
            records=records,
        )

    def register(self, channels: Sequence[str]) -> None:
        if channels:
            self._evaluate([("register", self._keys.registry, [self._moment(), *channels])])

    def registered(self, *, within: float) -> list[str]:
        with self._guarded():
            since = self._time(self._client.time()) - within
        with self._pipeline() as pipe:
            pipe.zremrangebyscore(self._keys.registry, "-inf", f"({since!r}")
            pipe.zrange(self._keys.registry, 0, -1)
            _, names = self._execute(pipe)
        return [name.decode() for name in names]


def _open(fields: Mapping[bytes, bytes]) -> dict[str, float]:
    named = {name.decode(): began for name, began in fields.items()}
    return {
        name.removeprefix(_TICK): float(began)
        for name, began in named.items()
        if name.startswith(_TICK)
    }
