-- $2 how many holds to retire at most
select bms.hold_sweep($1, $2) as retired
