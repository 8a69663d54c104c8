"""Scripts for keys of any type."""

from __future__ import annotations

__all__ = ["DELETE_FOREIGN"]

# KEYS: a key. ARGV: the type that it may have. Deletes it if it has another; returns that type.
DELETE_FOREIGN = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == ARGV[1] then return false end
redis.call('DEL', KEYS[1])
return kind
"""
