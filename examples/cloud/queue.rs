//! A local SQS and SNS (moto's server), spoken to as plainly as they allow: signatures are not checked.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bms_adapters_lambda::testing::Emulator;
use bms_domain::testing::servers::{Port, Process, until};
use serde_json::{Map, Value, json};

use crate::Failure;

/// The function that takes messages out of the queue.
pub(crate) const CONSUMER: &str = "bms-lambda-notify";

const INSTALL: &str = "python3 -m venv target/venv && target/venv/bin/python -m pip install -r scripts/requirements.txt \
                       (scripts/local-cloud.sh does), or go without: --without-queue";
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
const QUEUE: &str = "bms-events.fifo";
/// The topic of notices, and a queue that hears it, for people to look into.
const NOTICES: &str = "bms-notices";
/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// A running SQS and SNS. Clones are one; it is ended with the last.
#[derive(Clone)]
pub(crate) struct Queue {
    server: Arc<(Port, Process)>,
    client: reqwest::Client,
}

/// Where the server's program is.
pub(crate) fn program(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let beside = || -> std::io::Result<PathBuf> {
        let target = std::env::current_exe()?.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
        Ok(target.join("venv/bin/moto_server"))
    };
    let program = named.map_or_else(beside, Ok)?;
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::Refused(format!("{} is missing; install it with: {INSTALL}", program.display())))
}

impl Queue {
    /// Blocks until it runs.
    pub(crate) fn start(program: &Path) -> Result<Self, Failure> {
        let port = Port::free()?;
        let number = port.number();
        let mut process = Process::spawn(program, |command| {
            command.args(["-H", "127.0.0.1", "-p", &number.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(())
        })?;
        until("a local SQS", START_LIMIT, || {
            process.ended().map_or(Ok(()), Err)?;
            TcpStream::connect(("127.0.0.1", number)).map(drop).map_err(|error| error.to_string())
        })?;
        Ok(Self { server: Arc::new((port, process)), client: reqwest::Client::new() })
    }

    /// Makes the queue of events, and the topic of notices with a queue that hears it.
    pub(crate) async fn fill(&self) -> Result<(), Failure> {
        let attributes = json!({"FifoQueue": "true", "VisibilityTimeout": "60"});
        self.sqs("CreateQueue", &json!({"QueueName": QUEUE, "Attributes": attributes})).await?;
        self.sqs("CreateQueue", &json!({"QueueName": NOTICES})).await?;
        self.sns(&format!("Action=CreateTopic&Name={NOTICES}")).await?;
        let (topic, queue) = (arn("sns", NOTICES), arn("sqs", NOTICES));
        let raw = "Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value=true";
        self.sns(&format!("Action=Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint={queue}&{raw}")).await?;
        Ok(())
    }

    /// What the functions are told of it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("BMS_SQS_QUEUE_URL", self.queue_url(QUEUE)),
            ("BMS_NOTIFY_TOPIC_ARN", arn("sns", NOTICES)),
        ]
    }

    /// Where it is, for people.
    pub(crate) fn told(&self) -> String {
        format!("  SQS, SNS  {} (events in {QUEUE}, notices in {NOTICES})\n", self.url())
    }

    /// Lines that show the notices.
    pub(crate) fn lines(&self) -> String {
        let (url, queue, credential) = (self.url(), self.queue_url(NOTICES), credential("sqs"));
        format!(
            "curl -sS {url} -H 'Authorization: {credential}' \\\n  -H 'X-Amz-Target: AmazonSQS.ReceiveMessage' \
             -H 'Content-Type: application/x-amz-json-1.0' \\\n  -d '{{\"QueueUrl\": \"{queue}\"}}' | jq -er '.Messages[].Body'\n"
        )
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.0.number())
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.url())
    }

    async fn sns(&self, form: &str) -> Result<(), reqwest::Error> {
        let call = self.client.post(self.url()).header("authorization", credential("sns"));
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        call.body(format!("Version=2010-03-31&{form}")).send().await?.error_for_status().map(drop)
    }

    async fn sqs(&self, action: &str, body: &Value) -> Result<Value, reqwest::Error> {
        let call = self.client.post(self.url()).header("authorization", credential("sqs"));
        let call =
            call.header("x-amz-target", format!("AmazonSQS.{action}")).header("content-type", "application/x-amz-json-1.0");
        let answer = call.body(body.to_string()).send().await?.error_for_status()?.text().await?;
        // Some actions answer nothing.
        Ok(serde_json::from_str(&answer).unwrap_or_default())
    }

    /// Has a function take what is in the queue, as Lambda does: what it does not say that it failed with is deleted.
    pub(crate) async fn feed(&self, emulator: &Emulator, time: Duration) {
        loop {
            if let Err(error) = self.feed_once(emulator, time).await {
                eprintln!("bms-cloud: {CONSUMER} failed, or the queue did: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn feed_once(&self, emulator: &Emulator, time: Duration) -> Result<(), String> {
        let told = |error: reqwest::Error| error.to_string();
        let all = json!(["All"]);
        let wanted = json!({"QueueUrl": self.queue_url(QUEUE), "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1,
            "AttributeNames": &all, "MessageAttributeNames": &all});
        let received = self.sqs("ReceiveMessage", &wanted).await.map_err(told)?;
        let Some(messages) = received.get("Messages").and_then(Value::as_array).filter(|messages| !messages.is_empty()) else {
            return Ok(());
        };
        let records: Vec<Value> = messages.iter().map(record).collect();
        let answer = emulator.invoke_within(&json!({"Records": records}).to_string(), time).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let failures = answer.get("batchItemFailures").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let failed: Vec<&Value> = failures.iter().filter_map(|failure| failure.get("itemIdentifier")).collect();
        for message in messages {
            if !message.get("MessageId").is_some_and(|id| failed.contains(&id)) {
                let done = json!({"QueueUrl": self.queue_url(QUEUE), "ReceiptHandle": message.get("ReceiptHandle")});
                self.sqs("DeleteMessage", &done).await.map_err(told)?;
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(format!("{} messages come again", failed.len())) }
    }
}

/// A message as Lambda hands it on.
fn record(message: &Value) -> Value {
    let field = |name| message.get(name).cloned().unwrap_or_default();
    let attributes = message.get("MessageAttributes").and_then(Value::as_object);
    let attributes: Map<String, Value> = attributes
        .into_iter()
        .flatten()
        .map(|(name, it)| (name.clone(), json!({"stringValue": it.get("StringValue"), "dataType": it.get("DataType")})))
        .collect();
    json!({
        "messageId": field("MessageId"),
        "receiptHandle": field("ReceiptHandle"),
        "body": field("Body"),
        "attributes": field("Attributes"),
        "messageAttributes": attributes,
        "md5OfBody": field("MD5OfBody"),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn("sqs", QUEUE),
        "awsRegion": REGION,
    })
}

fn arn(service: &str, name: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{name}")
}

/// Tells the server which service is meant, and nothing else.
fn credential(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=local/20300101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0")
}
