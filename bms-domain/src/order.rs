//! An order: a hold turned into a purchase.
//!
//! The machine is [`apply`]: `(state, command, now) → new state, refund | refusal`. No input or output, no clock, no
//! randomness.
//!
//! | state           | `PaymentSucceeded`           | `PaymentFailed` | `GiveUp`  | `Expire`  | `Cancel`              |
//! |-----------------|------------------------------|-----------------|-----------|-----------|-----------------------|
//! | PAYMENT_PENDING | CONFIRMED ¹                  | FAILED ²        | FAILED    | refused ³ | refused               |
//! | CONFIRMED       | CONFIRMED, refund due        | CONFIRMED       | refused   | refused   | CANCELLED, refund due |
//! | FAILED          | CONFIRMED ¹                  | FAILED          | FAILED    | refused   | refused               |
//! | EXPIRED         | CONFIRMED ¹                  | EXPIRED         | refused   | EXPIRED   | refused               |
//! | CANCELLED       | CANCELLED, refund due        | CANCELLED       | refused   | refused   | CANCELLED             |
//!
//! A PAYMENT_PENDING order past its end is EXPIRED before the command is looked at, whether anybody swept it or not.
//!
//! 1. When every seat can be claimed in the same atomic step; else the state stays and a refund is due (promise P4).
//!    Out of FAILED and EXPIRED this is late payment recovery.
//! 2. Stays PAYMENT_PENDING while another attempt to pay is open.
//! 3. `NotDue` before its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EntropyError, HoldId, IdSource, LayoutId, OrderId, ParseIdError, ShowId, UserId};
use crate::money::Money;
use crate::payment::{PaymentReference, RefundReason};
use crate::seat::SeatList;
use crate::store::SoldSeats;
use crate::time::Timestamp;

/// Whom to write to about an order. Personal data: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The name, as given.
    pub name: String,
    /// The e-mail address, as given.
    pub email: String,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customer(…)")
    }
}

/// A ticket code, `BMS-` and six characters of Crockford's base 32: for reading aloud. Unique in a durable store. It
/// authorises nothing (30 bits can be guessed): what opens the door is the [`TicketSecret`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketCode([u8; 6]);

/// Crockford's base 32: digits and letters without I, L, O and U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn crockford(five_bits: u8) -> u8 {
    CROCKFORD.get(usize::from(five_bits & 31)).copied().unwrap_or(b'0')
}

impl TicketCode {
    /// Draws a code.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives no randomness.
    pub fn draw(ids: &dyn IdSource) -> Result<Self, EntropyError> {
        let mut random = [0; 6];
        ids.fill(&mut random)?;
        Ok(Self(random.map(crockford)))
    }

    /// Parses `BMS-XXXXXX`. As Crockford asks, case does not matter, and `I`, `L` and `O` are read as `1`, `1` and `0`.
    ///
    /// # Errors
    /// [`ParseIdError`] when the text is no ticket code.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let refused = ParseIdError::new("ticket code", "BMS- and six characters of Crockford's base 32");
        let code =
            text.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("BMS-")).and_then(|_| text.get(4..)).ok_or(refused)?;
        let code: [u8; 6] = code.as_bytes().try_into().map_err(|_| refused)?;
        let code = code.map(|letter| match letter.to_ascii_uppercase() {
            b'I' | b'L' => b'1',
            b'O' => b'0',
            other => other,
        });
        if code.iter().all(|letter| CROCKFORD.contains(letter)) { Ok(Self(code)) } else { Err(refused) }
    }
}

impl fmt::Display for TicketCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BMS-")?;
        self.0.iter().try_for_each(|letter| fmt::Write::write_char(f, char::from(*letter)))
    }
}

impl fmt::Debug for TicketCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketCode(…)")
    }
}

impl TryFrom<String> for TicketCode {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        Self::parse(&text)
    }
}

impl From<TicketCode> for String {
    fn from(code: TicketCode) -> Self {
        code.to_string()
    }
}

/// What opens the door: 160 random bits, 32 characters of Crockford's base 32. `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketSecret([u8; 32]);

impl TicketSecret {
    /// Draws a secret.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives no randomness.
    pub fn draw(ids: &dyn IdSource) -> Result<Self, EntropyError> {
        let mut random = [0; 32];
        ids.fill(&mut random)?;
        Ok(Self(random.map(crockford)))
    }

    /// Takes a secret that was stored before.
    ///
    /// # Errors
    /// [`ParseIdError`] when it is not 32 characters of Crockford's base 32.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        match <[u8; 32]>::try_from(text.as_bytes()) {
            Ok(secret) if secret.iter().all(|letter| CROCKFORD.contains(letter)) => Ok(Self(secret)),
            _ => Err(ParseIdError::new("ticket secret", "32 characters of Crockford's base 32")),
        }
    }

    /// The secret as text, to be shown to the order's owner alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(…)")
    }
}

/// What a confirmed order is worth at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// For reading aloud.
    pub code: TicketCode,
    /// For the door.
    pub secret: TicketSecret,
}

impl Ticket {
    /// Draws a code and a secret.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives no randomness.
    pub fn draw(ids: &dyn IdSource) -> Result<Self, EntropyError> {
        Ok(Self { code: TicketCode::draw(ids)?, secret: TicketSecret::draw(ids)? })
    }
}

/// Why an order failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// The payment was declined.
    Declined,
    /// The owner gave it up.
    GivenUp,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// Its seats are claimed; it waits for payment until it expires.
    PaymentPending,
    /// Paid: its seats are sold.
    Confirmed {
        /// The ticket.
        ticket: Ticket,
        /// The payment that paid for it.
        payment: PaymentReference,
        /// When.
        at: Timestamp,
    },
    /// Declined, or given up.
    Failed {
        /// Which of the two.
        reason: FailReason,
        /// When.
        at: Timestamp,
    },
    /// Not paid in time.
    Expired {
        /// When its time ran out.
        at: Timestamp,
    },
    /// Cancelled after it was confirmed; its payment is to be given back.
    Cancelled {
        /// The ticket that is void now.
        ticket: Ticket,
        /// The payment to give back.
        payment: PaymentReference,
        /// When.
        at: Timestamp,
    },
}

impl OrderState {
    /// The state's name as persisted and as sent.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PaymentPending => "PAYMENT_PENDING",
            Self::Confirmed { .. } => "CONFIRMED",
            Self::Failed { .. } => "FAILED",
            Self::Expired { .. } => "EXPIRED",
            Self::Cancelled { .. } => "CANCELLED",
        }
    }

    /// What this state is at `now`: a pending order past its end has expired.
    #[must_use]
    pub fn at(self, expires_at: Timestamp, now: Timestamp) -> Self {
        match self {
            Self::PaymentPending if expires_at.has_passed(now) => Self::Expired { at: expires_at },
            other => other,
        }
    }

    /// Whether it waits for payment.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::PaymentPending)
    }

    /// Whether its seats are sold.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The hold it was made of.
    pub hold: HoldId,
    /// The show.
    pub show: ShowId,
    /// The seat plan that the seats belong to.
    pub layout: LayoutId,
    /// Whose it is.
    pub owner: UserId,
    /// The seats, all or nothing.
    pub seats: SeatList,
    /// What is to be paid, frozen.
    pub price: Money,
    /// Whom to write to.
    pub customer: Customer,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it waits for payment. At this instant it has expired.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: OrderState,
    /// Whether money of this order is to be given back.
    pub refund_due: bool,
}

impl Order {
    /// The order as it is at `now`: one past its end that was pending has expired.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.state = self.state.at(self.expires_at, now);
        self
    }

    /// What the hold store is told of it.
    #[must_use]
    pub fn sold_seats(&self) -> SoldSeats {
        let Self { id, hold, show, owner, seats, .. } = self;
        SoldSeats { show: *show, order: *id, hold: *hold, owner: owner.clone(), seats: seats.indices() }
    }
}

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderCommand {
    /// A payment of the right amount succeeded that has not been counted before.
    PaymentSucceeded {
        /// Which payment.
        payment: PaymentReference,
        /// The ticket to give for it.
        ticket: Ticket,
        /// Whether every seat is, or can be made, the order's own in the same atomic step.
        claimable: bool,
    },
    /// An attempt to pay failed.
    PaymentFailed {
        /// Whether another attempt is still open.
        another_open: bool,
    },
    /// The owner gives it up.
    GiveUp,
    /// Its time ran out.
    Expire,
    /// An administrator cancels it.
    Cancel,
}

/// What a command does to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderStep {
    /// The state after it; the same as before when nothing changes.
    pub state: OrderState,
    /// Why money is to be given back, if it is.
    pub refund: Option<RefundReason>,
}

/// Why a command is refused (promise P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderRefusal {
    /// It does not wait for payment any more.
    #[error("the order does not wait for payment")]
    NotPending,
    /// It waits for payment.
    #[error("the order waits for payment")]
    Pending,
    /// Its time ran out.
    #[error("the order has expired")]
    Expired,
    /// It has not come to its end yet.
    #[error("the order has not come to its end yet")]
    NotDue,
}

/// The transition table, as one pure function.
///
/// # Errors
/// [`OrderRefusal`] when the table refuses the command; then the state is [`OrderState::at`]`(expires_at, now)`.
pub fn apply(
    state: &OrderState,
    expires_at: Timestamp,
    command: OrderCommand,
    now: Timestamp,
) -> Result<OrderStep, OrderRefusal> {
    use OrderCommand::{Cancel, Expire, GiveUp, PaymentFailed, PaymentSucceeded};
    use OrderState::{Cancelled, Confirmed, Expired, Failed, PaymentPending};

    let state = state.clone().at(expires_at, now);
    let stays = |state: &OrderState| Ok(OrderStep { state: state.clone(), refund: None });
    let moves = |state| Ok(OrderStep { state, refund: None });
    let refund = |state: &OrderState, reason| Ok(OrderStep { state: state.clone(), refund: Some(reason) });

    match (&state, command) {
        (PaymentPending | Failed { .. } | Expired { .. }, PaymentSucceeded { payment, ticket, claimable }) => {
            if claimable {
                moves(Confirmed { ticket, payment, at: now })
            } else {
                refund(&state, RefundReason::SeatsGone)
            }
        }
        (PaymentPending, PaymentFailed { another_open: true }) => stays(&state),
        (PaymentPending, PaymentFailed { another_open: false }) => moves(Failed { reason: FailReason::Declined, at: now }),
        (PaymentPending, GiveUp) => moves(Failed { reason: FailReason::GivenUp, at: now }),
        (PaymentPending, Expire) => Err(OrderRefusal::NotDue),
        (PaymentPending, Cancel) => Err(OrderRefusal::Pending),

        (Confirmed { .. }, PaymentSucceeded { .. }) => refund(&state, RefundReason::AlreadyPaid),
        (Confirmed { .. }, PaymentFailed { .. }) => stays(&state),
        (Confirmed { .. }, GiveUp | Expire) => Err(OrderRefusal::NotPending),
        (Confirmed { ticket, payment, .. }, Cancel) => {
            let state = Cancelled { ticket: *ticket, payment: payment.clone(), at: now };
            Ok(OrderStep { state, refund: Some(RefundReason::OrderCancelled) })
        }

        (Failed { .. }, PaymentFailed { .. } | GiveUp) => stays(&state),
        (Failed { .. }, Expire | Cancel) => Err(OrderRefusal::NotPending),

        (Expired { .. }, PaymentFailed { .. } | Expire) => stays(&state),
        (Expired { .. }, GiveUp | Cancel) => Err(OrderRefusal::Expired),

        (Cancelled { .. }, PaymentSucceeded { .. }) => refund(&state, RefundReason::OrderCancelled),
        (Cancelled { .. }, PaymentFailed { .. } | Cancel) => stays(&state),
        (Cancelled { .. }, GiveUp | Expire) => Err(OrderRefusal::NotPending),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemIds;

    const NOW: Timestamp = Timestamp::const_from_millis(1_000);
    const END: Timestamp = Timestamp::const_from_millis(2_000);

    fn ticket() -> Ticket {
        Ticket { code: TicketCode(*b"000000"), secret: TicketSecret([b'0'; 32]) }
    }

    fn reference(text: &str) -> PaymentReference {
        PaymentReference::parse(text).unwrap()
    }

    /// Randomness that counts upwards.
    struct Counting;

    impl IdSource for Counting {
        fn uuid(&self) -> uuid::Uuid {
            SystemIds.uuid()
        }

        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            (0..).zip(bytes).for_each(|(count, byte)| *byte = 93 + count);
            Ok(())
        }
    }

    #[test]
    fn a_letter_is_five_bits_of_a_byte() {
        assert_eq!(TicketCode::draw(&Counting).unwrap().to_string(), "BMS-XYZ012");
        assert_eq!(TicketSecret::draw(&Counting).unwrap().0, *b"XYZ0123456789ABCDEFGHJKMNPQRSTVW");
    }

    #[test]
    fn a_customer_is_not_shown() {
        let customer = Customer { name: "Ada".into(), email: "ada@example.org".into() };
        assert_eq!(format!("{customer:?}"), "Customer(…)");
    }

    /// The table in the module's documentation, cell by cell: seven states (with their edges) by seven commands.
    #[test]
    fn every_pair_of_state_and_command_is_as_the_table_says() {
        use OrderRefusal::{Expired as Late, NotDue, NotPending, Pending};
        use OrderState::{Cancelled, Confirmed, Expired, Failed, PaymentPending};
        let paid = |claimable| OrderCommand::PaymentSucceeded { payment: reference("new"), ticket: ticket(), claimable };
        let commands = [
            paid(true),
            paid(false),
            OrderCommand::PaymentFailed { another_open: true },
            OrderCommand::PaymentFailed { another_open: false },
            OrderCommand::GiveUp,
            OrderCommand::Expire,
            OrderCommand::Cancel,
        ];
        let at = Timestamp::const_from_millis(5);
        let won = || Confirmed { ticket: ticket(), payment: reference("new"), at: NOW };
        let confirmed = || Confirmed { ticket: ticket(), payment: reference("old"), at };
        let declined = || Failed { reason: FailReason::Declined, at };
        let declined_now = || Failed { reason: FailReason::Declined, at: NOW };
        let given_up_now = || Failed { reason: FailReason::GivenUp, at: NOW };
        let expired = || Expired { at };
        let cancelled = || Cancelled { ticket: ticket(), payment: reference("old"), at };
        let cancelled_now = || Cancelled { ticket: ticket(), payment: reference("old"), at: NOW };
        let ok = |state| Ok(OrderStep { state, refund: None });
        let due = |state, reason| Ok(OrderStep { state, refund: Some(reason) });
        use RefundReason::{AlreadyPaid, OrderCancelled, SeatsGone};
        type Line = (OrderState, Timestamp, [Result<OrderStep, OrderRefusal>; 7]);
        let table: [Line; 6] = [
            (
                PaymentPending,
                END,
                [
                    ok(won()),
                    due(PaymentPending, SeatsGone),
                    ok(PaymentPending),
                    ok(declined_now()),
                    ok(given_up_now()),
                    Err(NotDue),
                    Err(Pending),
                ],
            ),
            (
                PaymentPending,
                NOW,
                [
                    ok(won()),
                    due(Expired { at: NOW }, SeatsGone),
                    ok(Expired { at: NOW }),
                    ok(Expired { at: NOW }),
                    Err(Late),
                    ok(Expired { at: NOW }),
                    Err(Late),
                ],
            ),
            (
                confirmed(),
                END,
                [
                    due(confirmed(), AlreadyPaid),
                    due(confirmed(), AlreadyPaid),
                    ok(confirmed()),
                    ok(confirmed()),
                    Err(NotPending),
                    Err(NotPending),
                    due(cancelled_now(), OrderCancelled),
                ],
            ),
            (
                declined(),
                END,
                [
                    ok(won()),
                    due(declined(), SeatsGone),
                    ok(declined()),
                    ok(declined()),
                    ok(declined()),
                    Err(NotPending),
                    Err(NotPending),
                ],
            ),
            (
                expired(),
                END,
                [ok(won()), due(expired(), SeatsGone), ok(expired()), ok(expired()), Err(Late), ok(expired()), Err(Late)],
            ),
            (
                cancelled(),
                END,
                [
                    due(cancelled(), OrderCancelled),
                    due(cancelled(), OrderCancelled),
                    ok(cancelled()),
                    ok(cancelled()),
                    Err(NotPending),
                    Err(NotPending),
                    ok(cancelled()),
                ],
            ),
        ];
        for (state, expires_at, row) in table {
            for (command, expected) in commands.iter().cloned().zip(row) {
                let seen = apply(&state, expires_at, command.clone(), NOW);
                assert_eq!(seen, expected, "{state:?} until {expires_at} × {command:?}");
            }
        }
    }

    #[test]
    fn codes_and_secrets_are_drawn_from_the_alphabet_and_survive_their_text() {
        for _ in 0..1_000 {
            let ticket = Ticket::draw(&SystemIds).unwrap();
            assert_eq!(TicketCode::parse(&ticket.code.to_string()), Ok(ticket.code));
            assert_eq!(TicketSecret::parse(ticket.secret.expose()), Ok(ticket.secret));
        }
        assert_eq!(TicketCode::parse("bms-oil00a").unwrap().to_string(), "BMS-01100A");
        for text in ["", "BMS-", "BMS-12345", "BMS-1234567", "BMS-12345U", "XYZ-123456", "BMS-12345é", "é"] {
            assert!(TicketCode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret_and_no_personal_data() {
        let customer = Customer { name: "Ada".into(), email: "ada@example.org".into() };
        let shown = format!("{customer:?} {:?}", ticket());
        assert!(!shown.contains("Ada") && !shown.contains("example") && !shown.contains("000"), "{shown}");
    }
}
