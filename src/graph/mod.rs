//! The pipeline as typed nodes and edges: what must exist, and what each needs before it.
//!
//! Built from the model without any I/O. A source and a target each contribute nodes ([`build`]); adding one is adding a
//! file beside `files.rs` or a folder beside `snowflake/`.

pub mod alarm;
pub mod apply;
pub mod build;
mod files;
mod landing;
pub mod mysql;
mod notify;
pub mod object;
pub mod policy;
pub mod properties;
pub mod snowflake;
pub mod stack;
mod template;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use landing::CURATED_BUCKET;
use object::Object;
use stack::{Stack, Upload};

/// Name of a node, such as `aws:ingest` or `snowflake:pipe:D.S.P`. Also the id of its steps in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl NodeId {
    /// The node of a Snowflake object, whether the graph still has it or not.
    pub fn of_object(kind: object::Kind, name: &crate::snowflake::ident::Name) -> Self {
        NodeId(format!("snowflake:{}:{name}", kind.label().replace(' ', "-")))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that must exist.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name in the graph.
    pub id: NodeId,
    /// What must be ready before it is made.
    pub needs: Vec<NodeId>,
    /// Resources of a needed stack that are enough, by the node of the stack; all of it where none are named.
    pub enough: BTreeMap<NodeId, Vec<&'static str>>,
    /// What it is.
    pub body: Body,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Body {
    /// A CloudFormation stack.
    Stack(Stack),
    /// A file in the artefact bucket.
    Upload(Upload),
    /// A Snowflake object.
    Object(Object),
}

/// All nodes, each after what it needs.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Adds a node. Nodes are added after what they need, so the order of insertion is an order of deployment.
    pub fn add(&mut self, id: impl Into<String>, needs: Vec<NodeId>, body: Body) -> NodeId {
        let id = NodeId(id.into());
        self.nodes.push(Node {
            id: id.clone(),
            needs,
            enough: BTreeMap::new(),
            body,
        });
        id
    }

    /// Gives back the room for nodes that do not come any more.
    pub(super) fn settle(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// Says that the last node need not wait for all of a new stack, but only for these resources of it. Only for what
    /// comes to the same when the stack fails after them and is made anew: a subscription, for one, would be lost.
    pub fn enough(&mut self, stack: NodeId, resources: &[&'static str]) {
        if let Some(node) = self.nodes.last_mut() {
            node.enough.insert(stack, resources.to_vec());
        }
    }

    /// The nodes in an order of deployment.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The stacks in an order of deployment.
    pub fn stacks(&self) -> impl Iterator<Item = (&Node, &Stack)> {
        self.nodes.iter().filter_map(|node| match &node.body {
            Body::Stack(stack) => Some((node, stack)),
            _ => None,
        })
    }

    /// The Snowflake objects in an order of deployment.
    pub fn objects(&self) -> impl Iterator<Item = (&Node, &Object)> {
        self.nodes.iter().filter_map(|node| match &node.body {
            Body::Object(object) => Some((node, object)),
            _ => None,
        })
    }

    /// The same, to be completed when all of them are known.
    pub(super) fn objects_mut(&mut self) -> impl Iterator<Item = &mut Object> {
        self.nodes.iter_mut().filter_map(|node| match &mut node.body {
            Body::Object(object) => Some(object),
            _ => None,
        })
    }

    /// Removes the Snowflake objects, for who has a plan of them and carries it out: what is still asked for then is stacks.
    pub fn forget_objects(&mut self) {
        self.nodes
            .retain(|node| !matches!(node.body, Body::Object(_)) || !node.enough.is_empty());
        self.nodes.shrink_to_fit();
    }

    /// Edges that name a node that is not there or stands later; empty for a sound graph.
    pub fn unsound_edges(&self) -> Vec<(NodeId, NodeId)> {
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for node in &self.nodes {
            wrong.extend(
                node.needs
                    .iter()
                    .filter(|id| !seen.contains(*id))
                    .map(|id| (node.id.clone(), id.clone())),
            );
            seen.insert(node.id.clone());
        }
        wrong
    }

    /// Gives the graph to `write` as a Mermaid flowchart: <https://mermaid.js.org/syntax/flowchart.html>.
    pub fn mermaid(&self, mut write: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let short: BTreeMap<&NodeId, usize> = self.nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
        write("flowchart LR\n")?;
        for (position, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.body {
                Body::Stack(_) => ("[", "]"),
                Body::Upload(_) => ("[/", "/]"),
                Body::Object(_) => ("(", ")"),
            };
            write(&format!("  n{position}{open}\"{}\"{close}\n", node.id))?;
        }
        for (position, node) in self.nodes.iter().enumerate() {
            for need in node.needs.iter().filter_map(|need| short.get(need)) {
                write(&format!("  n{need} --> n{position}\n"))?;
            }
        }
        Ok(())
    }
}
