"""The registry of backends."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from presence.backends.base import RosterStore
from presence.backends.memory import MemoryStore
from presence.transport.redaction import Redactor, shown

BACKENDS = {
    "redis": "presence.backends.redis.store.RedisStore",
    "memory": "presence.backends.memory.MemoryStore",
}


def make_store(backend: str, *, url: str, prefix: str, timeout: float) -> RosterStore:
    """The store that `backend` names: a name of BACKENDS or the dotted path of a class.

    A class of one's own is called with `url`, `prefix` and `timeout` (seconds) as keywords. Raises
    ValueError, listing the known names, when `backend` leads to no store; and what the class itself
    raises, a ValueError for a `url` that it cannot use.
    """
    store = _imported(backend, BACKENDS.get(backend, backend))
    if store is MemoryStore:
        return MemoryStore()
    fits = isinstance(store, type) and issubclass(store, RosterStore)
    if not fits:
        raise _wrong(backend, "is no class that is a presence.backends.base.RosterStore")
    try:
        made: RosterStore = store(url=url, prefix=prefix, timeout=timeout)
    except TypeError as error:
        raise _wrong(backend, f"cannot be made ({error})") from error
    return made


def _imported(backend: str, path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not all(part.isidentifier() for part in path.split(".")) or not module:
        raise _wrong(backend, "is no name of a backend")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise _wrong(backend, f"cannot be imported ({error})") from error


def _wrong(backend: str, why: str) -> ValueError:
    known = ", ".join(map(repr, BACKENDS))
    return ValueError(
        f"PRESENCE_BACKEND, {shown(backend)}, {Redactor(backend).text(why)}: use {known}, or "
        "the dotted path of a RosterStore"
    )
