-- Makes an order and claims its seats. A claim, an order or a seat plan in the way breaks a constraint, and nothing is done.
-- $2 shard, $3 order, $4 hold, $5 show, $6 layout, $7 owner, $8 seats' names, $9 seats' indices, $10 amount, $11 currency,
-- $12 customer's name, $13 e-mail address, $14 milliseconds to live
with made as (
    insert into bms.orders (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency,
        customer_name, customer_email, created_at, expires_at, state)
    values ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, {now}, {now} + $14 * interval '1 millisecond', 'PAYMENT_PENDING')
    returning *
), claimed as (
    -- In the order of the seats, so that two that wait for each other cannot be.
    insert into bms.seat_claims (shard, show_id, seat_id, seat_index, order_id, expires_at)
    select made.shard, made.show_id, seat.id, seat.index, made.id, made.expires_at
    from made, unnest($8::text[], $9::integer[]) as seat (id, index)
    order by seat.index
), owed as (
    select exists (select from bms.payments where shard = $2 and order_id = $3 and state = 'REFUND_DUE') as refund_due
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, refund_due)
    select made.shard, made.id, 1, 'order.created', made.created_at, made.state, owed.refund_due from made, owed
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, 1, created_at, created_at from made
)
select made.created_at, made.expires_at, owed.refund_due from made, owed
