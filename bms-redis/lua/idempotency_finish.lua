-- Keeps the first answer to a request.
-- ARGV  2 answer   3 how long it is good, in ms   4 how much longer than that it is kept, in ms
-- Gives  'K' it is kept   'F', answer: an earlier one is   'N' nothing is known of the request.
-- include request

if head == '' then return { 'N' } end
local state, till, request, seed, runner = struct.unpack(HEAD, head)
if state == 'F' and till > now then return { 'F', answer() } end
local keep = tonumber(ARGV[3])
call('SET', REQUEST, struct.pack(HEAD, 'F', now + keep, request, seed, runner) .. ARGV[2], 'PX', keep + ARGV[4])
return { 'K' }
