-- Decides a show's seat plan unless it was decided. $1 shard, $2 show, $3 layout
insert into bms.show_plans (shard, show_id, layout_id) values ($1, $2, $3) on conflict do nothing
