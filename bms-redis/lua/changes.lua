-- ARGV  3 the version after which changes are wanted
-- Gives  'K', version, and the changes after the version (none when it is the present one)   'G' a gap   'A' ask again
-- include show
-- include holds

local numbers = call('HGET', RECORDS, META)
if not numbers then return { 'G' } end
load(numbers)
retire(256)
save()
if now >= due then return { 'A' } end
local at, missing = format('%d', version), version - tonumber(ARGV[3])
if at == ARGV[3] then return { 'K', at, {} } end
if missing < 1 or missing > CHANGES_KEPT then return { 'G' } end
local changes = call('LRANGE', LOG, -missing, -1)
-- Each version has its change, but for one that began a new plan.
if #changes < missing or unpack_as('>d', changes[1]) ~= version - missing + 1 then return { 'G' } end
return { 'K', at, changes }
