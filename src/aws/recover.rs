//! The way out of every status that forbids an update, and out of what a former stack left behind.

use anyhow::{Context, bail};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{ResourceStatus, StackStatus};
use serde_json::Value;

use super::Aws;
use super::apply::Note;
use super::buckets;
use super::events::{Cause, Watch, is_missing, last_failures, status};
use super::failure::explain;
use super::observe::template;
use super::status::{Next, is_failure, is_success, next};
use crate::graph::stack::{Stack, is_adopted};

/// Resources that the user gives up, each as `STACK/RESOURCE`.
#[derive(Debug, Clone, Default)]
pub struct GivenUp {
    /// A rollback leaves them as they are.
    pub skipped: Vec<String>,
    /// A deletion leaves them where they are.
    pub retained: Vec<String>,
}

impl GivenUp {
    fn of(all: &[String], stack: &str) -> Vec<String> {
        let of_stack = |text: &String| Some(text.strip_prefix(stack)?.strip_prefix('/')?.to_owned());
        all.iter().filter_map(of_stack).collect()
    }
}

/// How the stack is brought to its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// By an update.
    Update,
    /// By its creation.
    Create,
}

/// Brings the stack out of a status that forbids an update.
pub async fn ready(aws: &Aws, stack: &str, given_up: &GivenUp, note: Note<'_>) -> anyhow::Result<Ready> {
    // Each recovery leads to another status; more than a handful means that something works against it.
    for _ in 0..6 {
        let Some(found) = status(aws, stack).await? else {
            return Ok(Ready::Create);
        };
        match next(&found) {
            Next::Update => return Ok(Ready::Update),
            Next::Create => return Ok(Ready::Create),
            Next::Wait => wait(aws, stack, &found, note).await?,
            Next::Recreate | Next::DeleteAgain => {
                note(format!("deletes the stack: it is in {found}"));
                delete(aws, stack, given_up, note).await?;
            }
            Next::ContinueRollback => continue_rollback(aws, stack, given_up, note).await?,
            Next::RollBack => roll_back(aws, stack, note).await?,
            Next::Stuck => bail!(
                "stack {stack} is in {found}{}\n  hint: look at what it imported, then delete the stack (`aws cloudformation delete-stack --stack-name {stack}`), which leaves that where it is, and run the same command again",
                list(&last_failures(aws, stack).await?)
            ),
        }
    }
    bail!(
        "stack {stack} does not come to rest\n  hint: look at its events in the CloudFormation console, then run the same command again"
    )
}

async fn wait(aws: &Aws, stack: &str, found: &str, note: Note<'_>) -> anyhow::Result<()> {
    note(format!("waits: the stack is in {found}"));
    Watch::start(aws, stack).await?.end(note).await.map(drop)
}

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html>
async fn continue_rollback(aws: &Aws, stack: &str, given_up: &GivenUp, note: Note<'_>) -> anyhow::Result<()> {
    let skipped = GivenUp::of(&given_up.skipped, stack);
    note(match skipped.is_empty() {
        true => "continues the rollback".to_owned(),
        false => format!("continues the rollback without {}", skipped.join(", ")),
    });
    let mut watch = Watch::start(aws, stack).await?;
    let request = aws.cloudformation.continue_update_rollback().stack_name(stack);
    let skipped = (!skipped.is_empty()).then_some(skipped);
    let answer = request.set_resources_to_skip(skipped).send().await;
    answer.map_err(|error| explain(&format!("cloudformation:ContinueUpdateRollback of {stack}"), error))?;
    let end = watch.end(note).await?.unwrap_or_default();
    if !is_failure(&end) {
        return Ok(());
    }
    let causes = last_failures(aws, stack).await?;
    let flags = flags("--skip", stack, &causes);
    bail!(
        "the rollback of stack {stack} ended in {end} again{}\n  hint: correct the cause and run the same command again\n  hint: or leave these as they are and go on with the others: run it again with{flags}, and compare them with the template afterwards (pipectl diff --drift)",
        list(&causes)
    )
}

/// An update that stopped where it failed is taken back to the last status that was whole:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html>.
async fn roll_back(aws: &Aws, stack: &str, note: Note<'_>) -> anyhow::Result<()> {
    note("rolls the failed update back".to_owned());
    let mut watch = Watch::start(aws, stack).await?;
    let request = aws.cloudformation.rollback_stack().stack_name(stack).send();
    request
        .await
        .map_err(|error| explain(&format!("cloudformation:RollbackStack of {stack}"), error))?;
    watch.end(note).await.map(drop)
}

/// Deletes a stack and waits until it is gone.
pub async fn delete(aws: &Aws, stack: &str, given_up: &GivenUp, note: Note<'_>) -> anyhow::Result<()> {
    let Some(mut found) = status(aws, stack).await? else {
        return Ok(());
    };
    // CloudFormation refuses to delete what it is working on; a set under review is no work.
    if next(&found) == Next::Wait {
        wait(aws, stack, &found, note).await?;
        match status(aws, stack).await? {
            Some(now) => found = now,
            None => return Ok(()),
        }
    }
    let mut watch = Watch::start(aws, stack).await?;
    // Only a deletion that failed may leave something out:
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html
    let retained =
        Some(GivenUp::of(&given_up.retained, stack)).filter(|all| !all.is_empty() && found == "DELETE_FAILED");
    let request = aws.cloudformation.delete_stack().stack_name(stack);
    match request.set_retain_resources(retained).send().await {
        Ok(_) => {}
        Err(error) if is_missing(error.message()) => return Ok(()),
        Err(error) => return Err(explain(&format!("cloudformation:DeleteStack of {stack}"), error)),
    }
    let Some(end) = watch.end(note).await? else {
        return Ok(());
    };
    let causes = last_failures(aws, stack).await?;
    let flags = flags("--retain", stack, &causes);
    bail!(
        "stack {stack} ended in {end}{}\n  hint: correct the cause and run the same command again\n  hint: or leave these where they are, outside the stack: run it again with{flags}",
        list(&causes)
    )
}

/// Waits for the end of a creation or an update, and tells why it failed.
pub async fn finish(aws: &Aws, watch: &mut Watch<'_>, stack: &str, note: Note<'_>) -> anyhow::Result<()> {
    let status = watch.end(note).await?.unwrap_or_else(|| "DELETE_COMPLETE".to_owned());
    if is_success(&status) {
        return Ok(());
    }
    let causes = last_failures(aws, stack).await?;
    let exists = causes.iter().any(|cause| cause.reason.contains("already exists"));
    let adopt = if exists {
        "\n  hint: a bucket that is yours is taken over with `adopt = true` under [source]; anything else needs another name"
    } else {
        ""
    };
    bail!(
        "stack {stack} ended in {status}{}\n  hint: correct the cause and run the same command again; it goes on from here{adopt}",
        list(&causes)
    )
}

/// Causes, a line each.
fn list(causes: &[Cause]) -> String {
    causes.iter().map(|cause| format!("\n    {cause}")).collect()
}

fn flags(flag: &str, stack: &str, causes: &[Cause]) -> String {
    let mut names: Vec<&str> = causes.iter().map(|cause| cause.resource.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| format!(" {flag} {stack}/{name}")).collect()
}

/// Buckets of a stack that is to be made that exist already because a former stack of the pipeline left them there.
/// A bucket that exists and was never in such a stack is somebody's, and refused before anything is made. Those that were
/// adopted are none of these: they came into the stack by an import of their own.
pub async fn left_behind(aws: &Aws, stack: &Stack) -> anyhow::Result<Vec<String>> {
    let mut there = Vec::new();
    let adopted = stack.adopted_buckets();
    let own = stack.data_buckets.iter().chain(&stack.own_buckets);
    for bucket in own.filter(|bucket| !adopted.contains(&bucket.as_str())) {
        // One that may not be looked at is told of by CloudFormation, better than by a call that it does not need.
        if let Ok(Some(_)) = buckets::count(aws, bucket).await {
            there.push(bucket.clone());
        }
    }
    if there.is_empty() {
        return Ok(there);
    }
    let left = left_by_former(aws, stack).await?;
    if let Some(foreign) = there.iter().find(|bucket| !left.contains(*bucket)) {
        bail!(
            "bucket {foreign} exists and was never in a stack {}\n  hint: choose another bucket or another name of the pipeline or the environment, or delete that bucket; a bucket of [source] that is yours is taken over with `adopt = true` there",
            stack.name
        );
    }
    Ok(there)
}

/// Physical ids of what deleted stacks of this name and these tags left where it was. CloudFormation remembers deleted
/// stacks for 90 days: <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStacks.html>.
async fn left_by_former(aws: &Aws, stack: &Stack) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    let request = aws
        .cloudformation
        .list_stacks()
        .stack_status_filter(StackStatus::DeleteComplete);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain("cloudformation:ListStacks", error))?;
        let of_name = |former: &&aws_sdk_cloudformation::types::StackSummary| former.stack_name() == Some(&stack.name);
        for former in page.stack_summaries().iter().filter(of_name) {
            let id = former.stack_id().context("a deleted stack without an id")?;
            if has_tags(aws, id, stack).await? {
                let template = template(aws, id).await?;
                let own = |(id, physical): &(String, String)| is_own(&template, id, physical);
                let skipped = skipped(aws, id).await?.into_iter().filter(own);
                left.extend(skipped.map(|(_, physical)| physical));
            }
        }
    }
    Ok(left)
}

async fn has_tags(aws: &Aws, id: &str, stack: &Stack) -> anyhow::Result<bool> {
    let request = aws.cloudformation.describe_stacks().stack_name(id).send();
    let answer = request
        .await
        .map_err(|error| explain(&format!("cloudformation:DescribeStacks of {id}"), error))?;
    let found = answer.stacks().first();
    let has = |key: &str| {
        let tags = found.map(|found| found.tags()).unwrap_or_default();
        let value = tags
            .iter()
            .find(|tag| tag.key() == Some(key))
            .and_then(|tag| tag.value());
        value.is_some() && value == stack.tags.get(key).map(String::as_str)
    };
    Ok(has("pipectl:pipeline") && has("pipectl:environment"))
}

/// Whether a stack that is gone had a bucket to its end, and had made it itself: what it had adopted was given back, and
/// what an update had taken out of it before is nobody's.
fn is_own(template: &Value, logical_id: &str, bucket: &str) -> bool {
    let resource = &template["Resources"][logical_id];
    !is_adopted(resource) && resource["Properties"]["BucketName"] == *bucket
}

/// What a stack had and left where it was: names in the template, and physical ids. A creation that failed because
/// something exists already had nothing, and must not count.
async fn skipped(aws: &Aws, id: &str) -> anyhow::Result<Vec<(String, String)>> {
    let (mut had, mut left) = (Vec::new(), Vec::new());
    let mut pages = aws
        .cloudformation
        .describe_stack_events()
        .stack_name(id)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&format!("cloudformation:DescribeStackEvents of {id}"), error))?;
        for event in page.stack_events() {
            let (Some(name), Some(physical)) = (event.logical_resource_id(), event.physical_resource_id()) else {
                continue;
            };
            let resource = (name.to_owned(), physical.to_owned());
            match event.resource_status() {
                Some(ResourceStatus::DeleteSkipped) => left.push(resource),
                Some(
                    ResourceStatus::CreateComplete | ResourceStatus::ImportComplete | ResourceStatus::UpdateComplete,
                ) => had.push(resource),
                _ => {}
            }
        }
    }
    left.retain(|resource| had.contains(resource));
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_of_its_stack_only() {
        let all = ["a/Queue", "ab/Role", "a/b/Deep", "a"].map(str::to_owned);
        assert_eq!(GivenUp::of(&all, "a"), ["Queue", "b/Deep"]);
        assert_eq!(GivenUp::of(&all, "ab"), ["Role"]);
    }
}
