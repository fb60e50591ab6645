-- $2 shard, $3 show
select a.frees, a.version, a.layout_id, a.seats, a.held, a.sold from bms.hold_occupancy($1, $2, $3) a
