//! A function that was frozen for so long that its connections died.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Request, Response};
use bms_adapters_http::testing::Who;
use bms_adapters_lambda::Function;
use bms_domain::testing::servers::until;
use bms_postgres::testing::Server as PostgresServer;
use bms_redis::testing::Server as RedisServer;
use serde_json::json;

use crate::deployment::{Form, Servers, answered, program, told, with_token};
use crate::emulator::{Instance, PATIENCE};

/// An invocation asks two stores, each of which answers or fails within 2 seconds.
const IN_TIME: Duration = Duration::from_secs(4);

async fn hold(holds: &Instance, seat: &str) -> Response<Bytes> {
    let body = json!({"showId": "tonight", "seatIds": [seat]}).to_string();
    let request = Request::post("/api/v1/holds").header("content-type", "application/json").body(Bytes::from(body)).unwrap();
    answered(holds.invoke(&told(Form::V2, &with_token(Who::User("alice"), request))).await)
}

/// Both servers close what says nothing for a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_thawed_function_works_at_once() {
    let postgres = PostgresServer::builder().setting("idle_session_timeout", "1000").start().unwrap();
    let redis = RedisServer::builder().config("timeout 1").start().unwrap();
    let servers = Servers::of(redis, &postgres).await;
    let mut holds = servers.instance(program(Function::Holds), &[]).await;
    for seat in ["A1", "A2", "A3", "A4", "A5"] {
        let began = Instant::now();
        let answer = hold(&holds, seat).await;
        assert_eq!(answer.status(), 201, "{seat}: {:?} {}", answer.body(), holds.log());
        assert!(began.elapsed() < IN_TIME, "{seat}: {:?} {}", began.elapsed(), holds.log());
        holds.is_idle().await;
        holds.freeze();
        until("servers without a client", PATIENCE, || {
            let sessions = postgres.psql("select count(*) from pg_stat_activity where application_name = 'bms'");
            let clients = servers.redis.command::<String>(&["CLIENT", "LIST"]).map_err(|error| error.to_string())?;
            match (sessions.map_err(|error| error.to_string())?.as_str(), clients.lines().count()) {
                ("0", 1) => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .unwrap();
        holds.thaw();
    }
}

/// Connections are what clients and pools are made for: those of the first invocations serve all later ones.
#[tokio::test(flavor = "multi_thread")]
async fn clients_and_pools_are_made_once() {
    let servers = Servers::start().await;
    let holds = servers.instance(program(Function::Holds), &[]).await;
    let connections = async || {
        let backends = "select pid from pg_stat_activity where application_name = 'bms' and datname = current_database()";
        let clients = servers.redis.command::<String>(&["CLIENT", "LIST"]).unwrap();
        let of_redis =
            clients.lines().filter(|client| !client.contains("cmd=client")).filter_map(|client| client.split(' ').next());
        let of_redis: BTreeSet<_> = of_redis.map(str::to_owned).collect();
        let of_postgres: BTreeSet<_> = servers.sql(backends).await.lines().map(str::to_owned).collect();
        (of_redis, of_postgres)
    };
    assert_eq!(hold(&holds, "A1").await.status(), 201);
    holds.is_idle().await;
    let first = connections().await;
    assert!(!first.0.is_empty() && !first.1.is_empty(), "{first:?}");
    for seat in 2..10 {
        assert_eq!(hold(&holds, &format!("A{seat}")).await.status(), 201);
    }
    holds.is_idle().await;
    assert_eq!(connections().await, first, "{}", holds.log());
}
