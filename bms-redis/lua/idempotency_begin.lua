-- Begins a request, or says what came of it.
-- KEYS  1 the request: a head of 71 bytes (see below), and then its answer when it has one
-- ARGV  1 now in milliseconds, or '' for this server's clock   2 fingerprint   3 seed   4 lease in ms
--       5 how much longer than its lease an unfinished request is kept, in ms
-- Gives  'R', seed: run it   'P' it is running   'F', answer   'U' the key is another request's
--
-- The head: state (R running, A abandoned, F finished), until when its lease or its answer is good, fingerprint, the seed
-- of the first try, and the seed that the present runner came with: a call that arrives twice is one caller's.

local HEAD = '>c1I6c32c16c16'
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local lease = tonumber(ARGV[4])

local function run(seed)
  local head = struct.pack(HEAD, 'R', now + lease, ARGV[2], seed, ARGV[3])
  redis.call('SET', KEYS[1], head, 'PX', lease + ARGV[5])
  return { 'R', seed }
end

local head = redis.call('GETRANGE', KEYS[1], 0, 70)
if head == '' then return run(ARGV[3]) end
local state, till, request, seed, runner = struct.unpack(HEAD, head)
if state == 'F' and till <= now then return run(ARGV[3]) end
if request ~= ARGV[2] then return { 'U' } end
if state == 'F' then return { 'F', redis.call('GETRANGE', KEYS[1], 71, -1) } end
if state == 'R' and till > now then
  if runner == ARGV[3] then return { 'R', seed } end
  return { 'P' }
end
return run(seed)
