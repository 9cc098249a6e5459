//! What cannot be read on: a binlog that is gone, a table that changes its shape.

use serde_json::{Value, json};

use crate::servers::{Kind, USER};
use crate::service::{Applied, PREFIX, Service, caught_up, until, world};

/// Down for longer than the server keeps its binlog: the tables are read anew, and what was deleted meanwhile goes.
#[tokio::test]
async fn a_purged_binlog_is_healed_without_losing_deletes() {
    let world = world(Kind::MySql, &[]).await;
    world
        .server
        .sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v INT); INSERT INTO shop.t VALUES (1, 1), (2, 2), (3, 3)");
    let mut records = Vec::new();
    let service = Service::start(&world, &["t"], &[]);
    service.wait("reading");
    world.server.sql("INSERT INTO shop.t VALUES (4, 4)");
    until(&world, &mut records, "t", 4).await;
    drop(service);
    world.server.sql(
        "DELETE FROM shop.t WHERE id = 2; UPDATE shop.t SET v = 30 WHERE id = 3; FLUSH BINARY LOGS; FLUSH BINARY LOGS",
    );
    let files = world.server.sql("SHOW BINARY LOGS");
    let last = files.lines().last().unwrap().split('\t').next().unwrap().to_owned();
    world.server.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
    let service = Service::start(&world, &["t"], &[]);
    service.wait("binlog lost");
    service.wait("snapshot");
    service.wait("reading");
    world.server.sql("INSERT INTO shop.t VALUES (5, 5)");
    until(&world, &mut records, "t", 5).await;
    let mut applied = Applied::default();
    records.iter().for_each(|record| applied.apply(record));
    let mut rows: Vec<Value> = applied.rows("t").into_iter().cloned().collect();
    rows.sort_by_key(|row| row["id"].as_i64());
    let expected = [(1, 1), (3, 30), (4, 4), (5, 5)];
    assert_eq!(rows, expected.map(|(id, v)| json!({"id": id, "v": v})));
}

/// A column that goes stops its table, with a next step, and the others go on.
#[tokio::test]
async fn a_dropped_column_stops_its_table_only() {
    let world = world(Kind::MariaDb, &[]).await;
    world.server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v INT); CREATE TABLE shop.u (id INT PRIMARY KEY); CREATE TABLE shop.nokey (id INT)");
    let service = Service::start(&world, &["t", "u", "nokey"], &[]);
    service.wait("reading");
    world.server.sql("ALTER TABLE shop.t DROP COLUMN v; INSERT INTO shop.t VALUES (7); INSERT INTO shop.nokey VALUES (1); INSERT INTO shop.u VALUES (8)");
    let mut records = Vec::new();
    until(&world, &mut records, "u", 8).await;
    assert!(
        records
            .iter()
            .all(|record| record["table"] == "u" || record["op"] == "t")
    );
    let told: Vec<String> = service
        .log()
        .iter()
        .filter(|line| line["action"] == "table stopped")
        .map(|line| line["detail"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("primary key")
            && told[1].contains("a column is dropped")
            && told[1].ends_with("pipectl backfill shop.t"),
        "{told:?}"
    );
    // Asked for, it is read anew; the other one is passed over again, since nothing is settled.
    let name = format!("{PREFIX}request");
    let request = |at: u64| json!({ "at": at, "tables": ["shop.t", "shop.nokey", "shop.unknown"] });
    world.set_parameter(&name, &request(1)).await;
    world
        .server
        .sql("INSERT INTO shop.u VALUES (9); INSERT INTO shop.t VALUES (8)");
    until(&world, &mut records, "t", 8).await;
    let mut applied = Applied::default();
    records.iter().for_each(|record| applied.apply(record));
    let mut rows = applied.rows("t");
    rows.sort_by_key(|row| row["id"].as_i64());
    assert_eq!(rows, [&json!({ "id": 7 }), &json!({ "id": 8 })]);
    let state = world.parameter(&format!("{PREFIX}position")).await.unwrap();
    assert_eq!(state["asked"], 1);
    assert_eq!(
        state["stopped"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["shop.nokey"]
    );
}

/// Without the names of columns a table is read only as it is now: what was logged before it was altered comes by a new
/// snapshot, deletes too.
#[tokio::test]
async fn a_table_altered_before_its_changes_were_read_is_read_anew() {
    let world = world(Kind::MariaDb, &["--binlog-row-metadata=NO_LOG"]).await;
    world.server.sql(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(9)); CREATE TABLE shop.gone (id INT PRIMARY KEY); CREATE TABLE shop.u (id INT PRIMARY KEY);
         INSERT INTO shop.t VALUES (1, 'a'), (2, 'b'); INSERT INTO shop.gone VALUES (1)",
    );
    let tables = ["t", "gone", "u"];
    let mut records = Vec::new();
    let service = Service::start(&world, &tables, &[]);
    service.wait("reading");
    world.server.sql("INSERT INTO shop.t VALUES (3, 'c')");
    until(&world, &mut records, "t", 3).await;
    drop(service);
    world.server.sql(
        "INSERT INTO shop.t VALUES (4, 'd'); DELETE FROM shop.t WHERE id = 1; INSERT INTO shop.gone VALUES (2); DROP TABLE shop.gone;
         ALTER TABLE shop.t ADD COLUMN w INT DEFAULT 7 FIRST; UPDATE shop.t SET v = 'B', w = 8 WHERE id = 2",
    );
    let service = Service::start(&world, &tables, &[]);
    service.wait("table altered");
    world
        .server
        .sql("INSERT INTO shop.t VALUES (9, 5, 'e'); INSERT INTO shop.u VALUES (9)");
    until(&world, &mut records, "t", 5).await;
    until(&world, &mut records, "u", 9).await;
    let log = service.log();
    assert!(log.iter().all(|line| line["level"] != "ERROR"), "{log:?}");
    assert_eq!(log.iter().filter(|line| line["action"] == "table altered").count(), 1);
    let mut applied = Applied::default();
    records.iter().rev().for_each(|record| applied.apply(record));
    let rows: Vec<(i64, i64, &str)> = applied
        .rows("t")
        .into_iter()
        .map(|row| {
            (
                row["id"].as_i64().unwrap(),
                row["w"].as_i64().unwrap(),
                row["v"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(rows, [(2, 8, "B"), (3, 7, "c"), (4, 7, "d"), (5, 9, "e")]);
    assert!(applied.rows("gone").is_empty());
}

/// What may not be seen is not gone: somebody has to hear of it.
#[tokio::test]
async fn a_table_that_may_not_be_seen_any_more_is_told() {
    let world = world(Kind::MariaDb, &["--binlog-row-metadata=NO_LOG"]).await;
    world.server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY)");
    let service = Service::start(&world, &["t"], &[]);
    service.wait("reading");
    drop(service);
    world.server.sql(&format!(
        "INSERT INTO shop.t VALUES (1); REVOKE SELECT ON *.* FROM '{USER}'@'%'"
    ));
    let service = Service::start(&world, &["t"], &[]);
    service.wait("table stopped");
    let log = service.log();
    let told = log.iter().find(|line| line["action"] == "table stopped").unwrap();
    assert!(told["detail"].as_str().unwrap().contains("GRANT SELECT"), "{told}");
}

/// A table whose key is another one than the warehouse merges by is passed over, and read anew when they agree.
#[tokio::test]
async fn another_key_stops_its_table_until_it_is_the_same() {
    let world = world(Kind::MariaDb, &[]).await;
    world.server.sql(
        "CREATE TABLE shop.early (a INT, b INT, PRIMARY KEY (a, b)); CREATE TABLE shop.u (id INT PRIMARY KEY); INSERT INTO shop.early VALUES (1, 1), (1, 2)",
    );
    let table = |name: &str, key: &[&str]| json!({"schema": "shop", "table": name, "keys": [key]});
    let service = Service::start_for(&world, vec![table("early", &["a"]), table("u", &["id"])], &[]);
    service.wait("reading");
    world
        .server
        .sql("INSERT INTO shop.early VALUES (1, 3); INSERT INTO shop.u VALUES (8)");
    let mut records = Vec::new();
    until(&world, &mut records, "u", 8).await;
    assert!(records.iter().all(|record| record["table"] == "u"), "{records:?}");
    let log = service.log();
    let told = log.iter().find(|line| line["action"] == "table stopped").unwrap();
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("(a)") && detail.contains("(a, b)") && detail.contains("pipectl deploy"),
        "{told}"
    );
    // The database has the key now that the warehouse has.
    world.server.sql("DELETE FROM shop.early WHERE b > 1; ALTER TABLE shop.early DROP PRIMARY KEY, ADD PRIMARY KEY (a); INSERT INTO shop.early VALUES (2, 2)");
    service.wait("table settled");
    world.server.sql("INSERT INTO shop.u VALUES (9)");
    until(&world, &mut records, "u", 9).await;
    let keys: Vec<&Value> = records
        .iter()
        .filter(|record| record["table"] == "early" && record["op"] == "i")
        .map(|record| &record["key"])
        .collect();
    assert_eq!(keys, [&json!({"a": 1}), &json!({"a": 2})]);
}

/// Another server under the same name, as after a failover: it goes on where the other was, by names of transactions.
/// Here the checkpoint says that it came from another one.
async fn goes_on_with_another_server(kind: Kind) {
    let world = world(kind, &[]).await;
    world.server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY)");
    let mut records = Vec::new();
    let first = Service::start(&world, &["t"], &[]);
    first.wait("reading");
    // One process at a time reads; the next one takes over when it is gone.
    let second = Service::start(&world, &["t"], &[]);
    second.wait("waiting");
    world.server.sql("INSERT INTO shop.t VALUES (1)");
    until(&world, &mut records, "t", 1).await;
    drop(first);
    second.wait("reading");
    world.server.sql("INSERT INTO shop.t VALUES (2)");
    until(&world, &mut records, "t", 2).await;
    let executed = match kind {
        Kind::MySql => "SELECT @@GLOBAL.gtid_executed",
        Kind::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
    };
    let executed = world.server.sql(executed);
    caught_up(&world).await;
    drop(second);
    let name = format!("{PREFIX}position");
    let mut checkpoint = world.parameter(&name).await.unwrap();
    assert_eq!(checkpoint["gtid"], executed.trim());
    (checkpoint["server"], checkpoint["file"]) = (json!("another"), json!("gone.000001"));
    world.set_parameter(&name, &checkpoint).await;
    world.server.sql("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (3)");
    let service = Service::start(&world, &["t"], &[]);
    service.wait("another server");
    let mut more = Vec::new();
    until(&world, &mut more, "t", 3).await;
    assert!(
        service
            .log()
            .iter()
            .all(|line| line["level"] != "ERROR" && line["action"] != "snapshot"),
        "{:?}",
        service.log()
    );
    let inserted: Vec<&Value> = more.iter().filter(|record| record["op"] == "i").collect();
    assert_eq!(inserted.len(), 1, "{more:?}");
    let generation: u64 = inserted[0]["seq"].as_str().unwrap()[..6].parse().unwrap();
    assert!(generation > checkpoint["generation"].as_u64().unwrap());
    assert!(
        records
            .iter()
            .all(|record| record["seq"].as_str() < inserted[0]["seq"].as_str())
    );
    assert!(inserted[0]["gtid"].is_string());
}

#[tokio::test]
async fn a_promoted_mysql_goes_on() {
    goes_on_with_another_server(Kind::MySql).await;
}

#[tokio::test]
async fn a_promoted_mariadb_goes_on() {
    goes_on_with_another_server(Kind::MariaDb).await;
}
