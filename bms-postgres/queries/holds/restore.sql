-- Takes in the claims of a show. $2 shard, $3 show, $4 frees and $5 version of the fence, $6 layout, $7 its seats.
-- Of sales: $8 orders, $9 holds, $10 owners, $11 seats of all of them, $12 whose each seat is, as a place in the other arrays.
-- Of pending orders: $13 orders, $14 holds, $15 owners, $16 amounts, $17 currencies, $18 milliseconds to live, $19 and $20 seats
select a.done, a.now_frees, a.now_version, a.added, a.freed
from bms.hold_restore($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) a
