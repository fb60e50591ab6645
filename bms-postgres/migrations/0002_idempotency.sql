-- The first answer to each request that carries an idempotency key.
-- Texts that users choose are kept with `\` written `\\` and U+0000 written `\0`, which Postgres cannot store.

create table bms.idempotency_keys (
    owner        text not null check (owner <> ''),
    key          text not null check (key <> ''),
    -- A digest of the request: the key is for no other.
    request      bytea not null check (octet_length(request) = 32),
    -- What the ids of the request are made of, in every try.
    seed         uuid not null,
    -- Until when somebody runs it; null: nobody does.
    leased_until timestamptz,
    -- Null until it was run.
    answer       bytea,
    -- From then on the key is new, whether or not the row is still there.
    forget_at    timestamptz not null,
    primary key (owner, key),
    constraint idempotency_keys_run_or_answered check (answer is null or leased_until is null)
);
create index idempotency_keys_over on bms.idempotency_keys (forget_at);
