-- Deletes keys whose time is over. Those that somebody begins anew, or deletes, are left to him. $2 limit
delete from bms.idempotency_keys
where (owner, key) in (
    select owner, key from bms.idempotency_keys where forget_at <= {now} order by forget_at limit $2 for update skip locked
)
returning 1
