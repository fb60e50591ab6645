-- Seats that the durable store sold. After holds.lua.
--
-- KEYS  7 sales: what each order of the show bought, by the order's id
local SALES = KEYS[7]

-- A sale's record: 's', or 'f' when the order was cancelled; its owner; the seats that are still marked as its own.
local function sale_of(freed, owner, packed) return pack('>c1Bc0', freed and 'f' or 's', #owner, owner) .. packed end

local function parse_sale(record)
  local freed, owner, at = unpack_as('>c1Bc0', record)
  return { freed = freed == 'f', owner = owner, seats = unpack_seats(record, at, #record) }
end

local function write_sale(order, bought)
  call('HSET', SALES, order, sale_of(bought.freed, bought.owner, pack_seats(bought.seats)))
end

-- Shows the records of some fields of a hash, until that was enough.
local function each(key, fields, is_enough)
  for first = 1, #fields, 250 do
    local records = call('HMGET', key, unpack(fields, first, math.min(first + 249, #fields)))
    for i, record in ipairs(records) do
      if record and is_enough(fields[first + i - 1], record) then return end
    end
  end
end

-- Where the seats are in the record of a hold, and of a sale.
local function seats_of_hold(record)
  local at = 19 + string.byte(record, 18)
  local high, low = string.byte(record, at, at + 1)
  return at + 2, at + 1 + 3 * (high * 256 + low)
end
local function seats_of_sale(record) return 3 + string.byte(record, 2), #record end

-- In which of the records some seats are. Reads nothing of a record but its seats, and stops when all are found.
local function find(seats, key, fields, seats_of)
  local byte, missing, left, found = string.byte, {}, 0, {}
  for _, seat in ipairs(seats) do
    if not missing[seat] then missing[seat], left = true, left + 1 end
  end
  if left == 0 then return found end
  each(key, fields, function(field, record)
    local from, to = seats_of(record)
    for at = from, to, 3 do
      local high, middle, low = byte(record, at, at + 2)
      local seat = high * 65536 + middle * 256 + low
      if missing[seat] then missing[seat], left, found[seat] = nil, left - 1, field end
    end
    return left == 0
  end)
  return found
end

-- The seats that this call is told of, packed: those of a mark are looked for together, for where one is somebody else's,
-- others may be as well.
local told = {}
local function told_as(mark)
  local seats, packed = {}, table.concat(told)
  local all = unpack_seats(packed, 1, #packed)
  for i, found in ipairs(marks(all)) do
    if found == mark then seats[#seats + 1] = all[i] end
  end
  return seats
end

-- Which hold is on a seat. Looked for only when the durable store and this one disagree.
local holders
local function holder(seat)
  holders = holders or find(told_as(HELD), RECORDS, call('ZRANGE', LIVE, 0, -1), seats_of_hold)
  return holders[seat]
end

-- Which orders seats are marked as.
local function orders_of(seats) return find(seats, SALES, call('HKEYS', SALES), seats_of_sale) end

-- Ends every live hold on the seats, but for one, by what they are marked as.
local function cut_short(seats, marked, except)
  for i, found in ipairs(marked) do
    local id = found == HELD and holder(seats[i])
    local hold = id and id ~= except and read(id)
    if hold and is_live(hold) then finish(hold, 'E', math.min(hold.till, now)) end
  end
end

-- Whether a live hold on one of the seats has an order.
local function has_order(seats, marked)
  for i, found in ipairs(marked) do
    local id = found == HELD and holder(seats[i])
    local hold = id and read(id)
    if hold and hold.state == 'L' then return true end
  end
  return false
end

local function set_of(seats)
  local set = {}
  for _, seat in ipairs(seats) do set[seat] = true end
  return set
end

-- The seats that are in a set, and those that are not.
local function split(seats, set)
  local inside, outside = {}, {}
  for _, seat in ipairs(seats) do
    local part = set[seat] and inside or outside
    part[#part + 1] = seat
  end
  return inside, outside
end

-- Takes seats from the orders that they are marked as: a cancellation was missed, or is made up for.
local function take_back(seats, buyers)
  local by_order = {}
  for _, seat in ipairs(seats) do
    local order = buyers[seat]
    if order then
      by_order[order] = by_order[order] or {}
      by_order[order][seat] = true
    end
  end
  for order, set in pairs(by_order) do
    local bought = parse_sale(call('HGET', SALES, order))
    local taken, left = split(bought.seats, set)
    tally(bought.owner, -#taken)
    bought.seats = left
    if #left > 0 or bought.freed then write_sale(order, bought) else call('HDEL', SALES, order) end
  end
end

local function consume(id, order, packed)
  local record = call('HGET', RECORDS, id)
  if not record or string.sub(record, 1, 1) == 'C' then return end
  local hold = parse(id, record)
  if is_live(hold) then
    finish(hold, 'C', now, order, true)
    local _, rest = split(hold.seats, set_of(unpack_seats(packed, 1, #packed)))
    changed('f', pack_seats(rest))
  else
    hold.state, hold.till, hold.order = 'C', now, order
    write(hold)
  end
end

-- Marks an order's seats sold, and its hold consumed. Gives the seats that were not marked before: whoever calls tells
-- of them with `changed`.
local buyers
local NONE = {}
local function sell(order, id, owner, packed)
  local record = call('HGET', SALES, order)
  if record and string.sub(record, 1, 1) == 'f' then return NONE end
  -- Its own hold first: a seat that is still held after it is somebody else's, which seldom happens and takes a search.
  consume(id, order, packed)
  -- Told before, as most are when a show is reconciled, or primed by several processes at once.
  if record and record == sale_of(false, owner, packed) then return NONE end
  local bought = record and parse_sale(record) or { owner = owner, seats = {} }
  local _, new = split(unpack_seats(packed, 1, #packed), set_of(bought.seats))
  local marked, added, resold = marks(new), {}, {}
  cut_short(new, marked, id)
  for i, found in ipairs(marked) do
    local part = found == SOLD and resold or added
    part[#part + 1] = new[i]
  end
  if #resold > 0 then
    buyers = buyers or orders_of(told_as(SOLD))
    take_back(resold, buyers)
    -- No new version, for the seats were sold and are; but claims that were read before would take the new mark for stray.
    frees = frees + 1
  end
  if #new > 0 then
    for _, seat in ipairs(new) do
      bought.seats[#bought.seats + 1] = seat
      if buyers then buyers[seat] = order end
    end
    write_sale(order, bought)
    mark(added, SOLD)
    tally(bought.owner, #new)
    sold, dirty = sold + #added, true
  end
  return added
end
