//! The plan of a destroy: everything that is the pipeline's, in reverse order. Pure.
//!
//! It goes by what is there, not by the file: stacks by their tags, objects by their marks. Buckets that hold objects
//! and tables that hold rows stay unless their deletion is asked for; so does what they need to be used.

use std::collections::BTreeMap;

use super::adopt::{self, Adopted};
use super::{Action, Plan, Step, StepKind, tasks};
use crate::aws::observe::LiveStacks;
use crate::graph::object::{Actor, Kind};
use crate::graph::snowflake::securable;
use crate::graph::stack::Stack;
use crate::graph::{Graph, NodeId};
use crate::model::names::Names;
use crate::snowflake::ident::Name;
use crate::snowflake::observe::{LiveObject, LiveObjects};

/// What a destroy finds.
pub struct Found {
    /// The stacks with the pipeline's tags.
    pub stacks: LiveStacks,
    /// The Snowflake objects.
    pub objects: LiveObjects,
    /// Objects and versions in the buckets that the stacks hold, by stack and bucket; a bucket that is gone is absent.
    pub buckets: BTreeMap<(String, String), u64>,
    /// Views in its database; pipectl makes none.
    pub views: Vec<Name>,
    /// Buckets that were taken over.
    pub adopted: Vec<Adopted>,
    /// Whether the pipeline has parameters.
    pub parameters: bool,
}

/// What stays, and why.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Kept {
    /// What it is.
    pub target: String,
    /// Why it stays.
    pub reason: String,
}

/// Who owns objects of a kind, and so drops them.
fn actor(kind: Kind) -> Actor {
    match kind {
        Kind::Role | Kind::User | Kind::Warehouse | Kind::StorageIntegration | Kind::NotificationIntegration => {
            Actor::Deployer
        }
        Kind::Pipe | Kind::Procedure | Kind::Task => Actor::Loader,
        Kind::Database | Kind::Schema | Kind::FileFormat | Kind::Stream => Actor::Owner,
        // In a database of somebody else's the deploying role owns them itself; it holds the OWNER role everywhere.
        Kind::Stage | Kind::Table => Actor::Deployer,
    }
}

/// Plans the removal.
pub fn plan(graph: &Graph, found: &Found, names: &Names, delete_data: bool) -> (Plan, Vec<Kept>) {
    let mut steps: Vec<Step> = Vec::new();
    let mut kept = Vec::new();
    let mut last: Vec<NodeId> = Vec::new();
    let mut add = |wave: Vec<Step>| {
        if !wave.is_empty() {
            let ids = wave.iter().map(|step| step.id.clone()).collect();
            steps.extend(wave.into_iter().map(|step| Step {
                needs: last.clone(),
                ..step
            }));
            last = ids;
        }
    };
    let owner = names.mark();
    let roots = tasks::roots(ours(found, &owner, Kind::Task));
    add(roots.map(|root| tasks::suspend(root, "")).collect());
    let stacks: Vec<_> = graph
        .stacks()
        .map(|(node, stack)| (node.id.clone(), stack.clone()))
        .collect();
    // Sources go first, so that nothing arrives while the rest is taken away.
    for (id, stack) in stacks.iter().rev() {
        if id.0 == "aws:delivery" {
            for wave in objects(found, names, delete_data, &mut kept) {
                add(wave);
            }
        }
        let adopted = found.adopted.iter().filter(|adopted| adopted.stack == stack.name);
        add(adopted.map(|adopted| give_back_bucket(id, adopted)).collect());
        add(stack_step(id, stack, found, delete_data, &mut kept)
            .into_iter()
            .collect());
    }
    let known: Vec<&String> = stacks.iter().map(|(_, stack)| &stack.name).collect();
    for name in found.stacks.keys().filter(|name| !known.contains(name)) {
        let actions = vec![Action::DeleteStack { stack: name.clone() }];
        add(vec![drop_step(
            NodeId(format!("aws:{name}")),
            format!("stack {name}"),
            actions,
        )]);
    }
    if found.parameters {
        let id = NodeId("aws:parameters".to_owned());
        add(vec![drop_step(
            id,
            "parameters".to_owned(),
            vec![Action::DeleteParameters],
        )]);
    }
    (
        Plan {
            pipeline: names.pipeline.clone(),
            environment: names.environment.clone(),
            drifted: vec![],
            steps,
        },
        kept,
    )
}

fn drop_step(id: NodeId, target: String, actions: Vec<Action>) -> Step {
    Step {
        id,
        kind: StepKind::Drop,
        target,
        reason: String::new(),
        drift: false,
        changes: vec![],
        resources: vec![],
        loss: None,
        reversible: false,
        needs: vec![],
        always: false,
        actions,
    }
}

/// The pipeline's objects of a kind.
fn ours<'a>(found: &'a Found, owner: &str, kind: Kind) -> impl Iterator<Item = (&'a Name, &'a LiveObject)> {
    found
        .objects
        .iter()
        .filter(move |((found, _), live)| *found == kind && live.mark().is_some_and(|(by, _)| by == owner))
        .map(|((_, name), live)| (name, live))
}

fn stack_step(id: &NodeId, stack: &Stack, found: &Found, delete_data: bool, kept: &mut Vec<Kept>) -> Option<Step> {
    // What was taken over is given back by a step of its own.
    let is_adopted = |bucket: &str| found.adopted.iter().any(|adopted| adopted.bucket == bucket);
    let buckets: Vec<(&String, u64)> = found
        .buckets
        .iter()
        .filter(|((of, bucket), _)| *of == stack.name && !is_adopted(bucket))
        .map(|((_, bucket), count)| (bucket, *count))
        .collect();
    let holding: Vec<String> = buckets
        .iter()
        .filter(|(bucket, count)| *count > 0 && !stack.own_buckets.contains(bucket))
        .map(|(bucket, count)| format!("{bucket} ({count} objects)"))
        .collect();
    if !holding.is_empty() && !delete_data {
        let target = format!("stack {}", stack.name);
        kept.push(Kept {
            target,
            reason: format!("its buckets hold data: {}", holding.join(", ")),
        });
        return None;
    }
    if !stack.databases.is_empty() && !delete_data && found.stacks.contains_key(&stack.name) {
        kept.push(Kept {
            target: format!("stack {}", stack.name),
            reason: format!("it holds the database {}", stack.databases.join(", ")),
        });
        return None;
    }
    // What is in a stack of this pipeline is its own; a bucket of that name without such a stack may be anybody's.
    if !found.stacks.contains_key(&stack.name) {
        return None;
    }
    // Buckets go before their stack, which retains them: as long as it stands they are known as the pipeline's.
    let mut actions: Vec<Action> = buckets
        .into_iter()
        .map(|(bucket, _)| Action::DeleteBucket { bucket: bucket.clone() })
        .collect();
    actions.push(Action::DeleteStack {
        stack: stack.name.clone(),
    });
    Some(drop_step(id.clone(), format!("stack {}", stack.name), actions))
}

fn give_back_bucket(stack: &NodeId, adopted: &Adopted) -> Step {
    let id = NodeId(format!("{stack}:release:{}", adopted.logical_id));
    adopt::give_back_bucket(id, adopted, "it was adopted and is given back: it keeps what it holds")
}

/// The Snowflake objects in waves: each wave needs the one before gone.
fn objects(found: &Found, names: &Names, delete_data: bool, kept: &mut Vec<Kept>) -> Vec<Vec<Step>> {
    let owner = names.mark();
    let ours = |kind| ours(found, &owner, kind);
    let adopted = |live: &LiveObject| live.is_adopted_by(&owner);
    let full: Vec<&Name> = ours(Kind::Table)
        .filter(|(_, live)| !matches!(live.property("rows"), "0") && !adopted(live))
        .map(|(name, _)| name)
        .collect();
    // What is somebody's, or is given back, stands in the way only where its schema would be dropped.
    let is_foreign = |kind: Kind, live: &LiveObject| {
        kind > Kind::Schema && (live.mark().is_none_or(|(by, _)| by != owner) || adopted(live))
    };
    let stays = |name: &&Name| is_in_what_stays(name, found, &owner);
    let foreign = found
        .objects
        .iter()
        .filter(|((kind, _), live)| is_foreign(*kind, live))
        .map(|((_, name), _)| name);
    let foreign: Vec<&Name> = foreign.chain(&found.views).filter(|name| !stays(name)).collect();
    let keep_rows = !full.is_empty() && !delete_data;
    let keep = keep_rows || !foreign.is_empty();
    let mut waves: Vec<Vec<Step>> = tasks::waves(ours(Kind::Task).collect())
        .into_iter()
        .map(|wave| {
            wave.into_iter()
                .map(|(name, live)| take_away(Kind::Task, name, live, names))
                .collect()
        })
        .collect();
    for kind in [
        Kind::Procedure,
        Kind::Pipe,
        Kind::Stream,
        Kind::Stage,
        Kind::FileFormat,
        Kind::Table,
    ] {
        let wave = ours(kind)
            .filter(|(name, _)| !keep_rows || !full.contains(name))
            .map(|(name, live)| take_away(kind, name, live, names));
        waves.push(wave.collect());
    }
    if keep {
        let list = |names: &[&Name]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let rows = keep_rows.then(|| format!("these tables hold rows: {}", list(&full)));
        let others = (!foreign.is_empty()).then(|| format!("these are not this pipeline's: {}", list(&foreign)));
        let reason = rows.into_iter().chain(others).collect::<Vec<_>>().join("; ");
        for kind in [Kind::Database, Kind::Role] {
            kept.extend(ours(kind).map(|(name, _)| Kept {
                target: format!("{kind} {name}"),
                reason: reason.clone(),
            }));
        }
    } else {
        waves.push(
            ours(Kind::Schema)
                .map(|(name, live)| take_away(Kind::Schema, name, live, names))
                .collect(),
        );
        waves.push(
            ours(Kind::Database)
                .map(|(name, live)| take_away(Kind::Database, name, live, names))
                .collect(),
        );
    }
    let mut account = vec![
        Kind::StorageIntegration,
        Kind::NotificationIntegration,
        Kind::Warehouse,
        Kind::User,
    ];
    account.extend((!keep).then_some(Kind::Role));
    for kind in account {
        waves.push(ours(kind).map(|(name, _)| drop_object(kind, name)).collect());
    }
    waves
}

/// Whether an object lies in a schema, or a database, that is given back and so stays with all that is in it.
fn is_in_what_stays(name: &Name, found: &Found, owner: &str) -> bool {
    let Some(schema) = name.parent() else { return false };
    let Some(database) = schema.parent() else { return false };
    let live = |kind: Kind, name: &Name| found.objects.get(&(kind, name.clone()));
    let is_given_back = |live: Option<&LiveObject>| live.is_some_and(|live| live.is_adopted_by(owner));
    let is_ours = live(Kind::Schema, &schema).is_some_and(|live| live.mark().is_some_and(|(by, _)| by == owner));
    is_given_back(live(Kind::Schema, &schema)) || (is_given_back(live(Kind::Database, &database)) && !is_ours)
}

/// The step that drops an object, or gives it back when it was taken over.
fn take_away(kind: Kind, name: &Name, live: &LiveObject, names: &Names) -> Step {
    match live.is_adopted_by(&names.mark()) {
        true => adopt::give_back(kind, name, live, names),
        false => drop_object(kind, name),
    }
}

/// The step that drops an object.
pub(super) fn drop_object(kind: Kind, name: &Name) -> Step {
    let id = NodeId::of_object(kind, name);
    let sql = format!("DROP {} IF EXISTS {name}{}", securable(kind), kind.arguments());
    drop_step(
        id,
        format!("{kind} {name}"),
        vec![Action::Sql {
            role: actor(kind),
            sql: sql.into(),
        }],
    )
}

#[cfg(test)]
#[path = "remove_tests.rs"]
mod tests;
