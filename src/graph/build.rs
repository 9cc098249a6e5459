//! The whole graph of a pipeline.
//!
//! Order: what reads comes before what writes, so the source is switched on last and nothing arrives unheard.

use crate::model::{Model, Source, Target};
use crate::snowflake::sql::Templates;

use super::{Graph, files, landing, mysql, snowflake};

/// Builds the graph of `model`.
pub fn build(model: &Model) -> anyhow::Result<Graph> {
    let mut graph = Graph::default();
    let shared = landing::shared(model, &mut graph)?;
    let mut listening = Vec::new();
    for target in &model.targets {
        match target {
            Target::Snowflake(target) => {
                let templates = Templates::new()?;
                listening.extend(snowflake::contribute(model, target, &shared, &templates, &mut graph)?);
            }
        }
    }
    match &model.source {
        Source::Files(source) => {
            let buckets = files::contribute(model, source, &shared, &mut graph)?;
            landing::storage(model, buckets, listening, &mut graph)?;
        }
        Source::Mysql(source) => {
            let stages = mysql::contribute(model, source, &shared, &mut graph)?;
            let storage = landing::storage(model, vec![], listening, &mut graph)?;
            mysql::switch_on(model, source, &shared, stages, storage, &mut graph)?;
        }
    }
    graph.settle();
    debug_assert!(graph.unsound_edges().is_empty(), "{:?}", graph.unsound_edges());
    Ok(graph)
}
