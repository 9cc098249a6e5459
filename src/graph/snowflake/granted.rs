//! Which grants each object must have, whichever object's statements make them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::graph::object::{Kind, Object};
use crate::snowflake::grant::{Grant, On};
use crate::snowflake::ident::Name;

/// A word, and what it is about.
type Kept = (Cow<'static, str>, Name);

/// Gives every object the grants on it: those that are stated, and for what is in a schema those that the schema promises
/// to all that is made in it. A grant on what the pipeline does not make belongs to the role that has it.
pub fn settle(graph: &mut Graph) {
    let mut on: BTreeMap<(&'static str, Name), Vec<Grant>> = BTreeMap::new();
    let mut future: BTreeMap<Kept, Vec<Kept>> = BTreeMap::new();
    let mut made: BTreeMap<Name, Vec<&'static str>> = BTreeMap::new();
    for (kind, name) in graph.objects().map(|(_, object)| key(object)) {
        made.entry(name).or_default().push(kind);
    }
    let stated = graph.objects().flat_map(|(_, object)| &object.statements.grants);
    for grant in stated.filter_map(|sql| Grant::of_statement(sql)).flatten() {
        if let On::Future(kind, schema) = &grant.on {
            let promised = future.entry((kind.clone(), schema.clone())).or_default();
            promised.push((grant.privilege.clone(), grant.role.clone()));
        }
        let home = match &grant.on {
            On::Object(kind, name) => {
                let kinds = made.get(name).into_iter().flatten();
                kinds
                    .copied()
                    .find(|made| made == kind)
                    .map(|kind| (kind, name.clone()))
            }
            On::Future(_, schema) => Some(("SCHEMA", schema.clone())),
            On::Account => None,
        };
        let home = home.unwrap_or_else(|| ("ROLE", grant.role.clone()));
        on.entry(home).or_default().push(grant);
    }
    for object in graph.objects_mut() {
        let stated = on.remove(&key(object)).unwrap_or_default();
        let (kind, name) = key(object);
        let promised = name.parent().and_then(|schema| future.get(&(kind.into(), schema)));
        let promised = promised.into_iter().flatten().map(|(privilege, role)| Grant {
            privilege: privilege.clone(),
            on: On::Object(kind.into(), name.clone()),
            role: role.clone(),
        });
        object.grants = stated.into_iter().chain(promised).collect();
    }
}

fn key(object: &Object) -> (&'static str, Name) {
    (securable(object.kind), object.name.clone())
}

/// The kind in the words of GRANT.
pub fn securable(kind: Kind) -> &'static str {
    match kind {
        Kind::Role => "ROLE",
        Kind::User => "USER",
        Kind::Warehouse => "WAREHOUSE",
        Kind::StorageIntegration | Kind::NotificationIntegration => "INTEGRATION",
        Kind::Database => "DATABASE",
        Kind::Schema => "SCHEMA",
        Kind::FileFormat => "FILE FORMAT",
        Kind::Stage => "STAGE",
        Kind::Table => "TABLE",
        Kind::Pipe => "PIPE",
        Kind::Stream => "STREAM",
        Kind::Procedure => "PROCEDURE",
        Kind::Task => "TASK",
    }
}
