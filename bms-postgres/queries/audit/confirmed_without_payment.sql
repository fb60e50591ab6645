select o.id::text as example
from bms.orders o
where o.state = 'CONFIRMED' and not exists (
    select from bms.payments p
    where p.shard = o.shard and p.order_id = o.id and p.state = 'COUNTED' and p.reference = o.payment_reference
        and p.amount = o.amount and p.currency = o.currency
)
