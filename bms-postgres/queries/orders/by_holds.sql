-- For each hold: its pending or confirmed order, else its newest. $2 shards, $3 holds
select r.*, {now} as now
from unnest($2::smallint[], $3::uuid[]) as asked (shard, hold_id)
cross join lateral (
    select * from bms.order_records r
    where r.shard = asked.shard and r.hold_id = asked.hold_id
    order by r.state = 'CONFIRMED' or r.state = 'PAYMENT_PENDING' and r.expires_at > {now} desc, r.created_at desc, r.id desc
    limit 1
) as r
