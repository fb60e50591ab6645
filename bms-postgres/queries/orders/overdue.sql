-- Orders that have expired and are not persisted so, oldest end first. One with a payment under way waits until its provider
-- was asked. $2 limit
select o.shard, o.id from bms.orders o
where o.state = 'PAYMENT_PENDING' and o.expires_at <= {now} and not exists (
    select from bms.payments p
    where p.shard = o.shard and p.order_id = o.id and p.state = 'PENDING' and p.asked_until is null
)
order by o.expires_at, o.id limit $2
