"""The registry of backends."""

from __future__ import annotations

from importlib import import_module

from presence.backends.base import RosterStore
from presence.backends.memory import MemoryStore

__all__ = ["BACKENDS", "make_store"]

BACKENDS = {
    "redis": "presence.backends.redis.RedisStore",
    "memory": "presence.backends.memory.MemoryStore",
}


def make_store(backend: str, *, url: str, prefix: str, timeout: float) -> RosterStore:
    """The store that `backend` names: a name of BACKENDS or the dotted path of a class.

    A class of one's own is called with `url`, `prefix` and `timeout` (seconds) as keywords. Raises
    ValueError, listing the known names, when there is no such backend.
    """
    path = BACKENDS.get(backend, backend)
    module, _, name = path.rpartition(".")
    try:
        store = getattr(import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"PRESENCE_BACKEND {backend!r} cannot be imported: {error}") from error
    if store is None:
        known = ", ".join(repr(one) for one in BACKENDS)
        raise ValueError(f"Unknown PRESENCE_BACKEND {backend!r}: use {known}, or a dotted path")
    if store is MemoryStore:
        return MemoryStore()
    try:
        made = store(url=url, prefix=prefix, timeout=timeout)
    except TypeError as error:
        raise ValueError(f"PRESENCE_BACKEND {backend!r} cannot be made: {error}") from error
    if not isinstance(made, RosterStore):
        raise ValueError(f"PRESENCE_BACKEND {backend!r} is no presence.backends.base.RosterStore")
    return made
