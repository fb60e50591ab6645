-- Takes payments that are under way for orders past their end, to ask the provider after them. $2 limit, $3 lease in milliseconds
with open as (
    -- Each order by its key: for a join, all of them would be read.
    select p.shard, p.order_id, p.key from bms.payments p
    where p.state = 'PENDING' and (p.asked_until is null or p.asked_until <= {now})
        and (select o.expires_at from bms.orders o where o.shard = p.shard and o.id = p.order_id) <= {now}
    order by p.asked_until nulls first, p.order_id, p.key limit $2
    for update of p skip locked
), taken as (
    update bms.payments p set asked_until = {now} + $3 * interval '1 millisecond'
    from open where p.shard = open.shard and p.order_id = open.order_id and p.key = open.key
    returning p.shard, p.order_id, p.reference
)
select r.*, {now} as now, taken.reference from taken join bms.order_records r on r.shard = taken.shard and r.id = taken.order_id
