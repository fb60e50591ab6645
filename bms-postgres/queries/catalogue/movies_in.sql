-- Movies with a show in a city, by id. $1 after this one, or null; $2 limit; $3 the city in lower case; $4 shows from then on
select id, title, duration_minutes, language, genres, certificate, poster_url, synopsis from bms.movies m
where m.id > coalesce($1, '') collate "C" and exists (
    select from bms.shows s join bms.theatres t on t.id = s.theatre_id
    where s.movie_id = m.id and s.start_time >= $4 and t.city_folded = $3
)
order by m.id limit $2
