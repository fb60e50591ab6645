//! Nothing runs after the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_adapters_http::HttpConfig;
use bms_adapters_lambda::{Function, Handler};
use bms_domain::id::OrderId;
use bms_domain::money::Money;
use bms_domain::order::Order;
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentKey, PaymentReference, PaymentStatus};
use serde_json::json;

use crate::support::{ask, cinema, jwt, post};

/// Never answers.
struct Hanging;

#[async_trait]
impl PaymentGateway for Hanging {
    async fn verify(&self, _: &Order, _: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        std::future::pending().await
    }

    fn key(&self, order: OrderId, reference: &PaymentReference) -> PaymentKey {
        PaymentKey::within(order, reference)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_late_request_began_has_ended_when_it_is_answered() {
    let service = cinema(Arc::new(Hanging)).await;
    let config = || HttpConfig::new(jwt()).request_deadline(Duration::from_millis(100));
    let holds = Handler::new(Function::Holds, service.clone(), config());
    let orders = Handler::new(Function::Orders, service, config());
    let wanted = json!({"showId": "tonight", "seatIds": ["A1"]});
    let hold = ask(&holds, &post("/api/v1/holds", &wanted)).await.is(201).json();
    let wanted = json!({"holdId": hold["holdId"], "customer": {"name": "Ada", "email": "ada@example.org"}});
    let order = ask(&orders, &post("/api/v1/orders", &wanted)).await.is(201).json();
    let path = format!("/api/v1/orders/{}/confirm", order["orderId"].as_str().unwrap());
    let mut confirm = post(&path, &json!({"paymentReference": "p"}));
    confirm["headers"]["idempotency-key"] = "k".into();
    // The provider is given longer than the request. A second try finds that nothing runs any more.
    for _ in 0..2 {
        ask(&orders, &confirm).await.is_problem(503, "unavailable");
    }
}
