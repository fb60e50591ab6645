-- $2 shard, $3 show, $4 order, $5 owner, $6 seats
select bms.hold_mark_free($1, $2, $3, $4, $5, $6) as now_version
