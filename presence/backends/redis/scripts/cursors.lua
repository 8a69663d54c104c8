--# move: now
-- KEYS: hash of the cursors of a channel. ARGV: the time ("" for Redis's own), milliseconds without
-- a sign after which a cursor is stale, then user, position, ... Returns the time. Clears away the
-- stale, what cannot be read, and what is more than a second ahead (the clock was set back), among
-- twice as many fields as it writes, taken by chance: so even where every user moves once, stale
-- ones become no more than fresh ones.
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

--# retire
-- KEYS: hash of the cursors of a channel. ARGV: user, field as it was read, ...
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return 1

--# drop
-- KEYS: hash of the cursors of a channel. ARGV: user, what the position has to end with.
local field = redis.call('HGET', KEYS[1], ARGV[1])
local position = field and field:match('^%S* (.*)$')
if not position or position:sub(-#ARGV[2]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])

--# take
-- KEYS: a count. ARGV: milliseconds that its window lasts, the most that it may be, how much is
-- added. Returns how much of that is within the most. A window that has longer to go than it lasts
-- began before the clock was set back.
local times = tonumber(ARGV[3])
local count, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
local counts = count and #count < 16 and count:match('^%d+$')
if not counts or left < 0 or left > tonumber(ARGV[1]) then
  count = times
  redis.call('SET', KEYS[1], times, 'PX', ARGV[1])
else
  count = redis.call('INCRBY', KEYS[1], times)
end
return math.max(0, math.min(times, ARGV[2] - count + times))

--# remembers
-- KEYS: what is remembered: the milliseconds for which it is. Returns whether it is. One that has
-- longer to go was remembered before the clock was set back.
local kept, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if not kept then return 0 end
if not (#kept < 16 and kept:match('^%d+$')) then
  redis.call('DEL', KEYS[1])
  return 0
end
if left < 0 or left > tonumber(kept) then redis.call('PEXPIRE', KEYS[1], kept) end
return 1
