//! Carries out a plan: steps in parallel along their needs, a bounded number at once, telling what happens as events.
//!
//! A failure stops only what needs the failed step. The only module that changes anything in the clouds.

mod actions;
mod pipe;
mod snowflake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::graph::NodeId;
use crate::plan::{Plan, Step};

pub use actions::Hands;

/// Steps that run at the same time. CloudFormation and Snowflake both throttle far above it.
const AT_ONCE: usize = 8;

/// What happens while a plan is carried out.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step has started.
    Started(NodeId),
    /// A step tells how far it is.
    Note(NodeId, String),
    /// A step has ended.
    Ended(NodeId, Outcome, Duration),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "why")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed.
    Failed(String),
    /// It was not started, because of what it needs or because the run was interrupted.
    NotStarted(String),
}

/// How every step ended, in the order of the plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Results(pub Vec<(NodeId, Outcome)>);

impl Results {
    /// Whether every step was done.
    pub fn all_done(&self) -> bool {
        self.0.iter().all(|(_, outcome)| *outcome == Outcome::Done)
    }
}

/// How long an interrupted run takes to start again what it stopped.
const LAST_RITES: Duration = Duration::from_secs(30);

/// What ends a run before its plan is done.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    /// The user interrupts it: no further step starts, none is waited for, and what was stopped is started again.
    pub interrupted: CancellationToken,
    /// Another run may change the same things: no further step starts but those that start again what was stopped.
    pub lost: CancellationToken,
}

/// Carries out `plan`, all of it unless something in `stops` comes first.
pub async fn run(plan: &Plan, hands: Arc<Hands>, events: UnboundedSender<Event>, stops: Stops) -> Results {
    let mut run = Run {
        planned: plan.steps.iter().map(|step| step.id.clone()).collect(),
        waiting: plan.steps.iter().collect(),
        outcomes: BTreeMap::new(),
        events,
        hands,
        stops,
    };
    let mut running = JoinSet::new();
    loop {
        run.start_ready(&mut running);
        if running.is_empty() {
            break;
        }
        tokio::select! {
            () = run.stops.interrupted.cancelled() => {
                running.abort_all();
                while running.join_next().await.is_some() {}
                if let Some((client, _)) = &run.hands.snowflake {
                    client.cancel_running().await;
                }
                run.start_again_what_was_stopped().await;
                break;
            }
            Some(ended) = running.join_next() => {
                if let Ok((id, outcome)) = ended {
                    run.outcomes.insert(id, outcome);
                }
            }
        }
    }
    let cut_off = || Outcome::NotStarted("the run was interrupted".to_owned());
    let outcome = |step: &Step| {
        (
            step.id.clone(),
            run.outcomes.get(&step.id).cloned().unwrap_or_else(cut_off),
        )
    };
    Results(plan.steps.iter().map(outcome).collect())
}

struct Run<'a> {
    planned: BTreeSet<NodeId>,
    waiting: Vec<&'a Step>,
    outcomes: BTreeMap<NodeId, Outcome>,
    events: UnboundedSender<Event>,
    hands: Arc<Hands>,
    stops: Stops,
}

impl Run<'_> {
    fn start_ready(&mut self, running: &mut JoinSet<(NodeId, Outcome)>) {
        if self.stops.interrupted.is_cancelled() {
            return;
        }
        if self.stops.lost.is_cancelled() {
            self.give_up_the_rest();
        }
        self.give_up_the_hopeless();
        // A need that no step of the plan has is met already.
        let is_met = |need: &NodeId| !self.planned.contains(need) || self.outcomes.get(need) == Some(&Outcome::Done);
        let has_ended = |need: &NodeId| !self.planned.contains(need) || self.outcomes.contains_key(need);
        let is_ready = |step: &&&Step| match step.always {
            true => step.needs.iter().all(has_ended),
            false => step.needs.iter().all(is_met),
        };
        let (ready, waiting): (Vec<&Step>, Vec<&Step>) = self.waiting.iter().partition(is_ready);
        let room = AT_ONCE.saturating_sub(running.len());
        for step in ready.iter().take(room) {
            running.spawn(carry_out((*step).clone(), self.hands.clone(), self.events.clone()));
        }
        self.waiting = ready.into_iter().skip(room).chain(waiting).collect();
    }

    async fn start_again_what_was_stopped(&mut self) {
        let steps: Vec<&Step> = self.waiting.iter().filter(|step| step.always).copied().collect();
        for step in steps {
            let work = carry_out(step.clone(), self.hands.clone(), self.events.clone());
            if let Ok((id, outcome)) = tokio::time::timeout(LAST_RITES, work).await {
                self.outcomes.insert(id, outcome);
            }
        }
    }

    /// Steps that need a failed one end here, and those that need them.
    fn give_up_the_hopeless(&mut self) {
        loop {
            let failed = |need: &&NodeId| {
                matches!(
                    self.outcomes.get(*need),
                    Some(Outcome::Failed(_) | Outcome::NotStarted(_))
                )
            };
            let hopeless = self.waiting.iter().filter(|step| !step.always).find_map(|step| {
                step.needs
                    .iter()
                    .find(failed)
                    .map(|need| (step.id.clone(), need.clone()))
            });
            let Some((id, need)) = hopeless else { return };
            self.give_up(&id, format!("it needs {need}"));
        }
    }

    /// Without the lease nothing new starts.
    fn give_up_the_rest(&mut self) {
        let rest = self.waiting.iter().filter(|step| !step.always);
        for id in rest.map(|step| step.id.clone()).collect::<Vec<_>>() {
            self.give_up(&id, "the lease was lost".to_owned());
        }
    }

    fn give_up(&mut self, id: &NodeId, why: String) {
        let outcome = Outcome::NotStarted(why);
        // Nobody listens any more when the reporter is gone; the results still tell.
        let _ = self
            .events
            .send(Event::Ended(id.clone(), outcome.clone(), Duration::ZERO));
        self.waiting.retain(|step| step.id != *id);
        self.outcomes.insert(id.clone(), outcome);
    }
}

async fn carry_out(step: Step, hands: Arc<Hands>, events: UnboundedSender<Event>) -> (NodeId, Outcome) {
    let started = Instant::now();
    let _ = events.send(Event::Started(step.id.clone()));
    let note = |text: String| {
        let _ = events.send(Event::Note(step.id.clone(), text));
    };
    let mut outcome = Outcome::Done;
    for action in &step.actions {
        if let Err(error) = hands.act(action, &note).await {
            outcome = Outcome::Failed(format!("{error:#}"));
            break;
        }
    }
    let _ = events.send(Event::Ended(step.id.clone(), outcome.clone(), started.elapsed()));
    (step.id, outcome)
}
