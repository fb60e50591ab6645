-- Persists that orders have expired, and frees their seats. Those that somebody else is changing are left to
-- him, or waited for: then all in one order.
-- $2 shards, $3 orders
with due as (
    select o.shard, o.id
    from (
        select * from unnest($2::smallint[], $3::uuid[]) as asked (shard, id) order by shard, id
    ) as asked cross join lateral (
        -- `offset 0`: by the key, and only then whether it waits. Else all that are overdue would be read.
        select * from bms.orders o where o.shard = asked.shard and o.id = asked.id offset 0 for update skip locked
    ) as o
    where o.state = 'PAYMENT_PENDING' and o.expires_at <= {now}
        -- Changed since this began: what is read of its payments here would be of before.
        and o.version = (select seen.version from bms.orders seen where seen.shard = o.shard and seen.id = o.id offset 0)
), expired as (
    update bms.orders o
    set state = 'EXPIRED', state_at = o.expires_at, version = o.version + 1, events = o.events + 1
    from due where o.shard = due.shard and o.id = due.id
    returning o.*
), claims as (
    select c.shard, c.show_id, c.seat_id
    from (
        select e.shard, e.show_id, e.id, seat.id as seat_id from expired e, unnest(e.seat_ids, e.seat_indices) as seat (id, index)
        order by e.shard, e.show_id, seat.index
    ) as own cross join lateral (
        -- Seat by seat: for a join, the claims of the whole show would be read.
        select c.shard, c.show_id, c.seat_id from bms.seat_claims c
        where c.shard = own.shard and c.show_id = own.show_id and c.seat_id = own.seat_id and c.order_id = own.id
        for update
    ) as c
), freed as (
    delete from bms.seat_claims c using claims
    where c.shard = claims.shard and c.show_id = claims.show_id and c.seat_id = claims.seat_id
), records as (
    select e.*, null::text as ticket_code, null::text as ticket_secret,
        exists (select from bms.payments p where p.shard = e.shard and p.order_id = e.id and p.state = 'REFUND_DUE') as refund_due
    from expired e
), noted as (
    insert into bms.order_changes (shard, order_id, sequence, kind, at, state, state_at, refund_due)
    select shard, id, events, 'order.expired', {now}, state, state_at, refund_due from records
), told as (
    insert into bms.outbox (shard, order_id, sequence, at, available_at) select shard, id, events, {now}, {now} from records
)
-- Column by column: a prepared statement whose result grew with a later migration would be refused.
select id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, customer_name, customer_email, created_at,
    expires_at, state, state_at, fail_reason, payment_reference, ticket_code, ticket_secret, refund_due
from records order by expires_at, id
