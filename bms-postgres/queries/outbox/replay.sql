-- Puts events back, to be published again. $2 the shard and $3 the id of an order, or $4 an instant, or all null: the dead letters
with chosen as (
    select o.shard, o.order_id, o.sequence, o.dead_at is not null or o.published_at is not null as gone from bms.outbox o
    where case
        when $3::uuid is not null then o.shard = $2::smallint and o.order_id = $3
        when $4::timestamptz is not null then o.at >= $4
        else o.dead_at is not null
    end
    order by o.shard, o.order_id, o.sequence for update
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
