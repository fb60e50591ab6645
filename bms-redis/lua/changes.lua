-- ARGV  3 the version after which changes are wanted   4 the newest change that the caller was told of, or ''
-- Gives  'K', version, and the changes after the version (none when it is the present one)   'G' a gap   'A' ask again
-- include show
-- include holds

local numbers = call('HGET', RECORDS, META)
if not numbers then return { 'G' } end
load(numbers)
retire(256)
-- A failover can take changes with it that were told already; their versions are then given to others. Who has seen a lost
-- one must not take what comes now for what follows: the log begins anew, after every version that was told.
if ARGV[4] ~= '' then
  local told = unpack_as('>d', ARGV[4])
  local place = format('%d', told - version - 1)
  if told > version or (call('LRANGE', LOG, place, place)[1] or ARGV[4]) ~= ARGV[4] then
    call('DEL', LOG)
    version, dirty = math.max(version, told) + 1, true
  end
end
save()
if now >= due then return { 'A' } end
local at, missing = format('%d', version), version - tonumber(ARGV[3])
if at == ARGV[3] then return { 'K', at, {} } end
if missing < 1 or missing > CHANGES_KEPT then return { 'G' } end
local changes = call('LRANGE', LOG, -missing, -1)
-- Each version has its change, but for one that began a new plan or a new log.
if #changes < missing or unpack_as('>d', changes[1]) ~= version - missing + 1 then return { 'G' } end
return { 'K', at, changes }
