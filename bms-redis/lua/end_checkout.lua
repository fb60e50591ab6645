-- Unlinks an order that ended; the hold falls back to its own end.
-- ARGV  3 'h' .. id   4 order
-- Gives  what `told` in holds.lua says.
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
if hold and hold.show ~= SHOW then return told(ELSEWHERE, hold) end
local changes = hold and hold.state == 'L' and hold.till > now and hold.order == ARGV[4]
if changes then
  if hold.own_end <= now then
    finish(hold, 'E', hold.own_end)
  else
    go_on_when_full()
    hold.state, hold.order, hold.till = 'H', '', hold.own_end
    write(hold)
    enqueue(hold.id, hold.till)
  end
  -- Claims that were read before tell the order pending still: they are out of date.
  frees, dirty = frees + 1, true
end
return told(changes and CHANGED or UNCHANGED, hold)
