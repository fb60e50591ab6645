//! `bms-cloud`: the functions' programs behind the gateway, on a Postgres and a Redis of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use bms_adapters_http::auth::mint_hs256;
use bms_adapters_http::testing::{Ask, Who, catalogue, notice_signature, run};
use bms_adapters_http::{HttpConfig, JwtAuthenticator, TokioTimer, router};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, OrderId, UserId};
use bms_domain::order::TicketCode;
use bms_domain::testing::servers::until;
use bms_domain::time::{Clock as _, SystemClock};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of at least thirty-two bytes";
const WEBHOOK_SECRET: &str = "a secret of the payment provider";

/// All of it, and what it has said.
struct Cloud {
    process: Child,
    said: String,
    _output: BufReader<ChildStdout>,
}

impl Cloud {
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bms-cloud"));
        command.args(["--listen", "127.0.0.1:0", "--jwt-secret", SECRET]).args(options);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("cargo builds bms-cloud for this test");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C ends everything") {
            let length = output.read_line(&mut said).unwrap();
            assert!(length > 0, "bms-cloud ended; standard error says why\n{said}");
        }
        Self { process, said, _output: output }
    }

    /// What stands behind a word in what it has said.
    fn told(&self, name: &str) -> &str {
        let line = self.said.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.said)).trim()
    }

    /// Ends it as Ctrl-C does, and waits.
    fn interrupt(&mut self) -> bool {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// A server of the contract, and how it has answered.
struct Server {
    client: Client,
    url: String,
    answers: Vec<(String, BTreeMap<String, BTreeSet<String>>)>,
}

impl Server {
    fn at(url: &str) -> Self {
        Self { client: Client::builder().timeout(PATIENCE).build().unwrap(), url: url.to_owned(), answers: Vec::new() }
    }
}

impl Ask for Server {
    async fn ask(&mut self, who: Who<'_>, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let mut call = self.client.request(head.method.clone(), format!("{}{}", self.url, head.uri)).headers(head.headers);
        if let Some(token) = token(who) {
            call = call.bearer_auth(token);
        }
        let answer = call.body(body).send().await.unwrap();
        let mut response = Response::new(Bytes::new());
        (*response.status_mut(), *response.headers_mut()) = (answer.status(), answer.headers().clone());
        *response.body_mut() = answer.bytes().await.unwrap();
        let mut headers = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, value) in response.headers() {
            let value = match name.as_str() {
                // These are others each time, or say how the answer is sent.
                "date" | "etag" | "location" | "x-request-id" => "*",
                "content-length" | "transfer-encoding" => continue,
                _ => value.to_str().unwrap(),
            };
            headers.entry(name.to_string()).or_default().insert(value.to_owned());
        }
        self.answers.push((format!("{} {}", head.method, head.uri.path()), headers));
        response
    }
}

fn token(who: Who<'_>) -> Option<String> {
    let (user, admin) = match who {
        Who::Nobody => return None,
        Who::User(user) => (user, false),
        Who::Admin(user) => (user, true),
    };
    let end = SystemClock.now().plus(Duration::from_secs(3_600));
    Some(mint_hs256(&SecretString::from(SECRET), &UserId::parse(user).unwrap(), admin, end).unwrap())
}

/// The plain router on the embedded stores.
async fn plain() -> String {
    let service = BookingService::in_memory().deadline(Duration::from_secs(2), Arc::new(TokioTimer)).build().unwrap();
    let boss = Caller::admin(UserId::parse("the boss").unwrap());
    service.import(&boss, &CatalogueDocument::parse(catalogue().to_string()).unwrap()).await.unwrap();
    let authenticator = JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap();
    let app = router(service, HttpConfig::new(Arc::new(authenticator)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_answered_as_by_the_router_itself() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), catalogue().to_string()).unwrap();
    let catalogue = file.path().to_str().unwrap();
    let cloud = Cloud::start(&["--without-queue", "--catalogue", catalogue, "--payment-webhook-secret", WEBHOOK_SECRET]);
    let mut gateway = Server::at(cloud.told("gateway"));
    run(&mut gateway).await;
    let mut router = Server::at(&plain().await);
    run(&mut router).await;
    for (number, (found, wanted)) in gateway.answers.iter().zip(&router.answers).enumerate() {
        // The ids in paths are others.
        assert_eq!(found.1, wanted.1, "row {number}: {} and {}", found.0, wanted.0);
    }
    assert!(gateway.answers.len() > 40);
    notify(&gateway).await;
}

/// A payment provider's signed notice reaches the function of orders as it was sent, for an order that nobody knows, too.
async fn notify(gateway: &Server) {
    let notice = json!({"eventId": "e", "orderId": "01890a5d-ac96-774b-bcce-b302099a8057", "paymentReference": "p",
        "status": "succeeded", "amount": 1250, "currency": "EUR"})
    .to_string();
    let good = notice_signature(WEBHOOK_SECRET, SystemClock.now().as_millis() / 1_000, &notice);
    for (signature, status) in [(good.as_str(), 200), ("t=1,v1=00", 401)] {
        let call = gateway.client.post(format!("{}/api/v1/payments/events", gateway.url)).body(notice.clone());
        let call = call.header("content-type", "application/json").header("bms-signature", signature);
        assert_eq!(call.send().await.unwrap().status().as_u16(), status, "{signature}");
    }
}

/// What these lines print in a shell.
fn typed(lines: &str) -> Result<String, String> {
    let output = Command::new("bash").args(["-c", &format!("set -euo pipefail\n{lines}")]).output();
    let output = output.expect("the lines need bash, curl and jq; apt-get install -y bash curl jq");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{err}")) }
}

#[test]
fn the_lines_that_it_prints_buy_a_seat_and_ctrl_c_ends_everything() {
    let mut cloud = Cloud::start(&[]);
    let (_, lines) = cloud.said.split_once("with curl and jq:").unwrap();
    let (lines, notices) = lines.split_once("See the notice of it, a few seconds later:").unwrap();
    let (notices, _) = notices.split_once("Ctrl-C").unwrap();
    let code = typed(lines).unwrap();
    assert!(TicketCode::parse(code.trim()).is_ok(), "{code}");
    // The relay is woken and publishes, and what the queue has is handed on.
    let notice = until("a notice", PATIENCE, || typed(notices)).unwrap();
    assert_eq!(notice.lines().count(), 1, "{notice}");
    assert!(notice.split(' ').any(|word| OrderId::parse(word).is_ok()), "{notice}");

    let addresses = ["gateway", "movies", "holds", "orders", "seats", "Postgres", "Redis", "SQS, SNS"].map(|name| {
        let (_, place) = cloud.told(name).split_once("://").unwrap();
        let place = place.rsplit('@').next().unwrap();
        place.split(['/', ' ']).next().unwrap().to_owned()
    });
    for address in &addresses {
        TcpStream::connect(address).unwrap();
    }
    assert!(cloud.interrupt(), "it ends well");
    for address in &addresses {
        TcpStream::connect(address).unwrap_err();
    }
}
