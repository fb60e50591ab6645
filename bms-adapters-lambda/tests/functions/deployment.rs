//! The functions together, over real servers, behind what a gateway does.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use bms_adapters_http::auth::mint_hs256;
use bms_adapters_http::testing::{Ask, Who, catalogue};
use bms_adapters_lambda::Function;
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, OrderId, SeatId, ShowId, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::order::Customer;
use bms_domain::service::Ports;
use bms_domain::time::{Clock as _, SystemClock};
use bms_postgres::testing::Server as PostgresServer;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::testing::Server as RedisServer;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::emulator::{Instance, Outcome};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// How a gateway tells requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A REST API.
    V1,
    /// An HTTP API with a stage of its own.
    V2,
}

/// Both servers, with a migrated database that has the catalogue of the contract.
pub(crate) struct Servers {
    pub(crate) redis: RedisServer,
    pub(crate) database: String,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        Self::of(RedisServer::start().unwrap(), PostgresServer::shared()).await
    }

    pub(crate) async fn of(redis: RedisServer, postgres: &PostgresServer) -> Self {
        let database = postgres.fresh_database().unwrap();
        Postgres::migrate(&PostgresConfig::new(&database).unwrap()).await.unwrap();
        let servers = Self { redis, database };
        let boss = Caller::admin(UserId::parse("the boss").unwrap());
        let document = CatalogueDocument::parse(catalogue().to_string()).unwrap();
        servers.service().await.import(&boss, &document).await.unwrap();
        servers
    }

    /// A service on the database, beside the functions.
    pub(crate) async fn service(&self) -> BookingService {
        let postgres = Postgres::connect(&PostgresConfig::new(&self.database).unwrap()).await.unwrap();
        let orders = Arc::new(PostgresOrders::new(postgres.clone()));
        let ports = Ports {
            holds: Arc::new(PostgresHolds::new(postgres.clone())),
            orders: orders.clone(),
            outbox: orders,
            catalogue: Arc::new(PostgresCatalogue::new(postgres.clone())),
            idempotency: Arc::new(PostgresIdempotency::new(postgres)),
            gateway: Arc::new(SandboxGateway),
        };
        BookingService::builder(ports).build().unwrap()
    }

    /// An instance of a function's program, which may have further variables.
    pub(crate) async fn instance(&self, program: &str, more: &[(&str, &str)]) -> Instance {
        let redis = self.redis.url();
        let usual = [
            ("DATABASE_URL", self.database.as_str()),
            ("REDIS_URL", redis.as_str()),
            ("BMS_JWT_SECRET", SECRET),
            ("BMS_PAYMENTS", "sandbox"),
        ];
        Instance::start(program, &[&usual, more].concat()).await
    }

    pub(crate) async fn sql(&self, statement: &str) -> String {
        let name = self.database.rsplit('/').next().unwrap();
        PostgresServer::shared().psql_in(name, statement).unwrap()
    }
}

/// An order that waits for its payment, made beside the functions.
pub(crate) async fn ordered(service: &BookingService, seat: &str) -> OrderId {
    let alice = Caller::user(UserId::parse("alice").unwrap());
    let (show, seat) = (ShowId::parse("tonight").unwrap(), SeatId::parse(seat).unwrap());
    let hold = service.place_hold(&alice, &show, &[seat], service.new_seed()).await.unwrap();
    let customer = Customer { name: "Ada".into(), email: "ada@example.org".into() };
    service.create_order(&alice, hold.hold.id, customer).await.unwrap().order.id
}

pub(crate) fn program(function: Function) -> &'static str {
    match function {
        Function::Movies => env!("CARGO_BIN_EXE_bms-lambda-movies"),
        Function::Holds => env!("CARGO_BIN_EXE_bms-lambda-holds"),
        Function::Orders => env!("CARGO_BIN_EXE_bms-lambda-orders"),
        Function::Seats => env!("CARGO_BIN_EXE_bms-lambda-seats"),
        other => panic!("no program for {other:?}"),
    }
}

/// The four functions, one instance each.
pub(crate) struct Deployment {
    functions: Vec<(Function, Instance)>,
    form: Form,
}

impl Deployment {
    pub(crate) async fn start(servers: &Servers, form: Form) -> Self {
        let mut functions = Vec::new();
        for function in Function::ALL {
            functions.push((function, servers.instance(program(function), &[]).await));
        }
        Self { functions, form }
    }

    fn instance(&self, path: &str) -> &Instance {
        // What belongs to nobody, anybody refuses.
        let wanted = Function::of(path).unwrap_or(Function::Movies);
        &self.functions.iter().find(|(function, _)| *function == wanted).unwrap().1
    }
}

impl Ask for Deployment {
    async fn ask(&mut self, who: Who<'_>, request: Request<Bytes>) -> Response<Bytes> {
        let event = told(self.form, &with_token(who, request.clone()));
        answered(self.instance(request.uri().path()).invoke(&event).await)
    }
}

/// The request with the token of whoever asks.
pub(crate) fn with_token(who: Who<'_>, mut request: Request<Bytes>) -> Request<Bytes> {
    let (user, admin) = match who {
        Who::Nobody => return request,
        Who::User(user) => (user, false),
        Who::Admin(user) => (user, true),
    };
    let end = SystemClock.now().plus(Duration::from_secs(3_600));
    let token = mint_hs256(&SecretString::from(SECRET), &UserId::parse(user).unwrap(), admin, end).unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The event of a request.
pub(crate) fn told(form: Form, request: &Request<Bytes>) -> Value {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let method = request.method().as_str();
    let headers: Map<String, Value> =
        request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let body = (!request.body().is_empty()).then(|| String::from_utf8(request.body().to_vec()).unwrap());
    match form {
        Form::V1 => {
            let lists =
                |pairs: Map<String, Value>| pairs.into_iter().map(|(name, it)| (name, json!([it]))).collect::<Map<_, _>>();
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let query: Map<String, Value> = pairs.map(|(name, value)| (name.to_owned(), value.into())).collect();
            json!({"resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": headers, "body": body,
                "multiValueHeaders": lists(headers.clone()), "queryStringParameters": query,
                "multiValueQueryStringParameters": lists(query.clone()), "isBase64Encoded": false,
                "requestContext": {"httpMethod": method, "stage": "prod", "path": format!("/prod{path}"),
                    "requestId": "77375676-xmpl-4b79-853a-f982474efe18", "identity": {"sourceIp": "198.51.100.7"}}})
        }
        Form::V2 => {
            let path = format!("/prod{path}");
            json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
                "body": body, "isBase64Encoded": false,
                "requestContext": {"stage": "prod", "requestId": "JKJaXmPLvHcESHA=",
                    "http": {"method": method, "path": path, "sourceIp": "198.51.100.7"}}})
        }
    }
}

/// The answer that a client of the gateway gets.
pub(crate) fn answered(outcome: Outcome) -> Response<Bytes> {
    let answer = outcome.unwrap_or_else(|error| panic!("the invocation failed: {error}"));
    let mut response = Response::new(Bytes::from(answer["body"].as_str().unwrap_or_default().to_owned()));
    *response.status_mut() = StatusCode::from_u16(answer["statusCode"].as_u64().unwrap().try_into().unwrap()).unwrap();
    assert_eq!(answer["isBase64Encoded"], false);
    for headers in ["headers", "multiValueHeaders"] {
        for (name, value) in answer[headers].as_object().into_iter().flatten() {
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                let (name, value) = (HeaderName::try_from(name), HeaderValue::from_str(value.as_str().unwrap()));
                response.headers_mut().append(name.unwrap(), value.unwrap());
            }
        }
    }
    response
}
