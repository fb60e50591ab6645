-- What was sold, what was paid for it, and what is to be given back, by currency.
select coalesce(s.currency, p.currency) as currency, coalesce(s.sold, 0)::bigint as sold, coalesce(p.counted, 0)::bigint as counted,
    coalesce(p.refunds, 0)::bigint as refunds
from (select currency, sum(amount) as sold from bms.orders where state = 'CONFIRMED' group by currency) as s
full join (
    select currency, sum(amount) filter (where state = 'COUNTED') as counted, sum(amount) filter (where state = 'REFUND_DUE') as refunds
    from bms.payments group by currency
) as p using (currency)
where s.sold is not null or p.counted is not null or p.refunds is not null
order by 1
