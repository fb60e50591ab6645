-- KEYS  1 the holds of a shard
-- ARGV  1 now in milliseconds, or '' for this server's clock   2… ids
-- Gives  now, and the record of each (nil for one that is not there).

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
return { now, redis.call('HMGET', KEYS[1], unpack(ARGV, 2)) }
