-- Counts payments for orders, and sells those their seats. Without a version: the orders that wait for just this payment, of which
-- nothing was heard before, and whose code nobody has, which is the common case. A seat or a payment that is another's breaks a
-- constraint, and nothing is done.
-- An element an order: $2 shards, $3 orders, $4 payments' keys, $5 references, $6 amounts, $7 currencies, $8 tickets' codes,
-- $9 their secrets, $10 notices' ids or null. $11 the version of the one order that was looked at, or null.
-- $12 how many milliseconds a lock is waited for
with asked as materialized (
    select * from unnest($2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[],
            $10::text[])
        as asked (shard, id, key, reference, amount, currency, code, secret, notice)
    -- A limit that the planner cannot read: it plans for few orders, however many are asked for, so that one plan serves all.
    limit (select 1000 where set_config('lock_timeout', $12::text, true) <> '')
), found as materialized (
    -- All in one order, so that two that wait for each other cannot be. `offset 0`: by the key, order by order.
    select o.*, a.key, a.reference, a.amount, a.currency, a.code, a.secret, a.notice
    from (select * from asked order by shard, id) as a cross join lateral (
        select o.shard, o.id, o.show_id, o.seat_ids, o.seat_indices from bms.orders o
        where o.shard = a.shard and o.id = a.id and case
            when $11::integer is not null then o.version = $11
            else o.state = 'PAYMENT_PENDING' and o.expires_at > {now} and o.amount = a.amount and o.currency = a.currency
                -- Changed while its lock was waited for: what is read of its payments here would be of before.
                and o.version = (select seen.version from bms.orders seen where seen.shard = a.shard and seen.id = a.id offset 0)
                and not exists (select from bms.payments p where p.shard = a.shard and p.order_id = a.id and p.key = a.key offset 0)
                and not exists (select from bms.payment_notices n where n.id = a.notice offset 0)
                and not exists (select from bms.tickets t where t.code = a.code offset 0)
        end
        offset 0 for update
    ) as o
), sold as (
    insert into bms.seat_claims as c (shard, show_id, seat_id, seat_index, order_id, expires_at)
    select found.shard, found.show_id, seat.id, seat.index, found.id, null
    from found, unnest(found.seat_ids, found.seat_indices) as seat (id, index)
    order by found.shard, found.show_id, seat.index
    on conflict (shard, show_id, seat_id) do update set order_id = excluded.order_id, expires_at = null
    where c.order_id = excluded.order_id or c.expires_at <= {now}
    returning order_id
), paid as (
    update bms.orders o
    set state = 'CONFIRMED', state_at = {now}, fail_reason = null, payment_reference = found.reference,
        seats_sold = coalesce(own.seats, 0), version = o.version + 1, events = o.events + 1
    from found left join (select order_id, count(*) as seats from sold group by order_id) as own on own.order_id = found.id
    where o.shard = found.shard and o.id = found.id
    returning o.*, found.key, found.amount as given, found.currency as given_in, found.code, found.secret, found.notice
), counted as (
    insert into bms.payments as p (shard, order_id, key, reference, state, amount, currency, first_heard, changed_at)
    select shard, id, key, payment_reference, 'COUNTED', given, given_in, state_at, state_at from paid
    on conflict (shard, order_id, key) do update
    -- Money that somebody decided meanwhile to give back breaks `not null`: it is looked at again.
    set state = case when p.state in ('PENDING', 'FAILED') then 'COUNTED' end, refund_reason = null,
        amount = excluded.amount, currency = excluded.currency, changed_at = excluded.changed_at
), recorded as (
    insert into bms.payment_notices (id, shard, order_id, reference, status, amount, currency, received_at)
    select notice, shard, id, payment_reference, 'SUCCEEDED', given, given_in, state_at from paid where notice is not null
), issued as (
    insert into bms.tickets (code, secret, shard, order_id, issued_at) select code, secret, shard, id, state_at from paid
), records as (
    select paid.*, exists (
        select from bms.payments p where p.shard = paid.shard and p.order_id = paid.id and p.state = 'REFUND_DUE' offset 0
    ) as refund_due
    from paid
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, state_at, payment_reference, refund_due)
    select shard, id, events, 'order.confirmed', state_at, state, state_at, payment_reference, refund_due from records
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, events, state_at, state_at from paid
), sale as (
    update bms.show_plans s set last_sale_at = latest.at
    from (select shard, show_id, max(state_at) as at from paid group by shard, show_id order by shard, show_id) as latest
    where s.shard = latest.shard and s.show_id = latest.show_id
        and (s.last_sale_at is null or s.last_sale_at < latest.at - interval '1 second')
)
-- Column by column: a prepared statement whose result grew with a later migration would be refused.
select id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, customer_name, customer_email, created_at,
    expires_at, state, state_at, fail_reason, payment_reference, code as ticket_code, secret as ticket_secret, refund_due,
    state_at as now
from records
