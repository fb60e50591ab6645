-- $1 movie
select id, title, duration_minutes, language, genres, certificate, poster_url, synopsis from bms.movies where id = $1
