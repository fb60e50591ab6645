select o.show_id || ' seat ' || seat.id as example
from bms.orders o, unnest(o.seat_ids) as seat (id)
where o.state = 'CONFIRMED'
group by o.shard, o.show_id, seat.id having count(*) > 1
