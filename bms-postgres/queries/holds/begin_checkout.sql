-- $2 shard, $3 hold, $4 owner, or null for an administrator, $5 order, $6 how long from now it must last, in milliseconds,
-- $7 the longest that a hold lasts from its beginning
select a.changed, a.now, a.now_version, (a.hold).* from bms.hold_begin_checkout($1, $2, $3, $4, $5, $6, $7) a
