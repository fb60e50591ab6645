-- Which of these movies there are. $1 movies
select id from bms.movies where id = any($1)
