select o.id::text as example
from bms.orders o
where o.state = 'CONFIRMED' and (
    select count(*) from unnest(o.seat_ids) as seat (id) cross join lateral (
        -- `offset 0`: seat by seat. For a join, the claims of the whole show would be read.
        select from bms.seat_claims c
        where c.shard = o.shard and c.show_id = o.show_id and c.seat_id = seat.id and c.order_id = o.id and c.expires_at is null
        offset 0
    ) as c
) <> cardinality(o.seat_ids)
