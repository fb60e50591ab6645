-- Persists that orders have expired, and frees their seats. Those that somebody else is changing are left to
-- him, or waited for: then all in one order.
-- $2 shards, $3 orders
with due as (
    select o.shard, o.id
    from unnest($2::smallint[], $3::uuid[]) as asked (shard, id)
    join bms.orders o using (shard, id)
    where o.state = 'PAYMENT_PENDING' and o.expires_at <= {now}
    order by o.shard, o.id
    for update of o skip locked
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
select * from records order by expires_at, id
