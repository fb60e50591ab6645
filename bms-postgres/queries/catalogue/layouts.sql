-- $1 layouts
select id, plan::text as plan from bms.layouts where id = any($1)
