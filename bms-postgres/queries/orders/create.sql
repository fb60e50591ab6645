-- Makes orders and claims their seats: those whose seats have no claim, each whole. A claim that comes meanwhile, and an order or a
-- seat plan in the way, break a constraint, and nothing is done.
-- An element an order: $2 shards, $3 orders, $4 holds, $5 shows, $6 layouts, $7 owners, $8 seats' names and $9 their indices,
-- joined by commas, $10 amounts, $11 currencies, $12 customers' names, $13 e-mail addresses, $14 milliseconds to live.
-- $15 how many milliseconds a lock is waited for
with asked as materialized (
    select * from unnest($2::smallint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::bigint[], $11::text[], $12::text[], $13::text[], $14::bigint[])
        as asked (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, name, email, ttl)
    -- A limit that the planner cannot read: it plans for few orders, however many are asked for, so that one plan serves all.
    limit (select 1000 where set_config('lock_timeout', $15::text, true) <> '')
), free as (
    select shard, id, hold_id, show_id, layout_id, owner, string_to_array(seat_ids, ',') as seat_ids,
        string_to_array(seat_indices, ',')::integer[] as seat_indices, amount, currency, name, email, ttl
    from asked a
    where not exists (
        -- `offset 0`: seat by seat. For a join, the claims of the whole show would be read.
        select from unnest(string_to_array(a.seat_ids, ',')) as seat (id) cross join lateral (
            select from bms.seat_claims c where c.shard = a.shard and c.show_id = a.show_id and c.seat_id = seat.id offset 0
        ) as c
        offset 0
    )
    -- All in one order, and all before the first claim, so that two that wait for each other cannot be.
    order by shard, hold_id
), made as (
    insert into bms.orders (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency,
        customer_name, customer_email, created_at, expires_at, state)
    select shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, name, email,
        {now}, {now} + ttl * interval '1 millisecond', 'PAYMENT_PENDING'
    from free
    returning *
), claimed as (
    -- In the order of the seats, for the same reason.
    insert into bms.seat_claims (shard, show_id, seat_id, seat_index, order_id, expires_at)
    select made.shard, made.show_id, seat.id, seat.index, made.id, made.expires_at
    from made, unnest(made.seat_ids, made.seat_indices) as seat (id, index)
    order by made.shard, made.show_id, seat.index
), records as (
    select made.shard, made.id, made.created_at, made.expires_at, made.state, exists (
        select from bms.payments p where p.shard = made.shard and p.order_id = made.id and p.state = 'REFUND_DUE' offset 0
    ) as refund_due
    from made
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, refund_due)
    select shard, id, 1, 'order.created', created_at, state, refund_due from records
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, 1, created_at, created_at from made
)
select id, created_at, expires_at, refund_due from records
