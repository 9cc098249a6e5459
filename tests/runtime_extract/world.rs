//! A database, a cloud and the function between them.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::types::ShardIteratorType;
use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, ROOT, config};
use crate::function::Function;
use crate::servers::{Kind, PASSWORD, Server, USER};

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";
const PARAMETERS: &str = "/pipectl/p/local/watermark/";

pub struct World {
    pub server: Server,
    pub cloud: Cloud,
    pub function: Function,
    kinesis: aws_sdk_kinesis::Client,
    ssm: aws_sdk_ssm::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
    read: std::cell::RefCell<BTreeMap<String, String>>,
}

impl World {
    /// Without TLS, which servers on this machine may do without.
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, &[("PIPECTL_DATABASE_TLS", "off")]).await
    }

    pub async fn with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::over(Server::start(kind), settings).await
    }

    /// With this server.
    pub async fn over(server: Server, settings: &[(&str, &str)]) -> Self {
        let cloud = Cloud::start(false).await;
        let config = config(&cloud.endpoint).await;
        let kinesis = aws_sdk_kinesis::Client::new(&config);
        kinesis
            .create_stream()
            .stream_name("changes")
            .shard_count(2)
            .send()
            .await
            .unwrap();
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let secret = secret(server.port, PASSWORD);
        secrets
            .create_secret()
            .name("db")
            .secret_string(secret)
            .send()
            .await
            .unwrap();
        let roots = server.roots().display().to_string();
        let function = function(&cloud, &[&[("PIPECTL_DATABASE_CA", roots.as_str())], settings].concat());
        Self {
            server,
            kinesis,
            ssm: aws_sdk_ssm::Client::new(&config),
            secrets,
            function,
            cloud,
            read: std::cell::RefCell::default(),
        }
    }

    pub fn extract(&self, event: &Value) -> Value {
        self.within(Duration::from_secs(120), event).unwrap()
    }

    pub fn within(&self, limit: Duration, event: &Value) -> Result<Value, Value> {
        self.function.invoke(limit, event)
    }

    /// The records since the last look, in the order of `seq`.
    pub async fn records(&self) -> Vec<Value> {
        let lines = self.lines().await;
        let mut records: Vec<Value> = lines
            .iter()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
            .collect();
        records.sort_by_key(|record: &Value| record["seq"].as_str().unwrap().to_owned());
        records
    }

    /// The text of the records since the last look.
    pub async fn lines(&self) -> Vec<String> {
        let mut records = Vec::new();
        let shards = self.kinesis.list_shards().stream_name("changes").send().await.unwrap();
        for shard in shards.shards() {
            let id = shard.shard_id().to_owned();
            let request = self.kinesis.get_shard_iterator().stream_name("changes").shard_id(&id);
            let last = self.read.borrow().get(&id).cloned();
            let request = match last {
                Some(number) => request
                    .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                    .starting_sequence_number(number),
                None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            };
            let mut iterator = request.send().await.unwrap().shard_iterator;
            while let Some(at) = iterator {
                let answer = self
                    .kinesis
                    .get_records()
                    .shard_iterator(at)
                    .limit(10_000)
                    .send()
                    .await
                    .unwrap();
                if answer.records().is_empty() {
                    break;
                }
                for record in answer.records() {
                    let text = std::str::from_utf8(record.data().as_ref()).unwrap();
                    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
                    records.push(text.to_owned());
                    self.read
                        .borrow_mut()
                        .insert(id.clone(), record.sequence_number().to_owned());
                }
                iterator = answer.next_shard_iterator;
            }
        }
        records
    }

    /// One column of the records since the last look, in the order of reading.
    pub async fn sent(&self, column: &str) -> Vec<Value> {
        self.records()
            .await
            .iter()
            .map(|record| record["after"][column].clone())
            .collect()
    }

    pub async fn state(&self, table: &str) -> Option<Value> {
        self.parameter(&format!("{PARAMETERS}shop.{table}")).await
    }

    pub async fn parameter(&self, name: &str) -> Option<Value> {
        let answer = self.ssm.get_parameter().name(name).send().await.ok()?;
        Some(serde_json::from_str(answer.parameter?.value()?).unwrap())
    }

    pub async fn set_state(&self, table: &str, state: &Value) {
        self.set_parameter(&format!("{PARAMETERS}shop.{table}"), state).await;
    }

    pub async fn set_parameter(&self, name: &str, value: &Value) {
        let request = self.ssm.put_parameter().name(name).value(value.to_string());
        request
            .overwrite(true)
            .r#type(aws_sdk_ssm::types::ParameterType::String)
            .send()
            .await
            .unwrap();
    }
}

pub fn secret(port: u16, password: &str) -> String {
    json!({"host": "127.0.0.1", "port": port, "username": USER, "password": password}).to_string()
}

/// The function on this cloud.
pub fn function(cloud: &Cloud, settings: &[(&str, &str)]) -> Function {
    let own = [
        ("_HANDLER", "extract"),
        ("PIPECTL_DATABASE_SECRET", "db"),
        ("PIPECTL_STREAM", STREAM),
        ("PIPECTL_WATERMARKS", PARAMETERS),
        ("PIPECTL_CURATED_BUCKET", CURATED),
    ];
    Function::with(cloud, ROOT, &[&own, settings].concat())
}

pub fn event(table: &str, watermark: &[&str], overlap: Value) -> Value {
    json!({"do": "extract", "schema": "shop", "table": table, "watermark": watermark, "overlap": overlap})
}
