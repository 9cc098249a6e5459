//! Files for backfills; ranges, checksums and keys for `verify`.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

use crate::cloud::CURATED;
use crate::servers::Kind;
use crate::world::{World, event};

#[tokio::test]
async fn backfills_in_chunks_and_compares() {
    // The server computes what is expected; MySQL 9.7 has MD5() only as a component.
    let world = World::new(Kind::MariaDb).await;
    world.server.sql(
        "CREATE TABLE shop.t (a INT, b VARCHAR(10), v DECIMAL(9,2), at DATETIME(3), f DOUBLE, PRIMARY KEY (a, b));
         INSERT INTO shop.t VALUES (1,'x','1.50','2026-01-01 00:00:00.5',0.5), (1,'y',NULL,'2026-01-02',1), (2,'x','0.10',NULL,2), (2,'y','7','2026-01-03',3), (3,'x','9','2026-01-04',4)",
    );
    let call = |event: Value| {
        let mut event = event;
        (event["schema"], event["table"]) = (json!("shop"), json!("t"));
        world.extract(&event)
    };
    let answer = call(json!({"do": "backfill", "chunk_rows": 2, "to": 3}));
    assert_eq!(answer, json!({"rows": 4, "last": [2, "y"], "finished": true}));
    let files = world.cloud.keys().await;
    assert_eq!(files.len(), 2, "{files:?}");
    let mut keys = Vec::new();
    for file in &files {
        assert!(
            file.starts_with("data/shop.t/backfill/") && file.ends_with(".jsonl.gz"),
            "{file}"
        );
        let mut text = String::new();
        let bytes = world.cloud.get(CURATED, file).await;
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        keys.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()),
        );
    }
    keys.sort_by_key(Value::to_string);
    assert_eq!(keys[3], json!({"a": 2, "b": "y"}));
    // The same again writes the same files; what is behind a row, others.
    call(json!({"do": "backfill", "chunk_rows": 2, "to": 3}));
    assert_eq!(
        world
            .cloud
            .keys()
            .await
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        2
    );
    let rest = call(json!({"do": "backfill", "chunk_rows": 2, "after": [2, "x"]}));
    assert_eq!(rest, json!({"rows": 2, "last": [3, "x"], "finished": true}));

    let ranges = call(json!({"do": "ranges", "rows": 2}));
    let expected = json!([{"after": null, "last": [1, "y"]}, {"after": [1, "y"], "last": [2, "y"]}, {"after": [2, "y"], "last": null}]);
    assert_eq!(ranges, json!({"ranges": expected, "finished": true}));
    let sums = call(json!({"do": "checksums", "ranges": ranges["ranges"]}));
    // The server itself computes what is expected.
    let expected = world.server.sql(
        "SELECT SUM(CONV(SUBSTR(MD5(v), 1, 15), 16, 10) + 0), SUM(CONV(SUBSTR(MD5(DATE_FORMAT(at, '%Y-%m-%dT%H:%i:%s.500')), 1, 15), 16, 10) + 0) FROM shop.t WHERE a = 1 AND b = 'x'",
    );
    let expected: Vec<f64> = expected.split_whitespace().map(|text| text.parse().unwrap()).collect();
    let first = call(json!({"do": "checksums", "ranges": [{"after": null, "last": [1, "x"]}]}));
    for (column, expected) in ["v", "at"].iter().zip(&expected) {
        let found: f64 = first["ranges"][0]["columns"][*column]["checksum"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((found - expected).abs() < 1e4, "{column}: {found}, not {expected}");
    }
    assert_eq!(sums["ranges"][0]["rows"], 2);
    assert_eq!(sums["ranges"][0]["columns"]["v"]["nulls"], 1);
    assert_eq!(
        sums["ranges"][1]["columns"]["f"],
        json!({"nulls": 0, "sum": 5.0, "magnitude": 5.0})
    );
    let keys = call(json!({"do": "keys", "range": {"after": [1, "x"], "last": [2, "x"]}, "columns": ["v"]}));
    let expected = world
        .server
        .sql("SELECT MD5(COALESCE(MD5(v), '~')) FROM shop.t WHERE (a, b) IN ((1, 'y'), (2, 'x')) ORDER BY a, b");
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(keys["keys"], json!([[[1, "y"], expected[0]], [[2, "x"], expected[1]]]));
}

/// What `verify` asks where rows have no order, and dates that are NULL in the record only.
#[tokio::test]
async fn describes_and_compares_by_bucket() {
    let world = World::new(Kind::MariaDb).await;
    world.server.sql(
        "SET sql_mode = ''; CREATE TABLE shop.w (w VARCHAR(10) PRIMARY KEY, d DATE, f FLOAT, n DECIMAL(9,2), at DATETIME(3));
         INSERT INTO shop.w VALUES ('a', '0000-00-00', 0.1, 1, '2026-01-01'), ('b', '2026-01-01', 0.1, 2, NULL), ('c', NULL, -0.1, 3, NULL);
         CREATE TABLE shop.k (a INT, b VARCHAR(5)); INSERT INTO shop.k VALUES (1, 'x'), (1, 'x'), (2, NULL)",
    );
    let call = |event: Value| {
        let mut event = event;
        event["schema"] = json!("shop");
        world.extract(&event)
    };
    let told = call(json!({"do": "describe", "table": "w", "count": true, "from": "b"}));
    assert_eq!((&told["rows"], &told["key"]), (&json!(2), &json!(["w"])));
    let forms: Vec<(&str, u64)> = told["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["form"].as_str().unwrap(), column["digits"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        forms,
        [("text", 0), ("date", 0), ("float", 0), ("decimal", 2), ("local", 3)]
    );

    let whole = call(json!({"do": "checksums", "table": "w", "ranges": [{}]}));
    let columns = &whole["ranges"][0]["columns"];
    assert_eq!(columns["d"]["nulls"], 2, "a zero date is NULL in the record");
    assert_eq!(
        columns["f"],
        json!({"nulls": 0, "sum": 0.1, "magnitude": 0.1 + 0.1 + 0.1})
    );

    // The server itself computes the buckets.
    let hashes = world.server.sql("SELECT w, MD5(MD5(w)) FROM shop.w ORDER BY 2");
    let hashes: Vec<(&str, &str)> = hashes.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let by = call(json!({"do": "checksums", "table": "w", "key": ["w"], "columns": ["n"], "buckets": {"digits": 32}}));
    let found: Vec<&str> = by["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["bucket"].as_str().unwrap())
        .collect();
    assert_eq!(found, hashes.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let (word, hash) = hashes[1];
    let only = json!({"digits": 4, "only": [&hash[..4]]});
    let rows = call(
        json!({"do": "keys", "table": "w", "key": ["w"], "columns": ["f", "d"], "watermark": ["n"], "buckets": only}),
    );
    let rows = rows["keys"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["key"], json!([word]));
    assert_eq!(rows[0]["columns"][0].as_f64().unwrap().abs(), 0.1);
    let number = world.server.sql(&format!("SELECT n FROM shop.w WHERE w = '{word}'"));
    assert_eq!(rows[0]["watermark"], json!([number.trim()]));

    // Without a key the hash is that of the record, which is what its `_row` begins with.
    world.extract(&event("k", &["a"], Value::Null));
    let mut expected: Vec<String> = world
        .records()
        .await
        .iter()
        .map(|record| record["key"]["_row"].as_str().unwrap()[..32].to_owned())
        .collect();
    expected.sort();
    let rows = call(json!({"do": "keys", "table": "k", "buckets": {"digits": 0, "only": [""]}}));
    let mut found: Vec<String> = rows["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"][0].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}
