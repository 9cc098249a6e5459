//! Memory does not follow the number of rows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::servers::Kind;
use crate::world::{World, event};

const ROWS: usize = 1_000_000;
/// The most memory that the process may ever have, in MiB.
const MOST: u64 = 64;

/// Answers PutRecords as Kinesis does, and only counts: ministack keeps every record, here a gigabyte of them.
struct Counting(AtomicUsize);

impl Counting {
    fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let counting = Arc::new(Self(AtomicUsize::new(0)));
        let shared = Arc::clone(&counting);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        (counting, endpoint)
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut body = Vec::new();
        while let Some(length) = length(&mut reader) {
            body.resize(length, 0);
            reader.read_exact(&mut body).unwrap();
            let count = std::str::from_utf8(&body).unwrap().matches("\"PartitionKey\"").count();
            assert!((1..=500).contains(&count));
            self.0.fetch_add(count, Ordering::SeqCst);
            let taken = vec![r#"{"SequenceNumber":"1","ShardId":"shardId-000000000000"}"#; count].join(",");
            let answer = format!(r#"{{"FailedRecordCount":0,"Records":[{taken}]}}"#);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    }
}

/// Reads the head of the next request and gives the length of its body; nothing when there is no other request.
fn length(reader: &mut impl BufRead) -> Option<usize> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or_default() == 0 {
            return None;
        }
        match header.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if header.trim_end().is_empty() => return Some(length),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_million_rows_in_bounded_memory() {
    let (counting, endpoint) = Counting::start();
    let settings = [
        ("PIPECTL_DATABASE_TLS", "off"),
        ("AWS_ENDPOINT_URL_KINESIS", endpoint.as_str()),
    ];
    let world = World::with(Kind::MariaDb, &settings).await;
    world.server.sql(&format!(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40), c INT, d DECIMAL(12,2), e DATETIME, f DOUBLE, g TEXT, h BIGINT, at DATETIME);
         INSERT INTO shop.t SELECT seq, CONCAT('name ', seq), MD5(seq), seq, seq / 100, '2026-01-01' + INTERVAL seq SECOND, seq / 7, REPEAT('x', 60), seq * 1000, '2026-01-01' FROM shop.seq_1_to_{ROWS}"
    ));
    let event = event("t", &["id"], json!({"count": 0}));
    let mut rows = 0;
    // As many invocations as it takes: a process lives longer than one of them.
    loop {
        let answer = world.within(Duration::from_secs(280), &event).unwrap();
        rows += answer["rows"].as_u64().unwrap();
        if answer["finished"] == true {
            break;
        }
    }
    assert_eq!((rows, counting.0.load(Ordering::SeqCst)), (ROWS as u64, ROWS));
    let peak = world.function.peak();
    println!("peak: {peak} MiB");
    assert!(peak <= MOST, "{peak} MiB");
}
