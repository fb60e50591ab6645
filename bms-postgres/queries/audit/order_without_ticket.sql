select o.id::text as example
from bms.orders o left join bms.tickets t on t.shard = o.shard and t.order_id = o.id
where (t.code is not null) <> (o.state in ('CONFIRMED', 'CANCELLED'))
