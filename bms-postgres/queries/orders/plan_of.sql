-- The seat plan of a show. $1 shard, $2 show
select layout_id from bms.show_plans where shard = $1 and show_id = $2
