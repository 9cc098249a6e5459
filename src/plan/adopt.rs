//! What exists and is somebody's: taken over into a stack, and given back. Pure.
//!
//! Snowflake objects are taken over in place ([`crate::snowflake::adopt`]); a bucket is imported into its stack first, and
//! what the file wants of it follows as a change of that stack.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::make::step;
use super::{Action, PropertyChange, Step, StepKind};
use crate::aws::import::LiveBucket;
use crate::aws::observe::{LiveStack, LiveStacks};
use crate::aws::replacement::{Effect, from_templates};
use crate::aws::status::{Next, next};
use crate::graph::object::{Actor, Kind};
use crate::graph::stack::{Adoptable, Stack, imported, is_adopted, without};
use crate::graph::{Graph, NodeId};
use crate::model::names::Names;
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::mark;
use crate::snowflake::observe::LiveObject;

/// Buckets that exist, by name; only those that could be taken over are read.
pub type LiveBuckets = BTreeMap<String, LiveBucket>;

/// A stack with the buckets in it that were taken over, or are to be.
pub struct Settled {
    /// The stack as it must be.
    pub stack: Stack,
    /// Names in the template of the buckets that were taken over.
    pub adopted: Vec<String>,
    /// What is done before the stack changes.
    pub steps: Vec<Step>,
    /// What changes of the buckets besides the template.
    pub changes: Vec<PropertyChange>,
    /// What is lost by it.
    pub loss: Option<String>,
    /// What stands against it.
    pub obstacles: Vec<String>,
}

/// Decides for each bucket of a stack that may be taken over whether it is.
pub fn settle(id: &NodeId, stack: &Stack, stacks: &LiveStacks, buckets: &LiveBuckets) -> Settled {
    let live = stacks.get(&stack.name);
    let mut settled = Settled {
        stack: stack.clone(),
        adopted: Vec::new(),
        steps: Vec::new(),
        changes: Vec::new(),
        loss: None,
        obstacles: forgotten(stack, live),
    };
    for wanted in &stack.adoptable {
        let held = live.and_then(|live| held(live, &wanted.logical_id));
        match (held, buckets.get(&wanted.bucket)) {
            (Some((name, adopted)), found) if name == wanted.bucket => {
                if adopted {
                    settled.take(wanted, live, found);
                }
            }
            (_, Some(found)) if found.stack.as_ref().is_some_and(|other| *other != stack.name) => {
                let other = found.stack.as_deref().unwrap_or_default();
                settled.obstacles.push(format!(
                    "bucket {} belongs to the stack {other} and cannot be adopted\n  hint: take it out of that stack first, with `DeletionPolicy: Retain`, so that it stays",
                    wanted.bucket
                ));
            }
            (before, Some(found)) => {
                if let Some((name, adopted)) = before {
                    settled.steps.push(release(id, &stack.name, wanted, &name, adopted));
                }
                settled.steps.push(import(id, &stack.name, wanted, found));
                settled.take(wanted, live, Some(found));
            }
            // There is no such bucket, so it is made as usual. One that was taken over before is given back first.
            (Some((name, true)), None) => settled.steps.push(release(id, &stack.name, wanted, &name, true)),
            (_, None) => {}
        }
    }
    settled.stack = stack.adopting(settled.adopted.iter().map(String::as_str));
    settled
}

/// Buckets that may be taken over and whose stack does not hold them whole yet, so that they must be looked at.
pub fn open<'a>(graph: &'a Graph, stacks: &LiveStacks) -> Vec<&'a str> {
    let is_open = |stack: &Stack, wanted: &Adoptable| {
        let live = stacks.get(&stack.name);
        !live.is_some_and(|live| {
            let properties = &live.template["Resources"][&wanted.logical_id]["Properties"];
            held(live, &wanted.logical_id).is_some_and(|(bucket, _)| bucket == wanted.bucket)
                && !properties["NotificationConfiguration"].is_null()
        })
    };
    let of = |stack: &'a Stack| stack.adoptable.iter().map(move |wanted| (stack, wanted));
    let all = graph.stacks().flat_map(|(_, stack)| of(stack));
    all.filter(|(stack, wanted)| is_open(stack, wanted))
        .map(|(_, wanted)| wanted.bucket.as_str())
        .collect()
}

impl Settled {
    /// What the stack's own step does to resources, by the documentation: the other steps are done by then.
    pub fn effects(&self, live: &LiveStack) -> Vec<Effect> {
        let mut template = live.template.clone();
        for action in self.steps.iter().flat_map(|step| &step.actions) {
            match action {
                Action::ReleaseBucket { logical_id, .. } => template = without(&template, logical_id),
                Action::ImportBucket { logical_id, bucket, .. } => {
                    template["Resources"][logical_id] = imported(&json!(bucket), &self.stack.owner());
                }
                _ => {}
            }
        }
        from_templates(&template, &self.stack.template)
    }

    fn take(&mut self, wanted: &Adoptable, live: Option<&LiveStack>, found: Option<&LiveBucket>) {
        self.adopted.push(wanted.logical_id.clone());
        let resource = live.map(|live| &live.template["Resources"][&wanted.logical_id]);
        let listens = resource.is_some_and(|resource| !resource["Properties"]["NotificationConfiguration"].is_null());
        let others = || found.into_iter().flat_map(|found| &found.listeners);
        let others: Vec<&str> = others()
            .map(String::as_str)
            .filter(|arn| *arn != wanted.topic)
            .collect();
        if listens || others.is_empty() {
            return;
        }
        // A bucket has one notification configuration, and this replaces it:
        // https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
        let others = others.join(", ");
        self.changes.push(PropertyChange::new(
            format!("{} notifications", wanted.bucket),
            Some(others.clone()),
            Some(wanted.topic.clone()),
        ));
        self.loss = Some(format!(
            "the notifications of bucket {} to {others}; subscribe them to {} to go on hearing",
            wanted.bucket, wanted.topic
        ));
    }
}

/// The bucket that a stack holds under a name of the template, and whether it was taken over. A stack that never lived
/// holds none, whatever its template says, and one whose deletion goes on keeps none that was taken over.
fn held(live: &LiveStack, logical_id: &str) -> Option<(String, bool)> {
    let resource: &Value = &live.template["Resources"][logical_id];
    let bucket = resource["Properties"]["BucketName"].as_str()?;
    let adopted = is_adopted(resource);
    let holds = match next(&live.status) {
        Next::Recreate | Next::Create => false,
        Next::DeleteAgain => !adopted,
        _ => true,
    };
    holds.then(|| (bucket.to_owned(), adopted))
}

/// Buckets that were taken over, and of which the file does not say so any more.
fn forgotten(stack: &Stack, live: Option<&LiveStack>) -> Vec<String> {
    let Some(live) = live else { return Vec::new() };
    let is_forgotten = |held: &&Adopted| {
        !stack
            .adoptable
            .iter()
            .any(|wanted| wanted.logical_id == held.logical_id)
    };
    let held = of_stack(&stack.name, live);
    let said = held.iter().filter(is_forgotten).map(|held| {
        format!(
            "bucket {} was adopted, and the file does not say so any more\n  hint: put `adopt = true` back; `pipectl destroy` gives it back",
            held.bucket
        )
    });
    said.collect()
}

fn import(id: &NodeId, stack: &str, wanted: &Adoptable, found: &LiveBucket) -> Step {
    let Adoptable { logical_id, bucket, .. } = wanted;
    let mut own = vec![
        format!("encryption {}", found.encryption),
        format!("versioning {}", found.versioning.to_lowercase()),
        format!("{} lifecycle rules", found.lifecycle_rules),
        if found.has_policy { "its policy" } else { "no policy" }.to_owned(),
    ];
    if !found.is_private {
        own.push("public access not blocked".to_owned());
    }
    let key = if found.encryption.starts_with("aws:kms") {
        "; its key must let the pipeline's roles decrypt"
    } else {
        ""
    };
    let reason = format!(
        "it exists: it keeps what it holds and its own settings ({}){key}; only files that arrive from now on are read",
        own.join(", ")
    );
    let actions = vec![Action::ImportBucket {
        stack: stack.to_owned(),
        logical_id: logical_id.clone(),
        bucket: bucket.clone(),
    }];
    let target = format!("bucket {bucket} into stack {stack}");
    step(
        &of_bucket(id, "adopt", logical_id),
        StepKind::Adopt,
        target,
        &reason,
        actions,
    )
}

fn release(id: &NodeId, stack: &str, wanted: &Adoptable, bucket: &str, adopted: bool) -> Step {
    let reason = if adopted {
        "the file names another one; it is given back, and keeps what it holds"
    } else {
        "the file names another one; it stays, and keeps what it holds"
    };
    give_back_bucket(
        of_bucket(id, "release", &wanted.logical_id),
        &Adopted {
            stack: stack.to_owned(),
            logical_id: wanted.logical_id.clone(),
            bucket: bucket.to_owned(),
            topic: wanted.topic.clone(),
        },
        reason,
    )
}

/// A step for a bucket beside the one for its stack.
fn of_bucket(stack: &NodeId, what: &str, logical_id: &str) -> NodeId {
    NodeId(format!("{stack}:{what}:{logical_id}"))
}

/// Puts the steps for buckets before the step of their stack, and after all that it needs.
pub fn order(steps: &mut [Step]) {
    let parts: Vec<(usize, NodeId)> = steps
        .iter()
        .enumerate()
        .filter_map(|(position, step)| {
            let (stack, _) = ["adopt", "release"]
                .iter()
                .find_map(|what| step.id.0.split_once(&format!(":{what}:")))?;
            Some((position, NodeId(stack.to_owned())))
        })
        .collect();
    for (position, stack) in parts {
        let Some(at) = steps.iter().position(|step| step.id == stack) else {
            continue;
        };
        let needs = steps[at].needs.clone();
        let id = steps[position].id.clone();
        steps[position].needs = needs;
        steps[at].needs.push(id);
    }
}

/// A bucket that was taken over, and is to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The stack that holds it, or held it.
    pub stack: String,
    /// Its name in the template.
    pub logical_id: String,
    /// The bucket.
    pub bucket: String,
    /// ARN of the topic that hears of its objects.
    pub topic: String,
}

/// The buckets of a stack that were taken over.
pub fn of_stack(name: &str, live: &LiveStack) -> Vec<Adopted> {
    let resources = live.template["Resources"].as_object();
    let adopted = resources
        .into_iter()
        .flatten()
        .filter(|(_, resource)| is_adopted(resource));
    adopted
        .map(|(logical_id, resource)| Adopted {
            stack: name.to_owned(),
            logical_id: logical_id.clone(),
            bucket: resource["Properties"]["BucketName"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            topic: resource["Properties"]["NotificationConfiguration"]["TopicConfigurations"][0]["Topic"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
        .collect()
}

/// Buckets that may have been taken out of their stack while the topic still hears of their objects.
pub fn half_given_back(graph: &Graph, stacks: &LiveStacks) -> Vec<Adopted> {
    let of = |stack: &Stack| {
        let live = stacks.get(&stack.name);
        let outside = stack
            .adoptable
            .iter()
            .filter(|wanted| live.and_then(|live| held(live, &wanted.logical_id)).is_none());
        let given = outside.map(|wanted| Adopted {
            stack: stack.name.clone(),
            logical_id: wanted.logical_id.clone(),
            bucket: wanted.bucket.clone(),
            topic: wanted.topic.clone(),
        });
        given.collect::<Vec<_>>()
    };
    graph.stacks().flat_map(|(_, stack)| of(stack)).collect()
}

/// The step that gives a bucket back.
pub fn give_back_bucket(id: NodeId, adopted: &Adopted, reason: &str) -> Step {
    let Adopted {
        stack,
        logical_id,
        bucket,
        topic,
    } = adopted.clone();
    let target = format!("bucket {bucket} out of stack {stack}");
    let actions = vec![Action::ReleaseBucket {
        stack,
        logical_id,
        bucket,
        topic,
    }];
    step(&id, StepKind::Alter, target, reason, actions)
}

/// The step that gives an object back: the pipeline's roles lose their privileges on it, and its comment the mark.
pub fn give_back(kind: Kind, name: &Name, live: &LiveObject, names: &Names) -> Step {
    let (loader, reader) = (names.snowflake("LOADER"), names.snowflake("READER"));
    let [loader, reader] = [loader, reader].map(|role| Name::account(&role));
    let mut statements = match kind {
        Kind::Table => vec![
            format!("REVOKE SELECT, INSERT, UPDATE ON TABLE {name} FROM ROLE {loader}"),
            format!("REVOKE SELECT ON TABLE {name} FROM ROLE {reader}"),
        ],
        Kind::Stage => vec![format!("REVOKE USAGE ON STAGE {name} FROM ROLE {loader}")],
        // What the roles hold on a database or a schema goes with them.
        _ => Vec::new(),
    };
    let about = literal(mark::about(&live.comment));
    let sql_kind = kind.label().to_uppercase();
    statements.push(format!("ALTER {sql_kind} {name} SET COMMENT = {about}"));
    let actions = statements.into_iter().map(|sql| Action::Sql {
        role: Actor::Deployer,
        sql: sql.into(),
    });
    let reason = match kind {
        Kind::Table => "it was adopted and is given back: its rows and all its columns stay",
        _ => "it was adopted and is given back",
    };
    step(
        &NodeId::of_object(kind, name),
        StepKind::Alter,
        format!("{kind} {name}"),
        reason,
        actions.collect(),
    )
}
