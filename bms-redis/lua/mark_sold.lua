-- Marks seats sold that the durable store sold, and their hold consumed.
-- ARGV  3 order   4 'h' .. id of the hold   5 owner   6 the seats
-- include show
-- include holds
-- include sales

load(call('HGET', RECORDS, META))
retire(64)
told[1] = ARGV[6]
changed('s', pack_seats(sell(ARGV[3], ARGV[4], ARGV[5], ARGV[6])))
save()
return now
