-- Events did not arrive: they, and what of their orders is behind them, wait. $2 shards, $3 orders, $4 sequences, $5 for how many
-- milliseconds; null: for good, as dead letters
with failed as (
    select o.shard, o.order_id, o.sequence
    from unnest($2::smallint[], $3::uuid[], $4::integer[]) as asked (shard, order_id, sequence) cross join lateral (
        -- `offset 0`: by the key, and only then whether it waits. Else all that wait would be read.
        select * from bms.outbox o where o.shard = asked.shard and o.order_id = asked.order_id and o.sequence = asked.sequence
        offset 0
    ) as o
    where o.published_at is null and o.dead_at is null
), waiting as (
    select o.shard, o.order_id, o.sequence, o.sequence = any(f.sequences) as failed
    from (
        select shard, order_id, array_agg(sequence) as sequences, min(sequence) as first from failed
        group by shard, order_id order by shard, order_id
    ) as f cross join lateral (
        select * from bms.outbox o where o.shard = f.shard and o.order_id = f.order_id and o.sequence >= f.first
        order by o.sequence offset 0 for update
    ) as o
    where o.published_at is null and o.dead_at is null
)
update bms.outbox o
set leased = false, attempts = o.attempts + w.failed::integer,
    available_at = case when $5::bigint is null then 'infinity' else {now} + $5 * interval '1 millisecond' end,
    dead_at = case when $5 is null and w.failed then {now} end
from waiting w
where o.shard = w.shard and o.order_id = w.order_id and o.sequence = w.sequence
