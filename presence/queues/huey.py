"""The site's Huey, for whoever must not wait for it long."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Final

import redis
from huey.api import Huey, TaskWrapper
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence.backends.redis.options import QUIET

__all__ = ["HueyBroker", "Hurried"]

ADDRESS: Final = frozenset(
    {"host", "port", "db", "path", "username", "password", "credential_provider", "protocol"}
)
"""What a pool knows of its Redis, besides what begins with ssl_."""


class Hurried:
    """A Huey on the same storage that waits for `timeout` seconds to connect, or for a reply.

    So it is where the storage is a Redis with an address; any other waits as the site says.
    Nothing connects before it is used.
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
        """Let go of the connection, where it is one of its own."""
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
    """Asks for polls, through a connection of its own; for one thread at a time.

    `find` returns the task that polls channels. Nothing connects before the first `send`.
    """

    def __init__(self, find: Callable[[], TaskWrapper], *, timeout: float) -> None:
        self._find = find
        self._timeout = timeout
        self._hurried: Hurried | None = None

    def send(self, channel: str, *, worth: float) -> None:
        """Have the channel polled now, or up to `worth` seconds later.

        Raises what Huey's storage does.
        """
        poll = self._find()
        if self._hurried is None:
            self._hurried = Hurried(poll.huey, timeout=self._timeout)
        self._hurried.huey.enqueue(poll.s([channel], expires=worth))

    def close(self) -> None:
        """Let go of the connection; the next `send` makes another."""
        hurried, self._hurried = self._hurried, None
        if hurried:
            hurried.close()
