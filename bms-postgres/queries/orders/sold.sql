-- The seats of a show that are sold. $1 shard, $2 show
select coalesce(array_agg(seat_index), '{}') as seats from bms.seat_claims where shard = $1 and show_id = $2 and expires_at is null
