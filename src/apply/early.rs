//! Change sets that are made before their turn.
//!
//! CloudFormation takes seconds to make a change set and changes nothing meanwhile, so those whose values are known are made
//! while what their stacks need is being made. One that cannot be made is made again at its turn, where its failure is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Hands;
use crate::aws::apply::{Prepared, discard};
use crate::graph::stack::Parameter;
use crate::plan::{Action, Step};

/// How long change sets that are not carried out may hold up the end of a run. One that stays harms nothing: the next
/// deploy makes its own.
const TAKEN_BACK: Duration = Duration::from_secs(5);

/// The change sets that are made or being made, by their stack.
#[derive(Clone, Default)]
pub(super) struct Early(Arc<Mutex<BTreeMap<String, JoinHandle<Option<Prepared>>>>>);

impl Early {
    /// Starts to make those of `waiting` steps.
    pub(super) fn start<'a>(waiting: impl Iterator<Item = &'a Step>, hands: &Arc<Hands>) -> Self {
        let deployed = waiting
            .flat_map(|step| &step.actions)
            .filter_map(|action| match action {
                Action::DeployStack { stack, adopted, losing } if adopted.is_empty() && is_known(stack, hands) => {
                    Some((stack.clone(), losing.clone()))
                }
                _ => None,
            });
        let started = deployed.map(|(stack, losing)| {
            let (name, hands) = (stack.clone(), hands.clone());
            let made = tokio::spawn(async move { hands.prepare_stack(&name, &losing).await.ok().flatten() });
            (stack, made)
        });
        Early(Arc::new(Mutex::new(started.collect())))
    }

    /// The change set of a stack, where one was made.
    pub(super) async fn take(&self, stack: &str) -> Option<Prepared> {
        let started = self.all().remove(stack)?;
        started.await.ok().flatten()
    }

    /// Takes back what was not carried out. `is_ours` says that no other run can be at work.
    pub(super) async fn discard(&self, hands: &Hands, is_ours: bool) {
        let left = std::mem::take(&mut *self.all());
        let each = left.into_values().map(async |started| {
            if let Ok(Some(prepared)) = started.await {
                // What stays is taken up by the next deploy.
                let _ = discard(&hands.aws, prepared, is_ours).await;
            }
        });
        let _ = tokio::time::timeout(TAKEN_BACK, futures::future::join_all(each)).await;
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, JoinHandle<Option<Prepared>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all parameters of a stack are known before anything is made.
fn is_known(name: &str, hands: &Hands) -> bool {
    let stack = hands.graph.stacks().find(|(_, stack)| stack.name == name);
    stack.is_some_and(|(_, stack)| {
        let mut parameters = stack.parameters.values();
        parameters.all(|parameter| *parameter == Parameter::RuntimeKey)
    })
}
