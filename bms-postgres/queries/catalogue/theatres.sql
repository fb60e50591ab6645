-- $1 theatres
select * from bms.theatre_records where theatre_id = any($1)
