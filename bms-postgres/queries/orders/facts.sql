-- All that decides what a payment report does. $2 shard, $3 order, $4 the payment's key, $5 the notice's id or null
select r.*, {now} as now,
    p.state as payment_state, p.refund_reason,
    exists (
        select from bms.payments other
        where other.shard = $2 and other.order_id = $3 and other.key <> $4 and other.state = 'PENDING'
    ) as another_open,
    (select payer.order_id from bms.payments payer where payer.key = $4 and payer.state in ('COUNTED', 'REFUND_DUE')) as payer,
    exists (select from bms.payment_notices where id = $5) as notice_known,
    not exists (
        select from unnest(r.seat_ids) as seat (id) cross join lateral (
            -- `offset 0`: seat by seat. For a join, the claims of the whole show would be read.
            select from bms.seat_claims c
            where c.shard = r.shard and c.show_id = r.show_id and c.seat_id = seat.id
                and c.order_id <> r.id and (c.expires_at is null or c.expires_at > {now})
            offset 0
        ) as c
    ) and not exists (
        select from bms.orders other
        where other.shard = r.shard and other.hold_id = r.hold_id and other.id <> r.id
            and (other.state = 'CONFIRMED' or other.state = 'PAYMENT_PENDING' and other.expires_at > {now})
    ) as claimable
from (values ($2::smallint, $3::uuid)) as asked (shard, id)
left join bms.order_records r on r.shard = asked.shard and r.id = asked.id
left join bms.payments p on p.shard = asked.shard and p.order_id = asked.id and p.key = $4
