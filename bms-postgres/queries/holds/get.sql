-- $2 shards, $3 holds
select a.now, (a.hold).* from bms.hold_get($1, $2, $3) a
