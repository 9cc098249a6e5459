//! What CloudFormation tells while it works on a stack.

use std::collections::HashSet;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::StackEvent;

use super::Aws;
use super::failure::explain;
use super::status::is_final;
use crate::pace::Pace;

/// Watches one operation on one stack.
pub struct Watch<'a> {
    aws: &'a Aws,
    stack: String,
    seen: HashSet<String>,
    failures: Vec<String>,
}

impl<'a> Watch<'a> {
    /// Starts before the operation: events up to now are not reported.
    pub async fn start(aws: &'a Aws, stack: &str) -> anyhow::Result<Self> {
        let mut watch = Watch {
            aws,
            stack: stack.to_owned(),
            seen: HashSet::new(),
            failures: Vec::new(),
        };
        watch.fresh().await?;
        watch.failures.clear();
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

    /// Why resources failed, first cause first.
    pub fn failures(&self) -> &[String] {
        &self.failures
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
                self.failures.extend(failure(event));
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

fn failure(event: &StackEvent) -> Option<String> {
    let status = event.resource_status()?.as_str().to_owned();
    let reason = event.resource_status_reason().unwrap_or_default();
    // A resource that was stopped because another failed tells nothing.
    let told = status.ends_with("_FAILED") && !reason.contains("cancelled") && !reason.is_empty();
    told.then(|| {
        let (id, kind) = (
            event.logical_resource_id().unwrap_or_default(),
            event.resource_type().unwrap_or_default(),
        );
        format!("{id} ({kind}): {status}: {reason}")
    })
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
