-- A show with its theatre. $1 show
select * from bms.show_records where show_id = $1
