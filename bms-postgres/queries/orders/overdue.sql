-- Orders that have expired and are not persisted so, oldest end first. One with a payment under way waits until its provider
-- was asked. $2 limit
select o.shard, o.id from bms.orders o
where o.state = 'PAYMENT_PENDING' and o.expires_at <= {now} and not exists (
    -- `offset 0`: by the key, and only then how it stands. Else all payments that are under way would be read for each order.
    select from (select * from bms.payments p where p.shard = o.shard and p.order_id = o.id offset 0) as p
    where p.state = 'PENDING' and p.asked_until is null
)
order by o.expires_at, o.id limit $2
