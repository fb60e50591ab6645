//! A local SQS and SNS, and what comes between it and a function.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bms_adapters_lambda::aws_config::{self, SdkConfig};
use bms_domain::testing::servers::{Port, Process, until};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::emulator::PATIENCE;

const INSTALL: &str = "python3 -m venv target/venv && target/venv/bin/python -m pip install -r scripts/requirements.txt";

/// The server that the tests of this program share; each names its own queues and topics.
pub(crate) struct Moto {
    port: Port,
    _process: Process,
}

impl Moto {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        // The environment that `scripts/test.sh` makes lies beside the programs under test.
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
        let program = std::env::var_os("BMS_MOTO").map_or_else(|| target.join("venv/bin/moto_server"), PathBuf::from);
        assert!(program.is_file(), "{} is missing; install it with: {INSTALL}", program.display());
        let port = Port::free().unwrap();
        let number = port.number();
        let mut process = Process::spawn(&program, |command| {
            command.args(["-H", "127.0.0.1", "-p", &number.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(())
        })
        .unwrap();
        until("a local SQS", PATIENCE, || match process.ended() {
            Some(status) => panic!("{} has ended: {status}; install it with: {INSTALL}", program.display()),
            None => TcpStream::connect(("127.0.0.1", number)).map(drop).map_err(|error| error.to_string()),
        })
        .unwrap();
        Self { port, _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    pub(crate) async fn queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> Queue {
        let client = aws_sdk_sqs::Client::new(&config(&self.url()).await);
        let mut call = client.create_queue().queue_name(name);
        if name.ends_with(".fifo") {
            call = call.attributes(QueueAttributeName::FifoQueue, "true");
        }
        for (name, value) in attributes {
            call = call.attributes(name.clone(), *value);
        }
        let url = call.send().await.unwrap().queue_url.unwrap();
        let arn = QueueAttributeName::QueueArn;
        let told = client.get_queue_attributes().queue_url(&url).attribute_names(arn.clone()).send().await.unwrap();
        Queue { arn: told.attributes.unwrap()[&arn].clone(), client, url }
    }

    /// A topic with a queue that hears all of it, both of this name.
    pub(crate) async fn topic(&self, name: &str, is_raw: bool) -> (String, Queue) {
        let queue = self.queue(name, &[]).await;
        let client = aws_sdk_sns::Client::new(&config(&self.url()).await);
        let mut call = client.create_topic().name(name);
        if name.ends_with(".fifo") {
            call = call.attributes("FifoTopic", "true");
        }
        let arn = call.send().await.unwrap().topic_arn.unwrap();
        let mut call = client.subscribe().topic_arn(&arn).protocol("sqs").endpoint(&queue.arn);
        // This server takes any value of it for a yes.
        if is_raw {
            call = call.attributes("RawMessageDelivery", "true");
        }
        call.send().await.unwrap();
        (arn, queue)
    }
}

/// What a function is told to speak to this server.
pub(crate) fn variables(url: &str) -> [(&str, &str); 5] {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "canary"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

/// The same for a client here.
pub(crate) async fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("testing", "canary", None, None, "the test");
    let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new("eu-west-1"));
    config.credentials_provider(credentials).endpoint_url(url).load().await
}

pub(crate) struct Queue {
    client: aws_sdk_sqs::Client,
    pub(crate) url: String,
    pub(crate) arn: String,
}

impl Queue {
    /// Up to ten messages, which are still in the queue.
    pub(crate) async fn receive(&self) -> Vec<Message> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10).message_attribute_names("All");
        let received = call.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap();
        received.messages.unwrap_or_default()
    }

    pub(crate) async fn delete(&self, message: &Message) {
        let handle = message.receipt_handle().unwrap();
        self.client.delete_message().queue_url(&self.url).receipt_handle(handle).send().await.unwrap();
    }

    pub(crate) async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    /// All messages, which are taken out.
    pub(crate) async fn empty(&self) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let some = self.receive().await;
            if some.is_empty() {
                return all;
            }
            for message in &some {
                self.delete(message).await;
            }
            all.extend(some);
        }
    }

    /// The event with which Lambda hands these messages to a function.
    pub(crate) fn event(&self, messages: &[Message]) -> Value {
        let record = |message: &Message| {
            let attributes: Map<String, Value> = message.attributes().map_or_else(Map::new, |all| {
                all.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().into())).collect()
            });
            json!({"messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
                "attributes": attributes, "messageAttributes": {}, "md5OfBody": message.md5_of_body(),
                "eventSource": "aws:sqs", "eventSourceARN": self.arn, "awsRegion": "eu-west-1"})
        };
        json!({"Records": messages.iter().map(record).collect::<Vec<_>>()})
    }
}

/// A text attribute of a message.
pub(crate) fn attribute(message: &Message, name: &str) -> Option<String> {
    message.message_attributes()?.get(name)?.string_value().map(str::to_owned)
}

pub(crate) fn body(message: &Message) -> Value {
    serde_json::from_str(message.body().unwrap()).unwrap()
}

/// The keys of the events in messages, in their order.
pub(crate) fn keys(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| body(message)["id"].as_str().unwrap().to_owned()).collect()
}

/// Passes requests on, and keeps the answer to those in which a text stands.
pub(crate) struct Between {
    pub(crate) url: String,
    kept: watch::Receiver<usize>,
}

struct Passing {
    client: reqwest::Client,
    to: String,
    needle: &'static str,
    kept: watch::Sender<usize>,
}

impl Between {
    pub(crate) async fn start(to: &Moto, needle: &'static str) -> Self {
        let (sender, kept) = watch::channel(0);
        let passing = Arc::new(Passing { client: reqwest::Client::new(), to: to.url(), needle, kept: sender });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, Router::new().fallback(pass).with_state(passing)).into_future());
        Self { url, kept }
    }

    /// Waits until an answer is kept: the request was carried out.
    pub(crate) async fn has_kept(&mut self) {
        tokio::time::timeout(PATIENCE, self.kept.wait_for(|kept| *kept > 0)).await.unwrap().unwrap();
    }
}

async fn pass(State(passing): State<Arc<Passing>>, mut headers: HeaderMap, body: Bytes) -> Response {
    headers.remove(header::HOST);
    let keeps = String::from_utf8_lossy(&body).contains(passing.needle);
    let answer = passing.client.post(&passing.to).headers(headers).body(body).send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers()[header::CONTENT_TYPE].clone());
    let answer = answer.bytes().await.unwrap();
    if keeps {
        passing.kept.send_modify(|kept| *kept += 1);
        std::future::pending::<()>().await;
    }
    (status, [(header::CONTENT_TYPE, kind)], answer).into_response()
}

/// A service that answers every call the same way, as a test wants it, and remembers what it was sent.
pub(crate) struct Service {
    pub(crate) url: String,
    asked: watch::Receiver<Vec<String>>,
}

type Answer = fn(&str) -> (StatusCode, &'static str, String);

impl Service {
    pub(crate) async fn start(answer: Answer) -> Self {
        let (sender, asked) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let router = Router::new().fallback(move |body: String| {
            let (status, kind, said) = answer(&body);
            sender.send_modify(|asked| asked.push(body));
            std::future::ready((status, [(header::CONTENT_TYPE, kind)], said))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

/// How long the relay of a test has.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
