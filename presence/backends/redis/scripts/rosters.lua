--# commit
-- KEYS: channel hash. ARGV: rev loaded, pending ("" for none), then field, value, ...
local now = redis.call('HMGET', KEYS[1], 'rev', 'pending')
if now[2] and now[2] ~= '' then
  return now[2] == ARGV[2] and 1 or 0
end
if (now[1] or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'rev', ARGV[1] + 1, 'pending', ARGV[2], unpack(ARGV, 3))
return 1

--# replace
-- KEYS: what is damaged. ARGV: rev and pending as they were found there ("" for none), the new
-- pending, then field, value, ... Puts these in the place of all that is there.
local now = {}
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  now = redis.call('HMGET', KEYS[1], 'rev', 'pending')
end
if now[2] and now[2] ~= '' and now[2] == ARGV[3] then return 1 end
if (now[1] or '') ~= ARGV[1] or (now[2] or '') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'pending', ARGV[3], unpack(ARGV, 4))
return 1

--# suspect
-- KEYS: channel hash. ARGV: a field, and what it holds ("" if it is missing) that cannot be read.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'suspect', ARGV[1])
return 1

--# acknowledge
-- KEYS: channel hash. ARGV: pending, position "offset:epoch" or "", time ("" where no signals are to
-- be sent); and, for a pending that can never be published, the new epoch and the snapshot as
-- version 1 of it.
local now = redis.call('HMGET', KEYS[1], 'pending', 'position', 'unsignalled', 'rev')
if not now[1] or now[1] == '' or now[1] ~= ARGV[1] then return 0 end
if not (now[4] and #now[4] < 16 and now[4]:match('^%d+$')) then return 0 end
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
  if lines ~= '' then lines = lines .. '\n' end
  redis.call('HSET', KEYS[1], 'unsignalled', lines .. ARGV[3] .. ' ' .. ARGV[1])
end
if ARGV[4] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'version', 1, 'snapshot', ARGV[5])
end
return 1

--# signalled
-- KEYS: channel hash. ARGV: the pending whose signals were sent.
local lines = redis.call('HGET', KEYS[1], 'unsignalled')
if not lines or lines == '' then return 0 end
local left = {}
for line in lines:gmatch('[^\n]+') do
  local pending = line:match('^%S+ (.*)$')
  if pending ~= ARGV[1] then left[#left + 1] = line end
end
redis.call('HSET', KEYS[1], 'unsignalled', table.concat(left, '\n'))
return 1

--# sweep
-- KEYS: channel hash. Deletes it if nobody is in it and nothing is unfinished.
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

--# known: now put_right
-- KEYS: sorted set of known channels. ARGV: the time ("" for Redis's own). Returns them with their
-- times.
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')

--# forget
-- KEYS: sorted set of known channels. ARGV: channel, the score that it must still have.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])

--# nodes: now
-- KEYS: hash of nodes. ARGV: the time ("" for Redis's own), their uids. Returns the time, and when
-- they changed, "0" if never. A time that is yet to come, or is none, is that of now.
local before = redis.call('HMGET', KEYS[1], 'uids', 'changed')
local changed = before[2] or '0'
local at = tonumber(changed)
if not (at and at <= tonumber(now)) then changed = now end
if before[1] and before[1] ~= ARGV[2] then changed = now end
redis.call('HSET', KEYS[1], 'uids', ARGV[2], 'changed', changed)
return {now, changed}

--# delete_foreign
-- KEYS: a key. ARGV: the type that it may have. Deletes it if it has another; returns that type.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == ARGV[1] then return false end
redis.call('DEL', KEYS[1])
return kind

--# begin: now
-- KEYS: hash of open ticks. ARGV: the time ("" for Redis's own), tick. Returns the time, then the
-- fields and values that were there before; none where the tick has begun already: the call was made
-- again, and what was there before is not known any more.
if redis.call('HEXISTS', KEYS[1], 'tick:' .. ARGV[2]) == 1 then return {now} end
local before = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'began', now, 'tick:' .. ARGV[2], now)
table.insert(before, 1, now)
return before

--# claim: now
-- KEYS: hash of the claimed slots of a channel. ARGV: the time ("" for Redis's own), slot,
-- milliseconds for which nobody else may claim it. Returns whether it is claimed now. Slots whose
-- claim has ended, or is more than a second ahead (the clock was set back), are free: an expiry for
-- each slot would leave one claimed until the very hour in which it comes again.
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

--# add: now
-- KEYS: hash of a tick's parts. ARGV: the time ("" for Redis's own), number, part, how many there are
-- to be, seconds to keep them. Returns the time; once all are in, then also the fields and values.
redis.call('HSET', KEYS[1], 'of', ARGV[4], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
if redis.call('HLEN', KEYS[1]) <= tonumber(ARGV[4]) then return {now} end
local parts = redis.call('HGETALL', KEYS[1])
table.insert(parts, 1, now)
return parts

--# register: now
-- KEYS: sorted set of channels. ARGV: the time ("" for Redis's own), milliseconds to keep it at
-- least, then channels. Forgets those of longer ago, which no tick has read.
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - ARGV[2] / 1000))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1

--# registered: now put_right
-- KEYS: sorted set of channels. ARGV: the time, seconds after which a channel is forgotten. Returns
-- the others.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - ARGV[2]))
return redis.call('ZRANGE', KEYS[1], 0, -1)
