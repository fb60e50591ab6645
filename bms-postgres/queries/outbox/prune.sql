-- Forgets what was published long ago. $2 milliseconds, $3 limit
with old as (
    select shard, order_id, sequence from bms.outbox
    where published_at < {now} - $2 * interval '1 millisecond'
    order by published_at limit $3 for update skip locked
), keys as (
    -- Arrays, which the planner takes to be short: of rows it would expect many, and read the whole table.
    select unnest(array_agg(shard)) as shard, unnest(array_agg(order_id)) as order_id, unnest(array_agg(sequence)) as sequence
    from old
)
delete from bms.outbox o using keys
where o.shard = keys.shard and o.order_id = keys.order_id and o.sequence = keys.sequence
returning 1
