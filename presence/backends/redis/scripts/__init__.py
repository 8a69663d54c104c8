"""The Lua scripts of the Redis store. Each touches one key and is safe to run twice."""

from __future__ import annotations

import hashlib

from presence.backends.redis.scripts import cursors, keys, ledger, members, rosters

__all__ = ["ALL", "SHA", "SOURCES"]

ALL = {
    name.lower(): getattr(module, name)
    for module in (keys, rosters, ledger, members, cursors)
    for name in module.__all__
}

SHA = {
    name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    for name, source in ALL.items()
}
"""The digests by which Redis knows the scripts."""

SOURCES = {SHA[name]: source for name, source in ALL.items()}
