//! The plan of a deploy: the graph held against what is there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;

use super::remove::drop_object;
use super::{Action, Plan, PropertyChange, Step, StepKind};
use crate::aws::diff::{self, WantedStack};
use crate::aws::observe::{LiveStack, LiveStacks};
use crate::aws::status::{Next, next};
use crate::graph::object::{Kind, Object, TaskPlace};
use crate::graph::stack::{Parameter, Stack};
use crate::graph::{Body, Graph, NodeId};
use crate::model::names::Names;
use crate::snowflake::diff::{self as objects, Difference};
use crate::snowflake::ident::Name;
use crate::snowflake::observe::LiveObjects;

/// What is there.
pub struct World {
    /// The stacks.
    pub stacks: LiveStacks,
    /// The Snowflake objects.
    pub objects: LiveObjects,
    /// Key of the runtime's zip in the artefact bucket.
    pub runtime_key: String,
}

/// Step that suspends the task graph.
const SUSPEND: &str = "snowflake:graph:suspend";
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
                (!foreign).then(|| stack_step(&node.id, stack, world)).flatten()
            }
            Body::Upload(upload) => upload_step(&node.id, &upload.bucket, graph, world),
            Body::Object(object) => match objects::object(object, live(object, world), &names.mark()) {
                Ok(difference) => difference.map(|difference| object_step(&node.id, object, difference)),
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
    replace_pipes_of_replaced_stages(graph, world, &mut steps);
    order(graph, &mut steps);
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

fn live<'a>(object: &Object, world: &'a World) -> Option<&'a crate::snowflake::observe::LiveObject> {
    world.objects.get(&(object.kind, object.name.clone()))
}

fn step(id: &NodeId, kind: StepKind, target: String, reason: &str, actions: Vec<Action>) -> Step {
    let reason = reason.to_owned();
    Step {
        id: id.clone(),
        kind,
        target,
        reason,
        drift: false,
        changes: vec![],
        loss: None,
        reversible: true,
        needs: vec![],
        always: false,
        actions,
    }
}

fn stack_step(id: &NodeId, stack: &Stack, world: &World) -> Option<Step> {
    let target = format!("stack {}", stack.name);
    let deploy = vec![Action::DeployStack {
        stack: stack.name.clone(),
    }];
    let Some(live) = world.stacks.get(&stack.name) else {
        return Some(step(id, StepKind::Create, target, "it does not exist", deploy));
    };
    match next(&live.status) {
        Next::Recreate => {
            let reason = format!("its creation ended in {}: it never lived", live.status);
            Some(step(id, StepKind::Create, target, &reason, deploy))
        }
        Next::Create => Some(step(
            id,
            StepKind::Create,
            target,
            "its first change set was never executed",
            deploy,
        )),
        Next::ContinueRollback | Next::DeleteAgain | Next::Wait => {
            let reason = format!("it is in {}", live.status);
            Some(Step {
                changes: stack_changes(stack, live, world),
                ..step(id, StepKind::Alter, target, &reason, deploy)
            })
        }
        Next::Update => {
            let changes = stack_changes(stack, live, world);
            let alter = step(id, StepKind::Alter, target, "the file changed", deploy);
            (!changes.is_empty()).then_some(Step { changes, ..alter })
        }
    }
}

fn stack_changes(stack: &Stack, live: &LiveStack, world: &World) -> Vec<PropertyChange> {
    let mut parameters = BTreeMap::new();
    let mut unknown = Vec::new();
    for (key, parameter) in &stack.parameters {
        match parameter {
            Parameter::RuntimeKey => {
                parameters.insert(key.clone(), world.runtime_key.clone());
            }
            // An integration that is there keeps its user; one that is not gets a new one.
            Parameter::Integration { name, .. } if !has_integration(name, world) => {
                let old = live.parameters.get(key).cloned();
                unknown.push(PropertyChange::new(
                    format!("Parameters.{key}"),
                    old,
                    Some(format!("(known once {name} exists)")),
                ));
            }
            Parameter::Integration { .. } => {}
            Parameter::Output { stack, output } => {
                match world.stacks.get(stack).and_then(|other| other.outputs.get(*output)) {
                    Some(value) => {
                        parameters.insert(key.clone(), value.clone());
                    }
                    None => unknown.push(PropertyChange::new(
                        format!("Parameters.{key}"),
                        live.parameters.get(key).cloned(),
                        Some(format!("(known once stack {stack} exists)")),
                    )),
                }
            }
        }
    }
    let mut changes = diff::stack(
        live,
        &WantedStack {
            template: &stack.template,
            parameters,
            tags: &stack.tags,
        },
    );
    changes.extend(unknown);
    changes
}

fn has_integration(name: &Name, world: &World) -> bool {
    [Kind::StorageIntegration, Kind::NotificationIntegration]
        .iter()
        .any(|kind| world.objects.contains_key(&(*kind, name.clone())))
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

fn object_step(id: &NodeId, object: &Object, difference: Difference) -> Step {
    let sql = |sql: String| Action::Sql {
        role: object.actor,
        sql,
    };
    let actions: Vec<Action> = match (difference.kind, object.kind) {
        (StepKind::Replace, Kind::Pipe) => {
            vec![Action::ReplacePipe {
                pipe: object.name.clone(),
                statements: difference.statements,
            }]
        }
        _ => difference.statements.into_iter().map(sql).collect(),
    };
    Step {
        id: id.clone(),
        kind: difference.kind,
        target: format!("{} {}", object.kind, object.name),
        reason: difference.reason,
        drift: difference.drift,
        changes: difference.changes,
        reversible: difference.reversible,
        loss: difference.loss,
        needs: vec![],
        always: false,
        actions,
    }
}

/// A pipe stops when its stage is replaced, and only a new pipe reads the new one:
/// <https://docs.snowflake.com/en/user-guide/data-load-snowpipe-manage#changing-the-stage-definition>.
fn replace_pipes_of_replaced_stages(graph: &Graph, world: &World, steps: &mut Vec<Step>) {
    let replaced = |id: &NodeId| {
        let is_stage = id.0.starts_with("snowflake:stage:");
        is_stage
            && steps
                .iter()
                .any(|step| step.id == *id && step.kind == StepKind::Replace)
    };
    let pipes: Vec<Step> = graph
        .nodes()
        .iter()
        .filter(|node| node.needs.iter().any(replaced))
        .filter_map(|node| match &node.body {
            Body::Object(object) if object.kind == Kind::Pipe && live(object, world).is_some() => Some(object_step(
                &node.id,
                object,
                objects::replacement(object, "its stage is replaced", vec![]),
            )),
            _ => None,
        })
        .collect();
    for pipe in pipes {
        match steps.iter_mut().find(|step| step.id == pipe.id) {
            Some(step) => *step = pipe,
            None => steps.push(pipe),
        }
    }
}

/// After a change of anything that the handshake rests on, Snowflake tries it.
fn handshake_check(graph: &Graph, steps: &[Step]) -> Option<Step> {
    let integration = graph
        .objects()
        .find(|(_, object)| object.kind == Kind::StorageIntegration)?;
    let location = graph
        .objects()
        .find_map(|(_, object)| object.properties.get("url").cloned())?;
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
        &NodeId("snowflake:handshake".to_owned()),
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
    let mut before: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for node in graph.nodes() {
        let mut needs = BTreeSet::new();
        for need in &node.needs {
            if planned.contains(need) {
                needs.insert(need.clone());
            } else if let Some(inherited) = before.get(need) {
                needs.extend(inherited.iter().cloned());
            }
        }
        before.insert(node.id.clone(), needs);
    }
    for step in steps {
        step.needs = before
            .get(&step.id)
            .map(|needs| needs.iter().cloned().collect())
            .unwrap_or_default();
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
    let mut steps = Vec::new();
    for ((kind, name), live) in leftover {
        let empty = *kind == Kind::Table && live.property("rows") == "0";
        let mut drop = drop_object(*kind, name);
        drop.reason = "the file no longer names it".to_owned();
        drop.loss = kind.loss().filter(|_| !empty).map(str::to_owned);
        drop.reversible = drop.loss.is_none();
        if *kind != Kind::Task {
            drop.needs = std::mem::take(&mut earlier);
        }
        earlier.push(drop.id.clone());
        steps.push(drop);
    }
    steps
}

fn leftover_stacks(graph: &Graph, world: &World) -> Vec<Step> {
    let wanted: BTreeSet<&String> = graph.stacks().map(|(_, stack)| &stack.name).collect();
    world
        .stacks
        .keys()
        .filter(|name| !wanted.contains(name))
        .map(|name| {
            let actions = vec![Action::DeleteStack { stack: name.clone() }];
            let drop = step(
                &NodeId(format!("aws:{name}")),
                StepKind::Drop,
                format!("stack {name}"),
                "the file no longer names it",
                actions,
            );
            // What its queues and log groups hold goes with it.
            Step {
                reversible: false,
                ..drop
            }
        })
        .collect()
}

/// Whether a running task could miss a column in the middle of this step.
fn changes_columns(step: &Step) -> bool {
    let of_column = |change: &PropertyChange| change.property.starts_with("column ");
    step.kind == StepKind::Alter && step.changes.iter().any(of_column)
}

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
    if changed.is_empty() && !suspended {
        return;
    }
    if !changed.is_empty() && world.objects.contains_key(&(Kind::Task, root.clone())) {
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
                "its tasks change",
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
    let reason = if changed.is_empty() {
        "it is suspended"
    } else {
        "its tasks change"
    };
    let actions = vec![Action::ResumeGraph { root: root.clone() }];
    let mut run = step(
        &resume,
        StepKind::Run,
        format!("resume task graph {root}"),
        reason,
        actions,
    );
    run.drift = changed.is_empty();
    run.always = world.objects.contains_key(&(Kind::Task, root.clone()));
    run.needs = changed;
    let at = steps
        .iter()
        .position(|step| step.needs.contains(&resume))
        .unwrap_or(steps.len());
    steps.insert(at, run);
}

#[cfg(test)]
#[path = "make_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden;
