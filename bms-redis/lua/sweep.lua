-- Tidies a show up: retires holds, forgets holds that ended long ago, and the show when nothing has happened to it for long.
-- ARGV  3 how many holds to retire and to forget at most
-- Gives  how many holds were retired.

local numbers_now = call('HGET', SHOW, 'm')
if not numbers_now then
  call('ZREM', DUE, ARGV[1])
  return 0
end
load(numbers_now)
local limit = tonumber(ARGV[3])
local retired = retire(limit)
save()
local next_at = due
for _ = 1, limit do
  local oldest = call('LINDEX', ENDED, 0)
  if not oldest then break end
  local hold = read(oldest)
  if hold and not is_live(hold) then
    if hold.till + KEPT_FOR > now then
      next_at = math.min(next_at, hold.till + KEPT_FOR)
      break
    end
    call('HDEL', HOLDS, oldest)
  end
  call('LPOP', ENDED)
end
if call('EXISTS', LIVE, ENDED) == 0 and not dirty then
  if touched + FORGOTTEN_AFTER <= now then
    call('DEL', SHOW, SEATS, LOG)
    call('ZREM', DUE, ARGV[1])
    return retired
  end
  next_at = math.min(next_at, touched + FORGOTTEN_AFTER)
elseif call('EXISTS', ENDED) == 1 and next_at == NEVER then
  next_at = now
end
if next_at == NEVER then next_at = now + KEPT_FOR end
call('ZADD', DUE, next_at, ARGV[1])
return retired
