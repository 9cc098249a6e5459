//! The plan: what will be done, why, and what is lost. A value; it does no I/O.

pub mod adopt;
pub mod make;
pub mod remove;
pub mod saved;
pub mod stacks;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::replacement::Effect;
use crate::graph::NodeId;
use crate::graph::object::Actor;
use crate::snowflake::ident::Name;
use crate::snowflake::mark::{self, Handover};

/// Why most things are made.
pub const MISSING: &str = "it does not exist";

/// Steps that bring the clouds to the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the environment.
    pub environment: String,
    /// Resources of stacks that were changed by hand. No step sets them back; asked for with `diff --drift`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifted: Vec<DriftedResource>,
    /// The steps, each after those it needs.
    pub steps: Vec<Step>,
}

/// A resource of a stack that is not as its template says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftedResource {
    /// The stack.
    pub stack: String,
    /// Its name in the template.
    pub resource: String,
    /// Its CloudFormation type.
    pub kind: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// What differs: `before` is what is there, `after` what the template says.
    pub changes: Vec<PropertyChange>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its id; also the id for `--allow-loss`.
    pub id: NodeId,
    /// What it does.
    pub kind: StepKind,
    /// What it does it to, in words.
    pub target: String,
    /// Why; empty where the command itself says it.
    pub reason: String,
    /// Whether it undoes what was changed by hand, and no change of the file.
    pub drift: bool,
    /// What differs.
    pub changes: Vec<PropertyChange>,
    /// Resources of a stack that are replaced or leave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Effect>,
    /// What is lost, where something is.
    pub loss: Option<String>,
    /// Whether the former file brings back what was, whatever rows came meanwhile.
    pub reversible: bool,
    /// Steps that must be done before.
    pub needs: Vec<NodeId>,
    /// Whether it is done even when what it needs failed, so that nothing is left stopped.
    pub always: bool,
    /// What is done, in order. Each action may be done again without harm.
    pub actions: Vec<Action>,
}

/// One thing that apply does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Runs a statement in the given role.
    Sql {
        /// Who runs it.
        role: Actor,
        /// The statement.
        sql: Arc<str>,
    },
    /// Pauses a pipe that will be replaced, keeps the moment in its COMMENT, and waits until it has loaded what it was
    /// told of.
    PausePipe {
        /// The pipe.
        pipe: Name,
        /// What its COMMENT must say.
        mark: Mark,
    },
    /// Makes a pipe anew without losing files: pauses it as above, replaces it, and loads what arrived meanwhile. Where
    /// there is none any more, the new one loads the files of the last seven days.
    ReplacePipe {
        /// The pipe.
        pipe: Name,
        /// The statement that replaces it.
        create: Arc<str>,
        /// What its COMMENT must say in the end.
        mark: Mark,
    },
    /// Loads what arrived while a pipe was replaced, where that was cut off after the new one was made.
    RefreshPipe {
        /// The pipe.
        pipe: Name,
        /// The statement that made it.
        create: Arc<str>,
        /// What its COMMENT must say in the end.
        mark: Mark,
    },
    /// Lets Snowflake try the way to the bucket: trust, external id and policy.
    CheckHandshake {
        /// The storage integration.
        integration: Name,
        /// A location that it allows.
        location: String,
    },
    /// Suspends a task graph and waits until its running run has ended.
    SuspendGraph {
        /// The root task.
        root: Name,
    },
    /// Resumes a task graph, children first, and checks that every task is started.
    ResumeGraph {
        /// The root task.
        root: Name,
    },
    /// Creates or updates a stack through a change set, after bringing it out of a status that forbids it.
    DeployStack {
        /// The stack.
        stack: String,
        /// Buckets in it that were taken over, by their names in the template.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        adopted: Vec<String>,
        /// Resources whose loss the plan names; CloudFormation losing another one is refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        losing: Vec<String>,
    },
    /// Imports a bucket that exists into a stack, which is made where there is none.
    ImportBucket {
        /// The stack.
        stack: String,
        /// Name of the bucket in the template.
        logical_id: String,
        /// The bucket.
        bucket: String,
    },
    /// Takes a bucket out of a stack, and the pipeline's topic out of its notifications. The bucket stays.
    ReleaseBucket {
        /// The stack.
        stack: String,
        /// Name of the bucket in the template.
        logical_id: String,
        /// The bucket.
        bucket: String,
        /// ARN of the topic.
        topic: String,
    },
    /// Deletes a stack.
    DeleteStack {
        /// The stack.
        stack: String,
    },
    /// Deletes every object and version in a bucket, then the bucket.
    DeleteBucket {
        /// The bucket.
        bucket: String,
    },
    /// Puts the runtime's zip into the artefact bucket.
    Upload {
        /// The artefact bucket.
        bucket: String,
        /// Its key there.
        key: String,
    },
    /// Deletes the pipeline's parameters.
    DeleteParameters,
}

impl Action {
    /// Whether it sends statements to Snowflake.
    pub fn is_of_snowflake(&self) -> bool {
        match self {
            Action::Sql { .. }
            | Action::PausePipe { .. }
            | Action::ReplacePipe { .. }
            | Action::RefreshPipe { .. }
            | Action::CheckHandshake { .. }
            | Action::SuspendGraph { .. }
            | Action::ResumeGraph { .. } => true,
            Action::DeployStack { .. }
            | Action::ImportBucket { .. }
            | Action::ReleaseBucket { .. }
            | Action::DeleteStack { .. }
            | Action::DeleteBucket { .. }
            | Action::Upload { .. }
            | Action::DeleteParameters => false,
        }
    }
}

/// What the COMMENT of an object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// What the object is for.
    pub about: String,
    /// Whose it is: `pipeline/environment`.
    pub owner: String,
    /// Hash of its definition.
    pub hash: String,
}

impl Mark {
    /// The COMMENT.
    pub fn comment(&self) -> String {
        mark::comment(&self.about, &self.owner, &self.hash)
    }

    /// The COMMENT of a pipe while it is being replaced.
    pub fn handing_over(&self, handover: Handover<'_>) -> String {
        mark::comment(&self.about, &self.owner, &handover.to_string())
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Makes what is not there.
    Create,
    /// Changes it in place.
    Alter,
    /// Removes it and makes it anew.
    Replace,
    /// Removes it.
    Drop,
    /// Takes over what exists and is somebody's.
    Adopt,
    /// Does something that is no change of definition.
    Run,
}

impl StepKind {
    /// The sign of a step in a text.
    pub fn sign(self) -> &'static str {
        match self {
            StepKind::Create => "+",
            StepKind::Alter => "~",
            StepKind::Replace => "±",
            StepKind::Drop => "-",
            StepKind::Adopt => "=",
            StepKind::Run => ">",
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            StepKind::Create => "create",
            StepKind::Alter => "alter",
            StepKind::Replace => "replace",
            StepKind::Drop => "drop",
            StepKind::Adopt => "adopt",
            StepKind::Run => "run",
        }
    }
}

/// One property that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PropertyChange {
    /// Its path.
    pub property: String,
    /// What it is.
    pub before: Option<String>,
    /// What it must be.
    pub after: Option<String>,
}

impl PropertyChange {
    /// A change of `property`.
    pub fn new(property: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        PropertyChange {
            property: property.into(),
            before,
            after,
        }
    }
}

impl fmt::Display for PropertyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |side: &Option<String>| {
            side.as_ref()
                .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let (before, after) = (line(&self.before), line(&self.after));
        let skip = match (&before, &after) {
            (Some(before), Some(after)) if before.len().max(after.len()) > SHOWN => common_start(before, after),
            _ => 0,
        };
        let side = |side: &Option<String>| {
            side.as_deref()
                .map_or_else(|| "(none)".to_owned(), |text| excerpt(text, skip))
        };
        write!(f, "{}: {} → {}", self.property, side(&before), side(&after))
    }
}

/// Characters of a value that are shown.
const SHOWN: usize = 100;
/// Characters before the first difference of two long values that are shown.
const CONTEXT: usize = 20;

/// Characters that two texts start with alike, less some context.
fn common_start(one: &str, other: &str) -> usize {
    let alike = one
        .chars()
        .zip(other.chars())
        .take_while(|(one, other)| one == other)
        .count();
    alike.saturating_sub(CONTEXT)
}

/// A long value from its first difference on.
fn excerpt(text: &str, skip: usize) -> String {
    let mut shown: String = text.chars().skip(skip).take(SHOWN).collect();
    if skip > 0 {
        shown.insert(0, '…');
    }
    if text.chars().count() > skip + SHOWN {
        shown.push('…');
    }
    shown
}

impl Plan {
    /// Whether there is nothing to do, and nothing was changed by hand.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.drifted.is_empty()
    }

    /// Steps that lose something and are not among the consented ids.
    pub fn unconsented<'a>(&'a self, consented: &'a [String]) -> impl Iterator<Item = &'a Step> {
        self.steps
            .iter()
            .filter(|step| step.loss.is_some() && !consented.contains(&step.id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let start = "x".repeat(300);
        let change = PropertyChange::new("definition", Some(format!("{start} OLD")), Some(format!("{start} NEW")));
        assert_eq!(
            change.to_string(),
            format!("definition: …{0} OLD → …{0} NEW", "x".repeat(19))
        );
    }

    #[test]
    fn short_values_are_shown_whole() {
        assert_eq!(
            PropertyChange::new("a", Some("1".into()), None).to_string(),
            "a: 1 → (none)"
        );
    }
}
