-- Orders that have expired and are not persisted so, oldest end first. One with a payment under way waits until its provider
-- was asked, and while somebody asks, but not for ever. $2 limit, $3 how long after its end it waits at most, in milliseconds
select o.shard, o.id from bms.orders o
where o.state = 'PAYMENT_PENDING' and o.expires_at <= {now} and not exists (
    -- `offset 0`: by the key, and only then how it stands. Else all payments that are under way would be read for each order.
    select from (select * from bms.payments p where p.shard = o.shard and p.order_id = o.id offset 0) as p
    where p.state = 'PENDING' and (p.asked_until is null
        or p.asked_until > {now} and o.expires_at > {now} - $3 * interval '1 millisecond')
)
order by o.expires_at, o.id limit $2
