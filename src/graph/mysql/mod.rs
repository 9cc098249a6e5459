//! The source `mysql` by watermark: EventBridge Scheduler → Lambda `extract` → Kinesis → Firehose → curated bucket.
//!
//! Stacks: `source` (the way to the database, and the database where pipectl makes it), `stream` (Kinesis and
//! Firehose), `extract` (the function), `schedule` (switched on last, when everything behind listens).

mod database;
pub mod extract;
pub mod schedule;
mod stream;

use crate::model::{Model, MysqlSource};

use super::landing::Shared;
use super::{Graph, NodeId};

/// Nodes that the schedule, which starts the flow, waits for.
pub struct Stages {
    flow: Vec<NodeId>,
}

/// Adds the stacks that carry records.
pub fn contribute(model: &Model, source: &MysqlSource, shared: &Shared, graph: &mut Graph) -> anyhow::Result<Stages> {
    let database = database::contribute(model, source, graph)?;
    let stream = stream::contribute(model, source, shared, graph)?;
    let extract = extract::contribute(model, source, shared, database, graph)?;
    Ok(Stages {
        flow: vec![stream, extract],
    })
}

/// Adds the schedule, last.
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
    schedule::contribute(model, source, shared, needs, graph)
}
