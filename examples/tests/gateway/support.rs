//! A gateway of a test's own, and what stands behind it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use bms_adapters_http::auth::mint_hs256;
use bms_domain::id::UserId;
use bms_domain::time::{Clock as _, SystemClock};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";

/// A running gateway, and a client of it.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Gateway {
    /// In front of one server for all functions.
    pub(crate) fn before(server: &str) -> Self {
        Self::with(server, &[])
    }

    /// The same with further options.
    pub(crate) fn with(server: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bms-gateway"));
        command.args(options).env("RUST_LOG", "off");
        Self::spawn(server, command)
    }

    /// The same, and what it logs.
    pub(crate) fn logging(server: &str) -> (Self, impl Iterator<Item = String> + Send + use<>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bms-gateway"));
        command.env("RUST_LOG", "info").stderr(Stdio::piped());
        let mut gateway = Self::spawn(server, command);
        let log = BufReader::new(gateway.process.stderr.take().unwrap());
        (gateway, log.lines().map_while(Result::ok))
    }

    fn spawn(server: &str, mut command: Command) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--jwt-secret", SECRET]);
        for function in ["MOVIES", "HOLDS", "ORDERS", "SEATS"] {
            command.env(format!("LAMBDA_{function}_URL"), server);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().expect("cargo builds bms-gateway for this test");
        let greeting = BufReader::new(process.stdout.take().unwrap()).lines().next();
        let greeting = greeting.expect("the gateway ended without a greeting").unwrap();
        let url = greeting.rsplit(' ').next().unwrap().to_owned();
        Self { process, url, client: Client::builder().timeout(PATIENCE).build().unwrap() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A request that holds a seat, of a user.
    pub(crate) fn hold(&self) -> RequestBuilder {
        let request = self.request(Method::POST, "/api/v1/holds").bearer_auth(token("alice"));
        request.header("content-type", "application/json").body(r#"{"showId":"tonight","seatIds":["A1"]}"#)
    }

    /// The beginning of the answer to a path that is sent word for word.
    pub(crate) async fn first_line_of(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap();
        write(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        let mut line = vec![0; 12];
        timeout(PATIENCE, stream.read_exact(&mut line)).await.unwrap().unwrap();
        String::from_utf8(line).unwrap()
    }

    /// The first line of what is answered to a request to hold seats that is sent word for word: its further headers, and its
    /// body. A client that is refused may not get rid of all of it.
    pub(crate) async fn first_line(&self, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap();
        let head = format!("POST /api/v1/holds HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n", token("alice"));
        stream.write_all(format!("{head}{headers}\r\n\r\n").as_bytes()).await.unwrap();
        let (mut answer, mut rest) = stream.split();
        let (line, _) = tokio::join!(
            async {
                let mut line = vec![0; 12];
                timeout(PATIENCE, answer.read_exact(&mut line)).await.unwrap().unwrap();
                String::from_utf8(line).unwrap()
            },
            rest.write_all(body)
        );
        line
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

pub(crate) fn token(user: &str) -> String {
    let end = SystemClock.now().plus(Duration::from_secs(3_600));
    mint_hs256(&SecretString::from(SECRET), &UserId::parse(user).unwrap(), false, end).unwrap()
}

/// Serves routes on a free port; gives their address.
pub(crate) async fn serving(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());
    format!("http://{address}")
}

/// Does with each connection what it is told, after it has read a request's head and this many bytes of its body; counts them.
pub(crate) async fn behaving<F, A>(body: usize, behave: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(TcpStream, usize) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let (asked, behave) = (count.clone(), Arc::new(behave));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (asked, behave) = (asked.clone(), behave.clone());
            tokio::spawn(async move {
                if read_request(&mut stream, body).await {
                    let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                    behave(stream, number).await;
                }
            });
        }
    });
    (format!("http://{address}"), count)
}

/// Reads a request's head and this many bytes of its body, if they come.
pub(crate) async fn read_request(stream: &mut TcpStream, body: usize) -> bool {
    let mut read = Vec::<u8>::new();
    loop {
        let head = read.windows(4).position(|it| it == b"\r\n\r\n").map(|end| end + 4);
        if head.is_some_and(|head| read.len() >= head + body) {
            return true;
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => read.extend(&buffer[..length]),
            _ => return false,
        }
    }
}

/// Writes an answer word for word.
pub(crate) async fn write(stream: &mut TcpStream, answer: &str) {
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Checks that an answer is this problem, and gives its body.
pub(crate) async fn is_problem(answer: Response, status: StatusCode, code: &str) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{answer:?}");
    assert!(answer.headers().contains_key("x-request-id"), "{answer:?}");
    let found = answer.status();
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((found, &problem["type"]), (status, &Value::from(format!("urn:bms:problem:{code}"))), "{problem}");
    assert_eq!(problem["status"], status.as_u16());
    problem
}
