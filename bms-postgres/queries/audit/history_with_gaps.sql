select o.id::text as example
from bms.orders o
left join (
    select shard, order_id, count(*) as changes, max(sequence) as last from bms.order_changes group by shard, order_id
) as h on h.shard = o.shard and h.order_id = o.id
where h.changes is distinct from o.events or h.last is distinct from o.events
