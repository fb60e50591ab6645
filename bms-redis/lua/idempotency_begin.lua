-- Begins a request, or says what came of it.
-- ARGV  2 fingerprint   3 seed   4 lease in ms   5 how much longer than its lease an unfinished request is kept, in ms
-- Gives  'R', seed: run it   'P' it is running   'F', answer   'U' the key is another request's
-- include request

local lease = tonumber(ARGV[4])
local function run(seed)
  call('SET', REQUEST, struct.pack(HEAD, 'R', now + lease, ARGV[2], seed, ARGV[3]), 'PX', lease + ARGV[5])
  return { 'R', seed }
end

if head == '' then return run(ARGV[3]) end
local state, till, request, seed, runner = struct.unpack(HEAD, head)
if state == 'F' and till <= now then return run(ARGV[3]) end
if request ~= ARGV[2] then return { 'U' } end
if state == 'F' then return { 'F', answer() } end
if state == 'R' and till > now then
  if runner == ARGV[3] then return { 'R', seed } end
  return { 'P' }
end
return run(seed)
