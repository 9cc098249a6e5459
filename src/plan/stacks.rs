//! The steps of stacks: what is made, updated, brought out of a failure or taken away, and what is lost with it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::adopt::{Settled, settle};
use super::make::{LEFTOVER, World, step};
use super::{Action, MISSING, PropertyChange, Step, StepKind};
use crate::aws::changeset::Differing;
use crate::aws::diff::{self, WantedStack};
use crate::aws::observe::LiveStack;
use crate::aws::replacement::{Does, Effect, Foreseen, loss, of_deletion};
use crate::aws::status::{Next, next};
use crate::graph::object::Kind;
use crate::graph::stack::{Parameter, Stack};
use crate::graph::{Graph, Node, NodeId};
use crate::model::names::Names;
use crate::snowflake::ident::Name;

/// The step that brings a stack to what it must be, where it is not. Buckets were taken over before it.
pub(super) fn stack_step(id: &NodeId, settled: &Settled, world: &World) -> Option<Step> {
    let mut step = plain_step(id, settled, world)?;
    step.changes.extend(settled.changes.iter().cloned());
    let losses: Vec<String> = step.loss.into_iter().chain(settled.loss.clone()).collect();
    step.loss = (!losses.is_empty()).then(|| losses.join("; "));
    step.reversible &= settled.loss.is_none();
    Some(step)
}

fn plain_step(id: &NodeId, settled: &Settled, world: &World) -> Option<Step> {
    let stack = &settled.stack;
    let target = format!("stack {}", stack.name);
    let deploy = vec![Action::DeployStack {
        stack: stack.name.clone(),
        adopted: settled.adopted.clone(),
        losing: vec![],
    }];
    let create = |reason: &str| Some(step(id, StepKind::Create, target.clone(), reason, deploy.clone()));
    let Some(live) = world.stacks.get(&stack.name) else {
        return create(MISSING);
    };
    let causes: String = live.causes.iter().map(|cause| format!("; {cause}")).collect();
    let next = next(&live.status);
    match next {
        Next::Recreate => create(&format!(
            "its creation ended in {}: it never lived{causes}",
            live.status
        )),
        Next::Create => create("its first change set was never executed"),
        Next::DeleteAgain => {
            let step = create(&format!("it is in {}; a deploy {}{causes}", live.status, next.words()))?;
            // It lived: what it held and did not lose yet goes with its deletion.
            Some(losing(step, of_deletion(&live.template)))
        }
        Next::ContinueRollback | Next::RollBack | Next::Wait | Next::Stuck => {
            let reason = format!("it is in {}; a deploy {}{causes}", live.status, next.words());
            let step = Step {
                changes: stack_changes(stack, live, world),
                ..step(id, StepKind::Alter, target, &reason, deploy)
            };
            Some(losing(step, settled.effects(live)))
        }
        Next::Update => {
            let changes = stack_changes(stack, live, world);
            let (reason, effects) = match world.foreseen.get(&stack.name) {
                Some(Foreseen::ChangeSet(effects)) => ("the file changed".to_owned(), effects.clone()),
                Some(Foreseen::Documented(why)) => (
                    format!(
                        "the file changed; what is replaced is said by the documentation, not by CloudFormation: {why}"
                    ),
                    settled.effects(live),
                ),
                None => ("the file changed".to_owned(), settled.effects(live)),
            };
            let alter = step(id, StepKind::Alter, target, &reason, deploy);
            (!changes.is_empty()).then(|| losing(Step { changes, ..alter }, effects))
        }
    }
}

/// The step with what it does to resources, and what is lost with them.
fn losing(step: Step, effects: Vec<Effect>) -> Step {
    let replaces = effects.iter().any(|effect| effect.does == Does::Replace);
    let names = effects.iter().filter(|effect| effect.loss().is_some());
    let names: Vec<String> = names.map(|effect| effect.resource.clone()).collect();
    let actions = step.actions.into_iter().map(|action| match action {
        Action::DeployStack { stack, adopted, .. } => Action::DeployStack {
            stack,
            adopted,
            losing: names.clone(),
        },
        other => other,
    });
    let loss = loss(&effects);
    Step {
        kind: if replaces { StepKind::Replace } else { step.kind },
        reversible: loss.is_none(),
        loss,
        actions: actions.collect(),
        resources: effects,
        ..step
    }
}

/// The stacks that differ and that CloudFormation can be asked about. A world that was not asked about them is planned by
/// the documentation, and so is a stack into which a bucket has yet to be taken, or out of it.
pub fn differing<'a>(graph: &Graph, world: &'a World, names: &Names) -> Vec<Differing<'a>> {
    let differs = |(node, stack): (&Node, &Stack)| {
        let live = world.stacks.get(&stack.name)?;
        let settled = settle(&node.id, stack, &world.stacks, &world.buckets);
        let changes = live.is_of(names)
            && next(&live.status) == Next::Update
            && settled.steps.is_empty()
            && !stack_changes(&settled.stack, live, world).is_empty();
        changes.then_some(Differing {
            stack: settled.stack,
            live,
        })
    };
    graph.stacks().filter_map(differs).collect()
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

/// Stacks with the pipeline's tags that the file no longer names.
pub(super) fn leftover_stacks(graph: &Graph, world: &World) -> Vec<Step> {
    let wanted: BTreeSet<&String> = graph.stacks().map(|(_, stack)| &stack.name).collect();
    world
        .stacks
        .iter()
        .filter(|(name, _)| !wanted.contains(name))
        .map(|(name, live)| {
            let actions = vec![Action::DeleteStack { stack: name.clone() }];
            let drop = step(
                &NodeId(format!("aws:{name}")),
                StepKind::Drop,
                format!("stack {name}"),
                LEFTOVER,
                actions,
            );
            // What its queues and log groups hold goes with it.
            Step {
                loss: loss(&of_deletion(&live.template)),
                reversible: false,
                ..drop
            }
        })
        .collect()
}
