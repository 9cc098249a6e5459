//! Stacks are made, changed and deleted here, always through a change set.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, ChangeSetType, Parameter, Tag};

use super::Aws;
use super::events::{Watch, is_missing, status};
use super::failure::explain;
use super::status::{Next, is_success, next};
use crate::graph::stack::Stack;
use crate::pace::Pace;

/// Longest template that is sent inline:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>.
const INLINE_LIMIT: usize = 51_200;

/// Hears what happens meanwhile.
pub type Note<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Brings a stack to its template and parameters.
pub async fn deploy(
    aws: &Aws,
    stack: &Stack,
    parameters: &BTreeMap<String, String>,
    artifact_bucket: &str,
    note: Note<'_>,
) -> anyhow::Result<()> {
    let kind = if ready(aws, &stack.name, note).await? {
        ChangeSetType::Update
    } else {
        ChangeSetType::Create
    };
    let change_set = format!("pipectl-{}", uuid::Uuid::new_v4());
    let body = stack.yaml().context("writing the template")?;
    let request = aws
        .cloudformation
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name(&change_set)
        .change_set_type(kind)
        .capabilities(Capability::CapabilityNamedIam)
        .set_tags(Some(
            stack
                .tags
                .iter()
                .map(|(key, value)| Tag::builder().key(key).value(value).build())
                .collect(),
        ))
        .set_parameters(Some(
            parameters
                .iter()
                .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build())
                .collect(),
        ));
    let request = if body.len() <= INLINE_LIMIT {
        request.template_body(body)
    } else {
        request.template_url(upload_template(aws, &stack.name, body, artifact_bucket).await?)
    };
    request
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:CreateChangeSet of {}", stack.name), error))?;
    if !has_changes(aws, &stack.name, &change_set).await? {
        note("no change".to_owned());
        let delete = aws
            .cloudformation
            .delete_change_set()
            .stack_name(&stack.name)
            .change_set_name(&change_set);
        delete
            .send()
            .await
            .map_err(|error| explain("cloudformation:DeleteChangeSet", error))?;
        return Ok(());
    }
    let mut watch = Watch::start(aws, &stack.name).await?;
    let execute = aws
        .cloudformation
        .execute_change_set()
        .stack_name(&stack.name)
        .change_set_name(&change_set);
    execute
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:ExecuteChangeSet of {}", stack.name), error))?;
    finish(&mut watch, &stack.name, note).await
}

async fn finish(watch: &mut Watch<'_>, stack: &str, note: Note<'_>) -> anyhow::Result<()> {
    let status = watch.end(note).await?.unwrap_or_else(|| "DELETE_COMPLETE".to_owned());
    if is_success(&status) {
        return Ok(());
    }
    let causes = if watch.failures().is_empty() {
        String::new()
    } else {
        format!("\n    {}", watch.failures().join("\n    "))
    };
    bail!(
        "stack {stack} ended in {status}{causes}\n  hint: correct the cause and run the same command again; it goes on from here"
    )
}

/// Brings the stack out of a status that forbids an update. True when it exists and can be updated, false when it is to
/// be created.
async fn ready(aws: &Aws, stack: &str, note: Note<'_>) -> anyhow::Result<bool> {
    // Each recovery leads to another status; more than a handful means that something works against it.
    for _ in 0..6 {
        let Some(found) = status(aws, stack).await? else {
            return Ok(false);
        };
        match next(&found) {
            Next::Update => return Ok(true),
            Next::Create => return Ok(false),
            Next::Wait => {
                note(format!("waits: the stack is in {found}"));
                Watch::start(aws, stack).await?.end(note).await?;
            }
            Next::Recreate | Next::DeleteAgain => {
                note(format!("deletes the stack: it is in {found}"));
                delete(aws, stack, note).await?;
            }
            Next::ContinueRollback => {
                note("continues the rollback".to_owned());
                let mut watch = Watch::start(aws, stack).await?;
                let request = aws.cloudformation.continue_update_rollback().stack_name(stack).send();
                request
                    .await
                    .map_err(|error| explain("cloudformation:ContinueUpdateRollback", error))?;
                watch.end(note).await?;
            }
        }
    }
    bail!(
        "stack {stack} does not come to rest\n  hint: look at its events in the CloudFormation console, then run the same command again"
    )
}

async fn has_changes(aws: &Aws, stack: &str, change_set: &str) -> anyhow::Result<bool> {
    let mut pace = Pace::default();
    loop {
        let answer = aws
            .cloudformation
            .describe_change_set()
            .stack_name(stack)
            .change_set_name(change_set)
            .send()
            .await
            .map_err(|error| explain(&format!("cloudformation:DescribeChangeSet of {stack}"), error))?;
        let reason = answer.status_reason().unwrap_or_default();
        match answer.status() {
            Some(ChangeSetStatus::CreateComplete) => return Ok(true),
            // The two texts that CloudFormation uses for an empty change set.
            Some(ChangeSetStatus::Failed)
                if reason.contains("didn't contain changes") || reason.contains("No updates are to be performed") =>
            {
                return Ok(false);
            }
            Some(ChangeSetStatus::Failed) => bail!("the change set of stack {stack} failed: {reason}"),
            _ => {}
        }
        pace.pause().await;
    }
}

/// Deletes a stack and waits until it is gone.
pub async fn delete(aws: &Aws, stack: &str, note: Note<'_>) -> anyhow::Result<()> {
    if status(aws, stack).await?.is_none() {
        return Ok(());
    }
    let mut watch = Watch::start(aws, stack).await?;
    let request = aws.cloudformation.delete_stack().stack_name(stack).send();
    match request.await {
        Ok(_) => {}
        Err(error) if is_missing(error.message()) => return Ok(()),
        Err(error) => return Err(explain(&format!("cloudformation:DeleteStack of {stack}"), error)),
    }
    match watch.end(note).await? {
        None => Ok(()),
        Some(_) => finish(&mut watch, stack, note).await,
    }
}

async fn upload_template(aws: &Aws, stack: &str, body: String, bucket: &str) -> anyhow::Result<String> {
    let key = format!("templates/{stack}-{}.yaml", crate::graph::snowflake::hash(&body));
    let put = aws
        .s3
        .put_object()
        .bucket(bucket)
        .key(&key)
        .body(body.into_bytes().into());
    put.send()
        .await
        .map_err(|error| explain(&format!("s3:PutObject of s3://{bucket}/{key}"), error))?;
    Ok(format!("https://{bucket}.s3.amazonaws.com/{key}"))
}
