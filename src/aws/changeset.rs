//! Change sets: made, read, and deleted again. Every change of a stack goes through one, and `diff` asks one what
//! CloudFormation would do.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, Parameter as Given, ResourceChange, Tag,
};
use futures::future::join_all;

use super::Aws;
use super::failure::explain;
use super::observe::LiveStack;
use super::replacement::{Foreseen, from_changes};
use crate::graph::stack::{Parameter, Stack};
use crate::pace::Pace;

/// Longest template that is sent inline:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>.
const INLINE_LIMIT: usize = 51_200;

/// A change set that CloudFormation holds ready.
pub struct ChangeSet {
    /// The stack.
    pub stack: String,
    /// Its name.
    pub name: String,
    /// What it changes; `None` when there is nothing to change.
    pub changes: Option<Vec<ResourceChange>>,
}

/// What a change set is made for.
pub struct Order<'a> {
    /// The stack as it must be.
    pub stack: &'a Stack,
    /// Whether the stack is there.
    pub kind: ChangeSetType,
    /// Its parameters; without a value the one it has stays.
    pub parameters: Vec<(String, Option<String>)>,
    /// Bucket that a long template goes through.
    pub artifact_bucket: &'a str,
    /// Whether resources of these names that exist already are taken into the stack.
    pub imports: bool,
}

/// Makes a change set and waits until it is ready.
pub async fn create(aws: &Aws, order: Order<'_>) -> anyhow::Result<ChangeSet> {
    let stack = order.stack;
    let name = format!("pipectl-{}", uuid::Uuid::new_v4());
    let body = stack.yaml().context("writing the template")?;
    let request = aws
        .cloudformation
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name(&name)
        .change_set_type(order.kind)
        .capabilities(Capability::CapabilityNamedIam)
        .set_import_existing_resources(order.imports.then_some(true))
        // The validation before a deployment refuses names that are taken, and these are.
        .set_disable_validation(order.imports.then_some(true))
        .set_tags(Some(tags(&stack.tags)))
        .set_parameters(Some(order.parameters.iter().map(parameter).collect()));
    let request = if body.len() <= INLINE_LIMIT {
        request.template_body(body)
    } else {
        request.template_url(upload_template(aws, &stack.name, body, order.artifact_bucket).await?)
    };
    request
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:CreateChangeSet of {}", stack.name), error))?;
    let stack = stack.name.clone();
    let changes = changes(aws, &stack, &name).await?;
    Ok(ChangeSet { stack, name, changes })
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

fn parameter((key, value): &(String, Option<String>)) -> Given {
    let given = Given::builder().parameter_key(key);
    match value {
        Some(value) => given.parameter_value(value),
        None => given.use_previous_value(true),
    }
    .build()
}

/// What a change set changes, once it is ready; `None` when there is nothing to change.
pub(super) async fn changes(aws: &Aws, stack: &str, name: &str) -> anyhow::Result<Option<Vec<ResourceChange>>> {
    let mut pace = Pace::default();
    let (mut found, mut page) = (Vec::new(), None);
    loop {
        let request = aws.cloudformation.describe_change_set();
        let answer = request
            .stack_name(stack)
            .change_set_name(name)
            .set_next_token(page.take())
            .send()
            .await
            .map_err(|error| explain(&format!("cloudformation:DescribeChangeSet of {stack}"), error))?;
        let reason = answer.status_reason().unwrap_or_default();
        match answer.status() {
            Some(ChangeSetStatus::CreateComplete) => {
                found.extend(
                    answer
                        .changes()
                        .iter()
                        .filter_map(|change| change.resource_change().cloned()),
                );
                page = answer.next_token().map(str::to_owned);
                if page.is_none() {
                    return Ok(Some(found));
                }
                continue;
            }
            // The two texts that CloudFormation uses for an empty change set.
            Some(ChangeSetStatus::Failed)
                if reason.contains("didn't contain changes") || reason.contains("No updates are to be performed") =>
            {
                return Ok(None);
            }
            Some(ChangeSetStatus::Failed) => {
                let reason = reason.to_owned();
                delete(aws, stack, name).await?;
                bail!("the change set of stack {stack} failed: {reason}")
            }
            _ => {}
        }
        pace.pause().await;
    }
}

/// Deletes a change set that is not carried out.
pub async fn delete(aws: &Aws, stack: &str, name: &str) -> anyhow::Result<()> {
    let request = aws.cloudformation.delete_change_set();
    let answer = request.stack_name(stack).change_set_name(name).send().await;
    answer.map_err(|error| explain(&format!("cloudformation:DeleteChangeSet of {stack}"), error))?;
    Ok(())
}

/// A stack that differs from what is there.
pub struct Differing<'a> {
    /// The stack as it must be.
    pub stack: Stack,
    /// The stack as it is.
    pub live: &'a LiveStack,
}

/// Asks CloudFormation what it would do to each of these stacks, by name. Each change set is deleted again; where one
/// cannot be made, the reason stands in its place.
pub async fn foresee(aws: &Aws, stacks: &[Differing<'_>], runtime_key: &str) -> BTreeMap<String, Foreseen> {
    let asked = stacks.iter().map(async |differing| {
        let found = ask(aws, differing, runtime_key).await;
        let foreseen = found.unwrap_or_else(|error| {
            let why = format!("{error:#}");
            // The hint is for a command that fails, and this one goes on.
            Foreseen::Documented(why.lines().next().unwrap_or_default().to_owned())
        });
        (differing.stack.name.clone(), foreseen)
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask(aws: &Aws, differing: &Differing<'_>, runtime_key: &str) -> anyhow::Result<Foreseen> {
    let Differing { stack, live } = differing;
    let documented = |why: &str| Ok(Foreseen::Documented(why.to_owned()));
    // A long template would have to be put into a bucket, and who asks leaves nothing behind.
    if stack.yaml().context("writing the template")?.len() > INLINE_LIMIT {
        return documented("the template is too long to be sent without putting it into a bucket");
    }
    let known = |(key, parameter): (&String, &Parameter)| match parameter {
        Parameter::RuntimeKey => Some((key.clone(), Some(runtime_key.to_owned()))),
        // What an integration or another stack will tell is known once that is there; until then the stack's own value stands for it.
        Parameter::Integration { .. } | Parameter::Output { .. } => {
            live.parameters.contains_key(key).then(|| (key.clone(), None))
        }
    };
    let Some(parameters) = stack.parameters.iter().map(known).collect() else {
        return documented("a parameter is known during the deploy only");
    };
    let order = Order {
        stack,
        kind: ChangeSetType::Update,
        parameters,
        artifact_bucket: "",
        imports: false,
    };
    let made = create(aws, order).await?;
    delete(aws, &made.stack, &made.name).await?;
    let effects = from_changes(&made.changes.unwrap_or_default(), &live.template, &stack.template);
    Ok(Foreseen::ChangeSet(effects))
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
