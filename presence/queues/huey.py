"""The site's Huey with short time-outs."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Final

import redis
from huey.api import Huey, TaskWrapper
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


class HueyBroker:
    """Sends polls through a connection of its own; for one thread at a time.

    `find` returns the task that polls channels. Nothing connects before the first `send`.
    """

    def __init__(self, find: Callable[[], TaskWrapper], *, timeout: float) -> None:
        self._find = find
        self._timeout = timeout
        self._quick: QuickHuey | None = None

    def send(self, channel: str, *, worth: float) -> None:
        """Have the channel polled now, or up to `worth` seconds later.

        Raises the errors of Huey's storage.
        """
        poll = self._find()
        if self._quick is None:
            self._quick = QuickHuey(poll.huey, timeout=self._timeout)
        self._quick.huey.enqueue(poll.s([channel], expires=worth))

    def close(self) -> None:
        """Close the connection; the next `send` opens another."""
        quick, self._quick = self._quick, None
        if quick:
            quick.close()
