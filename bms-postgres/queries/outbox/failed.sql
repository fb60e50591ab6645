-- $2 shards, $3 orders, $4 sequences, $5 milliseconds
with asked as (
    select * from unnest($2::smallint[], $3::uuid[], $4::integer[]) as asked (shard, order_id, sequence)
), failed as (
    select o.shard, o.order_id, o.sequence from bms.outbox o join asked using (shard, order_id, sequence)
    where o.published_at is null and o.dead_at is null
), waiting as (
    select o.shard, o.order_id, o.sequence from bms.outbox o
    join (select shard, order_id, min(sequence) as first from failed group by shard, order_id) as f using (shard, order_id)
    where o.sequence >= f.first and o.published_at is null and o.dead_at is null
    order by o.shard, o.order_id, o.sequence for update of o
)
update bms.outbox o
set leased = false, attempts = o.attempts + (f.sequence is not null)::integer,
    available_at = case o.available_at when 'infinity' then o.available_at else {now} + $5 * interval '1 millisecond' end
from waiting w left join failed f using (shard, order_id, sequence)
where o.shard = w.shard and o.order_id = w.order_id and o.sequence = w.sequence
