-- Holds seats. $2 shard, $3 hold, $4 show, $5 layout, $6 owner, $7 seats, $8 amount, $9 currency, $10 milliseconds to live,
-- $11 the most seats of a hold, $12 the most of a user
select a.did, a.now, a.now_frees, a.now_version, a.taken, (a.hold).*
from bms.hold_place($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) a
