-- Creates and replaces entries. A layout that is there, a theatre of another version, a screen that shows are on and that
-- would go, a show on something that is not there: each breaks a constraint, and nothing is done.
-- Rows are written in the order of their ids, so that two writers who wait for each other cannot be.
-- $1 movies, $2 theatres with the versions that were read, $3 shows, as JSON; $4 layouts' ids, $5 their plans
with theatre as (
    select * from json_to_recordset($2::json)
        as t (id text, name text, city text, city_folded text, time_zone text, read_version integer, screens json)
), screen as (
    select theatre.id as theatre_id, s.*
    from theatre,
        rows from (json_to_recordset(theatre.screens) as (id text, name text, layout_id text))
            with ordinality as s (id, name, layout_id, position)
), written_movies as (
    insert into bms.movies as m (id, title, duration_minutes, language, genres, certificate, poster_url, synopsis)
    select * from json_to_recordset($1::json) as new (id text, title text, duration_minutes bigint, language text, genres text[],
        certificate text, poster_url text, synopsis text)
    order by id
    on conflict (id) do update
    set title = excluded.title, duration_minutes = excluded.duration_minutes, language = excluded.language,
        genres = excluded.genres, certificate = excluded.certificate, poster_url = excluded.poster_url,
        synopsis = excluded.synopsis
    where m.* is distinct from excluded.*
), written_layouts as (
    insert into bms.layouts (id, plan)
    select id, plan::json from unnest($4::text[], $5::text[]) as new (id, plan) order by id
), written_theatres as (
    insert into bms.theatres as t (id, name, city, city_folded, time_zone, version)
    select id, name, city, city_folded, time_zone, read_version + 1 from theatre order by id
    on conflict (id) do update
    set name = excluded.name, city = excluded.city, city_folded = excluded.city_folded, time_zone = excluded.time_zone,
        version = case when t.version + 1 = excluded.version then excluded.version else 0 end
    returning id
), written_screens as (
    -- After their theatres, whose versions say that nobody else has touched the screens.
    insert into bms.screens as s (theatre_id, id, position, name, layout_id)
    select theatre_id, screen.id, position, name, layout_id
    from written_theatres join screen on screen.theatre_id = written_theatres.id
    order by theatre_id, screen.id
    on conflict (theatre_id, id) do update
    set position = excluded.position, name = excluded.name, layout_id = excluded.layout_id
    where s.* is distinct from excluded.*
), removed_screens as (
    delete from bms.screens s using written_theatres t
    where s.theatre_id = t.id
        and not exists (select from screen where screen.theatre_id = s.theatre_id and screen.id = s.id)
), written_shows as (
    insert into bms.shows as s (id, movie_id, theatre_id, screen_id, layout_id, start_time, sales_open_at, status,
        price_categories, price_amounts, currency, blocked_seats)
    select * from json_to_recordset($3::json) as new (id text, movie_id text, theatre_id text, screen_id text, layout_id text,
        start_time timestamptz, sales_open_at timestamptz, status text, price_categories text[], price_amounts bigint[],
        currency text, blocked_seats text[])
    order by id
    on conflict (id) do update
    set movie_id = excluded.movie_id, theatre_id = excluded.theatre_id, screen_id = excluded.screen_id,
        layout_id = excluded.layout_id, start_time = excluded.start_time, sales_open_at = excluded.sales_open_at,
        status = excluded.status, price_categories = excluded.price_categories, price_amounts = excluded.price_amounts,
        currency = excluded.currency, blocked_seats = excluded.blocked_seats
    where s.* is distinct from excluded.*
)
select 1
