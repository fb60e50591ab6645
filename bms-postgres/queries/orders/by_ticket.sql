-- $2 code
select r.*, {now} as now from bms.tickets t join bms.order_records r on r.shard = t.shard and r.id = t.order_id where t.code = $2
