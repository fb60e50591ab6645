-- Frees the seats that are marked sold to a cancelled order. Its sale is not marked again, whoever tells of it.
-- ARGV  3 order   4 'h' .. id of the hold   5 owner   6 the seats
-- include show
-- include holds
-- include sales

load(call('HGET', RECORDS, META))
retire(64)
local order = ARGV[3]
local record = call('HGET', SALES, order)
local bought = record and parse_sale(record) or { owner = ARGV[5], seats = {} }
go_on_when_full()
local freed, left = split(bought.seats, set_of(unpack_seats(ARGV[6], 1, #ARGV[6])))
bought.freed, bought.seats = true, left
write_sale(order, bought)
frees, dirty = frees + 1, true
if #freed > 0 then
  mark(freed, FREE)
  tally(bought.owner, -#freed)
  sold = sold - #freed
  changed('f', pack_seats(freed))
end
save()
return now
