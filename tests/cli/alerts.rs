//! Alarms reach people: each fires, is mailed with what somebody needs, and is told to be over.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, RAW, wait};

const PATIENCE: Duration = Duration::from_secs(240);
pub const ALERTS: &str = "[alerts]\nmail = { from = \"alarms@example.com\", to = [\"ops@example.com\"] }\n\n[source]";

/// Every mail that SES or SNS sent, oldest first.
pub fn mails(cloud: &Cloud) -> Vec<Value> {
    let endpoint = &cloud
        .variables()
        .iter()
        .find(|(name, _)| name == "AWS_ENDPOINT_URL")
        .unwrap()
        .1;
    let text = get(&endpoint.replace("http://", ""), "/_ministack/ses/messages");
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut all: Vec<Value> = document["messages"]
        .as_object()
        .into_iter()
        .flat_map(|accounts| accounts.values())
        .flat_map(|messages| messages.as_array().cloned().unwrap_or_default())
        .collect();
    all.sort_by_key(|mail| mail["Timestamp"].to_string());
    all
}

fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address.trim_end_matches('/')).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Waits for a mail whose text has all of these.
fn mailed(cloud: &Cloud, words: &[&str]) -> Value {
    let mut found = Value::Null;
    wait(&format!("a mail with {words:?}"), PATIENCE, || {
        let all = mails(cloud);
        let fits = |mail: &&Value| {
            let text = mail["BodyText"].as_str().unwrap_or_default();
            words.iter().all(|word| text.contains(word))
        };
        match all.iter().find(fits) {
            Some(mail) => {
                found = mail.clone();
                Ok(())
            }
            None => Err(format!("{all:#?}")),
        }
    });
    found
}

#[test]
fn alarms_are_mailed_and_their_end_too() {
    let cloud = Cloud::up(Iam::Enforced);
    cloud.edit("[source]", ALERTS);
    cloud.run("deploy --yes").exits(0);
    let status = cloud.run("status --format json").exits(0).json();
    let sender = status["hops"]
        .as_array()
        .unwrap()
        .iter()
        .find(|hop| hop["kind"] == "mail sender")
        .unwrap()
        .clone();
    assert_eq!(
        (sender["name"].as_str(), sender["state"].as_str()),
        (Some("alarms@example.com"), Some("verified"))
    );

    cloud.put(RAW, "invoices/broken.json", "{\"a\": 1}\n{\"b\": ");
    // The alarm, the file and the reason; what to run next.
    let mail = mailed(
        &cloud,
        &[
            "ALARM copy-rejections",
            "invoices/broken.json",
            "pipectl status --env local",
        ],
    );
    assert!(
        mail["BodyHtml"].as_str().unwrap().contains("copy-rejections"),
        "{mail:#}"
    );
    assert_eq!(mail["To"], json!(["ops@example.com"]));
    mailed(&cloud, &["RECOVERED copy-rejections"]);

    let dead = cloud.queue_url("chinook-invoices-local-copy-dead-letters");
    cloud.aws(
        "sqs",
        "send_message",
        json!({ "QueueUrl": dead, "MessageBody": "given up" }),
    );
    mailed(&cloud, &["ALARM copy-dead-letter-depth"]);
    cloud.aws("sqs", "purge_queue", json!({ "QueueUrl": dead }));
    mailed(&cloud, &["RECOVERED copy-dead-letter-depth"]);

    // What is no JSON makes a function of ours fail, as a time-out does.
    let failing = cloud.aws(
        "lambda",
        "invoke",
        json!({ "FunctionName": "chinook-invoices-local-copy", "Payload": "[1]" }),
    );
    assert!(
        failing.to_string().contains("Unhandled") || failing.to_string().contains("FunctionError"),
        "{failing}"
    );
    // Its beginning and its end may be one mail, when the last one went just before.
    mailed(&cloud, &["RECOVERED copy-errors"]);
    cloud.run("destroy --yes --delete-data").exits(0);
}

/// A server that takes one request after the other and gives their bodies.
fn hook() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

#[test]
fn absence_of_data_reaches_a_web_hook_and_its_end_too() {
    let cloud = Cloud::up(Iam::Off);
    let (address, bodies) = hook();
    cloud.aws(
        "secretsmanager",
        "create_secret",
        json!({ "Name": "team/hook", "SecretString": address }),
    );
    cloud.edit(
        "[source]",
        "[alerts]\nwebhook = \"secretsmanager:team/hook\"\nabsent_after = \"20 minutes\"\n\n[source]",
    );
    cloud.run("deploy --yes").exits(0);
    let heard = |state: &str| {
        loop {
            let body = bodies
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no {state} came"));
            let alerts = body["alerts"].as_array().unwrap().clone();
            if alerts
                .iter()
                .any(|alert| alert["hop"] == "copy-absence" && alert["state"] == state)
            {
                return body;
            }
        }
    };
    let body = heard("ALARM");
    assert!(body["text"].as_str().unwrap().contains("No file came into"), "{body:#}");
    cloud.put(RAW, "invoices/good.json", "");
    heard("RECOVERED");
}
