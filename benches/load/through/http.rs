//! A server's HTTP surface.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use bms_adapters_http::auth::mint_hs256;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{HoldId, OrderId, SeatId, ShowId, UserId};
use bms_domain::time::{Clock as _, SystemClock, Timestamp};
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Failure;
use crate::office::{Answer, BoxOffice, Held, Refusal, Sale};

/// Who is not answered for so long has been forgotten: a server's own deadline is 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long tokens are good for.
const TOKENS_LAST: Duration = Duration::from_hours(12);

/// A server.
pub(crate) struct Http {
    client: Client,
    url: String,
    secret: SecretString,
    tokens_end: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HoldBody {
    hold_id: HoldId,
    seat_ids: Vec<SeatId>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody {
    order_id: OrderId,
    seat_ids: Vec<SeatId>,
    status: String,
    ticket_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MapBody {
    unavailable_seat_ids: HashSet<SeatId>,
}

impl Http {
    /// A client of the server at a URL whose tokens are signed with `secret`.
    pub(crate) fn new(url: &str, secret: SecretString) -> Result<Self, Failure> {
        // A proxy of the environment has no business between this machine and itself.
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let (url, tokens_end) = (url.trim_end_matches('/').to_owned(), SystemClock.now().plus(TOKENS_LAST));
        Ok(Self { client, url, secret, tokens_end })
    }

    /// Whether it serves.
    pub(crate) async fn is_alive(&self) -> Result<(), String> {
        let answer = self.client.get(format!("{}/healthz", self.url)).send().await.map_err(|error| error.to_string())?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(format!("/healthz answers {}", answer.status())) }
    }

    /// Puts a catalogue on sale.
    pub(crate) async fn load(&self, catalogue: &CatalogueDocument) -> Result<(), Failure> {
        for movie in &catalogue.movies {
            self.put("movies", movie.movie_id.as_str(), movie).await?;
        }
        for theatre in &catalogue.theatres {
            self.put("theatres", theatre.theatre_id.as_str(), theatre).await?;
        }
        for show in &catalogue.shows {
            self.put("shows", show.show_id.as_str(), show).await?;
        }
        Ok(())
    }

    async fn put(&self, kind: &str, id: &str, entry: &impl Serialize) -> Result<(), Failure> {
        let loader = UserId::parse("bms-load").map_err(|error| Failure::Refused(error.to_string()))?;
        let request = self.client.put(format!("{}/api/v1/admin/{kind}/{id}", self.url)).json(entry);
        let answer = request.bearer_auth(self.token(&loader, true)).send().await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let (status, text) = (answer.status(), answer.text().await?);
        Err(Failure::Refused(format!("{kind}/{id} was not loaded: the server answered {status}: {text}")))
    }

    /// Empty if it cannot be signed, which a server refuses, and a report shows.
    fn token(&self, user: &UserId, admin: bool) -> String {
        mint_hs256(&self.secret, user, admin, self.tokens_end).unwrap_or_default()
    }

    fn post(&self, user: &UserId, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}/api/v1/{path}", self.url)).bearer_auth(self.token(user, false)).json(body)
    }

    fn map(&self, show: &ShowId) -> RequestBuilder {
        self.client.get(format!("{}/api/v1/shows/{show}/seatmap?layout=false", self.url))
    }
}

#[async_trait]
impl BoxOffice for Http {
    async fn look(&self, show: &ShowId) -> Answer<()> {
        // What is on it does not matter: reading it would cost more than the server's work.
        given(self.map(show)).await.map(drop)
    }

    async fn sold(&self, show: &ShowId) -> Answer<HashSet<SeatId>> {
        let map = given(self.map(show).header("cache-control", "no-cache")).await;
        map.read(|body: MapBody| Some(body.unavailable_seat_ids))
    }

    async fn hold(&self, user: &UserId, show: &ShowId, seats: &[SeatId]) -> Answer<Held> {
        let answer = given(self.post(user, "holds", &json!({"showId": show, "seatIds": seats}))).await;
        answer.read(|HoldBody { hold_id, seat_ids, created_at, expires_at }| {
            Some(Held { hold: hold_id, seats: seat_ids, lasts: expires_at.since(created_at) })
        })
    }

    async fn release(&self, user: &UserId, hold: HoldId) -> Answer<()> {
        let url = format!("{}/api/v1/holds/{hold}", self.url);
        given(self.client.delete(url).bearer_auth(self.token(user, false))).await.map(drop)
    }

    async fn order(&self, user: &UserId, hold: HoldId) -> Answer<OrderId> {
        let body = json!({"holdId": hold, "customer": {"name": "Ann Example", "email": "ann@example.org"}});
        given(self.post(user, "orders", &body)).await.read(|order: OrderBody| Some(order.order_id))
    }

    async fn confirm(&self, user: &UserId, order: OrderId, payment: &str) -> Answer<Sale> {
        let answer = given(self.post(user, &format!("orders/{order}/confirm"), &json!({"paymentReference": payment}))).await;
        answer.read(|OrderBody { order_id, seat_ids, status, ticket_code }| {
            let code = ticket_code.unwrap_or_default();
            (status == "CONFIRMED").then_some(Sale { order: order_id, seats: seat_ids, code })
        })
    }
}

/// Sends a request; gives the body of an answer that says yes.
async fn given(request: RequestBuilder) -> Answer<Vec<u8>> {
    let answered = async {
        let response = request.send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
    };
    match answered.await {
        Ok((status, body)) if status.is_success() => Answer::Given(body.into()),
        Ok((status, body)) => refused(status, &body),
        Err(error) if error.is_timeout() => Answer::Unknown("late".to_owned()),
        Err(error) if error.is_connect() => Answer::Unknown("not-connected".to_owned()),
        Err(_) => Answer::Unknown("lost".to_owned()),
    }
}

fn refused<T>(status: StatusCode, body: &[u8]) -> Answer<T> {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = problem.get("type").and_then(Value::as_str).and_then(|urn| urn.strip_prefix("urn:bms:problem:"));
    let cause = text.map_or_else(|| status.as_u16().to_string(), str::to_owned);
    if status.is_server_error() || cause == "request-in-progress" {
        return Answer::Unknown(cause);
    }
    let due = |of: &Value| of.get("refundDue").and_then(Value::as_bool);
    let refund_due = due(&problem).or_else(|| problem.get("order").and_then(due)).unwrap_or(false);
    Answer::Refused(Refusal { cause, refund_due })
}

impl<T> Answer<T> {
    fn map<R>(self, change: impl FnOnce(T) -> R) -> Answer<R> {
        match self {
            Self::Given(value) => Answer::Given(change(value)),
            Self::Refused(refusal) => Answer::Refused(refusal),
            Self::Unknown(cause) => Answer::Unknown(cause),
        }
    }
}

impl Answer<Vec<u8>> {
    /// Reads a body. One that says something else tells nothing.
    fn read<B: DeserializeOwned, R>(self, read: impl FnOnce(B) -> Option<R>) -> Answer<R> {
        match self.map(|body| serde_json::from_slice(&body).ok().and_then(read)) {
            Answer::Given(Some(value)) => Answer::Given(value),
            Answer::Given(None) => Answer::Unknown("another-body".to_owned()),
            Answer::Refused(refusal) => Answer::Refused(refusal),
            Answer::Unknown(cause) => Answer::Unknown(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_refusal_unless_it_leaves_the_outcome_open() {
        let of = |status: u16, body: &Value| {
            refused::<()>(StatusCode::from_u16(status).unwrap_or_default(), body.to_string().as_bytes())
        };
        let refusal = |cause: &str, refund_due| Answer::Refused(Refusal { cause: cause.to_owned(), refund_due });
        let problem = |code: &str| json!({"type": format!("urn:bms:problem:{code}")});
        assert_eq!(of(409, &problem("seats-unavailable")), refusal("seats-unavailable", false));
        assert_eq!(of(410, &json!({"type": "urn:bms:problem:order-expired", "refundDue": true})), refusal("order-expired", true));
        let declined = json!({"type": "urn:bms:problem:payment-declined", "order": {"refundDue": true}});
        assert_eq!(of(402, &declined), refusal("payment-declined", true));
        assert_eq!(of(404, &Value::Null), refusal("404", false));
        assert_eq!(of(503, &problem("unavailable")), Answer::Unknown("unavailable".to_owned()));
        assert_eq!(of(409, &problem("request-in-progress")), Answer::Unknown("request-in-progress".to_owned()));
    }
}
