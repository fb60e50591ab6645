-- Everything that Redis knows of one show.
--
-- KEYS  1 records   2 seats   3 live   4 ended   5 log   6 due: what each is stands in the crate's README
--       fields of the records: 'm' .. show its numbers   'u' .. show .. ':' .. user how many seats a user has
--       'h' .. id a hold, live or ended
--       7 sales: only for scripts that include sales.lua
-- ARGV  2 'm' .. the show's id
--
-- A script checks everything before it writes anything, and nothing between two writes can fail. Numbers are given to
-- Redis as text: it writes a number of Lua as a floating point number, which takes longer than the command.
-- include clock
local RECORDS, SEATS, LIVE, ENDED, LOG, DUE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local META = ARGV[2]
local FREE, HELD, SOLD = 0, 1, 2
local NEVER = math.huge
local NUMBERS = '>dddddddBc0'
local HEAD = '>c1I6I5I5'
local call, pack, unpack_as, format = redis.call, struct.pack, struct.unpack, string.format

-- The show's numbers: occupancy version, count of what makes claims out of date, a time before which no hold
-- ends, seats held, seats sold, seats of the plan, last write, and the id of the plan ('' until the show is primed).
local version, frees, due, held, sold, size, touched, layout
