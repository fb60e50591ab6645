//! The bridge to the machines of the crate. The model decides by the very functions that every store decides by, so it
//! has no table of its own that could drift from theirs.

use std::sync::LazyLock;
use std::time::Duration;

use bms_domain::hold::{HoldCommand, HoldLife, HoldRefusal, HoldState, apply};
use bms_domain::id::{OrderId, UserId};
use bms_domain::money::Money;
use bms_domain::order::{self, FailReason, OrderCommand, OrderRefusal, OrderState, Ticket};
use bms_domain::payment::{self, Known, PaymentReport, PaymentState, PaymentStatus, RefundReason};
use bms_domain::seat::SeatSet;
use bms_domain::testing::sample;
use bms_domain::time::Timestamp;

use crate::state::{EACH, Hold, HoldIs, LONGEST, Ledger, OrderIs};

const TICK: Duration = Duration::from_secs(60);

/// Everything that the machines want to see and the model does not tell apart.
struct Scenery {
    now: Timestamp,
    orders: [OrderId; EACH],
    order: order::Order,
    reports: [PaymentReport; EACH],
    ticket: Ticket,
    users: [UserId; 5],
}

static SCENERY: LazyLock<Scenery> = LazyLock::new(|| {
    let show = sample::show("model");
    let now = Timestamp::from_millis(1_900_000_000_000);
    let price = sample::euro(1_000);
    let orders = [1, 2].map(|n| sample::order_id(&show, n));
    let order = order::Order {
        id: orders[0],
        hold: sample::hold_id(&show, 1),
        show,
        layout: sample::layout_id("hall"),
        owner: sample::user("ann"),
        seats: sample::seat_list(&SeatSet::new()),
        price,
        customer: sample::customer(),
        created_at: now,
        expires_at: now,
        state: OrderState::PaymentPending,
        refund_due: false,
    };
    let reports = ["one", "two"].map(|payment| sample::report(orders[0], payment, PaymentStatus::Pending, price));
    let users = ["ann", "bob", "cid", "dee", "eve"].map(sample::user);
    Scenery { now, orders, order, reports, ticket: sample::ticket(1), users }
});

fn ticks(count: u8) -> Duration {
    TICK * u32::from(count)
}

fn after(instant: Timestamp) -> u8 {
    u8::try_from(instant.since(SCENERY.now).as_secs() / TICK.as_secs()).unwrap()
}

pub(crate) fn user(number: usize) -> &'static UserId {
    &SCENERY.users[number]
}

/// What can be asked of a hold, with its order by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Release,
    BeginCheckout {
        order: u8,
        cover: u8,
        longest: u8,
    },
    EndCheckout {
        order: u8,
    },
    /// `asked`: another call has asked for the order since it was linked.
    GiveBack {
        order: u8,
        asked: bool,
    },
    Consume {
        order: u8,
    },
    CutShort,
}

/// Why a hold refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    OrderPending(u8),
    Other,
}

/// [`bms_domain::hold::apply`] on a hold of the model.
pub(crate) fn hold_after(hold: Hold, ask: Ask) -> Result<Hold, Refused> {
    let scenery = &*SCENERY;
    let now = scenery.now;
    let id = |order: u8| scenery.orders[usize::from(order)];
    let number = |id: OrderId| u8::from(id != scenery.orders[0]);
    let state = match hold.is {
        HoldIs::Held { until, link } => HoldState::Held { until: now.plus(ticks(until)), order: link.map(id) },
        HoldIs::Released => HoldState::Released { at: now },
        HoldIs::Expired => HoldState::Expired { at: now },
        HoldIs::Consumed(order) => HoldState::Consumed { order: id(order), at: now },
    };
    let command = match ask {
        Ask::Release => HoldCommand::Release,
        Ask::BeginCheckout { order, cover, longest } => {
            HoldCommand::BeginCheckout { order: id(order), cover: ticks(cover), longest_life: ticks(longest) }
        }
        Ask::EndCheckout { order } => HoldCommand::EndCheckout { order: id(order) },
        Ask::GiveBack { order, asked } => {
            let until = match hold.is {
                HoldIs::Held { until, .. } => now.plus(ticks(until)),
                _ => now,
            };
            HoldCommand::GiveBack { order: id(order), until: if asked { until.minus(Duration::from_millis(1)) } else { until } }
        }
        Ask::Consume { order } => HoldCommand::Consume { order: id(order) },
        Ask::CutShort => HoldCommand::CutShort,
    };
    let life = HoldLife { created_at: now.plus(ticks(hold.life)).minus(ticks(LONGEST)), own_end: now.plus(ticks(hold.own_end)) };
    match apply(state, life, command, now) {
        Ok(HoldState::Held { until, order }) => {
            Ok(Hold { is: HoldIs::Held { until: after(until), link: order.map(number) }, ..hold })
        }
        Ok(HoldState::Released { .. }) => Ok(Hold::ended(HoldIs::Released)),
        Ok(HoldState::Expired { .. }) => Ok(Hold::ended(HoldIs::Expired)),
        Ok(HoldState::Consumed { order, .. }) => Ok(Hold::ended(HoldIs::Consumed(number(order)))),
        Err(HoldRefusal::OrderPending(order)) => Err(Refused::OrderPending(number(order))),
        Err(_) => Err(Refused::Other),
    }
}

fn order_state(is: OrderIs) -> OrderState {
    let Scenery { now, reports, ticket, .. } = &*SCENERY;
    let paid_by = |payment: u8| reports[usize::from(payment)].reference.clone();
    match is {
        OrderIs::None | OrderIs::Pending { .. } => OrderState::PaymentPending,
        OrderIs::Expired => OrderState::Expired { at: *now },
        OrderIs::Failed => OrderState::Failed { reason: FailReason::Declined, at: *now },
        OrderIs::Confirmed { payment, .. } => OrderState::Confirmed { ticket: *ticket, payment: paid_by(payment), at: *now },
        OrderIs::Cancelled { payment } => OrderState::Cancelled { ticket: *ticket, payment: paid_by(payment), at: *now },
    }
}

fn expires_at(is: OrderIs) -> Timestamp {
    match is {
        OrderIs::Pending { left } => SCENERY.now.plus(ticks(left)),
        _ => SCENERY.now,
    }
}

fn order_is(before: OrderIs, after: &OrderState) -> OrderIs {
    let number = |payment: &payment::PaymentReference| u8::from(*payment != SCENERY.reports[0].reference);
    match after {
        OrderState::PaymentPending => before,
        OrderState::Expired { .. } => OrderIs::Expired,
        OrderState::Failed { .. } => OrderIs::Failed,
        OrderState::Confirmed { .. } if before.is_confirmed() => before,
        OrderState::Confirmed { payment, .. } => {
            OrderIs::Confirmed { payment: number(payment), late: !matches!(before, OrderIs::Pending { left: 1.. }) }
        }
        OrderState::Cancelled { payment, .. } => OrderIs::Cancelled { payment: number(payment) },
    }
}

/// [`bms_domain::order::apply`] on an order of the model: the order after it, and whether money is to be given back.
pub(crate) fn order_after(is: OrderIs, command: OrderCommand) -> Result<(OrderIs, bool), OrderRefusal> {
    let step = order::apply(&order_state(is), expires_at(is), command, SCENERY.now)?;
    Ok((order_is(is, &step.state), step.refund.is_some()))
}

/// What is known of a payment and its order when a report comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) order: OrderIs,
    pub(crate) payment: u8,
    pub(crate) ledger: Ledger,
    pub(crate) another_open: bool,
    pub(crate) claimable: bool,
}

/// [`bms_domain::payment::apply`] on an order and a payment of the model. `fair`: the amount is the order's.
pub(crate) fn settled(facts: Facts, status: PaymentStatus, fair: bool) -> (Ledger, OrderIs) {
    let scenery = &*SCENERY;
    let order = order::Order { state: order_state(facts.order), expires_at: expires_at(facts.order), ..scenery.order.clone() };
    let price: Money = order.price;
    let amount = if fair { price } else { sample::euro(1) };
    let report = PaymentReport { status, amount, ..scenery.reports[usize::from(facts.payment)].clone() };
    let payment = match facts.ledger {
        Ledger::Nothing => None,
        Ledger::Pending => Some(PaymentState::Pending),
        Ledger::Failed => Some(PaymentState::Failed),
        Ledger::Counted => Some(PaymentState::Counted),
        Ledger::RefundDue => Some(PaymentState::RefundDue(RefundReason::SeatsGone)),
    };
    let known = Known { order: &order, payment, another_open: facts.another_open, claimable: facts.claimable };
    let decision = payment::apply(known, &report, scenery.ticket, scenery.now);
    let ledger = match decision.payment {
        PaymentState::Pending => Ledger::Pending,
        PaymentState::Failed => Ledger::Failed,
        PaymentState::Counted => Ledger::Counted,
        PaymentState::RefundDue(_) => Ledger::RefundDue,
    };
    (ledger, order_is(facts.order, &decision.order))
}
