--# fresh: now
-- Whether a field was beaten within ARGV[2] milliseconds, by whichever way the clock was set.
local function fresh(field)
  local beat = tonumber(field:match('^%S+') or '')
  return beat and math.abs(now - beat) <= ARGV[2] / 1000
end
-- A time that is yet to come, as it is after the clock was set back, is that of now.
local function past(at)
  local time = tonumber(at or '')
  return time and time <= now + 0 and at or now
end

--# join: fresh
-- KEYS: hash of the members of a channel. ARGV: the time ("" for Redis's own), milliseconds without
-- a sign after which a member is stale, field, metadata, how the fields of the user begin, and how
-- many fields are too many where most are the user's. Returns the time, when they joined, and when
-- the metadata was said. Clears the stale among two fields taken by chance: where nobody reads, they
-- become no more than fresh ones. Of too many, 64 are taken by chance: if most are the user's, the
-- one of these that beat longest ago goes.
local some = redis.call('HRANDFIELD', KEYS[1], 2, 'WITHVALUES')
local before = redis.call('HGET', KEYS[1], ARGV[3])
local joined, said = now, now
if before and fresh(before) then
  local first, last, meta = before:match('^%S+ (%S+) (%S+) (.*)$')
  joined = past(first)
  if meta == ARGV[4] then said = past(last) end
end
redis.call('HSET', KEYS[1], ARGV[3], table.concat({now, joined, said, ARGV[4]}, ' '))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 1, #some, 2 do
  if some[i] ~= ARGV[3] and not fresh(some[i + 1]) then redis.call('HDEL', KEYS[1], some[i]) end
end
if redis.call('HLEN', KEYS[1]) <= tonumber(ARGV[6]) then return {now, joined, said} end
local own = {}
for _, name in ipairs(redis.call('HRANDFIELD', KEYS[1], 64)) do
  if name ~= ARGV[3] and name:sub(1, #ARGV[5]) == ARGV[5] then own[#own + 1] = name end
end
if #own <= 32 then return {now, joined, said} end
local oldest, since
for i, found in ipairs(redis.call('HMGET', KEYS[1], unpack(own))) do
  local at = tonumber(found:match('^%S+') or '') or 0
  if not since or at < since then oldest, since = own[i], at end
end
redis.call('HDEL', KEYS[1], oldest)
return {now, joined, said}

--# leave: fresh
-- KEYS: hash of the members of a channel. ARGV: the time, milliseconds, field. Returns what it was.
local before = redis.call('HGET', KEYS[1], ARGV[3])
if not before then return false end
redis.call('HDEL', KEYS[1], ARGV[3])
return fresh(before) and before

--# beat: fresh
-- KEYS: hash of the members of a channel. ARGV: the time, milliseconds, then fields. Returns 1 for
-- each that is kept, else 0.
local beaten = {}
for i = 3, #ARGV do
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  local joined, said, meta
  if before and fresh(before) then
    joined, said, meta = before:match('^%S+ (%S+) (%S+) (.*)$')
  end
  beaten[i - 2] = 0
  if meta then
    redis.call('HSET', KEYS[1], ARGV[i], table.concat({now, past(joined), past(said), meta}, ' '))
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    beaten[i - 2] = 1
  end
end
return beaten

--# standing: now
-- KEYS: sorted set of channels by when somebody joined or beat last. ARGV: the time, milliseconds.
-- Forgets those for which that is longer ago, or yet to come (the clock was set back). Returns the
-- time, then the others.
local timeout = ARGV[2] / 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - timeout))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.6f', now + timeout), '+inf')
local channels = redis.call('ZRANGE', KEYS[1], 0, -1)
table.insert(channels, 1, now)
return channels

--# saw: now
-- KEYS: sorted set of users. ARGV: the time, then user, when they were seen, ... Keeps the later of
-- two times, and none that is yet to come.
for i = 2, #ARGV, 2 do
  local at, before = ARGV[i + 1], tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '')
  if tonumber(at) > now + 0 then at = now end
  if not before or before > now + 1 or before < tonumber(at) then
    redis.call('ZADD', KEYS[1], at, ARGV[i])
  end
end
return 1

--# seen: now
-- KEYS: sorted set of users. ARGV: the time, then users. Returns when each was seen.
local found = {}
for i = 2, #ARGV do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if at and tonumber(at) > now + 1 then
    at = now
    redis.call('ZADD', KEYS[1], at, ARGV[i])
  end
  found[i - 1] = at
end
return found

--# profile: now
-- KEYS: hash of profiles. ARGV: the time, milliseconds to keep it, user, what is shown. Returns the
-- time.
local ends = string.format('%.6f', now + ARGV[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[3], now .. ' ' .. ends .. ' ' .. ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return now

--# profiles: now
-- KEYS: hash of profiles. ARGV: the time. Returns the fields and values. One that was noted before
-- the clock was set back is of now, once: else it would be newer than whatever is signed later.
local found = redis.call('HGETALL', KEYS[1])
for i = 2, #found, 2 do
  local at, ends, shown = found[i]:match('^(%S+) (%S+) (.*)$')
  local noted, over = tonumber(at or ''), tonumber(ends or '')
  if noted and over and noted > tonumber(now) then
    -- Not by one format: that cuts what is shown at a zero byte.
    found[i] = now .. ' ' .. string.format('%.6f', over - noted + now) .. ' ' .. shown
    redis.call('HSET', KEYS[1], found[i - 1], found[i])
  end
end
return found
