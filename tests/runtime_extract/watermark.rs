//! The rules of watermarks: nothing is lost, whatever happens between two readings.

use std::time::Duration;

use serde_json::{Value, json};

use crate::servers::Kind;
use crate::world::{World, event};

const TABLE: &str = "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME NULL, INDEX (at));";

fn seconds(overlap: u64) -> Value {
    event("t", &["at"], json!({ "seconds": overlap }))
}

async fn follows(kind: Kind) {
    let world = World::new(kind).await;
    let insert = |values: &str| world.server.sql(&format!("INSERT INTO shop.t (at) VALUES {values}"));
    world.server.sql(TABLE);
    // No row: nothing is kept.
    assert_eq!(world.extract(&seconds(60))["rows"], 0);
    assert_eq!(world.state("t").await, None);
    insert("('2026-01-01 10:00:00'), ('2026-01-01 10:00:05'), (NULL)");
    // The transaction begins before the reading and commits behind it.
    let mut late = world.server.session();
    late.run("START TRANSACTION; INSERT INTO shop.t (id, at) VALUES (50, '2026-01-01 09:59:35')");
    let answer = world.extract(&seconds(60));
    assert_eq!((&answer["rows"], &answer["null_watermarks"]), (&json!(2), &json!(1)));
    assert_eq!(answer["watermark"], "2026-01-01 10:00:05");
    let records = world.records().await;
    assert_eq!(records[1]["ts"], "2026-01-01T10:00:05.000000Z");
    late.run("COMMIT");
    // Two more in the second of the watermark. All within the overlap come again; the key tells them apart.
    insert("('2026-01-01 10:00:05'), ('2026-01-01 10:00:05')");
    assert_eq!(world.extract(&seconds(60))["rows"], 5);
    let again = world.records().await;
    let ids: Vec<&Value> = again.iter().map(|record| &record["key"]["id"]).collect();
    assert_eq!(ids[..3], [&json!(50), &json!(1), &json!(2)]);
    assert!(again[0]["seq"].as_str() > records[1]["seq"].as_str());
    // Nothing new: the watermark stays, also when its row is gone.
    let state = world.state("t").await.unwrap();
    world.server.sql("DELETE FROM shop.t");
    assert_eq!(
        world.extract(&seconds(60)),
        json!({"rows": 0, "finished": true, "watermark": "2026-01-01 10:00:05"})
    );
    assert_eq!(world.state("t").await.unwrap(), state);
    // An overlap of nothing still reads the watermark's own second.
    insert("('2026-01-01 10:00:05'), ('2026-01-01 10:00:04')");
    assert_eq!(world.extract(&seconds(0))["rows"], 1);
    let wrong = world.within(Duration::from_secs(60), &event("t", &["at"], json!({"count": 1})));
    assert!(wrong.unwrap_err().to_string().contains("must be a duration"));
}

#[tokio::test]
async fn follows_mariadb() {
    follows(Kind::MariaDb).await;
}

#[tokio::test]
async fn follows_mysql() {
    follows(Kind::MySql).await;
}

/// A pass may end behind any row, also among rows of one watermark, and goes on behind exactly that.
async fn resumes(kind: Kind) {
    let world = World::new(kind).await;
    world.server.sql(
        "CREATE TABLE shop.t (part ENUM('b','a') , name VARCHAR(20) CHARACTER SET latin1, n BIGINT UNSIGNED, at TIMESTAMP(3) NULL, PRIMARY KEY (part, name, n), INDEX (at));
         SET time_zone = '+00:00'; INSERT INTO shop.t VALUES ('b','é',18446744073709551615,'2026-01-01 00:00:00.001'), ('a','z',1,'2026-01-01 00:00:00.001'),
         ('a','Z!',2,'2026-01-01 00:00:00.001'), ('a','z',3,'2026-01-01 00:00:00.002'), ('b','''\\\\',4,'2026-01-01 00:00:00.002'), ('b','x',5,'2026-01-01 00:00:01')",
    );
    let event = event("t", &["at"], json!({"seconds": 1}));
    assert_eq!(world.extract(&event)["rows"], 6);
    let all = world.records().await;
    for (index, record) in all.iter().enumerate() {
        let key = &record["key"];
        let time = record["after"]["at"]
            .as_str()
            .unwrap()
            .replace('T', " ")
            .replace('Z', "");
        let at = json!([time, key["part"], key["name"], key["n"]]);
        let pass = json!({"upto": "2026-01-01 00:00:01.000", "at": at, "rows": index});
        world
            .set_state("t", &json!({"value": "2025-01-01 00:00:00.000", "pass": pass}))
            .await;
        let answer = world.extract(&event);
        assert_eq!(
            answer["rows"].as_u64().unwrap() as usize,
            all.len() - 1 - index,
            "behind {at}"
        );
        let rest: Vec<String> = world.records().await.iter().map(key_of).collect();
        assert_eq!(
            rest,
            all[index + 1..].iter().map(key_of).collect::<Vec<_>>(),
            "behind {at}"
        );
        let state = world.state("t").await.unwrap();
        assert!(
            state["pass"].is_null() && state["value"] == "2026-01-01 00:00:01.000",
            "{state}"
        );
    }
}

fn key_of(record: &Value) -> String {
    record["key"].to_string()
}

#[tokio::test]
async fn resumes_on_mysql() {
    resumes(Kind::MySql).await;
}

#[tokio::test]
async fn resumes_on_mariadb() {
    resumes(Kind::MariaDb).await;
}

#[tokio::test]
async fn numbers_several_columns_and_tables_without_a_key() {
    let world = World::new(Kind::MariaDb).await;
    world.server.sql(
        "CREATE TABLE shop.n (id BIGINT UNSIGNED PRIMARY KEY); INSERT INTO shop.n VALUES (5), (18446744073709551615);
         CREATE TABLE shop.c (a INT NOT NULL, b INT NOT NULL, INDEX (a, b)); INSERT INTO shop.c VALUES (1, 2), (1, 2), (1, 1), (2, 0)",
    );
    let numbers = event("n", &["id"], json!({"count": 1000}));
    assert_eq!(world.extract(&numbers)["watermark"], json!(u64::MAX));
    world
        .server
        .sql("INSERT INTO shop.n VALUES (18446744073709551000), (18446744073709550000)");
    assert_eq!(world.sent("id").await, [json!(5), json!(u64::MAX)]);
    assert_eq!(world.extract(&numbers)["rows"], 2);
    world.records().await;
    // Equal rows stay as many as they are, and have the same keys in every reading.
    let composite = event("c", &["a", "b"], json!({"count": 1}));
    assert_eq!(world.extract(&composite)["watermark"], json!([2, 0]));
    let keys = |records: &[Value]| {
        let mut keys: Vec<String> = records.iter().map(key_of).collect();
        keys.sort();
        keys
    };
    let first = keys(&world.records().await);
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    assert_eq!(first.iter().filter(|key| key.ends_with("-2\"}")).count(), 1);
    world.extract(&composite);
    assert_eq!(keys(&world.records().await), first);
}

#[tokio::test]
async fn one_invocation_at_a_time() {
    let world = World::new(Kind::MariaDb).await;
    world.server.sql(TABLE);
    let lock = format!("pipectl-extract-{:016x}", fnv("/pipectl/p/local/watermark/shop.t"));
    let mut other = world.server.session();
    other.run(&format!("SELECT GET_LOCK('{lock}', 0)"));
    assert_eq!(world.extract(&seconds(60))["busy"], true);
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
