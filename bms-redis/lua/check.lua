-- Tries every command that the scripts use, on keys that are gone at the end: a user who may not use one of them must not
-- find out in the midst of a script's writes.
-- Commands that no script can call are looked up.
-- KEYS  1 a hash   2 a string   3 a sorted set   4 a list, whose name is also a channel
-- ARGV  1 whether this is a cluster ('1' or '0')
-- Gives  the commands that this user may not use.

local denied = {}

-- A server that is full, cannot save, lacks replicas or has become one refuses for now, whoever asks. Of rights Redis speaks
-- as 'The user executing the script …' before 7.2, and with the code NOPERM since; a command that was renamed away is unknown.
local function is_denial(refusal)
  for _, words in ipairs({ '^-?NOPERM', 'The user executing the script', 'Unknown Redis command' }) do
    if string.find(refusal, words) then return true end
  end
end

local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err and is_denial(answer.err) then denied[#denied + 1] = command end
end

local function look_up(name, ...)
  -- A server that is not quite Redis may know no such question.
  if not redis.acl_check_cmd then return end
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  if not (known and allowed) then denied[#denied + 1] = name end
end

look_up('PING', 'PING')
look_up('INFO', 'INFO')
look_up('EVAL', 'EVAL', '', '0')
look_up('EVALSHA', 'EVALSHA', '', '0')
look_up('SSUBSCRIBE', 'SSUBSCRIBE', KEYS[4])
look_up('SUNSUBSCRIBE', 'SUNSUBSCRIBE', KEYS[4])
if ARGV[1] == '1' then
  look_up('ASKING', 'ASKING')
  look_up('CLUSTER|SLOTS', 'CLUSTER', 'SLOTS')
end
try('TIME')
try('HSET', KEYS[1], 'a', '1')
try('HGET', KEYS[1], 'a')
try('HMGET', KEYS[1], 'a')
try('HKEYS', KEYS[1])
try('HINCRBY', KEYS[1], 'a', '1')
try('HDEL', KEYS[1], 'a')
try('SET', KEYS[2], '1')
try('GET', KEYS[2])
try('SETRANGE', KEYS[2], '0', 'a')
try('GETRANGE', KEYS[2], '0', '0')
try('BITFIELD', KEYS[2], 'SET', 'u2', '#0', '0')
try('BITFIELD_RO', KEYS[2], 'GET', 'u2', '#0')
try('ZADD', KEYS[3], '1', 'a')
try('ZRANGE', KEYS[3], '0', '0')
try('ZREM', KEYS[3], 'a')
try('RPUSH', KEYS[4], 'a', 'b')
try('LRANGE', KEYS[4], '0', '0')
try('LINDEX', KEYS[4], '0')
try('LTRIM', KEYS[4], '0', '1')
try('LPOP', KEYS[4])
try('EXISTS', KEYS[1])
try('SPUBLISH', KEYS[4], 'a')
try('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return denied
