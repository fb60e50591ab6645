-- Counts a payment for an order, and sells it its seats. Without a version: when the order waits for just this payment and
-- nothing was heard of it before, which is the common case. A seat, a code or a payment that is another's breaks a constraint.
-- $2 shard, $3 order, $4 version or null, $5 the payment's key, $6 reference, $7 amount, $8 currency, $9 ticket's code,
-- $10 its secret, $11 the notice's id or null
with found as (
    select * from bms.orders o
    where o.shard = $2 and o.id = $3 and case
        when $4::integer is not null then o.version = $4
        else o.state = 'PAYMENT_PENDING' and o.expires_at > {now} and o.amount = $7 and o.currency = $8
            and not exists (select from bms.payments p where p.shard = $2 and p.order_id = $3 and p.key = $5)
            and not exists (select from bms.payment_notices n where n.id = $11)
    end
    for update
), sold as (
    insert into bms.seat_claims as c (shard, show_id, seat_id, seat_index, order_id, expires_at)
    select found.shard, found.show_id, seat.id, seat.index, found.id, null
    from found, unnest(found.seat_ids, found.seat_indices) as seat (id, index)
    order by seat.index
    on conflict (shard, show_id, seat_id) do update set order_id = excluded.order_id, expires_at = null
    where c.order_id = excluded.order_id or c.expires_at <= {now}
    returning 1
), paid as (
    update bms.orders o
    set state = 'CONFIRMED', state_at = {now}, fail_reason = null, payment_reference = $6,
        seats_sold = (select count(*) from sold), version = o.version + 1, events = o.events + 1
    from found where o.shard = found.shard and o.id = found.id
    returning o.*
), counted as (
    insert into bms.payments as p (shard, order_id, key, reference, state, amount, currency, first_heard, changed_at)
    select shard, id, $5, $6, 'COUNTED', $7, $8, state_at, state_at from paid
    on conflict (shard, order_id, key) do update
    -- Money that somebody decided meanwhile to give back breaks `not null`: it is looked at again.
    set state = case when p.state in ('PENDING', 'FAILED') then 'COUNTED' end, refund_reason = null,
        amount = excluded.amount, currency = excluded.currency, changed_at = excluded.changed_at
), recorded as (
    insert into bms.payment_notices (id, shard, order_id, reference, status, amount, currency, received_at)
    select $11, shard, id, $6, 'SUCCEEDED', $7, $8, state_at from paid where $11 is not null
), issued as (
    insert into bms.tickets (code, secret, shard, order_id, issued_at) select $9, $10, shard, id, state_at from paid
), records as (
    select paid.*, $9::text as ticket_code, $10::text as ticket_secret,
        exists (select from bms.payments p where p.shard = $2 and p.order_id = $3 and p.state = 'REFUND_DUE') as refund_due
    from paid
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, state_at, payment_reference, refund_due)
    select shard, id, events, 'order.confirmed', state_at, state, state_at, payment_reference, refund_due from records
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, events, state_at, state_at from records
), sale as (
    update bms.show_plans s set last_sale_at = paid.state_at from paid
    where s.shard = paid.shard and s.show_id = paid.show_id
        and (s.last_sale_at is null or s.last_sale_at < paid.state_at - interval '1 second')
)
-- Column by column: a prepared statement whose result grew with a later migration would be refused.
select id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, customer_name, customer_email, created_at,
    expires_at, state, state_at, fail_reason, payment_reference, ticket_code, ticket_secret, refund_due, state_at as now
from records
