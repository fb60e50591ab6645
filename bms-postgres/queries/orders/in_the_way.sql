-- What keeps an order from being made. $2 shard, $3 order, $4 hold, $5 show, $6 seats' names
select
    (select layout_id from bms.show_plans where shard = $2 and show_id = $5) as layout_id,
    (
        select id from bms.orders
        where shard = $2 and (id = $3 or hold_id = $4
            and (state = 'CONFIRMED' or state = 'PAYMENT_PENDING' and expires_at > {now}))
        order by id = $3 desc limit 1
    ) as existing,
    array(
        select seat_index from bms.seat_claims
        where shard = $2 and show_id = $5 and seat_id = any($6) and (expires_at is null or expires_at > {now})
        order by seat_index
    ) as taken,
    array(
        select order_id from bms.seat_claims where shard = $2 and show_id = $5 and seat_id = any($6) and expires_at <= {now}
        union
        select id from bms.orders where shard = $2 and hold_id = $4 and state = 'PAYMENT_PENDING' and expires_at <= {now}
    ) as ended
