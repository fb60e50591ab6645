-- Money that is to be given back. $1 order and $2 reference of the last one seen, or null; $3 limit
select order_id, reference, amount, currency, refund_reason from bms.payments
where state = 'REFUND_DUE'
    and (order_id, reference) > (coalesce($1, '00000000-0000-0000-0000-000000000000'), coalesce($2, '') collate "C")
order by order_id, reference limit $3
