-- The shows that were sold or cancelled of lately, latest first. $2 span in milliseconds, $3 limit, $4 and $5 after this one, or null
select last_sale_at, show_id from bms.show_plans
where last_sale_at >= {now} - $2 * interval '1 millisecond' - interval '1 second'
    and ($4::timestamptz is null or (last_sale_at, show_id collate "C") < ($4, $5))
order by last_sale_at desc, show_id collate "C" desc limit $3
