//! In which order tasks go.

use std::collections::{BTreeMap, BTreeSet};

use super::make::{LEFTOVER, SUSPEND, step};
use super::remove::drop_object;
use super::{Action, Step, StepKind};
use crate::graph::NodeId;
use crate::graph::object::Kind;
use crate::snowflake::ident::Name;
use crate::snowflake::observe::LiveObject;

/// A task as it is.
pub(super) type Task<'a> = (&'a Name, &'a LiveObject);

fn is_root(live: &LiveObject) -> bool {
    !live.property("schedule").is_empty()
}

/// The roots of task graphs.
pub(super) fn roots<'a>(tasks: impl Iterator<Item = Task<'a>>) -> impl Iterator<Item = &'a Name> {
    tasks.filter(|(_, live)| is_root(live)).map(|(name, _)| name)
}

/// Suspends a graph that goes, and waits for its running run.
pub(super) fn suspend(root: &Name, reason: &str) -> Step {
    let id = NodeId(format!("{SUSPEND}:{root}"));
    let actions = vec![Action::SuspendGraph { root: root.clone() }];
    step(
        &id,
        StepKind::Run,
        format!("suspend task graph {root}"),
        reason,
        actions,
    )
}

/// Tasks in the order in which they can be dropped, those of a wave in any: each before those that it comes after, the
/// finalizer too, the root last. A task whose predecessor is gone is a root of its own, and started:
/// <https://docs.snowflake.com/en/sql-reference/sql/drop-task#usage-notes>.
pub(super) fn waves(mut tasks: Vec<Task<'_>>) -> Vec<Vec<Task<'_>>> {
    let mut waves = Vec::new();
    while !tasks.is_empty() {
        let awaited: BTreeSet<String> = tasks
            .iter()
            .flat_map(|(_, live)| live.property("predecessors").split(','))
            .map(|name| name.trim().to_owned())
            .collect();
        let is_last = |live: &LiveObject| is_root(live) && tasks.iter().any(|(_, other)| !is_root(other));
        let (later, wave): (Vec<_>, Vec<_>) = tasks
            .iter()
            .copied()
            .partition(|(name, live)| awaited.contains(&name.to_string()) || is_last(live));
        // What waits for itself in a circle was read wrongly; it is tried as it stands.
        if wave.is_empty() {
            waves.push(later);
            break;
        }
        waves.push(wave);
        tasks = later;
    }
    waves
}

/// Drops tasks that the file no longer names. Where a graph goes as a whole its root is suspended first, and its running
/// run has ended.
pub(super) fn leftover(tasks: Vec<Task<'_>>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut last: BTreeMap<Option<Name>, NodeId> = BTreeMap::new();
    for root in roots(tasks.iter().copied()) {
        let step = suspend(root, LEFTOVER);
        last.insert(root.parent(), step.id.clone());
        steps.push(step);
    }
    for (name, _) in waves(tasks).into_iter().flatten() {
        let mut drop = drop_object(Kind::Task, name);
        drop.reason = LEFTOVER.to_owned();
        drop.reversible = true;
        drop.needs = last.insert(name.parent(), drop.id.clone()).into_iter().collect();
        steps.push(drop);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(tasks: &[(&str, &str, &str)]) -> Vec<Vec<String>> {
        let tasks: Vec<(Name, LiveObject)> = tasks
            .iter()
            .map(|(name, after, schedule)| {
                let properties = [
                    ("predecessors", (*after).to_owned()),
                    ("schedule", (*schedule).to_owned()),
                ];
                let live = LiveObject {
                    properties: properties.into_iter().collect(),
                    ..Default::default()
                };
                (Name::account("D").child("S").child(name), live)
            })
            .collect();
        let names = |wave: Vec<Task<'_>>| wave.iter().map(|(name, _)| name.last().to_owned()).collect();
        waves(tasks.iter().map(|(name, live)| (name, live)).collect())
            .into_iter()
            .map(names)
            .collect()
    }

    #[test]
    fn a_task_goes_before_those_that_it_comes_after() {
        let graph = [
            ("ROOT", "", "1 MINUTE"),
            ("A", "D.S.ROOT", ""),
            ("B", "D.S.A", ""),
            ("C", "D.S.A, D.S.B", ""),
            ("END", "", ""),
        ];
        assert_eq!(order(&graph), [vec!["C", "END"], vec!["B"], vec!["A"], vec!["ROOT"]]);
    }

    #[test]
    fn a_finalizer_goes_before_its_root() {
        assert_eq!(order(&[("A", "", "1 MINUTE"), ("Z", "", "")]), [["Z"], ["A"]]);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(order(&[("A", "D.S.B", ""), ("B", "D.S.A", "")]), [["A", "B"]]);
    }
}
