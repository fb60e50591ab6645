-- An order is found by the shard that its id carries.
select o.id::text as example
from bms.orders o
where o.shard <> (get_byte(uuid_send(o.id), 6) & 15) * 256 + get_byte(uuid_send(o.id), 7)
    or o.shard <> (get_byte(uuid_send(o.hold_id), 6) & 15) * 256 + get_byte(uuid_send(o.hold_id), 7)
