-- The payment that was counted for an order. $1 shard, $2 order
select key, reference, amount, currency from bms.payments where shard = $1 and order_id = $2 and state = 'COUNTED'
