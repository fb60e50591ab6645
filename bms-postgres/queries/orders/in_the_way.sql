-- What keeps an order from being made. $2 shard, $3 order, $4 hold, $5 show, $6 seats' names
with claim as materialized (
    -- `offset 0`: seat by seat. For a join, the claims of the whole show would be read.
    select c.* from unnest($6) as seat (id) cross join lateral (
        select c.seat_index, c.order_id, c.expires_at from bms.seat_claims c
        where c.shard = $2 and c.show_id = $5 and c.seat_id = seat.id
        offset 0
    ) as c
)
select
    (select layout_id from bms.show_plans where shard = $2 and show_id = $5) as layout_id,
    (
        select id from bms.orders
        where shard = $2 and (id = $3 or hold_id = $4
            and (state = 'CONFIRMED' or state = 'PAYMENT_PENDING' and expires_at > {now}))
        order by id = $3 desc limit 1
    ) as existing,
    array(
        select seat_index from claim where expires_at is null or expires_at > {now} order by seat_index
    ) as taken,
    array(
        select order_id from claim where expires_at <= {now}
        union
        select id from bms.orders where shard = $2 and hold_id = $4 and state = 'PAYMENT_PENDING' and expires_at <= {now}
    ) as ended
