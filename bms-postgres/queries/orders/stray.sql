-- Records money that came for an order that does not exist: it is to be given back.
-- $2 shard, $3 order, $4 the payment's key, $5 reference, $6 amount, $7 currency, $8 the notice's id or null
with owed as (
    insert into bms.payments (shard, order_id, key, reference, state, refund_reason, amount, currency, first_heard, changed_at)
    select $2, $3, $4, $5, 'REFUND_DUE', 'UNKNOWN_ORDER', $6, $7, {now}, {now}
    where not exists (select from bms.orders where shard = $2 and id = $3)
    returning shard, order_id
), recorded as (
    insert into bms.payment_notices (id, shard, order_id, reference, status, amount, currency, received_at)
    select $8, shard, order_id, $5, 'SUCCEEDED', $6, $7, {now} from owed where $8 is not null
)
select 1 from owed
