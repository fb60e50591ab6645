-- A request with an idempotency key, which is one key of Redis: a head of 71 bytes, and then its answer when it has one.
--
-- KEYS  1 the request
--
-- The head: state (R running, A abandoned, F finished), until when its lease or its answer is good, fingerprint, the seed
-- of the first try, and the seed that the present runner came with: a call that arrives twice is one caller's.
-- include clock
local REQUEST = KEYS[1]
local HEAD, HEAD_LENGTH = '>c1I6c32c16c16', 71
local call = redis.call

local head = call('GETRANGE', REQUEST, 0, HEAD_LENGTH - 1)
local function answer() return call('GETRANGE', REQUEST, HEAD_LENGTH, -1) end
