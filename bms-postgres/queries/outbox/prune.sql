-- Forgets what was published long ago. $2 milliseconds, $3 limit
with old as (
    select shard, order_id, sequence from bms.outbox
    where published_at < {now} - $2 * interval '1 millisecond'
    order by published_at limit $3 for update skip locked
)
delete from bms.outbox o using old
where o.shard = old.shard and o.order_id = old.order_id and o.sequence = old.sequence
returning 1
