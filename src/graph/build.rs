//! The whole graph of a pipeline.
//!
//! Order: what reads comes before what writes, so the source is switched on last and nothing arrives unheard.

use crate::model::{Model, Source, Target};
use crate::snowflake::sql::Templates;

use super::{Graph, files, landing, snowflake};

/// Builds the graph of `model`.
pub fn build(model: &Model) -> anyhow::Result<Graph> {
    let mut graph = Graph::default();
    let shared = landing::shared(model, &mut graph)?;
    let mut listening = Vec::new();
    for target in &model.targets {
        match target {
            Target::Snowflake(target) => {
                listening.extend(snowflake::contribute(model, target, &Templates::new()?, &mut graph)?);
            }
        }
    }
    let buckets = match &model.source {
        Source::Files(source) => files::contribute(model, source, &shared, &mut graph)?,
    };
    landing::storage(model, buckets, listening, &mut graph)?;
    debug_assert!(graph.unsound_edges().is_empty(), "{:?}", graph.unsound_edges());
    Ok(graph)
}
