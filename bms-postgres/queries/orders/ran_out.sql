-- Orders of a hold that have expired and are not persisted so. $2 shard, $3 hold, $4 but for this order
select id from bms.orders
where shard = $2 and hold_id = $3 and id <> $4 and state = 'PAYMENT_PENDING' and expires_at <= {now}
