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
        select from bms.seat_claims c
        where c.shard = r.shard and c.show_id = r.show_id and c.seat_id = any(r.seat_ids)
            and c.order_id <> r.id and (c.expires_at is null or c.expires_at > {now})
    ) as claimable
from (values ($2::smallint, $3::uuid)) as asked (shard, id)
left join bms.order_records r on r.shard = asked.shard and r.id = asked.id
left join bms.payments p on p.shard = asked.shard and p.order_id = asked.id and p.key = $4
