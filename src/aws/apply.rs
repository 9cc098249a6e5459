//! Stacks are made and changed here, always through a change set.

use std::collections::BTreeMap;

use anyhow::bail;
use aws_sdk_cloudformation::types::ChangeSetType;

use super::Aws;
use super::changeset::{self, Order};
use super::events::Watch;
use super::failure::explain;
use super::observe;
use super::recover::{GivenUp, Ready, finish, left_behind, ready};
use super::replacement::{Effect, from_changes};
use crate::graph::stack::Stack;

/// Hears what happens meanwhile.
pub type Note<'a> = &'a (dyn Fn(String) + Send + Sync);

/// What a stack is brought to.
pub struct Wanted<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Bucket that a long template goes through.
    pub artifact_bucket: &'a str,
    /// Resources whose loss the plan named.
    pub losing: &'a [String],
    /// Resources that the user gave up on the way out of a failure.
    pub given_up: &'a GivenUp,
}

/// Brings a stack to its template and parameters.
pub async fn deploy(aws: &Aws, wanted: Wanted<'_>, note: Note<'_>) -> anyhow::Result<()> {
    let stack = wanted.stack;
    let ready = ready(aws, &stack.name, wanted.given_up, note).await?;
    let imports = ready == Ready::Create && !left_behind(aws, stack).await?.is_empty();
    if imports {
        note("takes in again what a former stack left".to_owned());
    }
    let parameters = wanted.parameters.iter();
    let order = Order {
        stack,
        kind: match ready {
            Ready::Update => ChangeSetType::Update,
            Ready::Create => ChangeSetType::Create,
        },
        parameters: parameters
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect(),
        artifact_bucket: wanted.artifact_bucket,
        imports,
    };
    let made = changeset::create(aws, order).await?;
    let Some(changes) = &made.changes else {
        note("no change".to_owned());
        return changeset::delete(aws, &made.stack, &made.name).await;
    };
    let live = match ready {
        Ready::Update => observe::template(aws, &stack.name).await?,
        Ready::Create => serde_json::Value::Null,
    };
    let unnamed: Vec<String> = from_changes(changes, &live, &stack.template)
        .iter()
        .filter(|effect| !wanted.losing.contains(&effect.resource))
        .filter_map(Effect::loss)
        .collect();
    if !unnamed.is_empty() {
        changeset::delete(aws, &made.stack, &made.name).await?;
        bail!(
            "nothing of stack {} was changed: CloudFormation would lose what the plan did not name, {}\n  hint: run the same command again; its plan names it now",
            stack.name,
            unnamed.join("; ")
        );
    }
    execute(aws, &made.stack, &made.name, imports, note).await
}

/// Carries out a change set and waits until the stack has come to rest.
pub(super) async fn execute(
    aws: &Aws,
    stack: &str,
    change_set: &str,
    imports: bool,
    note: Note<'_>,
) -> anyhow::Result<()> {
    let mut watch = Watch::start(aws, stack).await?;
    let execute = aws
        .cloudformation
        .execute_change_set()
        .stack_name(stack)
        .change_set_name(change_set)
        // A first creation that fails leaves nothing that would stand in the way of the next one. What was taken in must
        // never be deleted.
        .set_retain_except_on_create((!imports).then_some(true));
    execute
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:ExecuteChangeSet of {stack}"), error))?;
    finish(aws, &mut watch, stack, note).await
}
