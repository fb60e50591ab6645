select o.id::text as example
from bms.orders o join bms.order_changes c on c.shard = o.shard and c.order_id = o.id and c.sequence = o.events
where (c.state, c.state_at, c.fail_reason, c.payment_reference)
    is distinct from (o.state, o.state_at, o.fail_reason, o.payment_reference)
