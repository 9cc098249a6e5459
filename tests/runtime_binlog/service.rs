//! The service's process, a server that logs rows, and what the records amount to.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{CURATED, ROOT};
use crate::log::Logged;
use crate::servers::{Kind, Server, USER};
use crate::world::World;

pub const PREFIX: &str = "/pipectl/p/local/binlog/";
const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";

/// A server that logs what the service needs, and a cloud.
pub async fn world(kind: Kind, options: &[&str]) -> World {
    let own: &[&str] = match kind {
        Kind::MySql => &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"],
        Kind::MariaDb => &["--log-bin=b", "--binlog-format=ROW"],
    };
    let both = ["--server-id=7", "--loose-binlog-row-metadata=FULL"];
    let server = Server::start_with(kind, &[&both, own, options].concat());
    server.sql(&format!(
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{USER}'@'%'"
    ));
    World::over(server, &[("PIPECTL_DATABASE_TLS", "off")]).await
}

/// The running service.
pub struct Service {
    process: Logged,
}

impl Service {
    pub fn start(world: &World, tables: &[&str], settings: &[(&str, &str)]) -> Self {
        let tables = tables.iter().map(|table| json!({"schema": "shop", "table": table}));
        Self::start_for(world, tables.collect(), settings)
    }

    /// For tables as the setting has them.
    pub fn start_for(world: &World, tables: Vec<Value>, settings: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pipectl-runtime"));
        process
            .arg("binlog")
            .env_clear()
            .envs([
                ("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL", world.cloud.endpoint.as_str()),
                ("AWS_ACCESS_KEY_ID", ROOT.0),
                ("AWS_SECRET_ACCESS_KEY", ROOT.1),
                ("PIPECTL_DATABASE_SECRET", "db"),
                ("PIPECTL_DATABASE_TLS", "off"),
                ("PIPECTL_STREAM", STREAM),
                ("PIPECTL_CHECKPOINT", PREFIX),
                ("PIPECTL_CURATED_BUCKET", CURATED),
            ])
            .env("PIPECTL_TABLES", Value::from(tables).to_string())
            .envs(settings.iter().copied());
        Self {
            process: Logged::start(&mut process),
        }
    }

    /// Waits for a line of the log with this action.
    pub fn wait(&self, action: &str) {
        for _ in 0..1200 {
            if self.log().iter().any(|line| line["action"] == action) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no `{action}`: {:?}", self.log());
    }

    /// The most memory the process ever had, in MiB.
    pub fn peak(&self) -> u64 {
        self.process.peak()
    }

    pub fn log(&self) -> Vec<Value> {
        self.process.log()
    }
}

/// Rows by table and key, as the records leave them: the highest `seq` of a key wins, and what is older than an `t` of
/// its table is gone.
#[derive(Default)]
pub struct Applied {
    keys: BTreeMap<(String, String), (String, Value)>,
    emptied: HashMap<String, String>,
}

impl Applied {
    pub fn apply(&mut self, record: &Value) {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        let (table, seq) = (text("table"), text("seq"));
        if record["op"] == "t" {
            let known = self.emptied.entry(table).or_default();
            *known = known.clone().max(seq);
            return;
        }
        let key = (table, record["key"].to_string());
        let newer = self.keys.get(&key).is_none_or(|(known, _)| *known < seq);
        if newer {
            self.keys.insert(key, (seq, record["after"].clone()));
        }
    }

    /// The rows of a table.
    pub fn rows(&self, table: &str) -> Vec<&Value> {
        let emptied = self.emptied.get(table);
        self.keys
            .iter()
            .filter(|((name, _), (seq, after))| {
                name == table && !after.is_null() && emptied.is_none_or(|emptied| seq >= emptied)
            })
            .map(|(_, (_, after))| after)
            .collect()
    }
}

/// Takes records until one has this value in its `after` (every table has a column `id`), and all that was logged
/// until then: batches are under way side by side, so the last row may come before others.
pub async fn until(world: &World, records: &mut Vec<Value>, table: &str, id: i64) {
    for _ in 0..1200 {
        records.extend(world.records().await);
        let found = |record: &Value| record["table"] == table && record["after"]["id"] == id;
        if records.iter().any(found) {
            caught_up(world).await;
            records.extend(world.records().await);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no row {id} of {table} among {} records", records.len());
}

/// Waits until everything that the server logged is acknowledged.
pub async fn caught_up(world: &World) {
    let files = world.server.sql("SHOW BINARY LOGS");
    let end: Vec<&str> = files.lines().last().unwrap().split('\t').collect();
    let mut known = Value::Null;
    for _ in 0..1200 {
        known = world.parameter(&format!("{PREFIX}position")).await.unwrap();
        if known["file"] == end[0] && known["position"].as_u64() == end[1].parse().ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the service does not reach {end:?}: {known}");
}
