select c.show_id || ' seat ' || c.seat_id || ' order ' || c.order_id as example
from bms.seat_claims c join bms.orders o on o.shard = c.shard and o.id = c.order_id
where (c.expires_at is null) <> (o.state = 'CONFIRMED')
    or c.expires_at is not null and (o.state <> 'PAYMENT_PENDING' or c.expires_at <> o.expires_at)
    or not c.seat_id = any(o.seat_ids) or c.show_id <> o.show_id
