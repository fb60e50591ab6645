-- Keeps an answer, or tells the one that was kept. No row: the key was not begun. Neither: somebody else was there just now.
-- $2 owner, $3 key, $4 answer, $5 milliseconds for which it is kept
with kept as (
    update bms.idempotency_keys
    set answer = $4, leased_until = null, forget_at = {now} + $5 * interval '1 millisecond'
    where owner = $2 and key = $3 and (answer is null or forget_at <= {now})
    returning 1
)
select true as kept, null::bytea as answer from kept
union all
-- As it was when the statement began.
select false, case when forget_at > {now} then answer end from bms.idempotency_keys
where owner = $2 and key = $3 and not exists (select from kept)
