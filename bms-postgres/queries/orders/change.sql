-- Brings an order from the version that was read to what was decided, with a payment and a notice if there are.
-- $2 shard, $3 order, $4 version, $5 state, $6 since when, $7 why it failed, $8 the payment that paid for it, $9 events' kinds,
-- $10 whether money is to be given back after each, $11 a payment's key or null, $12 reference, $13 its state, $14 why it is to be
-- given back, $15 amount, $16 currency, $17 a notice's id or null, $18 what it said
with changed as (
    update bms.orders
    set state = $5, state_at = $6, fail_reason = $7, payment_reference = $8,
        seats_sold = case $5 when 'CONFIRMED' then seats_sold else 0 end,
        version = version + 1, events = events + cardinality($9::text[])
    where shard = $2 and id = $3 and version = $4
    returning *
), claims as (
    select c.shard, c.show_id, c.seat_id
    from (
        select o.shard, o.show_id, o.id, seat.id as seat_id from changed o, unnest(o.seat_ids, o.seat_indices) as seat (id, index)
        where o.state in ('FAILED', 'EXPIRED', 'CANCELLED')
        order by seat.index
    ) as own cross join lateral (
        -- Seat by seat: for a join, the claims of the whole show would be read.
        select c.shard, c.show_id, c.seat_id from bms.seat_claims c
        where c.shard = own.shard and c.show_id = own.show_id and c.seat_id = own.seat_id and c.order_id = own.id
        for update
    ) as c
), freed as (
    delete from bms.seat_claims c using claims
    where c.shard = claims.shard and c.show_id = claims.show_id and c.seat_id = claims.seat_id
), heard as (
    insert into bms.payments as p (shard, order_id, key, reference, state, refund_reason, amount, currency, first_heard, changed_at)
    select shard, id, $11, $12, $13, $14, $15, $16, {now}, {now} from changed where $11 is not null
    on conflict (shard, order_id, key) do update
    set state = excluded.state, refund_reason = excluded.refund_reason, amount = excluded.amount,
        currency = excluded.currency, changed_at = excluded.changed_at
), recorded as (
    insert into bms.payment_notices (id, shard, order_id, reference, status, amount, currency, received_at)
    select $17, shard, id, $12, $18, $15, $16, {now} from changed where $17 is not null
), happened as (
    select changed.*, changed.events - cardinality($9::text[]) + event.number as sequence, event.kind, event.owed
    from changed, unnest($9::text[], $10::boolean[]) with ordinality as event (kind, owed, number)
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, state_at, fail_reason, payment_reference, refund_due)
    select shard, id, sequence, kind, {now}, state, state_at, fail_reason, payment_reference, owed from happened
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, sequence, {now}, {now} from happened
), sale as (
    update bms.show_plans s set last_sale_at = {now} from changed o
    where o.state = 'CANCELLED' and s.shard = o.shard and s.show_id = o.show_id
        and (s.last_sale_at is null or s.last_sale_at < {now} - interval '1 second')
)
select id from changed
