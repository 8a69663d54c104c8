"""The site's Huey with short time-outs."""

from __future__ import annotations

from copy import copy
from typing import Any, Final

import redis
from huey.api import Huey
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence.backends.redis.server import QUIET

ADDRESS: Final = frozenset(
    {"host", "port", "db", "path", "username", "password", "credential_provider", "protocol"}
)
"""Options of a pool that name its Redis, besides those that begin with ssl_."""


class QuickHuey:
    """A Huey on the same storage that waits for `timeout` seconds to connect, or for a reply.

    Only for a storage that is a Redis with an address; any other keeps its own time-outs. Nothing
    connects before it is used.
    """

    def __init__(self, huey: Huey, *, timeout: float) -> None:
        self.huey = huey
        self._pool: redis.ConnectionPool | None = None
        pool: Any = getattr(huey.storage, "pool", None)
        if type(pool) in (redis.ConnectionPool, redis.BlockingConnectionPool):
            self._pool = _pool(pool, timeout)
            self.huey = copy(huey)
            self.huey.storage = copy(huey.storage)
            self.huey.storage.conn = type(huey.storage.conn)(connection_pool=self._pool)

    def close(self) -> None:
        """Close the connection, where it is one of its own."""
        if self._pool:
            self._pool.disconnect()


def _pool(pool: redis.ConnectionPool, timeout: float) -> redis.ConnectionPool:
    known = pool.connection_kwargs.items()
    address = {k: v for k, v in known if k in ADDRESS or k.startswith("ssl_")}
    return redis.ConnectionPool(
        connection_class=pool.connection_class,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        **QUIET,
        **address,
    )
