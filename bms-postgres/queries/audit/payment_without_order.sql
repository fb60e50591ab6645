select p.order_id || ' payment ' || p.reference as example
from bms.payments p left join bms.orders o on o.shard = p.shard and o.id = p.order_id
where p.state = 'COUNTED' and o.state is distinct from 'CONFIRMED'
