--# revoke: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), seconds to keep them, then
-- revocations. A member is when it was made, when it ends, and the revocation; its score is when it
-- was enforced, or before all of those, in the order in which they were made, if it never was.
local times = string.format('%.6f %.6f ', now, now + ARGV[2])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now - 1e10, times .. ARGV[i]) end
return 1

--# revocations: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), how many, and the seconds by
-- which one may lie ahead. Returns the time, then members and scores. Forgets those that have ended,
-- and what is no revocation, and for some rounds looks at as many of the next ones.
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
return {now, found}

--# enforced: now
-- KEYS: sorted set of revocations. ARGV: the time ("" for Redis's own), then members.
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i]) end
return 1
