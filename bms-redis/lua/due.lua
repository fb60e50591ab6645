-- KEYS  1 the shows of a shard by when there is something to tidy up
-- ARGV  2 how many at most
-- Gives  the ids of shows that are due.
-- include clock

return redis.call('ZRANGE', KEYS[1], '-inf', string.format('%d', now), 'BYSCORE', 'LIMIT', '0', ARGV[2])
