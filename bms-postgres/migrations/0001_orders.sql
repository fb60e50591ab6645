-- Orders, claims, payments, tickets, what happened to orders, and what of it is still to be told.
--
-- `shard` is the shard of the show (0..4095). An order's id carries it, so that an id alone says where to look, and it leads the
-- keys of orders, claims, payments and histories, so that they can be partitioned, or distributed, by it. What is unique among all
-- shows has a key of its own: a ticket's code, a provider's notice, money that is counted.
-- Texts that users choose are kept with `\` written `\\` and U+0000 written `\0`, which Postgres cannot store.

-- The seat plan that a show is sold with. Orders refer to it, so that it cannot change under them.
create table bms.show_plans (
    shard        smallint not null check (shard between 0 and 4095),
    show_id      text not null check (show_id <> ''),
    layout_id    text not null check (layout_id <> ''),
    -- When an order of the show was last confirmed or cancelled, to within a second.
    last_sale_at timestamptz,
    primary key (shard, show_id),
    unique (shard, show_id, layout_id)
);
create index show_plans_last_sale on bms.show_plans (last_sale_at) where last_sale_at is not null;

create table bms.orders (
    shard             smallint not null,
    id                uuid not null,
    hold_id           uuid not null,
    show_id           text not null,
    layout_id         text not null,
    owner             text not null check (owner <> ''),
    -- Names and dense indices of the same seats, by index.
    seat_ids          text[] not null,
    seat_indices      integer[] not null,
    amount            bigint not null check (amount >= 0),
    currency          text not null check (currency ~ '^[A-Z]{3}$'),
    customer_name     text not null,
    customer_email    text not null,
    created_at        timestamptz not null,
    expires_at        timestamptz not null,
    state             text not null check (state in ('PAYMENT_PENDING', 'CONFIRMED', 'FAILED', 'EXPIRED', 'CANCELLED')),
    -- When it came into its state; null while it waits for payment.
    state_at          timestamptz,
    fail_reason       text check (fail_reason in ('DECLINED', 'GIVEN_UP')),
    payment_reference text,
    -- How many of its seats are claimed for it for good: none, or all.
    seats_sold        integer not null default 0,
    -- Counts what happened to it; a change is made to the version that was read, or not at all.
    version           integer not null default 1 check (version >= 1),
    -- The number of its last event.
    events            integer not null default 1 check (events >= 1),
    primary key (shard, id),
    -- An order is found by the shard that its id carries.
    constraint orders_shard check (shard = (get_byte(uuid_send(id), 6) & 15) * 256 + get_byte(uuid_send(id), 7)),
    constraint orders_plan foreign key (shard, show_id, layout_id) references bms.show_plans (shard, show_id, layout_id),
    constraint orders_expiry check (expires_at >= created_at),
    constraint orders_seats check (cardinality(seat_ids) > 0 and cardinality(seat_ids) = cardinality(seat_indices)),
    constraint orders_state_at check ((state_at is null) = (state = 'PAYMENT_PENDING')),
    constraint orders_fail_reason check ((fail_reason is not null) = (state = 'FAILED')),
    constraint orders_payment check ((payment_reference is not null) = (state in ('CONFIRMED', 'CANCELLED'))),
    constraint orders_all_seats_sold check (seats_sold = case state when 'CONFIRMED' then cardinality(seat_ids) else 0 end)
);
create unique index orders_one_open_a_hold on bms.orders (shard, hold_id) where state in ('PAYMENT_PENDING', 'CONFIRMED');
create index orders_by_hold on bms.orders (shard, hold_id, id);
create index orders_by_owner on bms.orders (owner, id);
create index orders_overdue on bms.orders (expires_at, id) where state = 'PAYMENT_PENDING';

-- Which order owns a seat of a show, or will if it is paid in time: the last line against a double sale.
create table bms.seat_claims (
    shard      smallint not null,
    show_id    text not null,
    seat_id    text not null check (seat_id <> ''),
    seat_index integer not null check (seat_index >= 0),
    order_id   uuid not null,
    -- When the claim ends with its order; null: sold.
    expires_at timestamptz,
    primary key (shard, show_id, seat_id),
    constraint seat_claims_order foreign key (shard, order_id) references bms.orders (shard, id)
);

-- A seat that is sold stays sold for as long as its order is confirmed, whoever deletes or moves its claim.
create function bms.refuse_to_unsell() returns trigger language plpgsql as $$
begin
    if exists (select from bms.orders o where o.shard = old.shard and o.id = old.order_id and o.state = 'CONFIRMED')
        and not exists (
            select from bms.seat_claims c
            where c.shard = old.shard and c.show_id = old.show_id and c.seat_id = old.seat_id and c.order_id = old.order_id
                and c.expires_at is null)
    then
        raise exception 'a seat of order % is sold', old.order_id
            using errcode = 'integrity_constraint_violation', constraint = 'seat_claims_stay_sold';
    end if;
    return null;
end
$$;
-- At the end of the transaction, in which the order may have been cancelled.
create constraint trigger seat_claims_stay_sold after update or delete on bms.seat_claims
    deferrable initially deferred for each row when (old.expires_at is null) execute function bms.refuse_to_unsell();

-- Every payment that was heard of for an order, whether there is such an order or not.
create table bms.payments (
    shard         smallint not null,
    order_id      uuid not null,
    -- What identifies the payment across all orders.
    key           text not null,
    reference     text collate "C" not null,
    state         text not null check (state in ('PENDING', 'FAILED', 'COUNTED', 'REFUND_DUE')),
    refund_reason text check ((refund_reason is not null) = (state = 'REFUND_DUE')),
    amount        bigint not null check (amount >= 0),
    currency      text not null check (currency ~ '^[A-Z]{3}$'),
    first_heard   timestamptz not null,
    changed_at    timestamptz not null,
    -- Until when somebody has it to ask the provider after it.
    asked_until   timestamptz,
    primary key (shard, order_id, key)
);
-- Money is counted, or given back, once.
create unique index payments_once on bms.payments (key) where state in ('COUNTED', 'REFUND_DUE');
create unique index payments_one_an_order on bms.payments (shard, order_id) where state = 'COUNTED';
create index payments_refunds on bms.payments (order_id, reference) where state = 'REFUND_DUE';
create index payments_open on bms.payments (asked_until nulls first, order_id) where state = 'PENDING';

-- Every notice of a provider, as it came.
create table bms.payment_notices (
    id          text primary key check (id <> ''),
    shard       smallint not null,
    order_id    uuid not null,
    reference   text not null,
    status      text not null check (status in ('PENDING', 'SUCCEEDED', 'FAILED')),
    amount      bigint not null,
    currency    text not null,
    received_at timestamptz not null
);

-- A code is given once, also when its order was cancelled since.
create table bms.tickets (
    code      text primary key check (code ~ '^BMS-[0-9A-HJKMNP-TV-Z]{6}$'),
    secret    text not null check (length(secret) = 32),
    shard     smallint not null,
    order_id  uuid not null,
    issued_at timestamptz not null,
    constraint tickets_one_an_order unique (shard, order_id),
    constraint tickets_order foreign key (shard, order_id) references bms.orders (shard, id)
);

-- What happened to each order, in the order in which it happened: the state that it came to, and when. Only ever added to.
create table bms.order_changes (
    shard             smallint not null,
    order_id          uuid not null,
    sequence          integer not null check (sequence >= 1),
    kind              text not null,
    at                timestamptz not null,
    state             text not null,
    state_at          timestamptz,
    fail_reason       text,
    payment_reference text,
    refund_due        boolean not null,
    primary key (shard, order_id, sequence)
);

create function bms.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '%.% is only added to', tg_table_schema, tg_table_name using errcode = 'integrity_constraint_violation';
end
$$;
create trigger never_emptied before truncate on bms.seat_claims
    for each statement execute function bms.refuse_change();
create trigger only_added_to before update or delete on bms.order_changes
    for each row execute function bms.refuse_change();
create trigger never_emptied before truncate on bms.order_changes
    for each statement execute function bms.refuse_change();

-- The changes that are to be told outside. A published one is kept for a while, so that it can be told again.
create table bms.outbox (
    shard        smallint not null,
    order_id     uuid not null,
    sequence     integer not null,
    at           timestamptz not null,
    -- From when on a relay may take it; `infinity` behind a dead letter.
    available_at timestamptz not null,
    -- Whether a relay has it until then.
    leased       boolean not null default false,
    attempts     integer not null default 0,
    -- Since when it is not tried any more.
    dead_at      timestamptz,
    published_at timestamptz,
    primary key (shard, order_id, sequence),
    constraint outbox_dead_or_published check (dead_at is null or published_at is null)
);
create index outbox_waiting on bms.outbox (available_at, order_id, sequence) where published_at is null and dead_at is null;
create index outbox_dead on bms.outbox (order_id, sequence) where dead_at is not null;
create index outbox_published on bms.outbox (published_at) where published_at is not null;

-- An order with its ticket, and whether money of it is to be given back.
create view bms.order_records as
select o.*, t.code as ticket_code, t.secret as ticket_secret,
    exists (select from bms.payments p where p.shard = o.shard and p.order_id = o.id and p.state = 'REFUND_DUE') as refund_due
from bms.orders o
left join bms.tickets t on t.shard = o.shard and t.order_id = o.id;

-- What happened to an order, with the order as it was just after it.
create view bms.order_events as
select o.shard, o.id, o.hold_id, o.show_id, o.layout_id, o.owner, o.seat_ids, o.seat_indices, o.amount, o.currency,
    o.customer_name, o.customer_email, o.created_at, o.expires_at, t.code as ticket_code, t.secret as ticket_secret,
    c.order_id, c.sequence, c.kind, c.at, c.state, c.state_at, c.fail_reason, c.payment_reference, c.refund_due
from bms.order_changes c
join bms.orders o on o.shard = c.shard and o.id = c.order_id
left join bms.tickets t on t.shard = c.shard and t.order_id = c.order_id;
