//! The files of `pipectl render`: the same bytes on every run and machine.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::graph::object::{Actor, Kind, Object};
use crate::graph::snowflake::hexadecimal;
use crate::graph::{Graph, NodeId};

/// Groups of SQL files, in the order they are run in.
const GROUPS: [(&str, &[Kind]); 8] = [
    ("access", &[Kind::Role, Kind::User, Kind::Warehouse]),
    (
        "integrations",
        &[Kind::StorageIntegration, Kind::NotificationIntegration],
    ),
    ("database", &[Kind::Database, Kind::Schema]),
    ("stage", &[Kind::FileFormat, Kind::Stage]),
    ("tables", &[Kind::Table]),
    ("pipes", &[Kind::Stream, Kind::Pipe]),
    ("tasks", &[Kind::Task]),
    ("procedures", &[Kind::Procedure]),
];

/// Takes what is rendered, piece by piece: a large pipeline is rendered without holding all its text.
pub trait Sink {
    /// Another file begins.
    fn file(&mut self, path: &str) -> anyhow::Result<()>;
    /// The file goes on.
    fn text(&mut self, text: &str) -> anyhow::Result<()>;
}

/// Renders every file into `sink`.
pub fn render(graph: &Graph, sink: &mut impl Sink) -> anyhow::Result<()> {
    for (position, (node, stack)) in graph.stacks().enumerate() {
        sink.file(&format!("cloudformation/{:02}-{}.yaml", position + 1, part(&node.id)))?;
        sink.text(&stack.adopting_all().yaml()?)?;
    }
    sink.file("graph.mmd")?;
    graph.mermaid(|text| sink.text(text))?;
    for (position, (name, kinds)) in GROUPS.iter().enumerate() {
        let objects = graph.objects().map(|(_, object)| object);
        let mut objects = objects.filter(|object| kinds.contains(&object.kind)).peekable();
        if objects.peek().is_some() {
            sink.file(&format!("snowflake/{:02}-{name}.sql", position + 1))?;
        }
        objects.try_for_each(|object| sql(object, sink))?;
    }
    Ok(())
}

/// Keeps the hash of every file, by its path, and one of all of them.
#[derive(Default)]
pub struct Hashes {
    /// Those of the files that are whole.
    files: BTreeMap<String, String>,
    current: Option<(String, Sha256)>,
    all: Sha256,
}

impl Hashes {
    /// The hashes of what `graph` renders.
    pub fn of(graph: &Graph) -> anyhow::Result<Self> {
        let mut hashes = Hashes::default();
        render(graph, &mut hashes)?;
        hashes.end();
        Ok(hashes)
    }

    /// The hash of each file, by its path.
    pub fn files(self) -> BTreeMap<String, String> {
        self.files
    }

    /// The hash of all files in their order.
    pub fn all(self) -> String {
        hexadecimal(self.all)
    }

    fn end(&mut self) {
        if let Some((path, hash)) = self.current.take() {
            self.files.insert(path, hexadecimal(hash));
        }
    }
}

impl Sink for Hashes {
    fn file(&mut self, path: &str) -> anyhow::Result<()> {
        self.end();
        self.current = Some((path.to_owned(), Sha256::new()));
        Ok(())
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        if let Some((_, hash)) = &mut self.current {
            hash.update(text);
        }
        self.all.update(text);
        Ok(())
    }
}

fn part(id: &NodeId) -> &str {
    id.0.rsplit(':').next().unwrap_or(&id.0)
}

fn sql(object: &Object, sink: &mut impl Sink) -> anyhow::Result<()> {
    let role = match object.actor {
        Actor::Deployer => "the deploying role",
        Actor::Owner => "the pipeline's OWNER role",
        Actor::Loader => "the pipeline's LOADER role",
    };
    sink.text(&format!("-- {} {}, made by {role}\n", object.kind, object.name))?;
    for statement in object.statements.create.iter().chain(&object.statements.grants) {
        sink.text(statement)?;
        sink.text(";\n")?;
    }
    sink.text("\n")
}
