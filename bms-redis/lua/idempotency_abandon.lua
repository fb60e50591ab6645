-- Lets the next caller run a request that has no answer.
-- KEYS  1 the request, as request.lua has it

if redis.call('GETRANGE', KEYS[1], 0, 0) == 'R' then redis.call('SETRANGE', KEYS[1], 0, 'A') end
return 0
