-- The shows that were sold or cancelled of lately, latest first. $2 span in milliseconds, $3 limit
select show_id from bms.show_plans where last_sale_at >= {now} - $2 * interval '1 millisecond' - interval '1 second'
order by last_sale_at desc limit $3
