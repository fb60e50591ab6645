-- Keeps the first answer to a request.
-- KEYS  1 the request, as idempotency_begin.lua has it
-- ARGV  1 now in milliseconds, or '' for this server's clock   2 answer   3 how long it is good, in ms
--       4 how much longer than that it is kept, in ms
-- Gives  'K' it is kept   'F', answer: an earlier one is   'N' nothing is known of the request.

local HEAD = '>c1I6c32c16c16'
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local head = redis.call('GETRANGE', KEYS[1], 0, 70)
if head == '' then return { 'N' } end
local state, till, request, seed, runner = struct.unpack(HEAD, head)
if state == 'F' and till > now then return { 'F', redis.call('GETRANGE', KEYS[1], 71, -1) } end
local keep = tonumber(ARGV[3])
head = struct.pack(HEAD, 'F', now + keep, request, seed, runner)
redis.call('SET', KEYS[1], head .. ARGV[2], 'PX', keep + ARGV[4])
return { 'K' }
