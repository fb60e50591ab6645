-- Everything that Redis knows of one show. Each script of the store begins with this text.
--
-- KEYS  1 show    hash of the show: 'm' its numbers, 'u' .. user how many seats a user has, 'o' .. order what it bought
--       2 seats   string of the show: two bits a seat, by index; 0 free, 1 held, 2 sold
--       3 live    sorted set of the show: live holds by their end
--       4 ended   list of the show: holds that ended, oldest first
--       5 log     stream of the show: changes by version
--       6 holds   hash of the shard: the record of every hold, live or ended, by id
--       7 due     sorted set of the shard: shows by when there is something to tidy up
-- ARGV  1 the show's id   2 now in milliseconds, or '' for this server's clock
--
-- A script checks everything before it writes anything, and nothing between two writes can fail.

local SHOW, SEATS, LIVE, ENDED, LOG, HOLDS, DUE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local FREE, HELD, SOLD = 0, 1, 2
local KEPT_FOR = 3600000 -- how long a hold is kept after its end
local KEPT_AT_LEAST = 1024 -- how many ended holds a show keeps, and one for each seat if it has more
local CHANGES_KEPT = 1024
local FORGOTTEN_AFTER = 7 * 24 * 3600000 -- when nothing has happened to a show, and nobody holds a seat of it
local NEVER = math.huge
local NUMBERS = '>dddddddBc0'
local call, pack_numbers, unpack_numbers = redis.call, struct.pack, struct.unpack

local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The show's numbers: occupancy version, count of what was freed after it had been sold, a time before which no hold
-- ends, seats held, seats sold, seats of the plan, last write, and the id of the plan ('' until the show is primed).
local version, frees, due, held, sold, size, touched, layout
local known, dirty = true, false

local function load(numbers)
  if numbers then
    version, frees, due, held, sold, size, touched, layout = unpack_numbers(NUMBERS, numbers)
    return
  end
  -- Versions start at the clock's microseconds, so that they go on growing when everything was forgotten.
  version, frees, due, held, sold, size, touched, layout = now * 1000, now * 1000, NEVER, 0, 0, 0, now, ''
  known, dirty = false, true
end

local function numbers()
  return pack_numbers(NUMBERS, version, frees, due, held, sold, size, now, #layout, layout)
end

-- Keeps the numbers, and a new show in the queue of what is to be tidied up.
local function save()
  if not dirty then return end
  call('HSET', SHOW, 'm', numbers())
  if not known then call('ZADD', DUE, math.min(due, now + FORGOTTEN_AFTER), ARGV[1]) end
end

local function pack_seats(seats)
  local parts = {}
  for first = 1, #seats, 1000 do
    local last = math.min(first + 999, #seats)
    parts[#parts + 1] = struct.pack('>' .. string.rep('I3', last - first + 1), unpack(seats, first, last))
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

-- A new version, for those who follow the show: 'h' held, 's' sold, 'f' free.
local function changed(kind, packed)
  if packed == '' then return end
  version, dirty = version + 1, true
  call('XADD', LOG, 'MAXLEN', '~', CHANGES_KEPT, string.format('%.0f-0', version), kind, packed)
  call('SPUBLISH', SHOW, struct.pack('>d', version) .. kind .. packed)
end

-- How many seats a user has, held and sold together.
local function tally(user, more)
  if call('HINCRBY', SHOW, 'u' .. user, more) <= 0 then call('HDEL', SHOW, 'u' .. user) end
end

-- A hold's record: its state ('H' held, 'L' held and linked to an order, 'R' released, 'E' expired, 'C' consumed), when it
-- was placed, how long after that its own time ends, how long after that it ends or ended; then its body: owner, seats
-- and what only the library reads; and for 'L' and 'C' the order.
local function parse(id, record)
  local state, created, own, till = struct.unpack('>c1I6I5I5', record)
  local owner, at = struct.unpack('>Bc0', record, 18)
  local count = struct.unpack('>I2', record, at)
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
    seats = unpack_seats(record, at + 2, at + 1 + 3 * count),
    packed = string.sub(record, at + 2, at + 1 + 3 * count),
    body = string.sub(record, 18, last),
    order = order,
  }
end

local function is_live(hold) return hold.state == 'H' or hold.state == 'L' end

local function read(id)
  local record = call('HGET', HOLDS, id)
  return record and parse(id, record)
end

local function record_of(hold)
  local own, till = hold.own_end - hold.created, math.max(hold.till - hold.created, 0)
  return struct.pack('>c1I6I5I5', hold.state, hold.created, own, till) .. hold.body .. hold.order
end

local function write(hold) call('HSET', HOLDS, hold.id, record_of(hold)) end

-- Sets when a live hold ends.
local function enqueue(id, till)
  call('ZADD', LIVE, till, id)
  if till < due then
    due, dirty = till, true
    if known then call('ZADD', DUE, till, ARGV[1]) end
  end
end

-- Takes a live hold out and frees its seats; `quietly` when they are sold next. The first write is one that a server
-- whose memory is full does not refuse, and it lets the others pass: what gives memory back must go on working.
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
    if gone and not is_live(gone) then call('HDEL', HOLDS, oldest) end
  end
  if not quietly then changed('f', hold.packed) end
end

-- Ends holds whose time has run out, `limit` at most (promise P5). After it, `due > now` when none is left.
local function retire(limit)
  if now < due then return 0 end
  local ids = call('ZRANGE', LIVE, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local hold = read(id)
    if hold then finish(hold, 'E', hold.till) else call('ZREM', LIVE, id) end
  end
  local first = call('ZRANGE', LIVE, 0, 0, 'WITHSCORES')
  due, dirty = tonumber(first[2]) or NEVER, true
  return #ids
end
