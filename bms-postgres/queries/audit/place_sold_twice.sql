select c.show_id || ' place ' || c.seat_index as example
from bms.seat_claims c
where c.expires_at is null
group by c.shard, c.show_id, c.seat_index having count(*) > 1
