"""The Lua scripts of the Redis store. Each touches one key and is safe to run twice."""

from __future__ import annotations

import hashlib

__all__ = ["ALL", "SHA"]

# KEYS: channel hash. ARGV: rev loaded, pending ("" for none), then field, value, ...
COMMIT = """
local now = redis.call('HMGET', KEYS[1], 'rev', 'pending')
if now[2] and now[2] ~= '' then
  return now[2] == ARGV[2] and 1 or 0
end
if (now[1] or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'rev', ARGV[1] + 1, 'pending', ARGV[2], unpack(ARGV, 3))
return 1
"""

# KEYS: channel hash. ARGV: pending, position "offset:epoch" or "", time ("" where no signals are to
# be sent); and, for a pending that can never be published, the new epoch and the snapshot as
# version 1 of it.
ACKNOWLEDGE = """
local now = redis.call('HMGET', KEYS[1], 'pending', 'position', 'unsignalled')
if not now[1] or now[1] == '' or now[1] ~= ARGV[1] then return 0 end
local position = ARGV[2]
if position == '' then
  position = now[2] or ''
elseif now[2] and now[2] ~= '' then
  local old, life = now[2]:match('^(%d+):(.*)$')
  local new, reborn = position:match('^(%d+):(.*)$')
  if life == reborn and tonumber(new) < tonumber(old) then position = now[2] end
end
redis.call('HINCRBY', KEYS[1], 'rev', 1)
redis.call('HSET', KEYS[1], 'pending', '', 'position', position)
if ARGV[3] ~= '' then
  local lines = now[3] or ''
  if lines ~= '' then lines = lines .. '\\n' end
  redis.call('HSET', KEYS[1], 'unsignalled', lines .. ARGV[3] .. ' ' .. ARGV[1])
end
if ARGV[4] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'version', 1, 'snapshot', ARGV[5])
end
return 1
"""

# KEYS: channel hash. ARGV: the pending whose signals were sent.
SIGNALLED = """
local lines = redis.call('HGET', KEYS[1], 'unsignalled')
if not lines or lines == '' then return 0 end
local left = {}
for line in lines:gmatch('[^\\n]+') do
  local pending = line:match('^%S+ (.*)$')
  if pending ~= ARGV[1] then left[#left + 1] = line end
end
redis.call('HSET', KEYS[1], 'unsignalled', table.concat(left, '\\n'))
return 1
"""

# KEYS: channel hash. Deletes it if nobody is in it and nothing is unfinished.
SWEEP = """
local now = redis.call('HMGET', KEYS[1],
  'total', 'anonymous', 'leaving', 'pending', 'unsignalled')
for i = 1, 2 do
  if now[i] and now[i] ~= '0' then return 0 end
end
for i = 3, 5 do
  if now[i] and now[i] ~= '' then return 0 end
end
redis.call('DEL', KEYS[1])
return 1
"""

# KEYS: sorted set of known channels. ARGV: channel, the score that it must still have.
FORGET = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
"""

# KEYS: hash of nodes. ARGV: their uids, the time. Returns when they changed, "0" if never.
NODES = """
local now = redis.call('HMGET', KEYS[1], 'uids', 'changed')
local changed = now[2] or '0'
if now[1] and now[1] ~= ARGV[1] then changed = ARGV[2] end
redis.call('HSET', KEYS[1], 'uids', ARGV[1], 'changed', changed)
return changed
"""

# KEYS: hash of open ticks. ARGV: tick, the time ("" for Redis's own). Returns the time, then the
# fields and values that were there before.
BEGIN = """
local now = ARGV[2]
if now == '' then
  local moment = redis.call('TIME')
  now = string.format('%d.%06d', moment[1], moment[2])
end
local before = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'began', now, 'tick:' .. ARGV[1], now)
table.insert(before, 1, now)
return before
"""

# KEYS: hash of a tick's parts. ARGV: number, part, how many there are to be, seconds to keep them.
# Returns whether all are in.
ADD = """
redis.call('HSET', KEYS[1], 'of', ARGV[3], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) and 1 or 0
"""

# KEYS: sorted set of registered channels. ARGV: the time ("" for Redis's own), then channels.
REGISTER = """
local now = ARGV[1]
if now == '' then
  local moment = redis.call('TIME')
  now = string.format('%d.%06d', moment[1], moment[2])
end
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'GT', now, ARGV[i]) end
return 1
"""

# KEYS: hash of the cursors of a channel. ARGV: the time ("" for Redis's own), milliseconds without
# a sign after which a cursor is stale, then user, position, ... Returns the time. Clears away the
# stale, what cannot be read, and what is more than a second ahead (the clock was set back), among
# twice as many fields as it writes, taken by chance: so even where every user moves once, stale
# ones become no more than fresh ones.
MOVE = """
local now = ARGV[1]
if now == '' then
  local moment = redis.call('TIME')
  now = string.format('%d.%06d', moment[1], moment[2])
end
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], now .. ' ' .. ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) <= #ARGV then return now end
local since = now - ARGV[2] / 1000
local some = redis.call('HRANDFIELD', KEYS[1], #ARGV, 'WITHVALUES')
for i = 1, #some, 2 do
  local at = tonumber(some[i + 1]:match('^%S+') or '')
  if not (at and at >= since and at <= now + 1) then redis.call('HDEL', KEYS[1], some[i]) end
end
return now
"""

# KEYS: hash of the cursors of a channel. ARGV: user, field as it was read, ...
RETIRE = """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return 1
"""

# KEYS: hash of the cursors of a channel. ARGV: user, what the position has to end with.
DROP = """
local field = redis.call('HGET', KEYS[1], ARGV[1])
local position = field and field:match('^%S* (.*)$')
if not position or position:sub(-#ARGV[2]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""

# KEYS: a count. ARGV: milliseconds that its window lasts, the most that it may be. A window that
# has longer to go than it lasts began before the clock was set back.
TAKE = """
local count, left = redis.call('INCR', KEYS[1]), redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[1]) then
  count = 1
  redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
end
return count <= tonumber(ARGV[2]) and 1 or 0
"""

ALL = {
    "commit": COMMIT,
    "acknowledge": ACKNOWLEDGE,
    "signalled": SIGNALLED,
    "sweep": SWEEP,
    "forget": FORGET,
    "nodes": NODES,
    "begin": BEGIN,
    "add": ADD,
    "register": REGISTER,
    "move": MOVE,
    "retire": RETIRE,
    "drop": DROP,
    "take": TAKE,
}

SHA = {
    name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    for name, source in ALL.items()
}
"""The digests by which Redis knows the scripts."""
