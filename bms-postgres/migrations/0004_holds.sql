-- Holds, for those who run no Redis: who holds which seats of which show, for how long, and what is known to be sold.
--
-- The tables are unlogged. A hold store may forget everything: who owns a seat stands in `seat_claims`. So nothing here is
-- written ahead, and no hold waits for the disk. After a crash, and on a standby that takes over, the tables are empty: then a
-- show is not primed, and is restored from the claims before a hold is granted. A clean stop keeps them.
--
-- Whoever changes anything of a show has locked its row in `hold_shows` before: the one lock of an operation, so that no two
-- can wait for each other. The functions are called by one `select` each, so that an operation is one round trip and one
-- transaction. Those that are called from outside set the search path; they need nothing of it, and neither do the others.

-- A row is a show: its lock, and what is counted of it.
create unlogged table bms.hold_shows (
    shard       smallint not null check (shard between 0 and 4095),
    show_id     text not null check (show_id <> ''),
    -- Starts at the clock's microseconds, so that it goes on growing when everything was forgotten; one more for each change.
    version     bigint not null,
    -- Counts what was freed after it had been sold, or sold to another, and the orders that were unlinked. Starts as the version
    -- does.
    frees       bigint not null,
    -- The seat plan; null: not primed.
    layout_id   text check (layout_id <> ''),
    -- How many seats there is room for.
    seats       integer not null default 0 check (seats >= 0),
    -- No live hold ends before this.
    due         timestamptz not null default 'infinity',
    -- How many ended holds are kept, and when the first of them is to be forgotten, or later than this.
    ended       integer not null default 0,
    forget_from timestamptz not null default 'infinity',
    -- When it was last changed; in the functions: now.
    at          timestamptz not null,
    primary key (shard, show_id)
) with (fillfactor = 50);

-- Which seats are held and which are sold: a bit each by dense index, 1,024 seats a row.
create unlogged table bms.hold_seats (
    shard   smallint not null,
    show_id text not null,
    block   integer not null check (block >= 0),
    held    bit(1024) not null default 0::bit(1024),
    sold    bit(1024) not null default 0::bit(1024),
    primary key (shard, show_id, block),
    constraint hold_seats_held_or_sold check (bit_count(held & sold) = 0)
) with (fillfactor = 50);

create unlogged table bms.holds (
    shard      smallint not null,
    id         uuid not null,
    show_id    text not null,
    layout_id  text not null,
    owner      text not null check (owner <> ''),
    -- By index.
    seats      integer[] not null check (cardinality(seats) > 0),
    amount     bigint not null check (amount >= 0),
    currency   text not null check (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz not null,
    own_end    timestamptz not null,
    state      text not null check (state in ('HELD', 'RELEASED', 'EXPIRED', 'CONSUMED')),
    -- When it ends, or ended.
    ends_at    timestamptz not null,
    -- The order that is linked to it, or that consumed it.
    order_id   uuid,
    primary key (shard, id),
    constraint holds_order check (case state when 'HELD' then true when 'CONSUMED' then order_id is not null else order_id is null end)
);
create index holds_live on bms.holds (shard, show_id, ends_at) where state = 'HELD';
-- The owner leads: the planner must not take this index for a way to all holds of a show.
create index holds_live_of_owner on bms.holds (owner, shard, show_id) where state = 'HELD';
create index holds_ended on bms.holds (shard, show_id, ends_at) where state <> 'HELD';

-- What orders have bought: the seats that are marked sold to each. An order that was cancelled is remembered, so that late
-- news of its sale changes nothing.
create unlogged table bms.hold_sales (
    shard    smallint not null,
    show_id  text not null,
    order_id uuid not null,
    owner    text not null,
    seats    integer[] not null,
    freed    boolean not null default false,
    primary key (shard, show_id, order_id)
);
create index hold_sales_of_owner on bms.hold_sales (owner, shard, show_id);

-- The last changes of each show, for those who follow it. A version has one change at most.
create unlogged table bms.hold_changes (
    shard   smallint not null,
    show_id text not null,
    version bigint not null,
    kind    text not null check (kind in ('HELD', 'SOLD', 'FREED')),
    seats   integer[] not null,
    primary key (shard, show_id, version)
);

-- The present, in whole milliseconds: the caller's, where he has a clock of his own. Asked for when the lock is had: whoever
-- waited for it comes after those whom he waited for.
create function bms.hold_time(given timestamptz) returns timestamptz language sql volatile as $$
    select coalesce(given, date_trunc('milliseconds', clock_timestamp()))
$$;

-- Seats as rows of `hold_seats` have them.
create function bms.hold_masks(seats integer[]) returns table (block integer, mask bit(1024)) language sql immutable as $$
    select seat / 1024, bit_or(set_bit(0::bit(1024), seat % 1024, 1)) from unnest(seats) seat group by 1
$$;

-- A thousand changes of a show are kept: older ones go some at a time.
create function bms.hold_trim_log(room bms.hold_shows) returns void language plpgsql as $$
begin
    delete from bms.hold_changes c
    where c.shard = room.shard and c.show_id = room.show_id and c.version <= room.version - 1024;
end
$$;

-- A new version, for those who follow the show.
create function bms.hold_changed(room bms.hold_shows, what text, seats integer[]) returns bms.hold_shows language plpgsql as $$
begin
    if cardinality(seats) > 0 then
        room.version := room.version + 1;
        insert into bms.hold_changes values (room.shard, room.show_id, room.version, what, seats);
        if room.version % 256 = 0 then
            perform bms.hold_trim_log(room);
        end if;
    end if;
    return room;
end
$$;

-- Writes down what is counted of a show, at the end of an operation. An ended hold is kept for an hour, unless a thousand more
-- end meanwhile, or one a seat: the oldest go some at a time.
create function bms.hold_save(room bms.hold_shows) returns void language plpgsql as $$
declare
    kept integer := greatest(1024, room.seats);
begin
    if room.ended > kept + kept / 4 then
        delete from bms.holds h where h.shard = room.shard and h.id = any (array(
            select o.id from bms.holds o where o.shard = room.shard and o.show_id = room.show_id and o.state <> 'HELD'
            order by o.ends_at limit room.ended - kept));
        room.ended := kept;
    end if;
    update bms.hold_shows s
    set version = room.version, frees = room.frees, layout_id = room.layout_id, seats = room.seats, due = room.due,
        ended = room.ended, forget_from = room.forget_from, at = room.at
    where s.shard = room.shard and s.show_id = room.show_id;
end
$$;

-- Takes the marks of some holds away, which have just ended.
create function bms.hold_unmark(room bms.hold_shows, holds bigint, seats integer[]) returns bms.hold_shows language plpgsql as $$
begin
    update bms.hold_seats b set held = b.held & ~m.mask from bms.hold_masks(hold_unmark.seats) m
    where b.shard = room.shard and b.show_id = room.show_id and b.block = m.block;
    room.ended := room.ended + holds;
    room.forget_from := least(room.forget_from, room.at + interval '1 hour');
    return room;
end
$$;

-- `Expire` in the table: ends the holds whose time has run out (promise P5), `most` of them, or all.
create function bms.hold_retire(room bms.hold_shows, most integer) returns bms.hold_shows language plpgsql as $$
declare
    over uuid[];
    freed integer[];
begin
    -- An array: of rows the planner would expect many, and look through all holds.
    over := array(
        select h.id from bms.holds h
        where h.shard = room.shard and h.show_id = room.show_id and h.state = 'HELD' and h.ends_at <= room.at
        order by h.ends_at limit most);
    with ended as (
        update bms.holds h set state = 'EXPIRED', order_id = null where h.shard = room.shard and h.id = any (over)
        returning h.seats
    )
    select array_agg(seat order by seat) into freed from ended, unnest(ended.seats) seat;
    if freed is not null then
        room := bms.hold_changed(bms.hold_unmark(room, cardinality(over), freed), 'FREED', freed);
    end if;
    room.due := coalesce(
        (select min(h.ends_at) from bms.holds h where h.shard = room.shard and h.show_id = room.show_id and h.state = 'HELD'),
        'infinity');
    return room;
end
$$;

-- Locks a show, which is made if it is not there, and retires what has expired. Every operation begins with it.
create function bms.hold_enter(given timestamptz, the_shard smallint, the_show text) returns bms.hold_shows language plpgsql as $$
declare
    room bms.hold_shows;
    start bigint;
begin
    loop
        select * into room from bms.hold_shows s where s.shard = the_shard and s.show_id = the_show for update;
        exit when found;
        start := floor(extract(epoch from bms.hold_time(given)) * 1000) * 1000;
        insert into bms.hold_shows (shard, show_id, version, frees, at)
        values (the_shard, the_show, start, start, bms.hold_time(given)) on conflict do nothing;
    end loop;
    room.at := bms.hold_time(given);
    if room.due <= room.at then
        room := bms.hold_retire(room, null);
        perform bms.hold_save(room);
    end if;
    return room;
end
$$;

-- Holds all of the seats, or none. `did` says what came of it.
create function bms.hold_place(
    given timestamptz, the_shard smallint, the_id uuid, the_show text, the_layout text, the_owner text, wanted integer[],
    the_amount bigint, the_currency text, ttl_ms bigint, per_hold integer, per_user integer,
    out did text, out now timestamptz, out now_frees bigint, out now_version bigint, out taken integer[], out hold bms.holds
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter(given, the_shard, the_show);
    has bigint;
    till timestamptz;
begin
    now := room.at;
    now_frees := room.frees;
    now_version := room.version;
    select * into hold from bms.holds h where h.shard = the_shard and h.id = the_id;
    if found then
        did := case when hold.show_id = the_show and hold.owner = the_owner and hold.seats = wanted then 'EXISTING' else 'ID_TAKEN' end;
        return;
    end if;
    did := case
        when room.layout_id is distinct from the_layout then 'NOT_PRIMED'
        when cardinality(wanted) = 0 or wanted[cardinality(wanted)] >= room.seats then 'NO_SUCH_SEAT'
        when cardinality(wanted) > per_hold then 'TOO_MANY_FOR_HOLD'
    end;
    if did is not null then
        return;
    end if;
    select (select array_agg(seat order by seat) from unnest(wanted) seat
            join bms.hold_seats b on b.shard = the_shard and b.show_id = the_show and b.block = seat / 1024
            where get_bit(b.held | b.sold, seat % 1024) = 1),
        coalesce((select sum(cardinality(h.seats)) from bms.holds h
            where h.shard = the_shard and h.show_id = the_show and h.owner = the_owner and h.state = 'HELD'), 0)
        + coalesce((select sum(cardinality(s.seats)) from bms.hold_sales s
            where s.shard = the_shard and s.show_id = the_show and s.owner = the_owner), 0)
    into taken, has;
    did := case when taken is not null then 'TAKEN' when has + cardinality(wanted) > per_user then 'TOO_MANY_FOR_USER' end;
    if did is not null then
        return;
    end if;
    till := now + ttl_ms * interval '1 millisecond';
    now_version := now_version + 1;
    -- As `hold_begin`, in one statement: this is the function that a rush calls.
    with placed as (
        insert into bms.holds (shard, id, show_id, layout_id, owner, seats, amount, currency, created_at, own_end, state, ends_at)
        values (the_shard, the_id, the_show, the_layout, the_owner, wanted, the_amount, the_currency, now, till, 'HELD', till)
    ), marked as (
        update bms.hold_seats b set held = b.held | m.mask from bms.hold_masks(wanted) m
        where b.shard = the_shard and b.show_id = the_show and b.block = m.block
    ), told as (
        insert into bms.hold_changes values (the_shard, the_show, now_version, 'HELD', wanted)
    )
    update bms.hold_shows s set version = now_version, due = least(s.due, till), at = now
    where s.shard = the_shard and s.show_id = the_show;
    if now_version % 256 = 0 then
        room.version := now_version;
        perform bms.hold_trim_log(room);
    end if;
    did := 'PLACED';
end
$$;

-- Puts a live hold in, whose seats are free.
create function bms.hold_begin(room bms.hold_shows, hold bms.holds) returns bms.hold_shows language plpgsql as $$
begin
    insert into bms.holds select hold.*;
    update bms.hold_seats b set held = b.held | m.mask from bms.hold_masks(hold.seats) m
    where b.shard = room.shard and b.show_id = room.show_id and b.block = m.block;
    room.due := least(room.due, hold.ends_at);
    return bms.hold_changed(room, 'HELD', hold.seats);
end
$$;

-- Locks the show of a hold; null when there is no such hold. Who enters so reads the hold by its show, too: one that is placed
-- just now is none of a show that was not locked.
create function bms.hold_enter_by(given timestamptz, the_shard smallint, the_id uuid) returns bms.hold_shows language plpgsql as $$
declare
    the_show text;
begin
    select h.show_id into the_show from bms.holds h where h.shard = the_shard and h.id = the_id;
    if the_show is null then
        return null;
    end if;
    return bms.hold_enter(given, the_shard, the_show);
end
$$;

-- Writes down what has become of a hold; ends a live one.
create function bms.hold_write(room bms.hold_shows, hold bms.holds) returns bms.hold_shows language plpgsql as $$
begin
    update bms.holds h set state = hold.state, ends_at = hold.ends_at, order_id = hold.order_id
    where h.shard = hold.shard and h.id = hold.id;
    if hold.state = 'HELD' then
        room.due := least(room.due, hold.ends_at);
    else
        room := bms.hold_changed(bms.hold_unmark(room, 1, hold.seats), 'FREED', hold.seats);
    end if;
    return room;
end
$$;

-- `Release` in the table of `hold.rs`. What a hold refuses changes nothing: the caller reads the reason from its state.
create function bms.hold_release(
    given timestamptz, the_shard smallint, the_id uuid, by_owner text,
    out changed boolean, out now timestamptz, out now_version bigint, out hold bms.holds
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter_by(given, the_shard, the_id);
begin
    select * into hold from bms.holds h where h.shard = the_shard and h.id = the_id and h.show_id = room.show_id;
    changed := (hold.state = 'HELD' and hold.order_id is null and hold.owner = coalesce(by_owner, hold.owner)) is true;
    if changed then
        hold.state := 'RELEASED';
        hold.ends_at := room.at;
        room := bms.hold_write(room, hold);
        perform bms.hold_save(room);
    end if;
    now := room.at;
    now_version := room.version;
end
$$;

-- `BeginCheckout` in the table.
create function bms.hold_begin_checkout(
    given timestamptz, the_shard smallint, the_id uuid, by_owner text, the_order uuid, cover_ms bigint, longest_ms bigint,
    out changed boolean, out now timestamptz, out now_version bigint, out hold bms.holds
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter_by(given, the_shard, the_id);
    till timestamptz;
begin
    select * into hold from bms.holds h where h.shard = the_shard and h.id = the_id and h.show_id = room.show_id;
    -- While it is linked its end moves, so that it tells whether anybody has asked since.
    till := greatest(
        hold.ends_at + case when hold.order_id is null then interval '0' else interval '1 millisecond' end,
        room.at + cover_ms * interval '1 millisecond');
    changed := (hold.state = 'HELD' and hold.owner = coalesce(by_owner, hold.owner)
        and till <= hold.created_at + longest_ms * interval '1 millisecond') is true;
    if changed then
        hold.order_id := coalesce(hold.order_id, the_order);
        hold.ends_at := till;
        room := bms.hold_write(room, hold);
        perform bms.hold_save(room);
    end if;
    now := room.at;
    now_version := room.version;
end
$$;

-- `EndCheckout` in the table. Claims that were read before tell the order pending still: they are out of date.
create function bms.hold_end_checkout(
    given timestamptz, the_shard smallint, the_id uuid, the_order uuid,
    out changed boolean, out now timestamptz, out now_version bigint, out hold bms.holds
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter_by(given, the_shard, the_id);
begin
    select * into hold from bms.holds h where h.shard = the_shard and h.id = the_id and h.show_id = room.show_id;
    changed := (hold.state = 'HELD' and hold.order_id = the_order) is true;
    if changed then
        hold.state := case when hold.own_end <= room.at then 'EXPIRED' else 'HELD' end;
        hold.ends_at := hold.own_end;
        hold.order_id := null;
        room := bms.hold_write(room, hold);
        room.frees := room.frees + 1;
        perform bms.hold_save(room);
    end if;
    now := room.at;
    now_version := room.version;
end
$$;

-- `GiveBack` in the table.
create function bms.hold_give_back(
    given timestamptz, the_shard smallint, the_id uuid, the_order uuid, until timestamptz,
    out changed boolean, out now timestamptz, out now_version bigint, out hold bms.holds
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter_by(given, the_shard, the_id);
begin
    select * into hold from bms.holds h where h.shard = the_shard and h.id = the_id and h.show_id = room.show_id;
    changed := (hold.state = 'HELD' and hold.order_id = the_order and hold.ends_at = until) is true;
    if changed then
        hold.state := 'RELEASED';
        hold.ends_at := room.at;
        hold.order_id := null;
        room := bms.hold_write(room, hold);
        perform bms.hold_save(room);
    end if;
    now := room.at;
    now_version := room.version;
end
$$;

-- Makes room for seats: those of a plan, or those that were sold before the plan was known.
create function bms.hold_grow(room bms.hold_shows, size integer) returns bms.hold_shows language plpgsql as $$
begin
    if size > room.seats then
        insert into bms.hold_seats (shard, show_id, block)
        select room.shard, room.show_id, number from generate_series(0, (size - 1) / 1024) number on conflict do nothing;
        room.seats := size;
    end if;
    return room;
end
$$;

-- `Consume` in the table, for the hold of each of the orders. Says of what it was told nothing about that it is free.
create function bms.hold_consume(room bms.hold_shows, orders uuid[], holds uuid[], sold integer[])
returns bms.hold_shows language plpgsql as $$
declare
    number bigint;
    freed integer[];
begin
    with found as (
        select h.id, h.state, sale.order_id from unnest(orders, hold_consume.holds) sale (order_id, hold_id)
        join bms.holds h on h.shard = room.shard and h.id = sale.hold_id
        where h.show_id = room.show_id and h.state <> 'CONSUMED'
    ), consumed as (
        update bms.holds h set state = 'CONSUMED', ends_at = room.at, order_id = found.order_id from found
        where h.shard = room.shard and h.id = found.id
        returning h.id, h.seats, found.state = 'HELD' as was_live
    )
    select count(distinct id), array_agg(seat) into number, freed from consumed, unnest(consumed.seats) seat where was_live;
    if number > 0 then
        room := bms.hold_unmark(room, number, freed);
        room := bms.hold_changed(room, 'FREED', array(select unnest(freed) except select unnest(sold) order by 1));
    end if;
    return room;
end
$$;

-- Whether there is a hold on one of the seats, as the marks say: seldom, and only then holds are looked through.
create function bms.hold_is_under(room bms.hold_shows, wanted integer[]) returns boolean language plpgsql as $$
begin
    return exists (
        select from bms.hold_masks(wanted) m
        join bms.hold_seats b on b.shard = room.shard and b.show_id = room.show_id and b.block = m.block
        where bit_count(b.held & m.mask) > 0);
end
$$;

-- `CutShort` in the table, for every live hold on one of the seats: a late payment or a claim has won them. The planner takes
-- arrays to be short, and would go through a long one again for each seat: so it is told to hash them, here and below.
create function bms.hold_cut_short(room bms.hold_shows, won integer[]) returns bms.hold_shows
language plpgsql set enable_nestloop = off as $$
declare
    cut uuid[];
    freed integer[];
begin
    if not bms.hold_is_under(room, won) then
        return room;
    end if;
    cut := array(
        with held as materialized (
            select h.id, unnest(h.seats) as seat from bms.holds h
            where h.shard = room.shard and h.show_id = room.show_id and h.state = 'HELD'
        )
        select distinct held.id from held join unnest(won) other on other = held.seat);
    with ended as (
        update bms.holds h set state = 'EXPIRED', ends_at = room.at, order_id = null where h.shard = room.shard and h.id = any (cut)
        returning h.seats
    )
    select array_agg(seat order by seat) into freed from ended, unnest(ended.seats) seat;
    return bms.hold_changed(bms.hold_unmark(room, cardinality(cut), freed), 'FREED', freed);
end
$$;

-- Takes seats from whichever orders they are marked as.
create function bms.hold_take_back(room bms.hold_shows, taken integer[]) returns void language plpgsql set enable_nestloop = off as $$
declare
    sale record;
begin
    for sale in
        with bought as materialized (
            select o.order_id, unnest(o.seats) as seat from bms.hold_sales o
            where o.shard = room.shard and o.show_id = room.show_id
        )
        select o.order_id, coalesce(array_agg(o.seat order by o.seat) filter (where gone is null), '{}') as seats
        from bought o left join unnest(taken) gone on gone = o.seat
        group by o.order_id having count(gone) > 0
    loop
        update bms.hold_sales s set seats = sale.seats
        where s.shard = room.shard and s.show_id = room.show_id and s.order_id = sale.order_id;
    end loop;
    delete from bms.hold_sales s
    where s.shard = room.shard and s.show_id = room.show_id and s.seats = '{}' and not s.freed;
end
$$;

-- Takes the marks of sold seats away.
create function bms.hold_unsell(room bms.hold_shows, freed integer[]) returns bms.hold_shows language plpgsql as $$
begin
    update bms.hold_seats b set sold = b.sold & ~m.mask from bms.hold_masks(freed) m
    where b.shard = room.shard and b.show_id = room.show_id and b.block = m.block;
    return bms.hold_changed(room, 'FREED', freed);
end
$$;

-- Those of the seats that are marked sold to another order.
create function bms.hold_resold(room bms.hold_shows, orders uuid[], seats integer[], of integer[]) returns integer[]
language plpgsql set enable_nestloop = off as $$
begin
    return array(
        select n.seat from unnest(hold_resold.seats, of) n (seat, sale)
        join (
            select s.order_id, unnest(s.seats) as seat from bms.hold_sales s
            where s.shard = room.shard and s.show_id = room.show_id
        ) was on was.seat = n.seat and was.order_id <> orders[n.sale]);
end
$$;

-- Marks the seats of orders sold, and their holds consumed. `seats` are those of all the orders, and `of` says whose each is,
-- by its place in the other arrays. Old news of an order that was cancelled since changes nothing.
create function bms.hold_sell(room bms.hold_shows, orders uuid[], holds uuid[], owners text[], seats integer[], of integer[])
returns bms.hold_shows language plpgsql as $$
declare
    added integer[];
    resold integer[];
    old_news integer[];
begin
    old_news := array(
        select sale.number from unnest(orders) with ordinality sale (order_id, number)
        join bms.hold_sales s on s.shard = room.shard and s.show_id = room.show_id and s.order_id = sale.order_id
        where s.freed);
    if cardinality(old_news) > 0 then
        select array_agg(n.seat), array_agg(n.sale) into seats, of from unnest(seats, of) n (seat, sale) where n.sale <> all (old_news);
        select array_agg(case when number <> all (old_news) then h end order by number) into holds
        from unnest(holds) with ordinality h (h, number);
    end if;
    if coalesce(cardinality(seats), 0) = 0 then
        return room;
    end if;
    room := bms.hold_grow(room, (select max(seat) + 1 from unnest(seats) seat));
    -- Each order's own hold first: a seat that is still held after it is somebody else's.
    room := bms.hold_consume(room, orders, holds, seats);
    room := bms.hold_cut_short(room, seats);
    added := array(
        select seat from unnest(seats) seat
        join bms.hold_seats b on b.shard = room.shard and b.show_id = room.show_id and b.block = seat / 1024
        where get_bit(b.sold, seat % 1024) = 0 order by seat);
    if cardinality(added) < cardinality(seats) then
        -- Sold already: to the same order, or to one whose cancellation was missed.
        resold := bms.hold_resold(room, orders, seats, of);
        if cardinality(resold) > 0 then
            perform bms.hold_take_back(room, resold);
            -- No new version, for the seats were sold and are; but claims that were read before would take the new mark for stray.
            room.frees := room.frees + 1;
        end if;
    end if;
    insert into bms.hold_sales as s (shard, show_id, order_id, owner, seats)
    select room.shard, room.show_id, sale.order_id, sale.owner, bought.seats
    from (select n.sale, array_agg(n.seat order by n.seat) as seats from unnest(seats, of) n (seat, sale) group by n.sale) bought
    join unnest(orders, owners) with ordinality sale (order_id, owner, number) on sale.number = bought.sale
    on conflict (shard, show_id, order_id) do update
    set seats = array(select unnest(s.seats) union select unnest(excluded.seats) order by 1)
    where not s.seats @> excluded.seats;
    update bms.hold_seats b set sold = b.sold | m.mask from bms.hold_masks(added) m
    where b.shard = room.shard and b.show_id = room.show_id and b.block = m.block;
    return bms.hold_changed(room, 'SOLD', added);
end
$$;

create function bms.hold_mark_sold(
    given timestamptz, the_shard smallint, the_show text, the_order uuid, the_hold uuid, the_owner text, bought integer[]
) returns bigint language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter(given, the_shard, the_show);
begin
    room := bms.hold_sell(room, array[the_order], array[the_hold], array[the_owner], bought, array_fill(1, array[cardinality(bought)]));
    perform bms.hold_save(room);
    return room.version;
end
$$;

-- Frees the seats that are marked sold to a cancelled order. Its sale is not marked again, whoever tells of it.
create function bms.hold_mark_free(
    given timestamptz, the_shard smallint, the_show text, the_order uuid, the_owner text, bought integer[]
) returns bigint language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter(given, the_shard, the_show);
    freed integer[];
begin
    freed := array(
        select seat from bms.hold_sales s, unnest(s.seats) seat
        where s.shard = the_shard and s.show_id = the_show and s.order_id = the_order and seat = any (bought) order by seat);
    insert into bms.hold_sales as s (shard, show_id, order_id, owner, seats, freed)
    values (the_shard, the_show, the_order, the_owner, '{}', true)
    on conflict (shard, show_id, order_id) do update
    set freed = true, seats = array(select unnest(s.seats) except select unnest(bought) order by 1);
    room.frees := room.frees + 1;
    room := bms.hold_unsell(room, freed);
    perform bms.hold_save(room);
    return room.version;
end
$$;

-- Another seat plan: what was held by the old one ends, and who follows the show reads it anew.
create function bms.hold_start_anew(room bms.hold_shows) returns bms.hold_shows language plpgsql as $$
declare
    number bigint;
begin
    with cut as (
        update bms.holds h set state = 'EXPIRED', ends_at = room.at, order_id = null
        where h.shard = room.shard and h.show_id = room.show_id and h.state = 'HELD'
        returning 1
    )
    select count(*) into number from cut;
    room := bms.hold_unmark(room, number, '{}');
    delete from bms.hold_seats b where b.shard = room.shard and b.show_id = room.show_id;
    delete from bms.hold_changes c where c.shard = room.shard and c.show_id = room.show_id;
    delete from bms.hold_sales s where s.shard = room.shard and s.show_id = room.show_id and not s.freed;
    update bms.hold_sales s set seats = '{}' where s.shard = room.shard and s.show_id = room.show_id;
    room.version := room.version + 1;
    room.layout_id := null;
    room.seats := 0;
    room.due := 'infinity';
    return room;
end
$$;

-- A pending order has its seats claimed: its hold is live and linked, and no other hold is on its seats, unless that has an order
-- too. `claim` is the hold as it is when it has to be made anew.
create function bms.hold_bring_back(room bms.hold_shows, claim bms.holds) returns bms.hold_shows language plpgsql as $$
declare
    hold bms.holds;
begin
    if exists (
        select from unnest(claim.seats) seat
        left join bms.hold_seats b on b.shard = room.shard and b.show_id = room.show_id and b.block = seat / 1024
        where seat >= room.seats or get_bit(b.sold, seat % 1024) = 1
    ) then
        return room;
    end if;
    select * into hold from bms.holds h where h.shard = claim.shard and h.id = claim.id;
    if hold.state = 'HELD' then
        if hold.order_id is null then
            hold.order_id := claim.order_id;
            hold.ends_at := greatest(hold.ends_at, claim.ends_at);
            room := bms.hold_write(room, hold);
        end if;
        return room;
    end if;
    -- Of a hold that is linked an order may have been made since the claim was read, and then the claim is over. If not, that
    -- order is refused, and the restore that follows brings this hold back.
    if bms.hold_is_under(room, claim.seats) and exists (
        select from bms.holds h
        where h.shard = room.shard and h.show_id = room.show_id and h.state = 'HELD' and h.order_id is not null
            and h.seats && claim.seats
    ) then
        return room;
    end if;
    if hold.id is not null then
        delete from bms.holds h where h.shard = claim.shard and h.id = claim.id;
        room.ended := room.ended - 1;
    end if;
    return bms.hold_begin(bms.hold_cut_short(room, claim.seats), claim);
end
$$;

-- Takes in what the durable store knows, and marks the show primed. Sales are told as to `hold_sell`, the holds of pending
-- orders as they are when they have to be made anew.
create function bms.hold_restore(
    given timestamptz, the_shard smallint, the_show text, fence_frees bigint, fence_version bigint, the_layout text, size integer,
    sale_orders uuid[], sale_holds uuid[], sale_owners text[], sale_seats integer[], sale_of integer[],
    claim_orders uuid[], claim_holds uuid[], claim_owners text[], claim_amounts bigint[], claim_currencies text[],
    claim_ms bigint[], claim_seats integer[], claim_of integer[],
    out done boolean, out now_frees bigint, out now_version bigint, out added integer, out freed integer
) language plpgsql set search_path = '' as $$
declare
    room bms.hold_shows := bms.hold_enter(given, the_shard, the_show);
    quiet boolean := room.version = fence_version;
    stray integer[];
    claim bms.holds;
begin
    now_frees := room.frees;
    now_version := room.version;
    done := room.frees = fence_frees;
    if not done then
        return;
    end if;
    if room.layout_id <> the_layout then
        room := bms.hold_start_anew(room);
    end if;
    room := bms.hold_grow(room, size);
    freed := 0;
    if quiet then
        stray := bms.hold_stray(room, sale_seats);
        freed := cardinality(stray);
        if freed > 0 then
            -- A free like any other: claims that were read before it may still tell these seats sold.
            room.frees := room.frees + 1;
            perform bms.hold_take_back(room, stray);
            room := bms.hold_unsell(room, stray);
        end if;
    end if;
    added := -bms.hold_sold(room);
    room := bms.hold_sell(room, sale_orders, sale_holds, sale_owners, sale_seats, sale_of);
    added := added + bms.hold_sold(room);
    -- Old news of an order that has ended since would take seats from those who have them now.
    if quiet or room.layout_id is null then
        for claim in
            select the_shard, c.hold_id, the_show, the_layout, c.owner, wanted.seats, c.amount, c.currency, room.at,
                room.at + c.ms * interval '1 millisecond', 'HELD', room.at + c.ms * interval '1 millisecond', c.order_id
            from unnest(claim_orders, claim_holds, claim_owners, claim_amounts, claim_currencies, claim_ms)
                with ordinality c (order_id, hold_id, owner, amount, currency, ms, number)
            join (select n.claim, array_agg(n.seat order by n.seat) as seats from unnest(claim_seats, claim_of) n (seat, claim) group by 1)
                wanted on wanted.claim = c.number
            order by c.number
        loop
            room := bms.hold_bring_back(room, claim);
        end loop;
    end if;
    room.layout_id := the_layout;
    perform bms.hold_save(room);
    now_frees := room.frees;
    now_version := room.version;
end
$$;

-- The seats that are marked sold and are none of these.
create function bms.hold_stray(room bms.hold_shows, claimed integer[]) returns integer[] language plpgsql as $$
begin
    return array(
        select b.block * 1024 + bit
        from bms.hold_seats b left join bms.hold_masks(claimed) m on m.block = b.block, generate_series(0, 1023) bit
        where b.shard = room.shard and b.show_id = room.show_id
            and bit_count(b.sold & ~coalesce(m.mask, 0::bit(1024))) > 0
            and get_bit(b.sold & ~coalesce(m.mask, 0::bit(1024)), bit) = 1
        order by 1);
end
$$;

-- How many seats are marked sold.
create function bms.hold_sold(room bms.hold_shows) returns bigint language plpgsql as $$
begin
    return coalesce((select sum(bit_count(b.sold)) from bms.hold_seats b where b.shard = room.shard and b.show_id = room.show_id), 0);
end
$$;

-- Which seats are held and sold: a row for each block of seats, or one without a block. A show that nothing is known of is
-- made, so that its fence is one that a restore can go by.
create function bms.hold_occupancy(given timestamptz, the_shard smallint, the_show text)
returns table (frees bigint, version bigint, layout_id text, seats integer, held bit(1024), sold bit(1024))
language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
    if not exists (
        select from bms.hold_shows s where s.shard = the_shard and s.show_id = the_show and s.due > bms.hold_time(given)
    ) then
        perform bms.hold_enter(given, the_shard, the_show);
    end if;
    return query
        select s.frees, s.version, s.layout_id, s.seats, b.held, b.sold from bms.hold_shows s
        left join bms.hold_seats b on b.shard = s.shard and b.show_id = s.show_id and s.layout_id is not null
        where s.shard = the_shard and s.show_id = the_show order by b.block;
end
$$;

-- The present version of a show, and its changes after another, a row each, or one without a change; none: nothing is known.
create function bms.hold_changes_after(given timestamptz, the_shard smallint, the_show text, after bigint)
returns table (version bigint, change bigint, kind text, seats integer[]) language plpgsql set search_path = '' as $$
#variable_conflict use_column
begin
    if exists (
        select from bms.hold_shows s where s.shard = the_shard and s.show_id = the_show and s.due <= bms.hold_time(given)
    ) then
        perform bms.hold_enter(given, the_shard, the_show);
    end if;
    return query
        select s.version, c.version, c.kind, c.seats from bms.hold_shows s
        left join bms.hold_changes c on c.shard = s.shard and c.show_id = s.show_id and c.version > after
        where s.shard = the_shard and s.show_id = the_show order by c.version;
end
$$;

-- Holds as they are written down, and the present, at which a live one may be over.
create function bms.hold_get(given timestamptz, shards smallint[], ids uuid[])
returns table (now timestamptz, hold bms.holds) language plpgsql set search_path = '' as $$
declare
    present timestamptz := bms.hold_time(given);
begin
    return query
        select present, h from unnest(shards, ids) wanted (shard, id) join bms.holds h on h.shard = wanted.shard and h.id = wanted.id;
end
$$;

-- How many seats of each primed show are taken. Locks nothing: what is over and not retired yet is left out.
create function bms.hold_counts(given timestamptz, shards smallint[], shows text[])
returns table (show_id text, held bigint, sold bigint) language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
    present timestamptz := bms.hold_time(given);
begin
    return query
        select s.show_id, coalesce(sum(bit_count(b.held)), 0)::bigint - case when s.due > present then 0 else (
                select coalesce(sum(cardinality(h.seats)), 0) from bms.holds h
                where h.shard = s.shard and h.show_id = s.show_id and h.state = 'HELD' and h.ends_at <= present) end,
            coalesce(sum(bit_count(b.sold)), 0)::bigint
        from unnest(shards, shows) wanted (shard, show_id)
        join bms.hold_shows s on s.shard = wanted.shard and s.show_id = wanted.show_id and s.layout_id is not null
        left join bms.hold_seats b on b.shard = s.shard and b.show_id = s.show_id
        group by s.shard, s.show_id, s.due;
end
$$;

-- Tidies some shows up, those that nobody is busy with: retires holds, `most` in all, forgets those that ended an hour ago,
-- and shows that nothing has happened to for a week. Says how many holds it retired.
create function bms.hold_sweep(given timestamptz, most integer) returns integer language plpgsql set search_path = '' as $$
declare
    present timestamptz := bms.hold_time(given);
    room bms.hold_shows;
    retired integer := 0;
    before integer;
begin
    for room in
        select * from bms.hold_shows s
        where s.due <= present or s.forget_from <= present or s.at <= present - interval '7 days'
        order by s.due limit 64 for update skip locked
    loop
        if room.due = 'infinity' and room.at <= present - interval '7 days' then
            perform bms.hold_forget(room);
            continue;
        end if;
        room.at := present;
        if room.due <= present and retired < most then
            before := room.ended;
            room := bms.hold_retire(room, most - retired);
            retired := retired + room.ended - before;
        end if;
        perform bms.hold_save(bms.hold_forget_ended(room));
    end loop;
    return retired;
end
$$;

-- Forgets the holds of a show that ended an hour ago, a thousand at a time.
create function bms.hold_forget_ended(room bms.hold_shows) returns bms.hold_shows language plpgsql as $$
declare
    number integer;
begin
    delete from bms.holds h where h.shard = room.shard and h.id = any (array(
        select o.id from bms.holds o
        where o.shard = room.shard and o.show_id = room.show_id and o.state <> 'HELD' and o.ends_at <= room.at - interval '1 hour'
        order by o.ends_at limit 1024));
    get diagnostics number = row_count;
    room.ended := room.ended - number;
    room.forget_from := coalesce(
        (select min(h.ends_at) + interval '1 hour' from bms.holds h
            where h.shard = room.shard and h.show_id = room.show_id and h.state <> 'HELD'),
        'infinity');
    return room;
end
$$;

-- Forgets a show.
create function bms.hold_forget(room bms.hold_shows) returns void language plpgsql as $$
begin
    delete from bms.holds h where h.shard = room.shard and h.id = any (array(
        select o.id from bms.holds o where o.shard = room.shard and o.show_id = room.show_id and o.state <> 'HELD'));
    delete from bms.hold_seats b where b.shard = room.shard and b.show_id = room.show_id;
    delete from bms.hold_sales s where s.shard = room.shard and s.show_id = room.show_id;
    delete from bms.hold_changes c where c.shard = room.shard and c.show_id = room.show_id;
    delete from bms.hold_shows s where s.shard = room.shard and s.show_id = room.show_id;
end
$$;
