select o.id::text as example
from bms.orders o
where o.state = 'CANCELLED' and not exists (
    select from bms.payments p
    where p.shard = o.shard and p.order_id = o.id and p.state = 'REFUND_DUE' and p.reference = o.payment_reference
)
