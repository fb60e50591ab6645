-- $2 shard, $3 hold, $4 order, $5 when the hold ended as it was linked
select a.changed, a.now, a.now_version, (a.hold).* from bms.hold_give_back($1, $2, $3, $4, $5) a
