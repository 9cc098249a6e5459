//! Worlds for tests: the example's graph, and the clouds in which it is deployed.

use std::collections::BTreeMap;

use super::make::World;
use crate::aws::observe::LiveStack;
use crate::graph::Graph;
use crate::graph::build::build;
use crate::graph::object::{Kind, Object};
use crate::graph::properties::Properties;
use crate::graph::stack::Stack;
use crate::model::names::Names;
use crate::model::{Model, resolve};
use crate::snowflake::mark;
use crate::snowflake::observe::{LiveColumn, LiveObject};
use crate::spec;

pub const EXAMPLE: &str = include_str!("../../examples/files/pipeline.toml");

fn model(text: &str) -> Model {
    let document = spec::parse(text, "pipeline.toml", "local").unwrap_or_else(|report| panic!("{report}"));
    resolve(&document.spec, "local").unwrap()
}

pub fn graph(text: &str) -> (Graph, Names) {
    let model = model(text);
    (build(&model).unwrap(), model.names)
}

/// The world in which `graph` is deployed.
pub fn deployed(graph: &Graph, names: &Names) -> World {
    let stack = |stack: &Stack| LiveStack {
        status: "CREATE_COMPLETE".to_owned(),
        template: stack.template.clone(),
        parameters: stack
            .parameters
            .keys()
            .map(|key| (key.clone(), "KEY".to_owned()))
            .collect(),
        tags: stack.tags.clone(),
        outputs: stack.template["Outputs"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| (key.clone(), "KEY".to_owned()))
            .collect(),
        causes: vec![],
    };
    let object = |object: &Object| {
        let properties = object.properties().into_iter();
        let mut properties: Properties = properties.map(|(name, value)| (name, value.into_owned())).collect();
        if object.kind == Kind::Task {
            properties.insert("state", "started");
        }
        let columns = object.columns.iter().map(|column| LiveColumn {
            name: column.name.as_str().to_owned(),
            data_type: column.data_type.clone(),
            not_null: column.not_null,
            has_default: false,
            comment: column.comment.clone().unwrap_or_default(),
        });
        LiveObject {
            comment: mark::comment(&object.about, &names.mark(), &object.hash),
            properties,
            columns: columns.collect(),
            key: object.key.iter().map(|name| name.as_str().to_owned()).collect(),
            key_is_relied_on: !object.key.is_empty(),
            grants: Some(object.grants.clone()),
        }
    };
    World {
        stacks: graph
            .stacks()
            .map(|(_, found)| (found.name.clone(), stack(found)))
            .collect(),
        objects: graph
            .objects()
            .map(|(_, found)| ((found.kind, found.name.clone()), object(found)))
            .collect(),
        buckets: Default::default(),
        findings: BTreeMap::new(),
        runtime_key: "KEY".to_owned(),
        foreseen: Default::default(),
    }
}
