-- Decides a show's seat plan before its first order. An order of another plan breaks a constraint.
-- $1 shard, $2 show, $3 layout
insert into bms.show_plans (shard, show_id, layout_id) values ($1, $2, $3)
on conflict (shard, show_id) do update set layout_id = excluded.layout_id
where show_plans.layout_id <> excluded.layout_id
