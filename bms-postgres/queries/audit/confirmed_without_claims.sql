select o.id::text as example
from bms.orders o
where o.state = 'CONFIRMED' and (
    select count(*) from bms.seat_claims c
    where c.shard = o.shard and c.show_id = o.show_id and c.seat_id = any(o.seat_ids) and c.order_id = o.id and c.expires_at is null
) <> cardinality(o.seat_ids)
