//! A payment provider for trying out: no money moves.

use async_trait::async_trait;

use crate::id::OrderId;
use crate::money::Money;
use crate::order::Order;
use crate::payment::{GatewayError, PaymentGateway, PaymentKey, PaymentReference, PaymentStatus};

/// Decides by how the payment's reference begins: `pay_ok` succeeds, `pay_declined` is declined, `pay_pending` stays under
/// way until a notice comes, `pay_unavailable` fails as a provider that is down. Any other payment is unknown.
///
/// A payment is made up for the order that asks, so one reference may pay for many orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct SandboxGateway;

#[async_trait]
impl PaymentGateway for SandboxGateway {
    async fn verify(&self, order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        let begins = |prefix| reference.as_str().starts_with(prefix);
        if begins("pay_ok") {
            Ok((PaymentStatus::Succeeded, order.price))
        } else if begins("pay_declined") {
            Ok((PaymentStatus::Failed, order.price))
        } else if begins("pay_pending") {
            Ok((PaymentStatus::Pending, order.price))
        } else if begins("pay_unavailable") {
            Err(GatewayError::Unavailable { source: None })
        } else {
            Err(GatewayError::NotThisOrders)
        }
    }

    fn key(&self, order: OrderId, reference: &PaymentReference) -> PaymentKey {
        PaymentKey::within(order, reference)
    }
}
