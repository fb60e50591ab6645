-- Seats that the durable store sold. After holds.lua.

-- Which hold is on a seat, of all live holds. Looked up only when the durable store and this one disagree.
local holders
local function holder(seat)
  if not holders then
    holders = {}
    for _, id in ipairs(call('ZRANGE', LIVE, 0, -1)) do
      local hold = read(id)
      for _, other in ipairs(hold and hold.seats or {}) do holders[other] = id end
    end
  end
  return holders[seat]
end

-- Ends every live hold on the seats, but for one.
local function cut_short(seats, except)
  for i, found in ipairs(marks(seats)) do
    local id = found == HELD and holder(seats[i])
    local hold = id and id ~= except and read(id)
    if hold and is_live(hold) then finish(hold, 'E', math.min(hold.till, now)) end
  end
end

-- Whether a live hold on one of the seats has an order.
local function has_order(seats)
  for i, found in ipairs(marks(seats)) do
    local id = found == HELD and holder(seats[i])
    local hold = id and read(id)
    if hold and hold.state == 'L' then return true end
  end
  return false
end

-- What an order bought: whether that was freed since, its owner, and the seats that are still marked as its own.
local function sale(order)
  local record = call('HGET', RECORDS, ORDER .. order)
  if not record then return nil end
  local freed, owner, at = unpack_as('>c1Bc0', record)
  return { freed = freed == 'f', owner = owner, seats = unpack_seats(record, at, #record) }
end

local function write_sale(order, bought)
  local head = pack('>c1Bc0', bought.freed and 'f' or 's', #bought.owner, bought.owner)
  call('HSET', RECORDS, ORDER .. order, head .. pack_seats(bought.seats))
end

-- Every order of the show that was there when first asked for. Looks through the whole shard, once a call: only for what
-- seldom happens.
local found
local function orders()
  if found then return found end
  found = {}
  local prefix = #ORDER
  for _, field in ipairs(call('HKEYS', RECORDS)) do
    if string.sub(field, 1, prefix) == ORDER then found[#found + 1] = string.sub(field, prefix + 1) end
  end
  return found
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

-- Takes seats from whichever orders they are marked as: a cancellation was missed, or is made up for.
local function take_back(seats)
  local set = set_of(seats)
  for _, order in ipairs(orders()) do
    local bought = sale(order)
    local taken, left = split(bought and bought.seats or {}, set)
    if #taken > 0 then
      tally(bought.owner, -#taken)
      bought.seats = left
      if #left > 0 or bought.freed then write_sale(order, bought) else call('HDEL', RECORDS, ORDER .. order) end
    end
  end
end

local function consume(id, order, seats)
  local hold = read(id)
  if not hold or hold.state == 'C' then return end
  if is_live(hold) then
    finish(hold, 'C', now, order, true)
    local _, rest = split(hold.seats, set_of(seats))
    changed('f', pack_seats(rest))
  else
    hold.state, hold.till, hold.order = 'C', now, order
    write(hold)
  end
end

-- Marks an order's seats sold, and its hold consumed. Says how many were not marked before.
local function sell(order, id, owner, seats)
  local bought = sale(order)
  if bought and bought.freed then return 0 end
  -- Its own hold first: a seat that is still held after it is somebody else's, which seldom happens and takes a search.
  consume(id, order, seats)
  cut_short(seats, id)
  bought = bought or { owner = owner, seats = {} }
  local _, new = split(seats, set_of(bought.seats))
  local added, resold = {}, {}
  for i, found in ipairs(marks(new)) do
    local part = found == SOLD and resold or added
    part[#part + 1] = new[i]
  end
  if #resold > 0 then
    take_back(resold)
    -- No new version, for the seats were sold and are; but claims that were read before would take the new mark for stray.
    frees = frees + 1
  end
  if #new > 0 then
    for _, seat in ipairs(new) do bought.seats[#bought.seats + 1] = seat end
    write_sale(order, bought)
    mark(added, SOLD)
    tally(bought.owner, #new)
    sold, dirty = sold + #added, true
    changed('s', pack_seats(added))
  end
  return #added
end
