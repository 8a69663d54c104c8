--# revoke: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), seconds to keep them, then
-- revocations. A member is when it was made, when it ends, and the revocation; its score is when it
-- was enforced, or before all of those, in the order in which they were made, if it never was.
-- Forgets those of the first ones that have ended, twice as many as it adds: else they pile up where
-- nothing looks.
local times = string.format('%.6f %.6f ', now, now + ARGV[2])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now - 1e10, times .. ARGV[i]) end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, 2 * (#ARGV - 2) - 1)) do
  local ends = string.match(member, '^%d+%.%d+ (%d+%.%d+) ')
  if ends and ends + 0 <= now + 0 then redis.call('ZREM', KEYS[1], member) end
end
local life = math.ceil(ARGV[2] * 1000)
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], life) end
return 1

--# revocations: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), how many, the seconds by
-- which one may lie ahead, and those for which one is fresh. Returns the time, members and scores,
-- then the members that are fresh and were enforced. Forgets those that have ended, and what is no
-- revocation, and for some rounds looks at as many of the next ones.
local found
for _ = 1, 20 do
  local old = {}
  found = redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local at, ends = string.match(found[i], '^(%d+%.%d+) (%d+%.%d+) ')
    if not at or ends + 0 <= now + 0 or at - now > ARGV[3] + 0 then old[#old + 1] = found[i] end
  end
  if #old == 0 then break end
  redis.call('ZREM', KEYS[1], unpack(old))
end
local fresh = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[4], '+inf')) do
  local at = string.match(member, '^(%d+%.%d+) ')
  if at and now - at < ARGV[4] + 0 then fresh[#fresh + 1] = member end
end
return {now, found, fresh}

--# enforced: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), then members.
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i]) end
return 1
