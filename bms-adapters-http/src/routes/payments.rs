//! A payment provider's notices, signed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as JsonBody;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use bms_domain::id::OrderId;
use bms_domain::money::Money;
use bms_domain::payment::{NoticeId, PaymentReference, PaymentStatus};
use bms_domain::service::Notice;
use bms_domain::store::Settled;
use bms_domain::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::dto::{NoticeStatus, PaymentNotice, ReceivedBody};
use crate::extract::{check_content_type, read_body};
use crate::problem::Problem;
use crate::shape;
use crate::state::App;

/// How old a signature may be, or how far ahead the provider's clock.
const TOLERANCE: Duration = Duration::from_mins(5);

/// A payment provider's notice: durable before it is answered. A notice that was taken before is answered 200 and
/// changes nothing; so is one for an order that does not exist, whose payment is to be given back. The notice's
/// `eventId` does here what `Idempotency-Key` does elsewhere.
#[utoipa::path(post, path = "/api/v1/payments/events", operation_id = "takePaymentNotice", tag = "payments",
    params(("Bms-Signature" = String, Header, description = "`t=<unix seconds>,v1=<hex HMAC-SHA256 of \"t.body\">`, at most five minutes old; several `v1` while secrets change")),
    request_body = PaymentNotice,
    responses(
        (status = 200, body = ReceivedBody, description = "It need not be sent again"),
        (status = 401, description = "`unauthenticated`: no signature, or not the provider's"),
        (status = 404, description = "`not-found`: this server takes no notices"),
    ))]
pub(crate) async fn notice(State(app): State<Arc<App>>, request: Request) -> Result<JsonBody<ReceivedBody>, Problem> {
    let secret = app.payment_webhook_secret.as_ref().ok_or_else(Problem::not_found)?;
    let (parts, body) = request.into_parts();
    let body: Bytes = read_body(body, app.body_limit).await?;
    if !is_signed(secret, &parts.headers, &body, app.clock.now()) {
        return Err(Problem::unauthenticated("the notice is not signed, or not by the provider, or too long ago"));
    }
    check_content_type(&parts.headers)?;
    let settlement = app.service.take_notice(parse(shape::read(&body)?)?).await?;
    match settlement.settled {
        Settled::Confirmed => app.edge.metrics.order_confirmed(),
        Settled::RefundDue(_) => app.edge.metrics.refund_due(),
        _ => {}
    }
    Ok(JsonBody(ReceivedBody { received: true }))
}

fn parse(notice: PaymentNotice) -> Result<Notice, Problem> {
    let broken = |pointer: &str, rule: &str| Problem::invalid(pointer, rule);
    Ok(Notice {
        id: NoticeId::parse(&notice.event_id).map_err(|error| broken("/eventId", error.rule()))?,
        order: OrderId::parse(&notice.order_id).map_err(|error| broken("/orderId", error.rule()))?,
        reference: PaymentReference::parse(&notice.payment_reference)
            .map_err(|error| broken("/paymentReference", error.rule()))?,
        status: match notice.status {
            NoticeStatus::Succeeded => PaymentStatus::Succeeded,
            NoticeStatus::Failed => PaymentStatus::Failed,
        },
        amount: Money::new(notice.amount, notice.currency).map_err(|error| broken("/amount", &error.to_string()))?,
    })
}

/// Whether one of the signatures in `Bms-Signature` is the provider's, of this body, and fresh.
fn is_signed(secret: &SecretString, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
    let mut given = headers.get_all("bms-signature").iter();
    let (Some(header), None) = (given.next(), given.next()) else { return false };
    let Ok(header) = header.to_str() else { return false };
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let mut times = fields().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (Some(time), None) = (times.next(), times.next()) else { return false };
    let Ok(seconds) = time.parse::<i64>() else { return false };
    let signed_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
    if now.since(signed_at) > TOLERANCE || signed_at.since(now) > TOLERANCE {
        return false;
    }
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    let mac = mac.chain_update(time).chain_update(".").chain_update(body);
    let mut signatures = fields().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| from_hex(value));
    // Compares in constant time.
    signatures.any(|signature| mac.clone().verify_slice(&signature).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
