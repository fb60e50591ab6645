-- Takes in what the durable store knows. A show with many orders is told in parts: the first may free what is not sold, the
-- last primes the show, and each hands the fence on to the next.
-- ARGV  3 frees   4 version   5 layout   6 seats of the plan   7 whether this is the first part ('1' or '0')   8 the last part
--       9 in the first part: the sold seats, as marks (two bits a seat)
--       10 how many sales   then for each: order, 'h' .. id of the hold, owner, seats
--       then for each pending order: order, 'h' .. id of the hold, its seats, the hold's body, how long it lasts in ms
-- Gives  'S' stale, or 'D' done; frees, version; seats that were marked sold, and that were marked free; 'A' ask again.
-- include show
-- include holds
-- include sales

load(call('HGET', RECORDS, META))
retire(256)
local function answer(code, at, added, freed)
  save()
  return { code, format('%d', frees), at, added, freed }
end
if now >= due then return answer('A', '0', 0, 0) end
if format('%d', frees) ~= ARGV[3] then return answer('S', format('%d', version), 0, 0) end
local quiet, primed = format('%d', version) == ARGV[4], layout ~= ''
dirty = true

-- Another plan: what was held by the old one ends, and who follows the show reads it anew.
if primed and layout ~= ARGV[5] then
  for _, id in ipairs(call('ZRANGE', LIVE, 0, -1)) do
    local hold = read(id)
    if hold then
      hold.state, hold.till, hold.order = 'E', now, ''
      write(hold)
      call('RPUSH', ENDED, id)
      call('HDEL', RECORDS, USER .. hold.owner)
    end
  end
  each(SALES, call('HKEYS', SALES), function(order, record)
    local bought = parse_sale(record)
    call('HDEL', RECORDS, USER .. bought.owner)
    bought.seats = {}
    if bought.freed then write_sale(order, bought) else call('HDEL', SALES, order) end
  end)
  call('DEL', SEATS, LIVE, LOG)
  -- Until its last part is told the show is not primed, and a later part does not begin anew once more.
  version, held, sold, size, due, layout, primed = version + 1, 0, 0, 0, NEVER, '', false
end
size = math.max(size, tonumber(ARGV[6]))

local freed = {}
if quiet and ARGV[7] == '1' then
  local claimed, here = ARGV[9], call('GET', SEATS) or ''
  for at = 1, #here do
    local mine, theirs = string.byte(here, at), string.byte(claimed, at) or 0
    if mine ~= theirs and mine > 0 then
      for place = 0, 3 do
        local unit = 4 ^ (3 - place)
        local marked = math.floor(mine / unit) % 4
        if marked == SOLD and math.floor(theirs / unit) % 4 ~= SOLD then freed[#freed + 1] = (at - 1) * 4 + place end
      end
    end
  end
  if #freed > 0 then
    -- A free like any other: claims that were read before it may still tell these seats sold.
    frees = frees + 1
    take_back(freed, orders_of(freed))
    mark(freed, FREE)
    sold = sold - #freed
    changed('f', pack_seats(freed))
  end
end

local pending_at = 11 + 4 * tonumber(ARGV[10])
for at = 14, pending_at - 1, 4 do told[#told + 1] = ARGV[at] end
for at = pending_at + 2, #ARGV, 5 do told[#told + 1] = ARGV[at] end

-- One change for all of them: those who follow the show would find a thousand changes to be too many.
local added = {}
for at = 11, pending_at - 1, 4 do
  for _, seat in ipairs(sell(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])) do added[#added + 1] = seat end
end
changed('s', pack_seats(added))

-- Old news of an order that has ended since would take seats from those who have them now.
local at = pending_at
while at <= #ARGV and (quiet or not primed) do
  local order, id, packed, body, lasts = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local seats = unpack_seats(packed, 1, #packed)
  at = at + 5
  local marked, fits = marks(seats), true
  for i, found in ipairs(marked) do fits = fits and found ~= SOLD and seats[i] < size end
  local hold = fits and read(id)
  if hold and is_live(hold) then
    if hold.state == 'H' then
      hold.state, hold.order, hold.till = 'L', order, math.max(hold.till, now + lasts)
      write(hold)
      enqueue(id, hold.till)
    end
  -- Of a hold that is linked an order may have been made since the claim was read, and then the claim is over. If not, that
  -- order is refused, and the restore that follows brings this hold back.
  elseif fits and not has_order(seats, marked) then
    cut_short(seats, marked, id)
    mark(seats, HELD)
    call('HSET', RECORDS, id, pack(HEAD, 'L', now, lasts, lasts) .. body .. order)
    local owner = unpack_as('>Bc0', body)
    tally(owner, #seats)
    enqueue(id, now + lasts)
    held = held + #seats
    if holders then
      for _, seat in ipairs(seats) do holders[seat] = id end
    end
    changed('h', packed)
  end
end
if ARGV[8] == '1' then layout = ARGV[5] end
-- What this part changed itself is no reason for the next one to think that somebody else did; what others changed is.
return answer('D', quiet and format('%d', version) or '0', #added, #freed)
