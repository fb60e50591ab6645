-- The first show on a screen that is to go, of shows that stay where they are.
-- $1 theatres and $2 their screens, pair by pair; $3 shows that are written too
select s.id, s.screen_id
from unnest($1::text[], $2::text[]) as gone (theatre_id, screen_id)
join bms.shows s on s.theatre_id = gone.theatre_id and s.screen_id = gone.screen_id
where s.id <> all ($3)
order by s.id limit 1
