--# revoke: now
-- KEYS: hash of revocations. ARGV: the time ("" for Redis's own), seconds to keep them, then
-- revocations. The value of each is when it was made, when it ends, and when it was enforced.
for i = 3, #ARGV do
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.6f %.6f 0', now, now + ARGV[2]))
end
return 1

--# revocations: now
-- KEYS: hash of revocations. ARGV: the time ("" for Redis's own), how many, and the seconds by
-- which one may lie ahead. Returns the time, then revocation, the time at which it was made, and
-- whether it was enforced, ...
local all, kept = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local at, ends, enforced = string.match(all[i + 1], '^(%S+) (%S+) (%S+)$')
  if at and ends + 0 > now + 0 and at - now <= ARGV[3] + 0 then
    kept[#kept + 1] = {all[i], at, enforced + 0}
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
table.sort(kept, function(a, b)
  return a[3] < b[3] or (a[3] == b[3] and a[2] + 0 < b[2] + 0)
end)
local found = {now}
for i = 1, math.min(#kept, ARGV[2]) do
  found[#found + 1] = kept[i][1]
  found[#found + 1] = kept[i][2]
  found[#found + 1] = kept[i][3] > 0 and 1 or 0
end
return found

--# enforced: now
-- KEYS: hash of revocations. ARGV: the time ("" for Redis's own), then revocation, the time at
-- which it was made, ...
for i = 2, #ARGV, 2 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local at, ends = string.match(value or '', '^(%S+) (%S+) ')
  if at == ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%s %s %.6f', at, ends, now))
  end
end
return 1
