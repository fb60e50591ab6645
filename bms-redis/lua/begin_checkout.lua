-- Links an order to a hold and prolongs it.
-- ARGV  3 'h' .. id   4 owner, or '' for an administrator   5 order   6 how long from now it must last, in ms
--       7 the longest that a hold lasts from its beginning, in ms
-- Gives  what `told` in holds.lua says.
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
if hold and hold.show ~= SHOW then return told(ELSEWHERE, hold) end
local changes = false
if hold and is_live(hold) and hold.till > now and (ARGV[4] == '' or ARGV[4] == hold.owner) then
  -- While it is linked its end moves, so that it tells whether anybody has asked since.
  local least = hold.state == 'L' and hold.till + 1 or hold.till
  local till = math.max(least, now + ARGV[6])
  if till <= hold.created + ARGV[7] then
    changes = true
    if hold.state == 'H' then hold.state, hold.order = 'L', ARGV[5] end
    hold.till = till
    write(hold)
    enqueue(hold.id, till)
  end
end
return told(changes and CHANGED or UNCHANGED, hold)
