//! Carries out a plan: steps in parallel along their needs, a bounded number at once, telling what happens as events.
//!
//! A failure stops only what needs the failed step. The only module that changes anything in the clouds.

mod actions;
mod early;
mod pipe;
mod snowflake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::aws::events::made;
use crate::graph::NodeId;
use crate::plan::make::enough;
use crate::plan::{Action, Plan, Step};

pub use actions::Hands;
use early::Early;

/// Steps in Snowflake that run at the same time. The number is this program's own choice: Snowflake documents none for statements that
/// need no warehouse, only that it answers 429 to too many
/// (<https://docs.snowflake.com/en/developer-guide/sql-api/reference>). Those are sent again after a pause, so a busy
/// account slows a deploy down and does not end it. Steps in AWS are few and long, and never wait for one in Snowflake.
const AT_ONCE: usize = 64;

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
    let (tell, mut made) = unbounded_channel();
    let mut run = Run::new(plan, events, tell, hands, stops);
    let is_lost = run.stops.lost.clone();
    if !is_lost.is_cancelled() {
        run.early = Early::start(run.waiting.values().map(|(step, _)| *step), &run.hands);
    }
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
            Some((stack, resource)) = made.recv() => run.made(&stack, &resource),
            Some(ended) = running.join_next() => {
                if let Ok((id, outcome)) = ended {
                    run.end(id, outcome);
                }
            }
        }
    }
    run.early.discard(&run.hands, !is_lost.is_cancelled()).await;
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
    /// Steps that wait, with the number of steps that each still waits for.
    waiting: BTreeMap<&'a NodeId, (&'a Step, usize)>,
    /// Steps that need a step.
    needed_by: BTreeMap<&'a NodeId, Vec<&'a Step>>,
    /// Steps that need only some resources of a stack, by its step, with those that are not made yet.
    parts: BTreeMap<&'a NodeId, Vec<(&'a Step, BTreeSet<&'static str>)>>,
    /// Steps and the stacks that they need no more of, though these are not done.
    met_early: BTreeSet<(NodeId, NodeId)>,
    /// Steps that wait for nothing but their turn, those in AWS first.
    ready: VecDeque<&'a Step>,
    /// Steps in Snowflake that run.
    in_snowflake: BTreeSet<NodeId>,
    outcomes: BTreeMap<NodeId, Outcome>,
    early: Early,
    events: UnboundedSender<Event>,
    tell: UnboundedSender<Made>,
    hands: Arc<Hands>,
    stops: Stops,
}

/// A stack's step, and a resource of it that is made.
type Made = (NodeId, String);

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        events: UnboundedSender<Event>,
        tell: UnboundedSender<Made>,
        hands: Arc<Hands>,
        stops: Stops,
    ) -> Self {
        let (step, of_step) = enough();
        let of_nodes = hands.graph.nodes().iter().map(|node| (&node.id, &node.enough));
        let enough: BTreeMap<&NodeId, _> = of_nodes.chain([(&step, &of_step)]).collect();
        let planned: BTreeSet<&NodeId> = plan.steps.iter().map(|step| &step.id).collect();
        let mut run = Run {
            waiting: BTreeMap::new(),
            needed_by: BTreeMap::new(),
            parts: BTreeMap::new(),
            met_early: BTreeSet::new(),
            ready: VecDeque::new(),
            in_snowflake: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            early: Early::default(),
            events,
            tell,
            hands: hands.clone(),
            stops,
        };
        for step in &plan.steps {
            // A need that no step of the plan has is met already.
            let needs: BTreeSet<&NodeId> = step.needs.iter().filter(|need| planned.contains(need)).collect();
            for need in &needs {
                run.needed_by.entry(need).or_default().push(step);
                if let Some(resources) = enough.get(&step.id).and_then(|enough| enough.get(need)) {
                    let missing = resources.iter().copied().collect();
                    run.parts.entry(need).or_default().push((step, missing));
                }
            }
            if needs.is_empty() {
                run.queue(step);
            } else {
                run.waiting.insert(&step.id, (step, needs.len()));
            }
        }
        run
    }

    fn start_ready(&mut self, running: &mut JoinSet<(NodeId, Outcome)>) {
        if self.stops.interrupted.is_cancelled() {
            return;
        }
        if self.stops.lost.is_cancelled() {
            self.give_up_the_rest();
        }
        while let Some(step) = self.ready.front().copied() {
            if is_in_snowflake(step) {
                if self.in_snowflake.len() == AT_ONCE {
                    break;
                }
                self.in_snowflake.insert(step.id.clone());
            }
            self.ready.pop_front();
            running.spawn(self.carry_out(step));
        }
    }

    fn queue(&mut self, step: &'a Step) {
        match is_in_snowflake(step) {
            true => self.ready.push_back(step),
            false => self.ready.push_front(step),
        }
    }

    fn carry_out(&self, step: &Step) -> impl Future<Output = (NodeId, Outcome)> + use<> {
        let (hands, early) = (self.hands.clone(), self.early.clone());
        carry_out(step.clone(), hands, early, self.events.clone(), self.tell.clone())
    }

    /// Notes that a resource of a stack is made. What needs no more of the stack does not wait for its end.
    fn made(&mut self, stack: &NodeId, resource: &str) {
        let mut enough = Vec::new();
        for (step, missing) in self.parts.get_mut(stack).into_iter().flatten() {
            if missing.remove(resource) && missing.is_empty() {
                enough.push(*step);
            }
        }
        for step in enough {
            self.met_early.insert((step.id.clone(), stack.clone()));
            self.meet(step);
        }
    }

    /// One need of a step is met.
    fn meet(&mut self, step: &'a Step) {
        if let Some((_, missing)) = self.waiting.get_mut(&step.id) {
            *missing -= 1;
            if *missing == 0 {
                self.waiting.remove(&step.id);
                self.queue(step);
            }
        }
    }

    /// Notes how a step ended. What needed it may be ready now; after a failure it ends here, and what needs that.
    fn end(&mut self, id: NodeId, outcome: Outcome) {
        self.in_snowflake.remove(&id);
        let mut ended = vec![(id, outcome)];
        while let Some((id, outcome)) = ended.pop() {
            // What is told of its resources from now on was told too late to count.
            self.parts.remove(&id);
            for step in self.needed_by.get(&id).cloned().unwrap_or_default() {
                if outcome == Outcome::Done || step.always {
                    if !self.met_early.contains(&(step.id.clone(), id.clone())) {
                        self.meet(step);
                    }
                } else if self.waiting.remove(&step.id).is_some() {
                    ended.push((step.id.clone(), self.not_started(&step.id, format!("it needs {id}"))));
                }
            }
            self.outcomes.insert(id, outcome);
        }
    }

    async fn start_again_what_was_stopped(&mut self) {
        let waiting = self.waiting.values().map(|(step, _)| *step);
        let steps: Vec<&Step> = waiting.chain(self.ready.iter().copied()).collect();
        for step in steps.into_iter().filter(|step| step.always) {
            let work = self.carry_out(step);
            if let Ok((id, outcome)) = tokio::time::timeout(LAST_RITES, work).await {
                self.outcomes.insert(id, outcome);
            }
        }
    }

    /// Without the lease nothing new starts but what starts again what was stopped.
    fn give_up_the_rest(&mut self) {
        let (kept, given_up): (Vec<&Step>, Vec<&Step>) = self.ready.drain(..).partition(|step| step.always);
        self.ready = kept.into();
        for step in given_up {
            let outcome = self.not_started(&step.id, "the lease was lost".to_owned());
            self.end(step.id.clone(), outcome);
        }
        while let Some(step) = self.waiting.values().map(|(step, _)| *step).find(|step| !step.always) {
            self.waiting.remove(&step.id);
            let outcome = self.not_started(&step.id, "the lease was lost".to_owned());
            self.end(step.id.clone(), outcome);
        }
    }

    fn not_started(&self, id: &NodeId, why: String) -> Outcome {
        let outcome = Outcome::NotStarted(why);
        // Nobody listens any more when the reporter is gone; the results still tell.
        let _ = self
            .events
            .send(Event::Ended(id.clone(), outcome.clone(), Duration::ZERO));
        outcome
    }
}

async fn carry_out(
    step: Step,
    hands: Arc<Hands>,
    early: Early,
    events: UnboundedSender<Event>,
    tell: UnboundedSender<Made>,
) -> (NodeId, Outcome) {
    let started = Instant::now();
    let _ = events.send(Event::Started(step.id.clone()));
    let note = |text: String| {
        if let Some(resource) = made(&text) {
            let _ = tell.send((step.id.clone(), resource.to_owned()));
        }
        let _ = events.send(Event::Note(step.id.clone(), text));
    };
    let mut outcome = Outcome::Done;
    for actions in step.actions.chunk_by(|one, next| is_grant(one) && is_grant(next)) {
        let acts = actions.iter().map(|action| hands.act(action, &early, &note));
        if let Err(error) = try_join_all(acts).await {
            outcome = Outcome::Failed(format!("{error:#}"));
            break;
        }
    }
    let _ = events.send(Event::Ended(step.id.clone(), outcome.clone(), started.elapsed()));
    (step.id, outcome)
}

fn is_in_snowflake(step: &Step) -> bool {
    step.actions.iter().any(Action::is_of_snowflake)
}

/// Grants of privileges need no order among themselves, and what follows them waits for all.
fn is_grant(action: &Action) -> bool {
    matches!(action, Action::Sql { sql, .. } if sql.starts_with("GRANT ") && !sql.starts_with("GRANT OWNERSHIP "))
}

#[cfg(test)]
mod tests;
