-- The orders that claim seats of a show, with the seats. $2 shard, $3 show
select o.id, o.hold_id, o.owner, o.amount, o.currency, o.state, o.expires_at, {now} as now, claimed.seats
from (
    select order_id, array_agg(seat_index order by seat_index) as seats from bms.seat_claims
    where shard = $2 and show_id = $3 and (expires_at is null or expires_at > {now})
    group by order_id
) as claimed
join bms.orders o on o.shard = $2 and o.id = claimed.order_id
order by o.id
