--# begin_look: now
-- KEYS: hash of the watch. ARGV: the time ("" for Redis's own), holder, seconds of the lease, and
-- the token of the counts that the caller has. Returns the time, the token of the last counts, and
-- these if the caller has others; false while another holder looks or all rest. A lease or a rest
-- that has more than its length left was written before the clock was set back.
local last = redis.call('HMGET', KEYS[1], 'until', 'length', 'token', 'holder')
local left, length = tonumber(last[1] or '') or 0, tonumber(last[2] or '') or 0
local taken = left > now + 0 and left <= now + length
if taken and last[4] ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', now + ARGV[3], 'length', ARGV[3])
local token = last[3] or ''
return {now, token, token ~= ARGV[4] and redis.call('HGET', KEYS[1], 'counts') or ''}

--# look: now
-- KEYS: hash of the watch. ARGV: the time ("" for Redis's own), holder, seconds of the rest ("": the
-- look goes on), and, if they changed, token and counts. Returns 0 where the lease passed on to
-- another holder.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'until', now + ARGV[3], 'length', ARGV[3], 'holder', '')
end
if ARGV[4] then redis.call('HSET', KEYS[1], 'token', ARGV[4], 'counts', ARGV[5]) end
return 1

--# mark
-- Marks a channel for a time, unless it has an earlier mark. The mark of a channel that is due
-- changes a little, in its place in the order, so that a poll under way does not settle this one.
local function mark(channel, after)
  local at = tonumber(redis.call('ZSCORE', KEYS[1], channel) or '')
  if at and at <= now + 0 then
    redis.call('ZADD', KEYS[1], at - ARGV[2], channel)
  else
    redis.call('ZADD', KEYS[1], 'LT', now + after, channel)
  end
end

--# mark_due: now mark
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), seconds by which a mark
-- changes, those after which a mark that no look took is forgotten, then channel, seconds from now,
-- ... Returns the time.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
for i = 4, #ARGV, 2 do mark(ARGV[i], ARGV[i + 1]) end
return now

--# settle_due: now mark
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), seconds by which a mark
-- changes, then channel, the mark that a look found, seconds from now in which the channel is due
-- again ("": it is not), ... A mark that was made since stands.
for i = 3, #ARGV, 3 do
  local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '')
  if at and at == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
  if ARGV[i + 2] ~= '' then mark(ARGV[i], ARGV[i + 2]) end
end
return 1

--# forget_due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), seconds after which a mark
-- that no look took is forgotten.
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])

--# due: now
-- KEYS: sorted set of due channels. ARGV: the time ("" for Redis's own), how many. Returns those
-- that are due, each with its mark, the longest waiting first.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
