-- $2 shards, $3 shows
select a.show_id, a.held, a.sold from bms.hold_counts($1, $2, $3) a
