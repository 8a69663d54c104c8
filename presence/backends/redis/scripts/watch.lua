--# begin_look: now
-- KEYS: hash of the watch. ARGV: the time ("" for Redis's own), holder, seconds of the lease.
-- Returns the time and the token of the last counts; false while another one looks or all rest. A
-- lease or a rest of more than its own length was written before the clock was set back.
local last = redis.call('HMGET', KEYS[1], 'until', 'length', 'token', 'holder')
local left, length = tonumber(last[1] or '') or 0, tonumber(last[2] or '') or 0
local taken = left > now + 0 and left <= now + length
if taken and last[4] ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', now + ARGV[3], 'length', ARGV[3])
return {now, last[3] or ''}

--# end_look: now
-- KEYS: hash of the watch. ARGV: the time ("" for Redis's own), holder, seconds of the rest, and,
-- if they changed, token and counts. Returns 0 where the lease passed on to another holder.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'until', now + ARGV[3], 'length', ARGV[3], 'holder', '')
if ARGV[4] then redis.call('HSET', KEYS[1], 'token', ARGV[4], 'counts', ARGV[5]) end
return 1

--# mark_due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), then channel, seconds from
-- now, ... An earlier mark stands.
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'LT', now + ARGV[i + 1], ARGV[i]) end
return 1

--# settle_due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), the time at which a poll
-- began to read, then channel, seconds from now in which it is due again ("": it is not), ... A mark
-- that was made for a later time stands.
for i = 3, #ARGV, 2 do
  local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '')
  if at and at <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
  if ARGV[i + 1] ~= '' then redis.call('ZADD', KEYS[1], 'LT', now + ARGV[i + 1], ARGV[i]) end
end
return 1

--# forget_due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), seconds after which a mark
-- that no look took is forgotten.
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])

--# due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), how many. Returns those
-- that are due, the longest waiting first.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
