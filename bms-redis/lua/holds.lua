-- What can be done to the holds of a show. After show.lua.

local KEPT_FOR = 3600000 -- how long a hold is kept after its end
local KEPT_AT_LEAST = 1024 -- how many ended holds a show keeps, and one for each seat if it has more
local CHANGES_KEPT = 1024
local FORGOTTEN_AFTER = 7 * 24 * 3600000 -- when nothing has happened to a show, and nobody holds a seat of it
local SHOW = string.sub(META, 2)
local USER = 'u' .. SHOW .. ':'
local known, dirty = true, false

local function load(numbers)
  if numbers then
    version, frees, due, held, sold, size, touched, layout = unpack_as(NUMBERS, numbers)
    return
  end
  -- Versions start at the clock's microseconds, so that they go on growing when everything was forgotten.
  version, frees, due, held, sold, size, touched, layout = now * 1000, now * 1000, NEVER, 0, 0, 0, now, ''
  known, dirty = false, true
end

-- Keeps the numbers, and a new show in the queue of what is to be tidied up.
local function save()
  if not dirty then return end
  call('HSET', RECORDS, META, pack(NUMBERS, version, frees, due, held, sold, size, now, #layout, layout))
  if not known then call('ZADD', DUE, format('%d', math.min(due, now + FORGOTTEN_AFTER)), SHOW) end
end

local function pack_seats(seats)
  local parts = {}
  for first = 1, #seats, 1000 do
    local last = math.min(first + 999, #seats)
    parts[#parts + 1] = pack('>' .. string.rep('I3', last - first + 1), unpack(seats, first, last))
  end
  return table.concat(parts)
end

local function unpack_seats(packed, from, to)
  local seats = {}
  for at = from, to, 3 do
    local high, middle, low = string.byte(packed, at, at + 2)
    seats[#seats + 1] = high * 65536 + middle * 256 + low
  end
  return seats
end

-- What the seats are marked as.
local function marks(seats)
  local found = {}
  for first = 1, #seats, 1000 do
    local command = { 'BITFIELD_RO', SEATS }
    for i = first, math.min(first + 999, #seats) do
      local n = #command
      command[n + 1], command[n + 2], command[n + 3] = 'GET', 'u2', '#' .. seats[i]
    end
    for _, mark in ipairs(call(unpack(command))) do found[#found + 1] = mark end
  end
  return found
end

local function mark(seats, as)
  for first = 1, #seats, 1000 do
    local command = { 'BITFIELD', SEATS }
    for i = first, math.min(first + 999, #seats) do
      local n = #command
      command[n + 1], command[n + 2], command[n + 3], command[n + 4] = 'SET', 'u2', '#' .. seats[i], as
    end
    call(unpack(command))
  end
end

-- A new version, for those who follow the show: 'h' held, 's' sold, 'f' free. A version has one change, so that the log
-- tells from its length which versions it has.
local function changed(kind, packed)
  if packed == '' then return end
  version, dirty = version + 1, true
  local change = pack('>d', version) .. kind .. packed
  if call('RPUSH', LOG, change) > 1.25 * CHANGES_KEPT then call('LTRIM', LOG, -CHANGES_KEPT, -1) end
  -- Whoever may not tell it must not fail for it, in the midst of what he changes: the log tells it too.
  redis.pcall('SPUBLISH', LOG, change)
end

-- How many seats a user has, held and sold together.
local function tally(user, more)
  if call('HINCRBY', RECORDS, USER .. user, more) <= 0 then call('HDEL', RECORDS, USER .. user) end
end

-- A hold's record: its state ('H' held, 'L' held and linked to an order, 'R' released, 'E' expired, 'C' consumed), when it
-- was placed, how long after that its own time ends, how long after that it ends or ended; then its body: owner, seats,
-- show, and what only the library reads; and for 'L' and 'C' the order.
local function parse(id, record)
  local state, created, own, till = unpack_as(HEAD, record)
  local owner, at = unpack_as('>Bc0', record, 18)
  local count = unpack_as('>I2', record, at)
  local after = at + 2 + 3 * count
  local last, order = #record, ''
  if state == 'L' or state == 'C' then
    order = string.sub(record, -16)
    last = last - 16
  end
  return {
    id = id,
    state = state,
    created = created,
    own_end = created + own,
    till = created + till,
    owner = owner,
    seats = unpack_seats(record, at + 2, after - 1),
    packed = string.sub(record, at + 2, after - 1),
    show = unpack_as('>Bc0', record, after),
    body = string.sub(record, 18, last),
    order = order,
  }
end

local function is_live(hold) return hold.state == 'H' or hold.state == 'L' end

local function read(id)
  local record = call('HGET', RECORDS, id)
  return record and parse(id, record)
end

local function record_of(hold)
  local own, till = hold.own_end - hold.created, math.max(hold.till - hold.created, 0)
  return pack(HEAD, hold.state, hold.created, own, till) .. hold.body .. hold.order
end

local function write(hold) call('HSET', RECORDS, hold.id, record_of(hold)) end

-- The answer to one who gives a command to a hold: now, what the command did, and the hold's record as it is now (nil when
-- there is none). He may have taken the hold for one of another show of the shard: then nothing is done.
local function told(did, hold)
  if known then save() end
  return { now, did, hold and record_of(hold) }
end
local CHANGED, UNCHANGED, ELSEWHERE = 1, 0, -1

-- Sets when a live hold ends.
local function enqueue(id, till)
  call('ZADD', LIVE, format('%d', till), id)
  if till < due then
    due, dirty = till, true
    if known then call('ZADD', DUE, format('%d', till), SHOW) end
  end
end

-- A server whose memory is full refuses what may need more of it, but for a script that has written before. So what gives
-- memory back, or needs no more, begins with a write that is never refused and changes nothing.
local function go_on_when_full() call('ZREM', LIVE, '') end

-- Takes a live hold out and frees its seats; `quietly` when they are sold next. It goes on when memory is full, for its
-- first write is never refused either.
local function finish(hold, state, at, order, quietly)
  call('ZREM', LIVE, hold.id)
  mark(hold.seats, FREE)
  tally(hold.owner, -#hold.seats)
  held, dirty = held - #hold.seats, true
  hold.state, hold.till, hold.order = state, at, order or ''
  write(hold)
  if call('RPUSH', ENDED, hold.id) > math.max(KEPT_AT_LEAST, size) then
    local oldest = call('LPOP', ENDED)
    local gone = read(oldest)
    if gone and not is_live(gone) then call('HDEL', RECORDS, oldest) end
  end
  if not quietly then changed('f', hold.packed) end
end

-- Ends holds whose time has run out, `limit` at most (promise P5). After it, `due > now` when none is left.
local function retire(limit)
  if now < due then return 0 end
  local ids = call('ZRANGE', LIVE, '-inf', format('%d', now), 'BYSCORE', 'LIMIT', '0', format('%d', limit))
  for _, id in ipairs(ids) do
    local hold = read(id)
    if hold then finish(hold, 'E', hold.till) else call('ZREM', LIVE, id) end
  end
  if #ids == 0 then go_on_when_full() end
  local first = call('ZRANGE', LIVE, 0, 0, 'WITHSCORES')
  due, dirty = tonumber(first[2]) or NEVER, true
  return #ids
end
