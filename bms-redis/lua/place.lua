-- Holds all of the seats, or none.
-- ARGV  3 'u' .. show .. ':' .. owner   4 'h' .. id   5 the hold's body, as the record has it   6 layout   7 ttl in ms
--       8 how many seats   9 the most seats of a user, or '' if a hold may not have so many
--       10… where the seats are among the marks, in pieces: a piece's first byte, and its bytes as if nothing else were held
-- Gives  now: it is held   or, each with `now` second:
--        'E', record: it was there   'T', seats' marks: some are taken   'M' too many for a hold
--        'U' too many for the user   'I' the id is another hold's   'N', frees, version: the show is not primed
--        'B' a seat that the plan does not have   'A' ask again: more holds are to be retired first.
--
-- This is the script that a rush calls. A function costs as much as half a command, so none is made before it is needed; and
-- seats side by side are a byte or two, which cost less to read and to write than as many fields of bits.
-- include show

local args = ARGV
local body, wanted, byte = args[5], tonumber(args[8]), string.byte
local found = call('HMGET', RECORDS, META, args[3], args[4])
local numbers, has, record = found[1], found[2], found[3]
if numbers then
  version, frees, due, held, sold, size, touched, layout = unpack_as(NUMBERS, numbers)
end
if not numbers or now >= due then
  -- include holds
  load(numbers)
  retire(64)
  save()
  found = call('HMGET', RECORDS, args[3], args[4])
  has, record = found[1], found[2]
end

local claim = byte(body) + 3 + 3 * wanted
if record then
  if string.sub(record, 18, 17 + claim) == string.sub(body, 1, claim) then return { 'E', now, record } end
  return { 'I', now }
end
if layout ~= args[6] then return { 'N', now, format('%d', frees), format('%d', version) } end
if args[9] == '' then return { 'M', now } end
local high, middle, low = byte(body, claim - 2, claim)
if high * 65536 + middle * 256 + low >= size then return { 'B', now } end

local band, bor, char, free, held_then = bit.band, bit.bor, string.char, true, { '', '' }
for i = 10, #args, 2 do
  local marks, from = args[i + 1], format('%d', args[i])
  local here = call('GETRANGE', SEATS, from, #marks == 1 and from or format('%d', args[i] + #marks - 1))
  local after = ''
  for at = 1, #marks do
    local mine, theirs = byte(marks, at), byte(here, at) or 0
    -- Three times the mark of a held seat is both of its bits.
    free = free and band(theirs, 3 * mine) == 0
    after = after .. char(bor(theirs, mine))
  end
  held_then[i - 9], held_then[i - 8] = from, after
end
has = tonumber(has or 0) + wanted
if not free or has > tonumber(args[9]) then
  if now >= due then return { 'A', now } end
  if free then return { 'U', now } end
  local get = { 'BITFIELD_RO', SEATS }
  for at = claim - 3 * wanted + 1, claim, 3 do
    high, middle, low = byte(body, at, at + 2)
    local n = #get
    get[n + 1], get[n + 2], get[n + 3] = 'GET', 'u2', '#' .. high * 65536 + middle * 256 + low
  end
  return { 'T', now, call(unpack(get)) }
end

for i = 10, #args, 2 do call('SETRANGE', SEATS, held_then[i - 9], held_then[i - 8]) end
local ttl = tonumber(args[7])
local till = format('%d', now + ttl)
if now + ttl < due then
  due = now + ttl
  call('ZADD', DUE, till, string.sub(META, 2))
end
version = version + 1
call('HSET', RECORDS, META, pack(NUMBERS, version, frees, due, held + wanted, sold, size, now, #layout, layout),
  args[3], format('%d', has), args[4], pack(HEAD, 'H', now, ttl, ttl) .. body)
call('ZADD', LIVE, till, args[4])
local change = pack('>d', version) .. 'h' .. string.sub(body, claim - 3 * wanted + 1, claim)
if call('RPUSH', LOG, change) > 1280 then call('LTRIM', LOG, '-1024', '-1') end
redis.pcall('SPUBLISH', LOG, change)
return now
