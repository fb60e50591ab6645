-- A user's orders, newest first. $2 owner, $3 older than this order, $4 limit
select r.*, {now} as now from bms.order_records r
where r.owner = $2 and r.id < coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by r.id desc limit $4
