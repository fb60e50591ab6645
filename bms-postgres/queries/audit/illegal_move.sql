-- Each state against the one before it.
select order_id::text as example
from (
    select order_id, state, lag(state) over (partition by shard, order_id order by sequence) as before from bms.order_changes
) as moves
where (before is null and state <> 'PAYMENT_PENDING') or (before <> state and (before, state) not in (
    ('PAYMENT_PENDING', 'CONFIRMED'), ('PAYMENT_PENDING', 'FAILED'), ('PAYMENT_PENDING', 'EXPIRED'), ('CONFIRMED', 'CANCELLED'),
    ('EXPIRED', 'CONFIRMED'), ('FAILED', 'CONFIRMED')
))
