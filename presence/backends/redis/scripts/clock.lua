--# now
-- ARGV: the time ("" for Redis's own), then what the script that follows wants.
local now = ARGV[1]
if now == '' then
  local moment = redis.call('TIME')
  now = string.format('%d.%06d', moment[1], moment[2])
end

--# put_right
-- Sets entries of a sorted set by time to `now` if they are more than a second ahead, as they are
-- after the clock was set back.
local latest = string.format('(%.6f', now + 1)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], latest, '+inf')) do
  redis.call('ZADD', KEYS[1], now, name)
end
