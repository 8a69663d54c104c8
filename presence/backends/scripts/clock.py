"""The time, as every script is told it."""

from __future__ import annotations

__all__ = ["NOW"]

# ARGV: the time ("" for Redis's own), then what the script that follows wants.
NOW = """
local now = ARGV[1]
if now == '' then
  local moment = redis.call('TIME')
  now = string.format('%d.%06d', moment[1], moment[2])
end
"""
