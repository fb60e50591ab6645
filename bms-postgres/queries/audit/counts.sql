-- How much there is.
select
    (select count(*) from bms.orders) as orders,
    (select count(*) from bms.orders where state = 'CONFIRMED') as confirmed,
    (select count(*) from bms.seat_claims where expires_at is null) as seats_sold,
    (select count(*) from bms.payments where state = 'PENDING') as payments_under_way,
    (select count(*) from bms.payments where state = 'REFUND_DUE') as refunds_due,
    (select count(*) from bms.orders where state = 'PAYMENT_PENDING' and expires_at <= {now}) as overdue,
    (select count(*) from bms.outbox where published_at is null and dead_at is null) as events_waiting,
    (select count(*) from bms.outbox where dead_at is not null) as dead_letters
