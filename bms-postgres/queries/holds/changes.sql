-- $2 shard, $3 show, $4 the version after which changes are wanted
select a.version, a.change, a.kind, a.seats from bms.hold_changes_after($1, $2, $3, $4) a
