-- Ends a lease before its time. $1 owner, $2 key
update bms.idempotency_keys set leased_until = null where owner = $1 and key = $2 and leased_until is not null
