//! `bms-server` as a process: what it refuses to start with, and how it goes down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot speak to its server has failed")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use support::Server;

/// A secret of webhooks.
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// No answer takes this long on loopback; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(options: &[&str]) -> Output {
    let server = env!("CARGO_BIN_EXE_bms-server");
    Command::new(server).args(options).env_remove("REDIS_URL").env_remove("DATABASE_URL").output().unwrap()
}

fn refuses(options: &[&str], why: &str) {
    let output = run(options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{options:?} was accepted");
    assert!(said.contains(why), "{options:?}: {said}");
    assert!(!said.contains("canary"), "{options:?} shows a secret: {said}");
}

/// Sends a request on a connection of its own and reads until the server closes it.
fn ask(server: &Server, request: &str) -> String {
    let mut connection = connect(server);
    write!(connection, "{request}\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(server: &Server) -> TcpStream {
    let connection = TcpStream::connect(server.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

fn token(server: &Server, request: &str) -> String {
    let mut connection = connect(server);
    let length = request.len();
    let head = "POST /api/v1/demo/token HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json";
    write!(connection, "{head}\r\nContent-Length: {length}\r\n\r\n{request}").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn demo_mode_listens_on_loopback_only() {
    refuses(&["--listen", "0.0.0.0:0"], "loopback");
}

#[test]
fn redis_without_a_database_is_refused_because_orders_must_be_durable() {
    refuses(&["--redis-url", "redis://:canary@127.0.0.1:1/"], "orders must be durable");
}

#[test]
fn a_database_that_cannot_be_reached_is_said_without_its_password() {
    refuses(&["--database-url", "postgres://u:canary@127.0.0.1:1/x"], "cannot be reached");
    refuses(&["--database-url", "canary"], "postgres://user:password@host");
    refuses(&["--database-schema", "canary"], "--database-url");
    refuses(&["migrate", "--database-url", "postgres://u:canary@127.0.0.1:1/x"], "cannot be reached");
}

#[test]
fn a_short_secret_is_refused_without_being_shown() {
    refuses(&["--jwt-secret", "canary"], "32 bytes");
}

#[test]
fn webhooks_are_signed_or_refused() {
    refuses(&["--webhook-url", "https://u:canary@example.com/canary"], "--webhook-secret");
    refuses(&["--webhook-url", "https://example.com/canary", "--webhook-secret", "canary"], "24 to 64");
    refuses(&["--webhook-url", "canary", "--webhook-secret", WEBHOOK_SECRET], "http or https");
}

/// Their orders would be another process's.
#[test]
fn commands_on_stores_are_refused_where_nothing_outlives_a_process() {
    refuses(&["sweep"], "--database-url");
    refuses(&["replay", "--dead"], "--database-url");
    refuses(&["sweep", "--redis-url", "redis://:canary@127.0.0.1:1/", "--volatile-orders"], "--database-url");
    refuses(&["replay", "--order", "1"], "--order");
}

#[test]
fn times_that_break_a_promise_are_refused() {
    refuses(&["--hold-ttl", "0s"], "hold_ttl");
    refuses(&["--max-seats-per-hold", "0"], "limits.per_hold");
}

#[test]
fn with_a_secret_there_are_no_demo_tokens() {
    let server = Server::start(&["--jwt-secret", "0123456789abcdef0123456789abcdef"]);
    assert!(token(&server, r#"{"userId": "alice"}"#).starts_with("HTTP/1.1 404"));
    let movies = ask(&server, "GET /movies HTTP/1.1");
    assert!(movies.contains(r#""movies":[]"#), "the demo catalogue is loaded: {movies}");
}

#[test]
fn demo_tokens_are_given_for_a_user_and_for_nothing_else() {
    let server = Server::start(&[]);
    assert!(token(&server, r#"{"userId": "alice"}"#).starts_with("HTTP/1.1 200"));
    for bad in ["", "{}", r#"{"userId": ""}"#, r#"{"userId": "a", "root": true}"#, "[]"] {
        let answer = token(&server, bad);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("application/problem+json"), "{bad}: {answer}");
    }
}

#[test]
fn the_demo_catalogue_can_be_imported_into_a_running_server() {
    let server = Server::start(&[]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/catalogue.json");
    let done = run(&["import", file, "--url", server.url()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn an_import_with_one_bad_entry_names_it_and_loads_nothing() {
    let server = Server::start(&["--jwt-secret", "0123456789abcdef0123456789abcdef"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let good = r#"{"movieId": "good", "title": "Good", "durationMinutes": 90, "language": "en"}"#;
    let bad = r#"{"movieId": "bad", "title": "", "durationMinutes": 90, "language": "en"}"#;
    std::fs::write(file.path(), format!(r#"{{"movies": [{good}, {bad}]}}"#)).unwrap();
    let done = run(&["import", file.path().to_str().unwrap(), "--url", server.url(), "--token", "unused"]);
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("/movies/1/title"));
    assert!(ask(&server, "GET /movies HTTP/1.1").contains(r#""movies":[]"#));
}

#[test]
fn a_log_that_nobody_reads_ends_nothing() {
    let mut server = Server::start_with_broken_log();
    assert!(ask(&server, "GET /healthz HTTP/1.1").starts_with("HTTP/1.1 200"));
    assert!(token(&server, r#"{"userId": "alice"}"#).starts_with("HTTP/1.1 200"));
    let pid = server.process().id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.process().wait().unwrap().success());
}

/// The address of its connection is what counts, whatever a client says of where it comes from.
#[test]
fn what_a_client_says_of_its_address_counts_for_nothing() {
    let server = Server::start(&["--rate-limit", "1/h"]);
    let from = |address: &str| {
        let told = format!("X-Forwarded-For: {address}\r\nForwarded: for={address}\r\nX-Real-IP: {address}");
        ask(&server, &format!("GET /movies HTTP/1.1\r\n{told}"))
    };
    assert!(from("198.51.100.7").starts_with("HTTP/1.1 200"));
    assert!(from("198.51.100.8").starts_with("HTTP/1.1 429"));
}

/// A request that is running when the server is told to go down is finished, a new one is refused, and the server ends by
/// itself. Nothing here waits for time to pass: the end of a live seat map tells that going down has begun.
#[test]
fn going_down_finishes_what_runs_and_refuses_what_is_new() {
    let mut server = Server::start(&[]);
    let shows = ask(&server, "GET /movies HTTP/1.1");
    let movie = between(&shows, r#""movieId":""#, "\"");
    let shows = ask(&server, &format!("GET /movies/{movie}/shows HTTP/1.1"));
    let show = between(&shows, r#""showId":""#, "\"");
    let token = token(&server, r#"{"userId": "alice"}"#);
    let token = between(&token, r#""token":""#, "\"");

    let mut live = BufReader::new(connect(&server));
    write!(live.get_mut(), "GET /api/v1/shows/{show}/seatmap/events HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut line = String::new();
    while !line.contains("snapshot") {
        line.clear();
        assert_ne!(live.read_line(&mut line).unwrap(), 0, "the live map ended by itself");
    }

    // The server answers 100 once it reads the body: from then on the request is running.
    let mut running = BufReader::new(connect(&server));
    let body = r#"{"holdId": "018f0000-0000-7000-8000-000000000000", "customer": {"name": "A", "email": "a@b"}}"#;
    let length = body.len();
    let head = format!("POST /api/v1/orders HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nConnection: close");
    let expect = format!("Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue");
    write!(running.get_mut(), "{head}\r\n{expect}\r\n\r\n").unwrap();
    line.clear();
    running.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");

    let pid = server.process().id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    live.read_to_string(&mut String::new()).unwrap();

    let mut new = String::new();
    if let Ok(mut connection) = TcpStream::connect(server.address()) {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        _ = write!(connection, "GET /movies HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        _ = connection.read_to_string(&mut new);
    }
    assert!(new.is_empty() || new.starts_with("HTTP/1.1 503"), "{new}");

    running.get_mut().write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 404") && answer.contains("urn:bms:problem:not-found"), "{answer}");
    assert!(server.process().wait().unwrap().success());
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).unwrap().0
}
