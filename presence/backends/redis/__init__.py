"""Rosters in Redis."""

from presence.backends.redis.store import RedisStore

__all__ = ["RedisStore"]
