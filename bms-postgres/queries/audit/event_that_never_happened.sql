select w.order_id || '/' || w.sequence as example
from bms.outbox w left join bms.order_changes c using (shard, order_id, sequence)
where c.sequence is null
