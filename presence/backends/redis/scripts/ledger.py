"""What ticks did, and which channels were asked for."""

from __future__ import annotations

from presence.backends.redis.scripts.clock import NOW, PUT_RIGHT

__all__ = ["ADD", "BEGIN", "CLAIM", "REGISTER", "REGISTERED"]

# KEYS: hash of open ticks. ARGV: the time ("" for Redis's own), tick. Returns the time, then the
# fields and values that were there before; none where the tick has begun already: the call was made
# again, and what was there before is not known any more.
BEGIN = (
    NOW
    + """
if redis.call('HEXISTS', KEYS[1], 'tick:' .. ARGV[2]) == 1 then return {now} end
local before = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'began', now, 'tick:' .. ARGV[2], now)
table.insert(before, 1, now)
return before
"""
)

# KEYS: hash of the claimed slots of a channel. ARGV: the time ("" for Redis's own), slot,
# milliseconds for which nobody else may claim it. Returns whether it is claimed now. Slots whose
# claim has ended, or is more than a second ahead (the clock was set back), are free: an expiry for
# each slot would leave one claimed until the very hour in which it comes again.
CLAIM = (
    NOW
    + """
local claims = redis.call('HGETALL', KEYS[1])
for i = 1, #claims, 2 do
  local at, life = claims[i + 1]:match('^(%S+) (%d+)$')
  local age = tonumber(at or '') and now - at
  if not (age and age >= -1 and age < life / 1000) then redis.call('HDEL', KEYS[1], claims[i]) end
end
if redis.call('HSETNX', KEYS[1], ARGV[2], now .. ' ' .. ARGV[3]) == 0 then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""
)

# KEYS: hash of a tick's parts. ARGV: number, part, how many there are to be, seconds to keep them.
# Returns whether all are in.
ADD = """
redis.call('HSET', KEYS[1], 'of', ARGV[3], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) and 1 or 0
"""

# KEYS: sorted set of channels. ARGV: the time ("" for Redis's own), milliseconds to keep it at
# least, then channels.
REGISTER = (
    NOW
    + """
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""
)

# KEYS: sorted set of channels. ARGV: the time, seconds after which a channel is forgotten. Returns
# the others.
REGISTERED = (
    NOW
    + PUT_RIGHT
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - ARGV[2]))
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
