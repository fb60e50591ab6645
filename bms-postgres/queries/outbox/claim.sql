-- Takes events to be published. The first event of an order that is not published is locked first: whoever has it has the
-- order, so that its events stay in order. $2 limit, $3 lease in milliseconds
with heads as (
    select o.shard, o.order_id, o.sequence from bms.outbox o
    where o.published_at is null and o.dead_at is null and o.available_at <= {now} and not exists (
        select from bms.outbox earlier
        where earlier.shard = o.shard and earlier.order_id = o.order_id and earlier.sequence < o.sequence
            and earlier.published_at is null
    )
    order by o.available_at, o.order_id limit $2
    for update of o skip locked
), runs as (
    -- With the later ones of the order, up to the first that cannot go.
    select o.shard, o.order_id, o.sequence, max(o.at) over along as at,
        bool_and(o.dead_at is null and o.available_at <= {now}) over along as free
    from heads h join bms.outbox o on o.shard = h.shard and o.order_id = h.order_id and o.sequence >= h.sequence
    where o.published_at is null
    window along as (partition by o.shard, o.order_id order by o.sequence)
), chosen as (
    select * from runs where free order by at, order_id, sequence limit $2
), taken as (
    update bms.outbox o set available_at = {now} + $3 * interval '1 millisecond', leased = true
    from chosen c where o.shard = c.shard and o.order_id = c.order_id and o.sequence = c.sequence
    returning o.shard, o.order_id, o.sequence, o.attempts, c.at as place
)
select e.*, taken.attempts from taken join bms.order_events e using (shard, order_id, sequence)
order by taken.place, taken.order_id, taken.sequence
