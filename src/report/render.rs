//! The files of `pipectl render`: the same bytes on every run and machine.

use std::collections::BTreeMap;

use crate::graph::object::{Actor, Kind, Object};
use crate::graph::{Graph, NodeId};

/// Groups of SQL files, in the order they are run in.
const GROUPS: [(&str, &[Kind]); 7] = [
    ("access", &[Kind::Role, Kind::Warehouse]),
    (
        "integrations",
        &[Kind::StorageIntegration, Kind::NotificationIntegration],
    ),
    ("database", &[Kind::Database, Kind::Schema]),
    ("stage", &[Kind::FileFormat, Kind::Stage]),
    ("tables", &[Kind::Table]),
    ("pipes", &[Kind::Stream, Kind::Pipe]),
    ("tasks", &[Kind::Task]),
];

/// Path and text of every file.
pub fn files(graph: &Graph) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (position, (node, stack)) in graph.stacks().enumerate() {
        let part = part(&node.id);
        files.insert(
            format!("cloudformation/{:02}-{part}.yaml", position + 1),
            stack.adopting_all().yaml()?,
        );
    }
    for (position, (name, kinds)) in GROUPS.iter().enumerate() {
        let objects: Vec<&Object> = graph
            .objects()
            .map(|(_, object)| object)
            .filter(|object| kinds.contains(&object.kind))
            .collect();
        if !objects.is_empty() {
            files.insert(format!("snowflake/{:02}-{name}.sql", position + 1), sql(&objects));
        }
    }
    files.insert("graph.mmd".to_owned(), graph.mermaid());
    Ok(files)
}

fn part(id: &NodeId) -> &str {
    id.0.rsplit(':').next().unwrap_or(&id.0)
}

fn sql(objects: &[&Object]) -> String {
    let mut text = String::new();
    for object in objects {
        let role = match object.actor {
            Actor::Deployer => "the deploying role",
            Actor::Owner => "the pipeline's OWNER role",
            Actor::Loader => "the pipeline's LOADER role",
        };
        text.push_str(&format!("-- {} {}, made by {role}\n", object.kind, object.name));
        for statement in object.statements.create.iter().chain(&object.statements.grants) {
            text.push_str(statement);
            text.push_str(";\n");
        }
        text.push('\n');
    }
    text
}
