-- Tidies a show up: retires holds, forgets holds that ended long ago, and the show when nothing has happened to it for long.
-- ARGV  3 how many holds to retire and to forget at most
-- Gives  how many holds were retired, and whether there is more to do by now (1 or 0).
-- include show
-- include holds
-- include sales

local numbers = call('HGET', RECORDS, META)
if not numbers then
  call('ZREM', DUE, SHOW)
  return { 0, 0 }
end
load(numbers)
local limit = tonumber(ARGV[3])
local retired = retire(limit)
save()
local next_at = math.min(due, now + KEPT_FOR)
for step = 1, limit do
  local oldest = call('LINDEX', ENDED, 0)
  if not oldest then break end
  local hold = read(oldest)
  if hold and not is_live(hold) then
    if hold.till + KEPT_FOR > now then
      next_at = math.min(next_at, hold.till + KEPT_FOR)
      break
    end
    call('HDEL', RECORDS, oldest)
  end
  call('LPOP', ENDED)
  -- There may be more: the next call goes on.
  if step == limit then next_at = now end
end
if not dirty and call('EXISTS', LIVE, ENDED) == 0 then
  next_at = touched + FORGOTTEN_AFTER
  if next_at <= now then
    -- While nobody holds a seat, users have what they bought, and nothing else.
    local fields = { META }
    each(SALES, call('HKEYS', SALES), function(_, record)
      local owner = unpack_as('>Bc0', record, 2)
      fields[#fields + 1] = USER .. owner
    end)
    for first = 1, #fields, 1000 do
      call('HDEL', RECORDS, unpack(fields, first, math.min(first + 999, #fields)))
    end
    call('DEL', SEATS, LOG, SALES)
    call('ZREM', DUE, SHOW)
    return { retired, 0 }
  end
end
call('ZADD', DUE, format('%d', next_at), SHOW)
return { retired, next_at <= now and 1 or 0 }
