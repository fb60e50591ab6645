-- Movies, theatres with their screens, seat plans, and shows.
--
-- Ids are compared and ordered by bytes, whatever the database's collation. Texts that people choose are kept with `\`
-- written `\\` and U+0000 written `\0`, which Postgres cannot store. Nothing is deleted but screens that no show is on.

create table bms.movies (
    id               text collate "C" primary key check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    title            text not null,
    duration_minutes bigint not null check (duration_minutes between 0 and 4294967295),
    language         text not null,
    genres           text[] not null check (array_position(genres, null) is null),
    certificate      text not null,
    poster_url       text,
    synopsis         text not null
);

-- Seat plans. They are read whole and never searched, so a plan is one value; as `json`, not `jsonb`, because it comes back
-- as it was written, U+0000 in a name included. It never changes: what was sold with it has to stay where it was.
create table bms.layouts (
    id   text collate "C" primary key check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    plan json not null
);
-- A constraint trigger, so that it is found where the other constraints are.
create constraint trigger layouts_never_change after update or delete on bms.layouts
    for each row execute function bms.refuse_change();
create trigger never_emptied before truncate on bms.layouts
    for each statement execute function bms.refuse_change();

create table bms.theatres (
    id          text collate "C" primary key check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    name        text not null,
    city        text not null,
    -- In lower case, by the rules of the program and not of the database, which knows them only in some locales.
    city_folded text not null,
    time_zone   text not null check (time_zone <> ''),
    -- Counts what happened to it and to its screens. A writer adds one to the version that he read; another breaks this.
    version     integer not null constraint theatres_as_read check (version >= 1)
);
create index theatres_by_city on bms.theatres (city_folded, id);

-- Rows of their own, so that no screen goes, or was never there, that a show is on.
create table bms.screens (
    theatre_id text collate "C" not null,
    id         text collate "C" not null check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    position   integer not null check (position >= 1),
    name       text not null,
    -- What new shows get. It need not be there before there is one.
    layout_id  text collate "C" not null check (layout_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    primary key (theatre_id, id),
    constraint screens_theatre foreign key (theatre_id) references bms.theatres (id)
);

-- A show with its prices and blocked seats, which are read and replaced with it: so they are columns, and a show is one row.
-- That they fit its seat plan is checked by whoever writes them, and by whoever reads them before he sells a seat.
create table bms.shows (
    id               text collate "C" primary key check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    movie_id         text collate "C" not null,
    theatre_id       text collate "C" not null,
    screen_id        text collate "C" not null,
    layout_id        text collate "C" not null,
    start_time       timestamptz not null,
    sales_open_at    timestamptz,
    status           text not null check (status in ('SCHEDULED', 'ON_SALE', 'CLOSED', 'CANCELLED')),
    -- A category and its price in minor units, in the same place of both.
    price_categories text[] not null,
    price_amounts    bigint[] not null,
    -- One for all prices.
    currency         text not null check (currency ~ '^[A-Z]{3}$'),
    blocked_seats    text[] not null check (array_position(blocked_seats, null) is null),
    constraint shows_movie foreign key (movie_id) references bms.movies (id),
    constraint shows_screen foreign key (theatre_id, screen_id) references bms.screens (theatre_id, id),
    constraint shows_layout foreign key (layout_id) references bms.layouts (id),
    constraint shows_prices check (
        cardinality(price_categories) > 0 and cardinality(price_categories) = cardinality(price_amounts)
        and array_position(price_categories, null) is null and array_position(price_amounts, null) is null
    ),
    -- As much as a JSON number holds exactly.
    constraint shows_amounts check (0 <= all (price_amounts) and 9007199254740991 >= all (price_amounts))
);
create index shows_by_movie on bms.shows (movie_id, start_time, id);
create index shows_by_screen on bms.shows (theatre_id, screen_id);
create index shows_by_layout on bms.shows (layout_id);

-- A theatre with its screens, in their order.
create view bms.theatre_records as
select t.id as theatre_id, t.name as theatre_name, t.city, t.time_zone, t.version,
    array(select s.id from bms.screens s where s.theatre_id = t.id order by s.position, s.id) as screen_ids,
    array(select s.name from bms.screens s where s.theatre_id = t.id order by s.position, s.id) as screen_names,
    array(select s.layout_id from bms.screens s where s.theatre_id = t.id order by s.position, s.id) as screen_layouts
from bms.theatres t;

-- A show with its theatre.
create view bms.show_records as
select s.id as show_id, s.movie_id, s.screen_id, s.layout_id, s.start_time, s.sales_open_at, s.status,
    s.price_categories, s.price_amounts, s.currency, s.blocked_seats, t.*
from bms.shows s
join bms.theatre_records t on t.theatre_id = s.theatre_id;
