-- $1 movie
select * from bms.movies where id = $1
