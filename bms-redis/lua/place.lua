-- Holds all of the seats, or none.
-- ARGV  3 'u' .. show .. ':' .. owner   4 'h' .. id   5 the hold's body, as the record has it   6 layout   7 ttl in ms
--       8 the most seats of a hold   9 the most seats of a user   10… the seats
-- Gives  'P' it is held   'E', record: it was there   'T', seats' marks: some are taken   'M' too many for a hold
--        'U' too many for the user   'I' the id is another hold's   'N', frees, version: the show is not primed
--        'B' a seat that the plan does not have   'A' ask again: more holds are to be retired first. Each with `now` second.
--
-- This is the script that a rush calls. A function costs as much as half a command, so none is made before it is needed.
-- include show

local body, wanted = ARGV[5], #ARGV - 9
local found = call('HMGET', RECORDS, META, ARGV[3], ARGV[4])
local numbers, has, record = found[1], found[2], found[3]
if numbers then
  version, frees, due, held, sold, size, touched, layout = unpack_as(NUMBERS, numbers)
end
if not numbers or now >= due then
  -- include holds
  load(numbers)
  retire(64)
  save()
  found = call('HMGET', RECORDS, ARGV[3], ARGV[4])
  has, record = found[1], found[2]
end

local claim = string.byte(body) + 3 + 3 * wanted
if record then
  if string.sub(record, 18, 17 + claim) == string.sub(body, 1, claim) then return { 'E', now, record } end
  return { 'I', now }
end
if layout ~= ARGV[6] then return { 'N', now, format('%d', frees), format('%d', version) } end
if wanted > tonumber(ARGV[8]) then return { 'M', now } end

-- With room for four seats from the beginning: a table that has to grow costs more than what is put into it.
local get = { 'BITFIELD_RO', SEATS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
local set = { 'BITFIELD', SEATS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
for i = 1, wanted do
  local seat = tonumber(ARGV[9 + i])
  if seat >= size then return { 'B', now } end
  local place, g, s = format('#%d', seat), 3 * i, 4 * i - 1
  get[g], get[g + 1], get[g + 2] = 'GET', 'u2', place
  set[s], set[s + 1], set[s + 2], set[s + 3] = 'SET', 'u2', place, '1'
end
local taken = call(unpack(get, 1, 2 + 3 * wanted))
local refused
for i = 1, wanted do
  if taken[i] ~= FREE then refused = { 'T', now, taken } end
end
has = tonumber(has or 0) + wanted
if not refused and has > tonumber(ARGV[9]) then refused = { 'U', now } end
if refused then
  if now >= due then return { 'A', now } end
  return refused
end

call(unpack(set, 1, 2 + 4 * wanted))
local ttl = tonumber(ARGV[7])
local till = format('%d', now + ttl)
if now + ttl < due then
  due = now + ttl
  call('ZADD', DUE, till, string.sub(META, 2))
end
version = version + 1
call('HSET', RECORDS, META, pack(NUMBERS, version, frees, due, held + wanted, sold, size, now, #layout, layout),
  ARGV[3], format('%d', has), ARGV[4], pack(HEAD, 'H', now, ttl, ttl) .. body)
call('ZADD', LIVE, till, ARGV[4])
local change = pack('>d', version) .. 'h' .. string.sub(body, claim - 3 * wanted + 1, claim)
if call('RPUSH', LOG, change) > 1280 then call('LTRIM', LOG, '-1024', '-1') end
redis.pcall('SPUBLISH', LOG, change)
return { 'P', now }
