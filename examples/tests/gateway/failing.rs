//! What goes wrong behind the gateway, and what is sent again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, behaving, is_problem, nobody, read_request, token, write};

const BODY: usize = r#"{"showId":"tonight","seatIds":["A1"]}"#.len();
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_function_that_takes_no_connection_is_unavailable() {
    let gateway = Gateway::before(&nobody().await);
    let answer = gateway.hold().send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "1");
    is_problem(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable").await;
}

/// Nothing was sent, so anything may be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_not_there_is_asked_again_whatever_is_asked() {
    let place = nobody().await;
    let (gateway, mut log) = Gateway::logging(&place);
    let asked = tokio::spawn(gateway.hold().send());
    let again = tokio::task::spawn_blocking(move || log.any(|line| line.contains("sending again")));
    assert!(timeout(PATIENCE, again).await.unwrap().unwrap());
    let listener = TcpListener::bind(place.trim_start_matches("http://")).await.unwrap();
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
    write(&mut stream, OK).await;
    assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::OK);
}

/// The reply to the first request on each connection is lost.
async fn losing() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    behaving(0, async |mut stream: TcpStream, number| {
        if number > 1 {
            write(&mut stream, OK).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_change_whose_reply_is_lost_is_not_sent_again() {
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let (server, sent) = losing().await;
        let gateway = Gateway::before(&server);
        let path = match method {
            Method::POST => "/api/v1/holds",
            Method::PUT => "/api/v1/admin/movies/film",
            _ => "/api/v1/orders/01890a5d-ac96-774b-bcce-b302099a8057",
        };
        let answer = gateway.request(method, path).bearer_auth(token("alice")).body("{}").send().await.unwrap();
        is_problem(answer, StatusCode::BAD_GATEWAY, "bad-gateway").await;
        assert_eq!(sent.load(Ordering::SeqCst), 1, "{path}");
    }
}

/// A key that nobody keeps makes nothing safe: a notice of a payment has none.
#[tokio::test]
async fn a_key_counts_only_where_it_is_kept() {
    let (server, sent) = losing().await;
    let gateway = Gateway::before(&server);
    let notice = gateway.request(Method::POST, "/api/v1/payments/events").header("idempotency-key", "k").body("{}");
    is_problem(notice.send().await.unwrap(), StatusCode::BAD_GATEWAY, "bad-gateway").await;
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_safe_is_sent_again_whole() {
    let (server, sent) = losing().await;
    let gateway = Gateway::before(&server);
    assert_eq!(gateway.get("/movies").await.status(), StatusCode::OK);
    assert_eq!(sent.load(Ordering::SeqCst), 2);
    // Both times the whole body comes: less would never be answered.
    let (server, sent) = behaving(BODY, async |mut stream: TcpStream, number| {
        if number > 1 {
            write(&mut stream, OK).await;
        }
    })
    .await;
    let gateway = Gateway::before(&server);
    let answer = gateway.hold().header("idempotency-key", "k").send().await.unwrap();
    assert_eq!((answer.status(), sent.load(Ordering::SeqCst)), (StatusCode::OK, 2));
}

/// P11: the first try may have been carried out, so no other can say that nothing was done.
#[tokio::test]
async fn what_was_lost_once_is_unknown_whatever_comes_after() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let vanishes = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(read_request(&mut stream, BODY).await);
        drop(listener);
    });
    let gateway = Gateway::before(&place);
    let answer = gateway.hold().header("idempotency-key", "k").send().await.unwrap();
    is_problem(answer, StatusCode::BAD_GATEWAY, "bad-gateway").await;
    vanishes.await.unwrap();

    let ours = "503 Service Unavailable\r\ncontent-type: application/problem+json";
    for busy in ["429 Too Many Requests\r\ncontent-type: application/json", ours] {
        let (server, sent) = behaving(BODY, move |mut stream, number| async move {
            if number > 1 {
                write(&mut stream, &format!("HTTP/1.1 {busy}\r\ncontent-length: 2\r\n\r\n{{}}")).await;
            }
        })
        .await;
        let gateway = Gateway::before(&server);
        let answer = gateway.hold().header("idempotency-key", "k").send().await.unwrap();
        is_problem(answer, StatusCode::BAD_GATEWAY, "bad-gateway").await;
        assert_eq!(sent.load(Ordering::SeqCst), 3);
    }
}

/// The first try still runs when the second comes: its client has asked once, and is told how that ended.
#[tokio::test]
async fn a_try_that_meets_the_one_before_it_waits_for_its_answer() {
    let conflict = async |mut stream: TcpStream, code: &str| {
        let problem = format!(r#"{{"type":"urn:bms:problem:{code}","status":409}}"#);
        let head =
            format!("HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: {}", problem.len());
        write(&mut stream, &format!("{head}\r\n\r\n{problem}")).await;
    };
    for (last, status) in [(None, StatusCode::OK), (Some("seats-unavailable"), StatusCode::CONFLICT)] {
        let (server, sent) = behaving(BODY, move |mut stream, number| async move {
            match (number, last) {
                (1, _) => {}
                (2..=5, _) => conflict(stream, "request-in-progress").await,
                (_, Some(code)) => conflict(stream, code).await,
                (_, None) => write(&mut stream, OK).await,
            }
        })
        .await;
        let gateway = Gateway::before(&server);
        let answer = gateway.hold().header("idempotency-key", "k").send().await.unwrap();
        assert_eq!((answer.status(), sent.load(Ordering::SeqCst)), (status, 6));
        assert!(!answer.text().await.unwrap().is_empty());
    }
    // Another request of the client's under the same key is the client's to know of.
    let (server, sent) = behaving(BODY, move |stream, _| conflict(stream, "request-in-progress")).await;
    let gateway = Gateway::before(&server);
    let answer = gateway.hold().header("idempotency-key", "k").send().await.unwrap();
    is_problem(answer, StatusCode::CONFLICT, "request-in-progress").await;
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn it_is_not_sent_for_ever() {
    let (server, sent) = behaving(0, async |_, _| {}).await;
    let gateway = Gateway::before(&server);
    is_problem(gateway.get("/movies").await, StatusCode::BAD_GATEWAY, "bad-gateway").await;
    assert_eq!(sent.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_function_that_hangs_is_told_of_within_the_time() {
    let (server, sent) = behaving(0, async |stream: TcpStream, _| {
        // Until the gateway gives it up.
        let mut stream = stream;
        _ = stream.read(&mut [0; 8_192]).await;
        _ = stream.read(&mut [0; 8_192]).await;
    })
    .await;
    let gateway = Gateway::with(&server, &["--answer-timeout", "500ms"]);
    let begun = Instant::now();
    is_problem(gateway.get("/movies").await, StatusCode::GATEWAY_TIMEOUT, "gateway-timeout").await;
    let taken = begun.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(10)).contains(&taken), "{taken:?}");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_cut_off_for_the_client_too() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{\"movies\":",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"movies\":\r\n",
    ] {
        let (server, sent) = behaving(0, move |mut stream, _| async move { write(&mut stream, answer).await }).await;
        let gateway = Gateway::before(&server);
        let cut = gateway.get("/movies").await;
        assert_eq!(cut.status(), StatusCode::OK);
        cut.bytes().await.unwrap_err();
        // The client has its head already, so there is no second answer.
        assert_eq!(sent.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_cut_off() {
    let (server, _) = behaving(0, async |mut stream: TcpStream, _| {
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{").await;
        _ = stream.read(&mut [0; 8_192]).await;
        _ = stream.read(&mut [0; 8_192]).await;
    })
    .await;
    let gateway = Gateway::with(&server, &["--answer-timeout", "500ms"]);
    let begun = Instant::now();
    gateway.get("/movies").await.bytes().await.unwrap_err();
    let taken = begun.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(10)).contains(&taken), "{taken:?}");
}

/// What Lambda itself says of a function that crashed, is throttled, or may not be asked.
#[tokio::test]
async fn the_platforms_answers_become_the_contracts() {
    for (status, code, problem) in [
        ("502 Bad Gateway", StatusCode::BAD_GATEWAY, "bad-gateway"),
        ("500 Internal Server Error", StatusCode::BAD_GATEWAY, "bad-gateway"),
        ("403 Forbidden", StatusCode::BAD_GATEWAY, "bad-gateway"),
        ("504 Gateway Timeout", StatusCode::GATEWAY_TIMEOUT, "gateway-timeout"),
        ("429 Too Many Requests", StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    ] {
        let (server, sent) = behaving(0, move |mut stream, _| async move {
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n");
            write(&mut stream, &format!("{head}{{\"Message\":\"what\"}}")).await;
        })
        .await;
        let gateway = Gateway::before(&server);
        is_problem(gateway.get("/movies").await, code, problem).await;
        assert_eq!(sent.load(Ordering::SeqCst), 1, "{status}");
    }
    // What a function of ours says is passed on as it is.
    let (server, _) = behaving(0, async |mut stream: TcpStream, _| {
        let problem = r#"{"type":"urn:bms:problem:unavailable","status":503}"#;
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 7\r\n";
        write(&mut stream, &format!("{head}content-length: {}\r\n\r\n{problem}", problem.len())).await;
    })
    .await;
    let gateway = Gateway::before(&server);
    let answer = gateway.get("/movies").await;
    assert_eq!(answer.headers()["retry-after"], "7");
    is_problem(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable").await;
}

#[tokio::test]
async fn nonsense_for_an_answer_is_none() {
    let (server, _) = behaving(0, async |mut stream: TcpStream, _| write(&mut stream, "SSH-2.0-OpenSSH_9.2\r\n").await).await;
    let gateway = Gateway::before(&server);
    is_problem(gateway.hold().send().await.unwrap(), StatusCode::BAD_GATEWAY, "bad-gateway").await;
}

/// A client that says more than it sends, and then nothing.
#[tokio::test]
async fn a_client_that_stalls_is_answered() {
    let (server, _) = behaving(BODY, async |mut stream: TcpStream, _| write(&mut stream, OK).await).await;
    let gateway = Gateway::with(&server, &["--answer-timeout", "500ms"]);
    assert_eq!(gateway.first_line("content-length: 37", b"{").await, "HTTP/1.1 408");
}

/// A client that asks for much and reads none of it keeps no function busy beyond the time.
#[tokio::test]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let (server, _) = behaving(0, move |mut stream, _| {
        let ended = ended.clone();
        async move {
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await;
            while stream.write_all(&[b' '; 64 * 1024]).await.is_ok() {}
            ended.send(()).unwrap();
        }
    })
    .await;
    let gateway = Gateway::with(&server, &["--answer-timeout", "500ms"]);
    let mut client = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.unwrap();
    write(&mut client, "GET /movies HTTP/1.1\r\nhost: h\r\n\r\n").await;
    timeout(PATIENCE, end.recv()).await.unwrap().unwrap();
}

/// Codes of tickets are in addresses.
#[tokio::test]
async fn what_goes_wrong_is_logged_without_the_address() {
    for broken in ["", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"]
    {
        let (server, _) = behaving(0, move |mut stream, _| async move { write(&mut stream, broken).await }).await;
        let (gateway, log) = Gateway::logging(&server);
        _ = gateway.get("/movies/canary/shows?date=canary").await.bytes().await;
        drop(gateway);
        let log: Vec<String> = log.collect();
        let told = ["a connection broke", "an answer broke off", "not an answer of the function"];
        assert!(log.iter().any(|line| told.iter().any(|told| line.contains(told))), "{log:#?}");
        assert!(!log.iter().any(|line| line.contains("canary")), "{log:#?}");
    }
}
