-- $2 shards, $3 orders, $4 sequences
with told as (
    select o.shard, o.order_id, o.sequence, o.dead_at
    from (
        select * from unnest($2::smallint[], $3::uuid[], $4::integer[]) as asked (shard, order_id, sequence)
        order by shard, order_id, sequence
    ) as asked cross join lateral (
        -- `offset 0`: by the key, and only then whether it waits. Else all that wait would be read.
        select * from bms.outbox o where o.shard = asked.shard and o.order_id = asked.order_id and o.sequence = asked.sequence
        offset 0 for update
    ) as o
    where o.published_at is null
), done as (
    update bms.outbox o set published_at = {now}, dead_at = null, leased = false
    from told where o.shard = told.shard and o.order_id = told.order_id and o.sequence = told.sequence
)
-- What waited behind a dead letter goes on.
update bms.outbox o set available_at = {now}
from (select distinct shard, order_id from told where dead_at is not null) as freed
where o.shard = freed.shard and o.order_id = freed.order_id and o.available_at = 'infinity' and o.dead_at is null
    and not exists (select from told where told.shard = o.shard and told.order_id = o.order_id and told.sequence = o.sequence)
