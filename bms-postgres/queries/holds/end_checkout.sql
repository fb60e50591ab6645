-- $2 shard, $3 hold, $4 order
select a.changed, a.now, a.now_version, (a.hold).* from bms.hold_end_checkout($1, $2, $3, $4) a
