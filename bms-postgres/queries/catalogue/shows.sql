-- Shows of a movie with their theatres, by start. $1 movie, $2 from, $3 before, $4 limit
select * from bms.show_records
where movie_id = $1 and start_time >= $2 and start_time < $3
order by start_time, show_id limit $4
