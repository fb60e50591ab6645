-- Unlinks an order that ended; the hold falls back to its own end.
-- ARGV  3 'h' .. id   4 order
-- Gives  now, whether this changed the hold, and its record as it is now (nil when there is none).
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
local changes = hold and hold.state == 'L' and hold.till > now and hold.order == ARGV[4]
if changes then
  if hold.own_end <= now then
    finish(hold, 'E', hold.own_end)
  else
    hold.state, hold.order, hold.till = 'H', '', hold.own_end
    write(hold)
    enqueue(hold.id, hold.till)
  end
end
if known then save() end
return { now, changes and 1 or 0, hold and record_of(hold) }
