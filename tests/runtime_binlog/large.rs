//! Events longer than a packet, whole transactions in one of them, and rows that the stream does not take.

use std::collections::BTreeSet;

use crate::cloud::CURATED;
use crate::drain::Drain;
use crate::servers::Kind;
use crate::service::{Service, caught_up, until, world};

/// What [`numbers`] needs: MySQL 5.7 has no recursion.
const DIGITS: &str = "CREATE TABLE shop.digit (d INT PRIMARY KEY); \
                      INSERT INTO shop.digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);";

/// A table of so many numbers, in order.
fn numbers(first: i32, count: i32) -> String {
    format!(
        "(SELECT {first} + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS id FROM shop.digit a, shop.digit b, \
         shop.digit c, shop.digit e, shop.digit f HAVING id < {} ORDER BY id) n",
        first + count
    )
}

/// 24 MB of rows in one event, then a row of 20 MB.
async fn arrives(options: &[&str]) {
    let own = ["--binlog-row-event-max-size=1073741824"];
    let world = world(Kind::MySql, &[&own, options].concat()).await;
    world.server.sql(
        "CREATE TABLE shop.big (id INT PRIMARY KEY, v VARCHAR(1000) CHARACTER SET latin1);
         CREATE TABLE shop.huge (id INT PRIMARY KEY, v LONGBLOB);
         INSERT INTO shop.huge VALUES (8, REPEAT('abc', 500000)), (9, REPEAT('abc', 600000))",
    );
    let settings = [("PIPECTL_LOADABLE_MAX", "100000000")];
    let service = Service::start(&world, &["big", "huge"], &settings);
    service.wait("reading");
    world.server.sql(&format!(
        "{DIGITS} INSERT INTO shop.big SELECT id, REPEAT(LPAD(HEX(id * 7919), 40, 'x'), 25) FROM {}",
        numbers(1, 24_000)
    ));
    let mut records = Vec::new();
    until(&world, &mut records, "big", 24_000).await;
    let mut ids = BTreeSet::new();
    for record in records.drain(..).filter(|record| record["op"] == "i") {
        assert_eq!(record["after"]["v"].as_str().unwrap().len(), 1000);
        ids.insert(record["after"]["id"].as_i64().unwrap());
    }
    assert_eq!(ids.len(), 24_000);
    let peak = service.peak();
    assert!(peak <= 64, "{peak} MiB");
    world
        .server
        .sql("INSERT INTO shop.huge VALUES (1, REPEAT('abc', 6700000)); INSERT INTO shop.huge VALUES (2, 'd')");
    until(&world, &mut records, "huge", 2).await;
    // Rows of one snapshot have one `seq`, and each its own file.
    let mut found = BTreeSet::new();
    for file in world.cloud.keys().await {
        assert!(file.starts_with("data/shop.huge/large/"), "{file}");
        let row: serde_json::Value = serde_json::from_slice(&world.cloud.get(CURATED, &file).await).unwrap();
        let text = row["after"]["v"].as_str().unwrap();
        assert_eq!(text.replace("YWJj", ""), "");
        found.insert((row["after"]["id"].as_i64().unwrap(), text.len() / 4));
    }
    assert_eq!(found, BTreeSet::from([(1, 6_700_000), (8, 500_000), (9, 600_000)]));
}

#[tokio::test]
async fn events_of_several_packets() {
    arrives(&[]).await;
}

#[tokio::test]
async fn compressed_events_of_several_packets() {
    arrives(&["--binlog-transaction-compression=ON"]).await;
}

/// 200 MB in one transaction: many small rows, then some that are nearly as large as a record may be.
#[tokio::test]
async fn a_large_transaction_takes_no_more_memory() {
    let world = world(Kind::MySql, &[]).await;
    world
        .server
        .sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET latin1)");
    let drain = Drain::start();
    let settings = [("AWS_ENDPOINT_URL_KINESIS", drain.endpoint.as_str())];
    let service = Service::start(&world, &["t"], &settings);
    service.wait("reading");
    let (small, large) = (60_000, 150);
    let rows = |first: i32, count: i32, bytes: i32| {
        format!(
            "INSERT INTO shop.t SELECT id, REPEAT('x', {bytes}) FROM {};",
            numbers(first, count)
        )
    };
    world.server.sql(&format!(
        "{DIGITS} BEGIN; {} {} COMMIT",
        rows(1, small, 1000),
        rows(small + 1, large, 940_000)
    ));
    // The `t` of the empty snapshot is a record too.
    let expected = 1 + (small + large) as usize;
    for _ in 0..1800 {
        if drain.records() >= expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(drain.records(), expected);
    let peak = service.peak();
    assert!(peak <= 64, "{peak} MiB");
    // The position goes on behind the front of a file without transactions.
    world.server.sql("FLUSH BINARY LOGS");
    caught_up(&world).await;
}
