//! What CloudFormation tells while it works on a stack.

use std::collections::HashSet;
use std::fmt;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{EventFilter, OperationEvent, StackEvent};

use super::Aws;
use super::failure::explain;
use super::status::is_final;
use crate::pace::Pace;

/// Watches one operation on one stack.
pub struct Watch<'a> {
    aws: &'a Aws,
    stack: String,
    seen: HashSet<String>,
}

/// Why something failed, as an event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Its name in the template; the stack's own name for the stack.
    pub resource: String,
    /// Its CloudFormation type.
    pub kind: String,
    /// The status that it came to.
    pub status: String,
    /// What the service said.
    pub reason: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause {
            resource,
            kind,
            status,
            reason,
        } = self;
        write!(f, "{resource} ({kind}): {status}: {reason}")
    }
}

/// The type that events of a stack itself have.
const STACK: &str = "AWS::CloudFormation::Stack";

/// Those of resources; those of the stack where no resource tells anything.
fn telling(mut causes: Vec<Cause>) -> Vec<Cause> {
    if causes.iter().any(|cause| cause.kind != STACK) {
        causes.retain(|cause| cause.kind != STACK);
    }
    causes
}

impl<'a> Watch<'a> {
    /// Starts before the operation: events up to now are not reported.
    pub async fn start(aws: &'a Aws, stack: &str) -> anyhow::Result<Self> {
        let mut watch = Watch {
            aws,
            stack: stack.to_owned(),
            seen: HashSet::new(),
        };
        watch.fresh().await?;
        Ok(watch)
    }

    /// Waits until the stack is in a final status and gives it; `None` when the stack is gone. `note` hears each event.
    pub async fn end(&mut self, note: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<Option<String>> {
        let mut pace = Pace::default();
        loop {
            for event in self.fresh().await? {
                note(event);
            }
            match status(self.aws, &self.stack).await? {
                Some(status) if !is_final(&status) => {}
                other => {
                    self.fresh().await?.into_iter().for_each(note);
                    return Ok(other);
                }
            }
            pace.pause().await;
        }
    }

    async fn fresh(&mut self) -> anyhow::Result<Vec<String>> {
        let answer = self
            .aws
            .cloudformation
            .describe_stack_events()
            .stack_name(&self.stack)
            .send()
            .await;
        let events = match answer {
            Ok(answer) => answer.stack_events.unwrap_or_default(),
            Err(error) if is_missing(error.message()) => Vec::new(),
            Err(error) => {
                return Err(explain(
                    &format!("cloudformation:DescribeStackEvents of {}", self.stack),
                    error,
                ));
            }
        };
        let mut texts = Vec::new();
        for event in events.iter().rev() {
            if self.seen.insert(event.event_id().unwrap_or_default().to_owned()) {
                texts.push(text(event));
            }
        }
        Ok(texts)
    }
}

/// The resource that a note of [`Watch::end`] tells to be made. One that is changed tells nothing: a rollback changes
/// resources, too.
pub fn made(note: &str) -> Option<&str> {
    note.strip_suffix(" CREATE_COMPLETE")
}

fn text(event: &StackEvent) -> String {
    let status = event
        .resource_status()
        .map(|status| status.as_str())
        .unwrap_or_default();
    format!("{} {}", event.logical_resource_id().unwrap_or_default(), status)
}

fn failure(event: &StackEvent) -> Option<Cause> {
    let status = event.resource_status()?.as_str().to_owned();
    let reason = event.resource_status_reason().unwrap_or_default();
    // A resource that was stopped because another failed tells nothing.
    let told = status.ends_with("_FAILED") && !reason.contains("cancelled") && !reason.is_empty();
    told.then(|| Cause {
        resource: event.logical_resource_id().unwrap_or_default().to_owned(),
        kind: event.resource_type().unwrap_or_default().to_owned(),
        status,
        reason: reason.to_owned(),
    })
}

/// Whether an operation on the stack started with this event.
fn is_start(event: &StackEvent) -> bool {
    let status = event
        .resource_status()
        .map(|status| status.as_str())
        .unwrap_or_default();
    let of_stack = event.resource_type() == Some(STACK) && event.physical_resource_id() == event.stack_id();
    let by_user = event.resource_status_reason() == Some("User Initiated");
    let begins = matches!(
        status,
        "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" | "DELETE_IN_PROGRESS" | "IMPORT_IN_PROGRESS"
    );
    of_stack && (begins || (by_user && status.ends_with("ROLLBACK_IN_PROGRESS")))
}

/// Why the last operation on a stack failed, first cause first.
pub async fn last_failures(aws: &Aws, stack: &str) -> anyhow::Result<Vec<Cause>> {
    let mut causes = Vec::new();
    let request = aws.cloudformation.describe_stack_events().stack_name(stack);
    let mut pages = request.into_paginator().send();
    // The newest comes first.
    'pages: while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&format!("cloudformation:DescribeStackEvents of {stack}"), error))?;
        for event in page.stack_events() {
            causes.extend(failure(event));
            if is_start(event) {
                break 'pages;
            }
        }
    }
    causes.reverse();
    if causes.iter().any(|cause| cause.reason.contains("DescribeEvents")) {
        causes.extend(invalid(aws, stack).await?);
    }
    Ok(telling(causes))
}

/// What the validation before a deployment found; the stack's events only say that it found something:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html>.
async fn invalid(aws: &Aws, stack: &str) -> anyhow::Result<Vec<Cause>> {
    let only_failed = EventFilter::builder().failed_events(true).build();
    let request = aws.cloudformation.describe_events().stack_name(stack);
    let answer = request
        .filters(only_failed)
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:DescribeEvents of {stack}"), error))?;
    let cause = |event: &OperationEvent| {
        Some(Cause {
            resource: event.logical_resource_id()?.to_owned(),
            kind: event.resource_type().unwrap_or_default().to_owned(),
            status: event.validation_name().unwrap_or("not valid").to_owned(),
            reason: event.validation_status_reason()?.to_owned(),
        })
    };
    Ok(answer.operation_events().iter().filter_map(cause).collect())
}

/// CloudFormation answers with a ValidationError for a stack that is not there.
pub fn is_missing(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.contains("does not exist"))
}

/// The status of a stack, or `None` when there is none.
pub async fn status(aws: &Aws, stack: &str) -> anyhow::Result<Option<String>> {
    match aws.cloudformation.describe_stacks().stack_name(stack).send().await {
        Ok(answer) => {
            let status = answer
                .stacks()
                .first()
                .and_then(|stack| stack.stack_status())
                .map(|status| status.as_str().to_owned());
            Ok(status.filter(|status| status != "DELETE_COMPLETE"))
        }
        Err(error) if is_missing(error.message()) => Ok(None),
        Err(error) => Err(explain(&format!("cloudformation:DescribeStacks of {stack}"), error)),
    }
}
