-- Gives a hold's seats back.
-- ARGV  3 'h' .. id   4 owner, or '' for an administrator
-- Gives  what `told` in holds.lua says.
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
if hold and hold.show ~= SHOW then return told(ELSEWHERE, hold) end
local changes = hold and hold.state == 'H' and hold.till > now and (ARGV[4] == '' or ARGV[4] == hold.owner)
if changes then finish(hold, 'R', now) end
return told(changes and CHANGED or UNCHANGED, hold)
