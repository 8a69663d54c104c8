"""Redis as the stores speak to it: pipelines, scripts and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import redis
from redis.sentinel import MasterNotFoundError

from presence.backends import scripts
from presence.backends.clients import make_client
from presence.exceptions import StoreError
from presence.naming import Keys

__all__ = ["Call", "Connection", "milliseconds"]

Call = tuple[str, str, list[Any]]
"""A script by its name, its one key (or, above this module, its channel) and its arguments."""


class Connection:
    """The Redis at `url` (docs/redis.md), with keys under `prefix`.

    Nothing connects before the first call. Times are those of Redis's own clock unless `clock`
    (seconds since 1970) is given. `timeout` is in seconds, for connecting and for each reply.
    Every method may raise StoreError.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "presence",
        timeout: float = 5.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client: Any = make_client(url, timeout=timeout)
        self._keys = Keys(prefix)
        self._clock = clock

    def _evaluate(
        self, calls: Sequence[Call], polled: Mapping[str, float] = MappingProxyType({})
    ) -> list[Any]:
        """Run scripts in one round trip; in a cluster one for each primary, the first called first.

        The first call of each sends its source, by which Redis knows it for the others: nothing
        is ever run twice because Redis, after a restart, did not know a script.
        """
        if not calls and not polled:
            return []
        sent: set[str] = set()
        with self._pipeline() as pipe:
            if polled:
                pipe.zadd(self._keys.channels, dict(polled), gt=True)
            for name, key, arguments in calls:
                if name in sent:
                    pipe.evalsha(scripts.SHA[name], 1, key, *arguments)
                else:
                    pipe.eval(scripts.ALL[name], 1, key, *arguments)
                    sent.add(name)
            results: list[Any] = pipe.execute()
        return results[1:] if polled else results

    def _time(self, moment: tuple[int, int]) -> float:
        return self._clock() if self._clock else moment[0] + moment[1] / 1e6

    def _moment(self) -> str:
        """The time as scripts are told it: empty for Redis's own."""
        return repr(self._clock()) if self._clock else ""

    @contextmanager
    def _pipeline(self) -> Iterator[Any]:
        with self._guarded(), self._client.pipeline(transaction=False) as pipe:
            yield pipe

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            # Of sentinels that do not answer, redis-py shows all options: passwords, too.
            hidden = isinstance(error, MasterNotFoundError)
            what = "no sentinel names a primary that is up" if hidden else error
            raise StoreError(
                f"Redis: {type(error).__name__}: {what} (check PRESENCE_REDIS_URL and that Redis "
                "is running)"
            ) from (None if hidden else error)


def milliseconds(seconds: float) -> int:
    """As Redis takes how long to keep something: at least one."""
    return max(1, round(1000 * seconds))
