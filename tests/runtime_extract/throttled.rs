//! A stream that refuses, a row that does not fit, a process that is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::cloud::CURATED;
use crate::servers::Kind;
use crate::world::{World, event, function};

/// Answers PutRecords as Kinesis does when a shard is busy: some records are refused. Every third of a request (none
/// while it has a `delay`), or all while `refuses` is set.
#[derive(Default)]
struct Busy {
    taken: Mutex<Vec<Value>>,
    refuses: Mutex<bool>,
    requests: Mutex<Vec<usize>>,
    delay: Mutex<Duration>,
}

impl Busy {
    fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let busy = Arc::new(Self::default());
        let shared = Arc::clone(&busy);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        (busy, endpoint)
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                None if header.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let records = request["Records"].as_array().unwrap();
        assert!(records.len() <= 500);
        self.requests.lock().unwrap().push(records.len());
        let delay = *self.delay.lock().unwrap();
        std::thread::sleep(delay);
        let refuses = *self.refuses.lock().unwrap();
        let mut failed = 0;
        let mut results = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if refuses || delay.is_zero() && index % 3 == 1 {
                failed += 1;
                results
                    .push(json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}));
            } else {
                let data = base64::engine::general_purpose::STANDARD
                    .decode(record["Data"].as_str().unwrap())
                    .unwrap();
                self.taken.lock().unwrap().push(serde_json::from_slice(&data).unwrap());
                results.push(json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"}));
            }
        }
        let answer = json!({"FailedRecordCount": failed, "Records": results}).to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
    }

    fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self
            .taken
            .lock()
            .unwrap()
            .iter()
            .map(|row| row["key"]["id"].as_u64().unwrap())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

#[tokio::test]
async fn every_row_arrives_once_though_the_stream_refuses() {
    let world = World::new(Kind::MariaDb).await;
    world.server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v TEXT); INSERT INTO shop.t SELECT seq, MD5(seq) FROM shop.seq_1_to_2200");
    let (busy, endpoint) = Busy::start();
    let settings = [
        ("PIPECTL_DATABASE_TLS", "off"),
        ("AWS_ENDPOINT_URL_KINESIS", endpoint.as_str()),
    ];
    let mut throttled = function(&world.cloud, &settings);
    let event = event("t", &["id"], json!({"count": 0}));
    // It refuses all, and is slow to say so, until the time is over: an error, and the watermark stays.
    *busy.refuses.lock().unwrap() = true;
    *busy.delay.lock().unwrap() = Duration::from_secs(4);
    let error = throttled
        .invoke(Duration::from_secs(10), &event)
        .unwrap_err()
        .to_string();
    assert!(error.contains("too few shards") && error.contains("shop.t"), "{error}");
    assert_eq!(world.state("t").await, None);
    // Killed in mid-batch: the next process reads the same rows, and the database has let go of the table.
    *busy.refuses.lock().unwrap() = false;
    *busy.delay.lock().unwrap() = Duration::ZERO;
    throttled.send(Duration::from_secs(120), &event);
    while busy.taken.lock().unwrap().len() < 100 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(throttled);
    assert_eq!(world.state("t").await, None);
    throttled = function(&world.cloud, &settings);
    let answer = throttled.invoke(Duration::from_secs(120), &event).unwrap();
    assert_eq!(answer, json!({"rows": 2200, "finished": true, "watermark": 2200}));
    assert_eq!(busy.ids(), (1..=2200).collect::<Vec<u64>>());
    assert!(busy.requests.lock().unwrap().iter().any(|records| *records < 200));
}

#[tokio::test]
async fn a_row_too_large_for_the_stream_goes_beside_it() {
    let settings = [("PIPECTL_DATABASE_TLS", "off"), ("PIPECTL_LOADABLE_MAX", "3000000")];
    let world = World::with(Kind::MariaDb, &settings).await;
    world.server.sql(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, v LONGTEXT); INSERT INTO shop.t VALUES (1, 'a'), (2, REPEAT('b', 2000000)), (3, REPEAT('c', 20000000)), (4, 'd')",
    );
    let answer = world.extract(&event("t", &["id"], json!({"count": 0})));
    assert_eq!(answer["rows"], 4);
    assert_eq!(world.sent("id").await, [json!(1), json!(4)]);
    let files = world.cloud.keys().await;
    let [large, lost, reason] = files.as_slice() else {
        panic!("{files:?}")
    };
    assert!(
        large.starts_with("data/shop.t/large/") && large.ends_with("-000000000002.jsonl"),
        "{large}"
    );
    assert!(
        lost.starts_with("errors/shop.t/large/") && *reason == format!("{lost}.reason.json"),
        "{lost}"
    );
    let row: Value = serde_json::from_slice(&world.cloud.get(CURATED, large).await).unwrap();
    assert_eq!(row["after"]["v"].as_str().unwrap().len(), 2_000_000);
    let levels: Vec<Value> = world.function.log().iter().map(|line| line["level"].clone()).collect();
    assert!(levels.contains(&json!("ERROR")));
}

/// Four requests of 500 rows at a time, each of 1 s: 10,000 rows take more than the 4 s that a function of 8 s has to
/// start anything in, so the pass cannot end within one invocation.
#[tokio::test]
async fn a_pass_goes_on_in_the_next_invocation() {
    let world = World::new(Kind::MariaDb).await;
    world.server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, at DATETIME NOT NULL, INDEX (at)); INSERT INTO shop.t SELECT seq, '2026-01-01' + INTERVAL seq DIV 700 SECOND FROM shop.seq_1_to_10000");
    let (busy, endpoint) = Busy::start();
    *busy.delay.lock().unwrap() = Duration::from_secs(1);
    let settings = [
        ("PIPECTL_DATABASE_TLS", "off"),
        ("AWS_ENDPOINT_URL_KINESIS", endpoint.as_str()),
    ];
    let slow = function(&world.cloud, &settings);
    // The overlap is longer than all there is, and every invocation comes further all the same.
    let event = event("t", &["at"], json!({"seconds": 1_000_000}));
    let mut invocations = 0;
    loop {
        invocations += 1;
        let answer = slow.invoke(Duration::from_secs(8), &event).unwrap();
        if answer["finished"] == true {
            break;
        }
        assert!(answer["watermark"].is_null() && invocations < 100, "{answer}");
        // Later rows are for the next pass.
        world.server.sql(&format!(
            "INSERT INTO shop.t VALUES ({}, '2027-01-01')",
            20_000 + invocations
        ));
    }
    assert!(invocations > 1);
    assert_eq!(busy.ids(), (1..=10_000).collect::<Vec<u64>>());
    let state = world.state("t").await.unwrap();
    assert_eq!(
        (&state["value"], &state["key"]),
        (&json!("2026-01-01 00:00:14"), &json!({"id": 10_000}))
    );
}
