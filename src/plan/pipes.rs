//! What a pipe needs beside its own difference: it stops with its stage, and it has to load what came while there was none.

use super::*;
use crate::graph::Node;
use crate::snowflake::diff;

/// A pipe stops when its stage is replaced, and only a new pipe reads the new one:
/// <https://docs.snowflake.com/en/user-guide/data-load-snowpipe-manage#changing-the-stage-definition>. A stage that is made
/// while its pipe is there was dropped by hand, or by a deploy that was cut off.
pub(super) fn replace_with_their_stages(graph: &Graph, world: &World, names: &Names, steps: &mut Vec<Step>) {
    let is_made = |step: &&Step| matches!(step.kind, StepKind::Replace | StepKind::Create);
    let stages: BTreeMap<NodeId, bool> = steps
        .iter()
        .filter(|step| step.id.0.starts_with(STAGE))
        .filter(is_made)
        .map(|step| (step.id.clone(), step.drift))
        .collect();
    // It undoes what was done by hand where all that is replaced does.
    let by_hand = |node: &Node| {
        let mut replaced = node.needs.iter().filter_map(|need| stages.get(need)).peekable();
        replaced.peek()?;
        Some(replaced.all(|drift| *drift))
    };
    let pipes: Vec<Step> = graph
        .nodes()
        .iter()
        .filter_map(|node| Some((node, by_hand(node)?)))
        .filter_map(|(node, drift)| match &node.body {
            Body::Object(object) if object.kind == Kind::Pipe && live(object, world).is_some() => {
                let anew = diff::replacement(object, "its stage is replaced", vec![]);
                Some(object_step(&node.id, object, Difference { drift, ..anew }, names))
            }
            _ => None,
        })
        .collect();
    for pipe in pipes {
        match steps.iter_mut().find(|step| step.id == pipe.id) {
            // What is changed of the pipe itself is told by its own step.
            Some(step) if step.kind == StepKind::Replace => step.drift &= pipe.drift,
            Some(step) => {
                let drift = step.drift && pipe.drift;
                let changes = std::mem::take(&mut step.changes);
                *step = Step { drift, changes, ..pipe };
            }
            None => steps.push(pipe),
        }
    }
}

/// A pipe that is gone while its stage and a table with rows stay was dropped by hand. The new one loads what was staged
/// since, as far as `REFRESH` reaches back.
pub(super) fn fill_gaps(graph: &Graph, world: &World, names: &Names, steps: &mut [Step]) {
    for node in graph.nodes() {
        let Body::Object(object) = &node.body else { continue };
        let Some(create) = &object.statements.replace else {
            continue;
        };
        let holds_rows = |id: &NodeId| {
            let table = graph
                .objects()
                .find(|(node, object)| node.id == *id && object.kind == Kind::Table);
            table
                .and_then(|(_, table)| live(table, world))
                .is_some_and(|table| table.property("rows") != "0")
        };
        let is_planned = |id: &NodeId| steps.iter().any(|step| step.id == *id);
        let is_gone =
            live(object, world).is_none() && node.needs.iter().any(holds_rows) && !node.needs.iter().any(is_planned);
        let step = steps.iter_mut().find(|step| step.id == node.id && is_gone);
        if let Some(step) = step {
            step.reason = "it does not exist any more; the files of the last 7 days are loaded again".to_owned();
            step.actions = vec![Action::ReplacePipe {
                pipe: object.name.clone(),
                create: create.clone(),
                mark: object.mark(names),
            }];
        }
    }
}

/// Before a stage goes, its pipes are paused and keep the moment: whatever is cut off then, the next deploy knows that
/// they have to be replaced, and from when on they have to load.
pub(super) fn pause_before_their_stages(graph: &Graph, names: &Names, steps: &mut Vec<Step>) {
    let mut pauses = Vec::new();
    for node in graph.nodes() {
        let Body::Object(object) = &node.body else { continue };
        let replaced = |step: &&Step| step.id == node.id && step.kind == StepKind::Replace;
        if object.kind != Kind::Pipe || steps.iter().find(replaced).is_none() {
            continue;
        }
        let pause = NodeId(format!("{}:pause", node.id));
        let mut is_needed = false;
        let stages = steps
            .iter_mut()
            .filter(|step| step.id.0.starts_with(STAGE) && node.needs.contains(&step.id));
        for stage in stages {
            stage.needs.push(pause.clone());
            is_needed = true;
        }
        if is_needed {
            let actions = vec![Action::PausePipe {
                pipe: object.name.clone(),
                mark: object.mark(names),
            }];
            let target = format!("pause pipe {}", object.name);
            pauses.push(step(&pause, StepKind::Run, target, "its stage is replaced", actions));
        }
    }
    steps.splice(0..0, pauses);
}

/// How the nodes of stages begin.
const STAGE: &str = "snowflake:stage:";
