//! The contract's table, asked of the functions as gateways ask them: a whole purchase, and everything else.

use axum::body::Bytes;
use axum::http::Request;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bms_adapters_http::testing::{self, notice_signature};
use bms_adapters_lambda::Function;
use bms_domain::time::{Clock as _, SystemClock};
use serde_json::json;

use crate::deployment::{Deployment, Form, Servers, answered, ordered, program, told};

const WEBHOOK_SECRET: &str = "a secret of the payment provider";

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_answered_as_it_says_through_a_rest_api() {
    let servers = Servers::start().await;
    testing::run(&mut Deployment::start(&servers, Form::V1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_answered_as_it_says_through_an_http_api() {
    let servers = Servers::start().await;
    testing::run(&mut Deployment::start(&servers, Form::V2).await).await;
}

/// What is signed are the bytes that the provider sent, whatever the gateway makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_providers_signed_notice_is_taken_in_every_form() {
    let servers = Servers::start().await;
    let orders = servers.instance(program(Function::Orders), &[("BMS_PAYMENT_WEBHOOK_SECRET", WEBHOOK_SECRET)]).await;
    let service = servers.service().await;
    for (seat, form, in_base64) in [("A1", Form::V1, false), ("A2", Form::V2, false), ("A3", Form::V2, true)] {
        let order = ordered(&service, seat).await;
        let notice = json!({"eventId": format!("evt-{seat}"), "orderId": order, "paymentReference": format!("pay-{seat}"),
            "status": "succeeded", "amount": 1250, "currency": "EUR"})
        .to_string();
        let signature = notice_signature(WEBHOOK_SECRET, SystemClock.now().as_millis() / 1_000, &notice);
        let sent = |signature: &str| {
            let request = Request::post("/api/v1/payments/events").header("content-type", "application/json");
            let request = request.header("bms-signature", signature).body(Bytes::from(notice.clone())).unwrap();
            let mut event = told(form, &request);
            if in_base64 {
                (event["body"], event["isBase64Encoded"]) = (BASE64_STANDARD.encode(&notice).into(), true.into());
            }
            event
        };
        let state = async || servers.sql(&format!("select state from bms.orders where id = '{order}'")).await;
        let forged = answered(orders.invoke(&sent("t=1,v1=00")).await);
        assert_eq!((forged.status().as_u16(), state().await.as_str()), (401, "PAYMENT_PENDING"));
        let answer = answered(orders.invoke(&sent(&signature)).await);
        assert_eq!(answer.status(), 200, "{seat}: {:?} {}", answer.body(), orders.log());
        assert_eq!(state().await, "CONFIRMED");
    }
}
