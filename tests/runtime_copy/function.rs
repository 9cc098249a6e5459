//! The real binary under a tiny Lambda Runtime API: what Lambda does, without Lambda.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, RAW, ROOT};
use crate::log::Logged;

pub struct Function {
    process: Logged,
    events: Sender<(String, SystemTime)>,
    answers: Receiver<(bool, String)>,
}

impl Function {
    pub fn start(cloud: &Cloud) -> Self {
        Self::with(cloud, ROOT, &[])
    }

    /// Starts the handler `copy` with these credentials and more settings.
    pub fn with(cloud: &Cloud, credentials: (&str, &str), settings: &[(&str, &str)]) -> Self {
        let own = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", cloud.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", credentials.0),
            ("AWS_SECRET_ACCESS_KEY", credentials.1),
            ("PIPECTL_RAW_BUCKET", RAW),
            ("PIPECTL_CURATED_BUCKET", CURATED),
        ];
        Self::of("copy", &[&own, settings].concat())
    }

    /// Starts a handler with these settings and no others.
    pub fn of(handler: &str, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, waiting) = channel();
        let (answered, answers) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &waiting, &answered));
            }
        });
        let mut process = Command::new(env!("CARGO_BIN_EXE_pipectl-runtime"));
        process
            .env_clear()
            .envs([
                ("_HANDLER", handler),
                ("AWS_LAMBDA_RUNTIME_API", &address),
                ("AWS_LAMBDA_FUNCTION_NAME", handler),
            ])
            .envs([
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ])
            .envs(settings.iter().copied());
        Self {
            process: Logged::start(&mut process),
            events,
            answers,
        }
    }

    /// Passes bodies as messages `m0`, `m1`… and gives those that failed.
    pub fn batch(&self, bodies: &[Value]) -> Vec<String> {
        self.batch_within(Duration::from_secs(120), bodies)
    }

    pub fn batch_within(&self, limit: Duration, bodies: &[Value]) -> Vec<String> {
        let records: Vec<Value> = bodies
            .iter()
            .enumerate()
            .map(|(index, body)| {
                let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                json!({"messageId": format!("m{index}"), "receiptHandle": "r", "body": text, "eventSource": "aws:sqs"})
            })
            .collect();
        let answer = self.invoke(limit, &json!({"Records": records})).unwrap();
        let mut failed: Vec<String> = answer["batchItemFailures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["itemIdentifier"].as_str().unwrap().to_owned())
            .collect();
        failed.sort();
        failed
    }

    /// Passes an event without waiting for its answer.
    pub fn send(&self, limit: Duration, event: &Value) {
        self.events
            .send((event.to_string(), SystemTime::now() + limit))
            .unwrap();
    }

    pub fn invoke(&self, limit: Duration, event: &Value) -> Result<Value, Value> {
        self.send(limit, event);
        let (fine, text) = self.answers.recv_timeout(Duration::from_secs(300)).expect("an answer");
        let answer = serde_json::from_str(&text).unwrap();
        if fine { Ok(answer) } else { Err(answer) }
    }

    /// The log since the last look.
    pub fn log(&self) -> Vec<Value> {
        self.process.take()
    }

    pub fn actions(&self) -> Vec<String> {
        let mut actions: Vec<String> = self
            .log()
            .iter()
            .map(|line| line["action"].as_str().unwrap().to_owned())
            .collect();
        actions.sort();
        actions
    }

    /// The most memory the process ever had, in MiB.
    pub fn peak(&self) -> u64 {
        self.process.peak()
    }
}

/// Answers one request of the runtime.
fn serve(mut stream: &TcpStream, waiting: &Mutex<Receiver<(String, SystemTime)>>, answered: &Sender<(bool, String)>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        match header.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (head, text) = if first.starts_with("GET ") && first.contains("/runtime/invocation/next") {
        let Ok((event, end)) = waiting.lock().unwrap().recv() else {
            return;
        };
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:copy";
        (
            format!(
                "200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: {end}\r\nLambda-Runtime-Invoked-Function-Arn: {arn}"
            ),
            event,
        )
    } else {
        answered
            .send((first.contains("/response"), String::from_utf8(body).unwrap()))
            .unwrap();
        ("202 Accepted".to_owned(), String::new())
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
}
