//! What the tests share: functions over the embedded stores, and recorded events.

use std::sync::Arc;
use std::time::Duration;

use bms_adapters_http::auth::mint_hs256;
use bms_adapters_http::testing::catalogue;
use bms_adapters_http::{Authenticator, HttpConfig, JwtAuthenticator, TokioTimer};
use bms_adapters_lambda::lambda_http::request::LambdaRequest;
use bms_adapters_lambda::lambda_runtime::{Context, LambdaEvent};
use bms_adapters_lambda::{Function, Handler};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::payment::PaymentGateway;
use bms_domain::service::Ports;
use bms_domain::time::{SystemClock, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";

pub(crate) fn jwt() -> Arc<dyn Authenticator> {
    Arc::new(JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap())
}

/// A cinema with the catalogue of the contract.
pub(crate) async fn cinema(gateway: Arc<dyn PaymentGateway>) -> BookingService {
    let ports = Ports::in_memory(Arc::new(SystemClock), gateway);
    let service = BookingService::builder(ports).deadline(Duration::from_millis(400), Arc::new(TokioTimer)).build().unwrap();
    let boss = Caller::admin(UserId::parse("the boss").unwrap());
    service.import(&boss, &CatalogueDocument::parse(catalogue().to_string()).unwrap()).await.unwrap();
    service
}

/// A function of a cinema of its own.
pub(crate) async fn function(function: Function, authenticator: Arc<dyn Authenticator>) -> Handler {
    Handler::new(function, cinema(Arc::new(SandboxGateway)).await, HttpConfig::new(authenticator))
}

/// A recorded event, with alice's token where it has one.
pub(crate) fn recorded(name: &str) -> Value {
    let file = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&filled(&text)).unwrap()
}

/// The text of an event with alice's token where it has one.
pub(crate) fn filled(text: &str) -> String {
    let end = Timestamp::parse("2999-12-31T00:00:00Z").unwrap();
    let token = mint_hs256(&SecretString::from(SECRET), &UserId::parse("alice").unwrap(), false, end).unwrap();
    text.replace("{token}", &token)
}

/// The names of the recorded events that begin so.
pub(crate) fn names(beginning: &str) -> Vec<String> {
    let files = std::fs::read_dir(format!("{}/tests/events", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> =
        names.filter(|it| it.starts_with(beginning)).map(|it| it.trim_end_matches(".json").to_owned()).collect();
    assert!(!names.is_empty(), "no {beginning}");
    names
}

/// An answer, whatever the form of its event.
#[derive(Debug)]
pub(crate) struct Answer(Value);

impl Answer {
    pub(crate) fn new(answer: Value) -> Self {
        Self(answer)
    }

    pub(crate) fn status(&self) -> u64 {
        self.0["statusCode"].as_u64().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.0["isBase64Encoded"], false);
        self.0["body"].as_str().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.0["multiValueHeaders"][name][0].as_str();
        all.or(self.0["headers"][name].as_str())
    }

    #[track_caller]
    pub(crate) fn is(self, status: u64) -> Self {
        assert_eq!(self.status(), status, "{:?}", self.0);
        self
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, status: u64, code: &str) {
        assert_eq!(self.status(), status, "{:?}", self.0);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.json()["type"], format!("urn:bms:problem:{code}"));
    }
}

pub(crate) fn read(event: &Value) -> Option<LambdaRequest> {
    // As the runtime reads it: from text.
    serde_json::from_str(&event.to_string()).ok()
}

pub(crate) async fn ask(handler: &Handler, event: &Value) -> Answer {
    let mut context = Context::default();
    context.request_id = "the-invocation".to_owned();
    let event = LambdaEvent::new(read(event).expect("an event of a gateway"), context);
    Answer::new(serde_json::to_value(handler.handle(event).await.unwrap()).unwrap())
}

/// A request as a function URL tells it.
pub(crate) fn event(method: &str, path: &str) -> Value {
    let mut event = recorded("function-url-hold");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (event["rawPath"], event["rawQueryString"]) = (path.into(), query.into());
    (event["requestContext"]["http"]["method"], event["requestContext"]["http"]["path"]) = (method.into(), path.into());
    (event["body"], event["isBase64Encoded"]) = (Value::Null, false.into());
    event
}

/// The same with a body.
pub(crate) fn post(path: &str, body: &Value) -> Value {
    let mut event = event("POST", path);
    event["body"] = body.to_string().into();
    event
}
