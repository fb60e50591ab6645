-- Marks seats sold that the durable store sold, and their hold consumed.
-- ARGV  3 order   4 hold   5 owner   6 the seats

load(call('HGET', SHOW, 'm'))
retire(64)
sell(ARGV[3], ARGV[4], ARGV[5], unpack_seats(ARGV[6], 1, #ARGV[6]))
save()
return now
