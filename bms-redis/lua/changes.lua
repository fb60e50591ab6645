-- ARGV  3 the version after which changes are wanted, and 4 the one that follows it
-- Gives  'K', version, and the changes after the version (none when it is the present one)   'G' a gap   'A' ask again

local numbers_now = call('HGET', SHOW, 'm')
if not numbers_now then return { 'G' } end
load(numbers_now)
retire(256)
save()
if now >= due then return { 'A' } end
local at = string.format('%.0f', version)
if at == ARGV[3] then return { 'K', at, {} } end
local entries = call('XRANGE', LOG, ARGV[4] .. '-0', '+')
-- Each version has its change: one that is not there any more leaves a hole at the beginning.
if #entries == 0 or entries[1][1] ~= ARGV[4] .. '-0' then return { 'G' } end
return { 'K', at, entries }
