//! The source `mysql`. By watermark: EventBridge Scheduler → Lambda `extract` → Kinesis → Firehose → curated bucket. By
//! the binary log: a reader that runs all the time → Kinesis → Firehose, which asks Lambda `transform` → curated bucket.
//!
//! Stacks: `source` (the way to the database, and the database where pipectl makes it), `stream` (Kinesis and
//! Firehose), `extract` (the function that reads tables; by the binary log only to compare), `transform`, and last, when
//! everything behind listens, `schedule` or `reader`.

mod access;
mod database;
pub mod extract;
pub mod reader;
pub mod schedule;
mod stream;
#[cfg(test)]
mod tests;
pub mod transform;

use std::collections::BTreeSet;

use anyhow::Context as _;

use serde_json::{Value, json};

use crate::model::{Capture, Model, MysqlSource, Origin};
use crate::spec::mysql::TableName;

use super::landing::Shared;
use super::policy::{Principal, Statement};
use super::{Graph, NodeId};
use access::Access;

/// Nodes that what starts the flow waits for.
pub struct Stages {
    flow: Vec<NodeId>,
}

/// Adds the stacks that carry records.
pub fn contribute(model: &Model, source: &MysqlSource, shared: &Shared, graph: &mut Graph) -> anyhow::Result<Stages> {
    let database = database::contribute(model, source, graph)?;
    let flow = match &source.capture {
        Capture::Watermark { .. } => {
            let access = Access::of(model, source).context("the source has no database")?;
            let stream = stream::contribute(model, source, None, shared, graph)?;
            let extract = extract::contribute(model, source, &access, shared, database, graph)?;
            vec![stream, extract]
        }
        Capture::Binlog(reader) => {
            let transform = transform::contribute(model, reader, shared, graph)?;
            let stream = stream::contribute(model, source, Some(transform), shared, graph)?;
            // Nothing waits for what only compares.
            if let Some(access) = Access::of(model, source) {
                extract::contribute(model, source, &access, shared, database.clone(), graph)?;
            }
            std::iter::once(stream).chain(database).collect()
        }
    };
    Ok(Stages { flow })
}

/// Adds what starts the flow, last.
pub fn switch_on(
    model: &Model,
    source: &MysqlSource,
    shared: &Shared,
    stages: Stages,
    storage: NodeId,
    graph: &mut Graph,
) -> anyhow::Result<()> {
    let mut needs = stages.flow;
    needs.push(storage);
    match &source.capture {
        Capture::Watermark { schedule } => schedule::contribute(model, source, schedule, shared, needs, graph),
        Capture::Binlog(reader) => reader::contribute(model, source, reader, shared, needs, graph),
    }
}

/// ARN of the stream of changes.
pub fn stream_arn(model: &Model, source: &MysqlSource) -> String {
    model.names.arn("kinesis", &format!("stream/{}", source.stream))
}

/// The keys of the typed tables that are loaded from a table of the source, as columns of that; but for those that cannot
/// be told, or not in a server's settings.
pub fn keys(model: &Model, name: &TableName) -> Vec<Vec<String>> {
    let tables = model.tables.iter().filter(|table| match &table.origin {
        Origin::Mysql(origin) => origin.name == *name,
        Origin::File { .. } => false,
    });
    let keys = tables.filter_map(|table| {
        let columns = table.columns.iter().filter(|column| column.key);
        let plain = |column: &str| !column.contains(['\'', '"', '\\']) && !column.contains(char::is_control);
        columns
            .map(|column| column.source_column().filter(|column| plain(column)).map(str::to_owned))
            .collect::<Option<Vec<String>>>()
    });
    let keys: BTreeSet<Vec<String>> = keys.collect();
    keys.into_iter().collect()
}

/// The runtime's settings of where rows go that are no records of the stream.
fn landing(model: &Model) -> [(&'static str, Value); 3] {
    [
        ("PIPECTL_CURATED_BUCKET", json!(model.landing.bucket)),
        ("PIPECTL_CURATED_PREFIX", json!(model.landing.prefix)),
        ("PIPECTL_ERROR_PREFIX", json!(model.landing.error_prefix)),
    ]
}

/// Sending rows to the stream, and to the curated bucket those that the stream cannot take.
fn sending(model: &Model, source: &MysqlSource) -> [Statement; 2] {
    let curated = |prefix: &str| {
        model
            .names
            .bucket_arn(&model.landing.bucket, Some(&format!("{prefix}*")))
    };
    [
        Statement::allow(
            "Send",
            Principal::Holder,
            &["kinesis:PutRecords"],
            &[stream_arn(model, source)],
        ),
        Statement::allow(
            "WriteCurated",
            Principal::Holder,
            &["s3:PutObject", "s3:AbortMultipartUpload"],
            &[curated(model.landing.prefix), curated(model.landing.error_prefix)],
        ),
    ]
}
