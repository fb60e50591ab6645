-- Dead letters, by key. $1 order and $2 sequence of the last one seen, or null; $3 limit
select e.*, o.attempts from bms.outbox o join bms.order_events e using (shard, order_id, sequence)
where o.dead_at is not null
    and (o.order_id, o.sequence) > (coalesce($1, '00000000-0000-0000-0000-000000000000'), coalesce($2, 0))
order by o.order_id, o.sequence limit $3
