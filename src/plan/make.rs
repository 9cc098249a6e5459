//! The plan of a deploy: the graph held against what is there. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::bail;

use super::adopt::{self, LiveBuckets};
use super::remove::drop_object;
use super::stacks::{leftover_stacks, stack_step};
use super::{Action, Plan, PropertyChange, Step, StepKind, tasks};
use crate::aws::observe::LiveStacks;
use crate::aws::replacement::Foreseen;
use crate::graph::CURATED_BUCKET;
use crate::graph::object::{Actor, Kind, Object, TaskPlace};
use crate::graph::stack::{Parameter, Stack};
use crate::graph::{Body, Graph, NodeId};
use crate::model::names::Names;
use crate::snowflake::check::{Check, Findings};
use crate::snowflake::diff::{self as objects, Difference};
use crate::snowflake::ident::Name;
use crate::snowflake::observe::{LiveObject, LiveObjects};

/// What is there.
pub struct World {
    /// The stacks.
    pub stacks: LiveStacks,
    /// The Snowflake objects.
    pub objects: LiveObjects,
    /// Buckets that could be taken over.
    pub buckets: LiveBuckets,
    /// What the rows of tables answered to [`checks`], by table.
    pub findings: BTreeMap<Name, Findings>,
    /// Key of the runtime's zip in the artefact bucket.
    pub runtime_key: String,
    /// What CloudFormation was asked about the stacks that differ, by name.
    pub foreseen: BTreeMap<String, Foreseen>,
}

/// What must be asked of rows before `graph` can be planned: nothing, unless columns change that hold values.
/// Only tables of the pipeline's own are asked: others it may not read, or leaves as they are.
pub fn checks(graph: &Graph, live: &LiveObjects, names: &Names) -> Vec<(Name, Check)> {
    let owner = names.mark();
    let is_own = |found: &LiveObject| found.mark().is_some_and(|(by, _)| by == owner) && !found.is_adopted_by(&owner);
    let tables = graph.objects().filter(|(_, object)| object.kind == Kind::Table);
    let check = |object: &Object| {
        let found = live
            .get(&(object.kind, object.name.clone()))
            .filter(|found| is_own(found))?;
        let check = objects::check(object, found);
        (!check.is_empty()).then(|| (object.name.clone(), check))
    };
    tables.filter_map(|(_, object)| check(object)).collect()
}

/// Step that suspends the task graph.
pub(super) const SUSPEND: &str = "snowflake:graph:suspend";
/// Step that resumes the task graph.
const RESUME: &str = "snowflake:graph:resume";

/// Plans the way from `world` to `graph`. All obstacles are told at once.
pub fn plan(graph: &Graph, world: &World, names: &Names) -> anyhow::Result<Plan> {
    let (mut steps, mut obstacles) = (Vec::new(), Vec::new());
    for node in graph.nodes() {
        let step = match &node.body {
            Body::Stack(stack) => {
                let foreign = world.stacks.get(&stack.name).is_some_and(|live| !live.is_of(names));
                if foreign {
                    obstacles.push(format!(
                        "stack {} exists and is not this pipeline's\n  hint: choose another name for the pipeline or the environment, or delete that stack",
                        stack.name
                    ));
                }
                let settled = adopt::settle(&node.id, stack, &world.stacks, &world.buckets);
                obstacles.extend(settled.obstacles.iter().cloned());
                let own = (!foreign).then(|| stack_step(&node.id, &settled, world)).flatten();
                steps.extend(settled.steps);
                own
            }
            Body::Upload(upload) => upload_step(&node.id, &upload.bucket, graph, world),
            Body::Object(object) => match object_difference(object, world, names) {
                Ok(difference) => difference.map(|difference| object_step(&node.id, object, difference, names)),
                Err(obstacle) => {
                    obstacles.push(obstacle.to_string());
                    None
                }
            },
        };
        steps.extend(step);
    }
    if !obstacles.is_empty() {
        bail!("{}", obstacles.join("\n"));
    }
    pipes::replace_with_their_stages(graph, world, names, &mut steps);
    pipes::fill_gaps(graph, world, names, &mut steps);
    order(graph, &mut steps);
    adopt::order(&mut steps);
    pipes::pause_before_their_stages(graph, names, &mut steps);
    let leftover = leftover_objects(graph, world, names, &steps);
    steps.extend(leftover);
    steps.extend(leftover_stacks(graph, world));
    frame_tasks(graph, world, &mut steps);
    steps.extend(handshake_check(graph, &steps));
    Ok(Plan {
        pipeline: names.pipeline.clone(),
        environment: names.environment.clone(),
        drifted: vec![],
        steps,
    })
}

fn object_difference(object: &Object, world: &World, names: &Names) -> Result<Option<Difference>, objects::Obstacle> {
    let none = Findings::new();
    let findings = world.findings.get(&object.name).unwrap_or(&none);
    let found = objects::object(object, live(object, world), &names.mark(), findings)?;
    Ok(found.map(|difference| Difference {
        reason: difference.reason.clone() + &streams_that_see_it(object, &difference, world),
        ..difference
    }))
}

/// A stream that is not append-only shows each row whose column was filled anew as changed; its offset stays:
/// <https://docs.snowflake.com/en/user-guide/streams-intro#types-of-streams>.
fn streams_that_see_it(object: &Object, difference: &Difference, world: &World) -> String {
    if !difference.statements.iter().any(|sql| sql.starts_with("UPDATE ")) {
        return String::new();
    }
    let table = object.name.to_string();
    let streams: Vec<String> = world
        .objects
        .iter()
        .filter(|((kind, _), live)| {
            *kind == Kind::Stream && live.property("table_name") == table && live.property("mode") == "DEFAULT"
        })
        .map(|((_, name), _)| name.to_string())
        .collect();
    match streams.is_empty() {
        true => String::new(),
        false => format!("; {} will show its rows as changed", streams.join(", ")),
    }
}

fn live<'a>(object: &Object, world: &'a World) -> Option<&'a crate::snowflake::observe::LiveObject> {
    world.objects.get(&(object.kind, object.name.clone()))
}

/// A step that changes no property and loses nothing.
pub(super) fn step(id: &NodeId, kind: StepKind, target: String, reason: &str, actions: Vec<Action>) -> Step {
    let reason = reason.to_owned();
    Step {
        id: id.clone(),
        kind,
        target,
        reason,
        drift: false,
        changes: vec![],
        resources: vec![],
        loss: None,
        reversible: true,
        needs: vec![],
        always: false,
        actions,
    }
}

/// The runtime is uploaded when a stack is to run another one than it does.
fn upload_step(id: &NodeId, bucket: &str, graph: &Graph, world: &World) -> Option<Step> {
    let runs = |stack: &Stack| {
        stack
            .parameters
            .iter()
            .find(|(_, parameter)| **parameter == Parameter::RuntimeKey)
            .map(|(key, _)| key.clone())
    };
    let stale = graph
        .stacks()
        .filter_map(|(_, stack)| runs(stack).map(|key| (stack, key)))
        .find_map(|(stack, key)| {
            let old = world
                .stacks
                .get(&stack.name)
                .and_then(|live| live.parameters.get(&key))
                .cloned();
            (old.as_ref() != Some(&world.runtime_key)).then_some(old)
        });
    stale.map(|old| {
        let actions = vec![Action::Upload {
            bucket: bucket.to_owned(),
            key: world.runtime_key.clone(),
        }];
        let kind = if old.is_some() {
            StepKind::Alter
        } else {
            StepKind::Create
        };
        let change = PropertyChange::new("content", old, Some(world.runtime_key.clone()));
        Step {
            changes: vec![change],
            ..step(
                id,
                kind,
                "runtime of the Lambda functions".to_owned(),
                "its content is new",
                actions,
            )
        }
    })
}

fn object_step(id: &NodeId, object: &Object, difference: Difference, names: &Names) -> Step {
    let role = difference.actor;
    let sql = |sql: Arc<str>| Action::Sql { role, sql };
    let (pipe, mark) = (object.name.clone(), object.mark(names));
    let actions: Vec<Action> = match (&object.statements.replace, difference.kind) {
        (Some(create), StepKind::Replace) => vec![Action::ReplacePipe {
            pipe,
            create: create.clone(),
            mark,
        }],
        (Some(create), _) if difference.is_made => {
            let create = create.clone();
            // It writes the COMMENT, which comes last.
            let others = difference
                .statements
                .into_iter()
                .filter(|sql| !sql.contains(" SET COMMENT = "));
            let refresh = Action::RefreshPipe { pipe, create, mark };
            others.map(sql).chain([refresh]).collect()
        }
        _ => {
            // In a schema with managed access, and on the database, only the owner grants; who made it gives it to the
            // owner. What the deploying role makes in somebody's schema is its own to grant on.
            let is_inside = object.name.parent().is_some() && object.actor != Actor::Deployer;
            let is_owners = is_inside || object.kind == Kind::Database;
            let grantor = |sql: &str| match is_owners && !sql.starts_with("GRANT OWNERSHIP ") {
                true => Actor::Owner,
                false => object.actor,
            };
            let grants = difference.grants.into_iter().map(|sql| Action::Sql {
                role: grantor(&sql),
                sql: sql.into(),
            });
            difference.statements.into_iter().map(sql).chain(grants).collect()
        }
    };
    Step {
        id: id.clone(),
        kind: difference.kind,
        target: format!("{} {}", object.kind, object.name),
        reason: difference.reason,
        drift: difference.drift,
        changes: difference.changes,
        resources: vec![],
        reversible: difference.reversible,
        loss: difference.loss,
        needs: vec![],
        always: false,
        actions,
    }
}

/// Step that has Snowflake try the handshake.
const HANDSHAKE: &str = "snowflake:handshake";

/// Resources of a stack that are enough for a step that stands for no node, by the node of the stack: Snowflake lists the
/// bucket as soon as it is there.
pub fn enough() -> (NodeId, BTreeMap<NodeId, Vec<&'static str>>) {
    let bucket = (NodeId("aws:storage".to_owned()), vec![CURATED_BUCKET]);
    (NodeId(HANDSHAKE.to_owned()), BTreeMap::from([bucket]))
}

/// After a change of anything that the handshake rests on, Snowflake tries it.
fn handshake_check(graph: &Graph, steps: &[Step]) -> Option<Step> {
    let integration = graph
        .objects()
        .find(|(_, object)| object.kind == Kind::StorageIntegration)?;
    let location = graph
        .objects()
        .find_map(|(_, object)| object.settings.get("url").map(str::to_owned))?;
    let rests_on =
        |step: &&Step| step.id == integration.0.id || step.id.0 == "aws:delivery" || step.id.0 == "aws:storage";
    let needs: Vec<NodeId> = steps.iter().filter(rests_on).map(|step| step.id.clone()).collect();
    let name = integration.1.name.clone();
    let target = format!("check the handshake of {name}");
    let actions = vec![Action::CheckHandshake {
        integration: name,
        location,
    }];
    let check = step(
        &NodeId(HANDSHAKE.to_owned()),
        StepKind::Run,
        target,
        "what it rests on changes",
        actions,
    );
    (!needs.is_empty()).then_some(Step { needs, ..check })
}

/// Gives every step the steps it needs: those of the nodes before it, or of the nodes before those where a node has none.
fn order(graph: &Graph, steps: &mut [Step]) {
    let planned: BTreeSet<NodeId> = steps.iter().map(|step| step.id.clone()).collect();
    // What a node only hands on is shared: a thousand tasks without a step stand behind one that waits for every table.
    let mut before: BTreeMap<&NodeId, Rc<BTreeSet<&NodeId>>> = BTreeMap::new();
    for node in graph.nodes() {
        let (own, others): (Vec<&NodeId>, Vec<&NodeId>) = node.needs.iter().partition(|need| planned.contains(need));
        let mut inherited: Vec<Rc<BTreeSet<&NodeId>>> = Vec::new();
        for set in others.into_iter().filter_map(|need| before.get(need)) {
            if !set.is_empty() && !inherited.iter().any(|known| Rc::ptr_eq(known, set)) {
                inherited.push(set.clone());
            }
        }
        let needs = match inherited.as_slice() {
            [only] if own.is_empty() => only.clone(),
            all => Rc::new(
                own.into_iter()
                    .chain(all.iter().flat_map(|set| set.iter().copied()))
                    .collect(),
            ),
        };
        before.insert(&node.id, needs);
    }
    for step in steps {
        let needs = before.get(&step.id).into_iter().flat_map(|needs| needs.iter());
        step.needs = needs.map(|need| (*need).clone()).collect();
    }
}

/// Objects with the pipeline's mark that the file no longer names, in the order they can be dropped in.
fn leftover_objects(graph: &Graph, world: &World, names: &Names, planned: &[Step]) -> Vec<Step> {
    let wanted: BTreeSet<(Kind, &Name)> = graph.objects().map(|(_, object)| (object.kind, &object.name)).collect();
    let owner = names.mark();
    let mut leftover: Vec<(&(Kind, Name), _)> = world
        .objects
        .iter()
        .filter(|((kind, name), live)| {
            !wanted.contains(&(*kind, name)) && live.mark().is_some_and(|(found, _)| found == owner)
        })
        .collect();
    leftover.sort_by_key(|((kind, _), _)| std::cmp::Reverse(*kind));
    // Tasks go at once; what they used goes when everything that replaces it is in place.
    let mut earlier: Vec<NodeId> = planned.iter().map(|step| step.id.clone()).collect();
    let (tasks, leftover): (Vec<_>, Vec<_>) = leftover.into_iter().partition(|((kind, _), _)| *kind == Kind::Task);
    let tasks: Vec<(&Name, &LiveObject)> = tasks.into_iter().map(|((_, name), live)| (name, live)).collect();
    let mut steps = tasks::leftover(tasks);
    earlier.extend(steps.iter().map(|step| step.id.clone()));
    for ((kind, name), live) in leftover {
        let empty = *kind == Kind::Table && live.property("rows") == "0";
        let adopted = live.is_adopted_by(&owner);
        let mut drop = if adopted {
            adopt::give_back(*kind, name, live, names)
        } else {
            drop_object(*kind, name)
        };
        drop.reason = match adopted {
            true => format!("{LEFTOVER}; {}", drop.reason),
            false => LEFTOVER.to_owned(),
        };
        drop.loss = kind.loss().filter(|_| !empty && !adopted).map(str::to_owned);
        drop.reversible = drop.loss.is_none();
        drop.needs = std::mem::take(&mut earlier);
        earlier.push(drop.id.clone());
        steps.push(drop);
    }
    steps
}

pub(super) const LEFTOVER: &str = "the file no longer names it";

/// Whether a running task could miss a column in the middle of this step.
fn changes_columns(step: &Step) -> bool {
    let of_column = |change: &PropertyChange| change.property.starts_with("column ") || change.property == KEY;
    matches!(step.kind, StepKind::Alter | StepKind::Adopt) && step.changes.iter().any(of_column)
}

/// The property of a table that says what its rows are merged by.
const KEY: &str = "primary key";

/// Whether rows that a task merges in the middle of this step could be lost or doubled: a column is filled from another,
/// or another key counts.
fn must_be_alone(step: &Step) -> bool {
    let refills = |action: &Action| matches!(action, Action::Sql { sql, .. } if sql.starts_with("UPDATE ") || sql.contains(" RENAME COLUMN "));
    changes_columns(step) && step.actions.iter().any(refills)
}

/// Why a graph stands still whose tasks stay as they are.
const TABLES_CHANGE: &str = "columns that it fills change";

/// Puts the changes of tasks between suspending the graph and resuming it, and resumes a graph that is found suspended.
fn frame_tasks(graph: &Graph, world: &World, steps: &mut Vec<Step>) {
    let tasks: BTreeSet<NodeId> = graph
        .objects()
        .filter(|(_, object)| object.kind == Kind::Task)
        .map(|(node, _)| node.id.clone())
        .collect();
    let Some(root) = graph
        .objects()
        .find_map(|(_, object)| (object.task == Some(TaskPlace::Root)).then(|| object.name.clone()))
    else {
        return;
    };
    let is_task = |step: &Step| tasks.contains(&step.id) || step.id.0.starts_with("snowflake:task:");
    let changed: Vec<NodeId> = steps
        .iter()
        .filter(|step| is_task(step))
        .map(|step| step.id.clone())
        .collect();
    let states = || {
        world.objects.iter().filter(|((kind, name), _)| {
            *kind == Kind::Task && tasks.contains(&NodeId(format!("snowflake:task:{name}")))
        })
    };
    let suspended = states().any(|(_, live)| live.property("state") != "started");
    let alone: Vec<NodeId> = steps
        .iter()
        .filter(|step| must_be_alone(step))
        .map(|step| step.id.clone())
        .collect();
    if changed.is_empty() && alone.is_empty() && !suspended {
        return;
    }
    if !(changed.is_empty() && alone.is_empty()) && world.objects.contains_key(&(Kind::Task, root.clone())) {
        let id = NodeId(SUSPEND.to_owned());
        let actions = vec![Action::SuspendGraph { root: root.clone() }];
        steps
            .iter_mut()
            .filter(|step| is_task(step) || changes_columns(step))
            .for_each(|step| step.needs.push(id.clone()));
        steps.insert(
            0,
            step(
                &id,
                StepKind::Run,
                format!("suspend task graph {root}"),
                if changed.is_empty() {
                    TABLES_CHANGE
                } else {
                    "its tasks change"
                },
                actions,
            ),
        );
    }
    let resume = NodeId(RESUME.to_owned());
    for node in graph
        .nodes()
        .iter()
        .filter(|node| node.needs.iter().any(|need| tasks.contains(need)) && !tasks.contains(&node.id))
    {
        steps
            .iter_mut()
            .filter(|step| step.id == node.id)
            .for_each(|step| step.needs.push(resume.clone()));
    }
    let reason = match (changed.is_empty(), alone.is_empty()) {
        (false, _) => "its tasks change",
        (true, false) => TABLES_CHANGE,
        (true, true) => "it is suspended",
    };
    let actions = vec![Action::ResumeGraph { root: root.clone() }];
    let mut run = step(
        &resume,
        StepKind::Run,
        format!("resume task graph {root}"),
        reason,
        actions,
    );
    run.drift = changed.is_empty() && alone.is_empty();
    run.always = world.objects.contains_key(&(Kind::Task, root.clone()));
    run.needs = changed;
    run.needs.extend(alone);
    let at = steps
        .iter()
        .position(|step| step.needs.contains(&resume))
        .unwrap_or(steps.len());
    steps.insert(at, run);
}

#[path = "pipes.rs"]
mod pipes;

#[cfg(test)]
#[path = "make_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden;
