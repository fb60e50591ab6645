-- Records a notice that changes nothing. $2 id, $3 shard, $4 order, $5 reference, $6 what it said, $7 amount, $8 currency
insert into bms.payment_notices (id, shard, order_id, reference, status, amount, currency, received_at)
values ($2, $3, $4, $5, $6, $7, $8, {now}) on conflict do nothing
