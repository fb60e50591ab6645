-- KEYS  1 the shows of a shard by when there is something to tidy up
-- ARGV  1 now in milliseconds, or '' for this server's clock   2 how many at most
-- Gives  the ids of shows that are due.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[2]))
