-- Begins a request, or says what became of it. No row, or one that says neither: somebody else was there just now.
-- $2 owner, $3 key, $4 request, $5 seed, $6 milliseconds of the lease, $7 milliseconds for which it is kept after that
with begun as (
    insert into bms.idempotency_keys as k (owner, key, request, seed, leased_until, forget_at)
    values ($2, $3, $4, $5, {now} + $6 * interval '1 millisecond', {now} + ($6 + $7) * interval '1 millisecond')
    on conflict (owner, key) do update
    set request = excluded.request, answer = null, leased_until = excluded.leased_until, forget_at = excluded.forget_at,
        seed = case when k.forget_at <= {now} then excluded.seed else k.seed end
    where k.forget_at <= {now}
        or k.request = excluded.request and k.answer is null and (k.leased_until is null or k.leased_until <= {now})
    returning seed
)
select seed, false as reused, null::bytea as answer, false as running from begun
union all
-- As it was when the statement began.
select null, request <> $4, answer, coalesce(leased_until > {now}, false) from bms.idempotency_keys
where owner = $2 and key = $3 and forget_at > {now} and not exists (select from begun)
