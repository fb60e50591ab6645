-- KEYS  1 the records of a shard
-- ARGV  2… 'h' .. id
-- Gives  now, and the record of each (nil for one that is not there).
-- include clock

return { now, redis.call('HMGET', KEYS[1], unpack(ARGV, 2)) }
