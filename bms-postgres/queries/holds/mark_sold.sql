-- $2 shard, $3 show, $4 order, $5 hold, $6 owner, $7 seats
select bms.hold_mark_sold($1, $2, $3, $4, $5, $6, $7) as now_version
