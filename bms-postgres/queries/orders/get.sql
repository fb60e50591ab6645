-- $2 shard, $3 order
select r.*, {now} as now from bms.order_records r where r.shard = $2 and r.id = $3
