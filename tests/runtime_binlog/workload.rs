//! A random workload, a reader that is killed in between, and the records applied in any order: every table equals its
//! source.

use std::fmt::Write as _;

use serde_json::Value;

use crate::servers::{Kind, Server};
use crate::service::{Applied, Service, until, world};
use crate::world::World;

/// xorshift64* (Vigna, 2014): the same numbers from the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

const TABLES: &[&str] = &["one", "two", "late"];

/// One transaction.
fn transaction(random: &mut Random) -> String {
    let mut text = "BEGIN;".to_owned();
    for _ in 0..=random.below(6) {
        let (a, b, c) = (random.below(300), random.below(300), random.below(1000));
        let statement = match random.below(12) {
            0..=3 => format!("INSERT IGNORE INTO shop.one (id, v) VALUES ({a}, 'v{c}'), ({b}, NULL), ({c}, 'é{a}')"),
            4 => format!("UPDATE shop.one SET v = 'u{c}' WHERE id BETWEEN {a} AND {}", a + 20),
            5 => format!("DELETE FROM shop.one WHERE id BETWEEN {a} AND {}", a + 5),
            6 => format!(
                "UPDATE IGNORE shop.one SET id = id + 1000 - 2 * (id > 1000) * 1000 WHERE id = {b} OR id = {}",
                b + 1000
            ),
            7 => format!(
                "REPLACE INTO shop.two VALUES ('k{}', {b}, {c}, '2024-01-01 00:00:00.5', '{{\"c\": {c}}}')",
                a % 40
            ),
            8 => format!("UPDATE IGNORE shop.two SET part = {b} WHERE name = 'k{}'", a % 40),
            9 => format!("DELETE FROM shop.two WHERE part < {}", c % 20),
            10 => format!("INSERT INTO shop.late (id, v) VALUES ({a}, {c}) ON DUPLICATE KEY UPDATE v = v + 1"),
            _ => format!("SAVEPOINT s; DELETE FROM shop.one WHERE id < {a}; ROLLBACK TO s"),
        };
        let _ = write!(text, "{statement};");
    }
    text + if random.below(5) == 0 { "ROLLBACK;" } else { "COMMIT;" }
}

fn create(server: &Server) {
    server.sql(
        "CREATE TABLE shop.one (id INT PRIMARY KEY, v VARCHAR(50)) CHARACTER SET utf8mb4;
         CREATE TABLE shop.two (name VARCHAR(20), part INT, n BIGINT, at DATETIME(3), j JSON, PRIMARY KEY (part, name)) CHARACTER SET utf8mb4;
         CREATE TABLE shop.late (id INT NOT NULL, v INT, UNIQUE (id));
         CREATE TABLE shop.other (id INT PRIMARY KEY)",
    );
}

/// What a query says about a table is what the records make of it.
fn compare(world: &World, applied: &Applied) {
    for (table, columns) in [("one", "id, v"), ("two", "part, name, n, at, j"), ("late", "id, v")] {
        let mut expected: Vec<String> = world
            .server
            .sql(&format!("SELECT {columns} FROM shop.{table}"))
            .lines()
            .map(str::to_owned)
            .collect();
        let mut found: Vec<String> = applied
            .rows(table)
            .into_iter()
            .map(|row| {
                let cell = |name: &str| match &row[name] {
                    Value::Null => "NULL".to_owned(),
                    Value::String(text) => text.replace('T', " "),
                    other => other.to_string().replace(":", ": "),
                };
                columns.split(", ").map(cell).collect::<Vec<_>>().join("\t")
            })
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found.len(), expected.len(), "{table}");
        assert_eq!(found, expected, "{table}");
    }
}

async fn equal_in_the_end(kind: Kind, options: &[&str], seed: u64) {
    let world = world(kind, options).await;
    create(&world.server);
    let mut random = Random(seed);
    let mut run = |count: usize| {
        let text: String = (0..count).map(|_| transaction(&mut random)).collect();
        world.server.sql(&text);
    };
    run(200);
    // Chunks of seven rows, and a reader that is killed in the middle of them and later.
    let settings = [("PIPECTL_CHUNK_ROWS", "7")];
    let mut records = Vec::new();
    for round in 0..6 {
        let service = Service::start(&world, TABLES, &settings);
        run(150);
        if round == 3 {
            service.wait("reading");
            world.server.sql(
                "ALTER TABLE shop.one ADD COLUMN w DECIMAL(5,2) DEFAULT 1.5, MODIFY v VARCHAR(500); TRUNCATE TABLE shop.late;
                 DROP TABLE shop.two; CREATE TABLE shop.two (name VARCHAR(20), part INT, n BIGINT, at DATETIME(3), j JSON, PRIMARY KEY (part, name)) CHARACTER SET utf8mb4",
            );
            run(50);
        }
        records.extend(world.records().await);
        drop(service);
    }
    run(100);
    let service = Service::start(&world, TABLES, &settings);
    world
        .server
        .sql("INSERT INTO shop.other VALUES (1); INSERT INTO shop.one (id) VALUES (99999)");
    until(&world, &mut records, "one", 99_999).await;
    let alarms: Vec<Value> = service
        .log()
        .into_iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert!(alarms.is_empty(), "{alarms:?}");
    let mut applied = Applied::default();
    records.iter().rev().for_each(|record| applied.apply(record));
    compare(&world, &applied);
    // Once more and in another order: nothing changes.
    for (index, record) in records.iter().enumerate() {
        if index % 3 != 1 {
            applied.apply(record);
        }
    }
    compare(&world, &applied);
}

#[tokio::test]
async fn tables_of_mysql_are_equal_in_the_end() {
    equal_in_the_end(Kind::MySql, &["--binlog-transaction-compression=ON"], 1).await;
}

#[tokio::test]
async fn tables_of_mariadb_are_equal_in_the_end() {
    equal_in_the_end(Kind::MariaDb, &[], 2).await;
}
