-- Puts events back, to be published again. $2 the shard and $3 the id of an order, or $4 an instant, or all null: the dead letters.
-- One of the three is looked for; the others end before they read anything.
with of_order as (
    select shard, order_id, sequence, dead_at is not null or published_at is not null as gone from bms.outbox
    where $3::uuid is not null and shard = $2::smallint and order_id = $3
    order by shard, order_id, sequence for update
), since as (
    select shard, order_id, sequence, dead_at is not null or published_at is not null as gone from bms.outbox
    where $3::uuid is null and $4::timestamptz is not null and at >= $4
    order by shard, order_id, sequence for update
), dead as (
    select shard, order_id, sequence, true as gone from bms.outbox
    where $3::uuid is null and $4::timestamptz is null and dead_at is not null
    order by shard, order_id, sequence for update
), found as (
    select * from of_order union all select * from since union all select * from dead
), chosen as (
    -- Arrays, which the planner takes to be short: of rows it would expect many, and read the whole table.
    select unnest(array_agg(shard)) as shard, unnest(array_agg(order_id)) as order_id, unnest(array_agg(sequence)) as sequence,
        unnest(array_agg(gone)) as gone
    from found
), back as (
    update bms.outbox o
    set attempts = 0, dead_at = null, published_at = null,
        available_at = case when o.leased and o.available_at <> 'infinity' then o.available_at else {now} end
    from chosen c where o.shard = c.shard and o.order_id = c.order_id and o.sequence = c.sequence
), woken as (
    update bms.outbox o set available_at = {now}
    from (select distinct shard, order_id from chosen where gone) as c
    where o.shard = c.shard and o.order_id = c.order_id and o.available_at = 'infinity' and o.dead_at is null
        and not exists (
            select from chosen where chosen.shard = o.shard and chosen.order_id = o.order_id and chosen.sequence = o.sequence
        )
)
select count(*) from chosen where gone
