-- $2 shard, $3 hold, $4 owner, or null for an administrator
select a.changed, a.now, a.now_version, (a.hold).* from bms.hold_release($1, $2, $3, $4) a
