-- Deletes keys whose time is over. Those that somebody begins anew, or deletes, are left to him. $2 limit
with old as (
    select owner, key from bms.idempotency_keys where forget_at <= {now} order by forget_at limit $2 for update skip locked
), keys as (
    -- Arrays, which the planner takes to be short: of rows it would expect many, and read the whole table.
    select unnest(array_agg(owner)) as owner, unnest(array_agg(key)) as key from old
)
delete from bms.idempotency_keys k using keys where k.owner = keys.owner and k.key = keys.key
returning 1
