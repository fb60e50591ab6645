-- Holds all of the seats, or none.
-- ARGV  3 hold   4 owner and seats as the record has them   5 the rest of its body   6 owner   7 layout   8 ttl in ms
--       9 the most seats of a hold   10 the most seats of a user   11… the seats as '#' .. index
-- Gives  'P' it is held   'E', record: it was there   'T', seats' marks: some are taken   'M' too many for a hold
--        'U' too many for the user   'I' the id is another hold's   'N', frees, version: the show is not primed
--        'B' a seat that the plan does not have   'A' ask again: more holds are to be retired first. Each with `now` second.

local id, claim, owner = ARGV[3], ARGV[4], ARGV[6]
local wanted = #ARGV - 10
local answer = call('HMGET', SHOW, 'm', 'u' .. owner)
load(answer[1])
if now >= due then
  retire(64)
  answer[2] = call('HGET', SHOW, 'u' .. owner)
end

local record = call('HGET', HOLDS, id)
if record then
  save()
  if string.sub(record, 18, 17 + #claim) == claim then return { 'E', now, record } end
  return { 'I', now }
end
if layout ~= ARGV[7] then
  save()
  return { 'N', now, string.format('%.0f', frees), string.format('%.0f', version) }
end

if wanted > tonumber(ARGV[9]) then
  save()
  return { 'M', now }
end

local get = { 'BITFIELD_RO', SEATS }
for i = 11, #ARGV do
  if tonumber(string.sub(ARGV[i], 2)) >= size then
    save()
    return { 'B', now }
  end
  local n = #get
  get[n + 1], get[n + 2], get[n + 3] = 'GET', 'u2', ARGV[i]
end
local found = call(unpack(get))
local taken = false
for i = 1, wanted do
  if found[i] ~= FREE then taken = true end
end
local has = tonumber(answer[2] or 0)
if taken or has + wanted > tonumber(ARGV[10]) then
  save()
  if now >= due then return { 'A', now } end
  if taken then return { 'T', now, found } end
  return { 'U', now }
end

local set = { 'BITFIELD', SEATS }
for i = 11, #ARGV do
  local n = #set
  set[n + 1], set[n + 2], set[n + 3], set[n + 4] = 'SET', 'u2', ARGV[i], HELD
end
call(unpack(set))
local ttl = tonumber(ARGV[8])
call('HSET', HOLDS, id, struct.pack('>c1I6I5I5', 'H', now, ttl, ttl) .. claim .. ARGV[5])
enqueue(id, now + ttl)
held = held + wanted
changed('h', string.sub(claim, #owner + 4))
call('HSET', SHOW, 'm', numbers(), 'u' .. owner, has + wanted)
return { 'P', now }
