-- Releases a hold whose order was refused, unless somebody has asked for that order since.
-- ARGV  3 'h' .. id   4 order   5 when the hold ended as the caller linked it, in ms
-- Gives  what `told` in holds.lua says.
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(64)
local hold = read(ARGV[3])
if hold and hold.show ~= SHOW then return told(ELSEWHERE, hold) end
local changes = hold and hold.state == 'L' and hold.till > now and hold.order == ARGV[4] and hold.till == tonumber(ARGV[5])
if changes then finish(hold, 'R', now) end
return told(changes and CHANGED or UNCHANGED, hold)
