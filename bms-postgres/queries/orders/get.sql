-- An element an order: $2 shards, $3 orders
with asked as materialized (
    -- A limit that the planner cannot read: it plans for few orders, however many are asked for, so that one plan serves all.
    select * from unnest($2::smallint[], $3::uuid[]) as asked (shard, id) limit (select 1000)
)
select r.*, {now} as now
from asked cross join lateral (select * from bms.order_records r where r.shard = asked.shard and r.id = asked.id offset 0) as r
