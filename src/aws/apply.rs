//! Stacks are made and changed here, always through a change set.

use std::collections::BTreeMap;

use anyhow::bail;
use aws_sdk_cloudformation::types::ChangeSetType;

use super::Aws;
use super::changeset::{self, ChangeSet, Order};
use super::events::{Watch, status};
use super::failure::explain;
use super::observe;
use super::recover::{GivenUp, Ready, finish, left_behind, ready};
use super::replacement::{Effect, from_changes};
use super::status::{Next, next};
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

/// A change set that is ready to be carried out and loses nothing that the plan did not name.
pub struct Prepared {
    made: ChangeSet,
    ready: Ready,
    imports: bool,
}

/// Brings a stack to its template and parameters.
pub async fn deploy(aws: &Aws, wanted: &Wanted<'_>, note: Note<'_>) -> anyhow::Result<()> {
    let ready = ready(aws, &wanted.stack.name, wanted.given_up, note).await?;
    let prepared = prepare(aws, wanted, ready).await?;
    execute(aws, prepared, note).await
}

/// Makes the change set of a stack before its turn. Nothing where the stack must first be brought out of a status: what
/// that does may rest on what the stack needs.
pub async fn prepare_early(aws: &Aws, wanted: &Wanted<'_>) -> anyhow::Result<Option<Prepared>> {
    let found = status(aws, &wanted.stack.name).await?;
    let ready = match found.as_deref().map(next) {
        None | Some(Next::Create) => Ready::Create,
        Some(Next::Update) => Ready::Update,
        Some(_) => return Ok(None),
    };
    prepare(aws, wanted, ready).await.map(Some)
}

async fn prepare(aws: &Aws, wanted: &Wanted<'_>, ready: Ready) -> anyhow::Result<Prepared> {
    let stack = wanted.stack;
    let imports = ready == Ready::Create && !left_behind(aws, stack).await?.is_empty();
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
    let live = match (&made.changes, ready) {
        (Some(_), Ready::Update) => observe::template(aws, &stack.name).await?,
        _ => serde_json::Value::Null,
    };
    let unnamed: Vec<String> = from_changes(made.changes.as_deref().unwrap_or_default(), &live, &stack.template)
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
    Ok(Prepared { made, ready, imports })
}

/// Carries out a change set and waits for its end.
pub async fn execute(aws: &Aws, prepared: Prepared, note: Note<'_>) -> anyhow::Result<()> {
    let Prepared { made, imports, .. } = prepared;
    if imports {
        note("takes in again what a former stack left".to_owned());
    }
    if made.changes.is_none() {
        note("no change".to_owned());
        return changeset::delete(aws, &made.stack, &made.name).await;
    }
    carry_out(aws, &made.stack, &made.name, imports, note).await
}

/// Carries out a change set and waits until the stack has come to rest.
pub(super) async fn carry_out(
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

/// Takes a change set back that is not carried out. A stack that was made to hold it is empty and goes with it, unless
/// another run may use it by now.
pub async fn discard(aws: &Aws, prepared: Prepared, is_ours: bool) -> anyhow::Result<()> {
    let Prepared { made, ready, .. } = prepared;
    changeset::delete(aws, &made.stack, &made.name).await?;
    if !is_ours || ready != Ready::Create {
        return Ok(());
    }
    let is_blank = status(aws, &made.stack).await?.as_deref() == Some("REVIEW_IN_PROGRESS");
    if is_blank {
        let request = aws.cloudformation.delete_stack().stack_name(&made.stack).send();
        request
            .await
            .map_err(|error| explain(&format!("cloudformation:DeleteStack of {}", made.stack), error))?;
    }
    Ok(())
}
