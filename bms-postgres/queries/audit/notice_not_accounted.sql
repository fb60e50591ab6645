-- A success that was told of is counted or to be given back: for its order, or for the one that named the payment first.
select n.id || ' order ' || n.order_id as example
from bms.payment_notices n
where n.status = 'SUCCEEDED' and not exists (
    select from bms.payments p
    where p.shard = n.shard and p.order_id = n.order_id and p.reference = n.reference and p.state in ('COUNTED', 'REFUND_DUE')
) and not exists (
    select from bms.payments p where p.reference = n.reference and p.state in ('COUNTED', 'REFUND_DUE')
)
