-- Movies by id. $1 after this one, or null; $2 limit
select id, title, duration_minutes, language, genres, certificate, poster_url, synopsis from bms.movies where id > coalesce($1, '') collate "C" order by id limit $2
