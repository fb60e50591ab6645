-- Gives a hold's seats back.
-- ARGV  3 'h' .. id   4 owner, or '' for an administrator
-- Gives  now, whether this changed the hold, and its record as it is now (nil when there is none).
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
local changes = hold and hold.state == 'H' and hold.till > now and (ARGV[4] == '' or ARGV[4] == hold.owner)
if changes then finish(hold, 'R', now) end
if known then save() end
return { now, changes and 1 or 0, hold and record_of(hold) }
