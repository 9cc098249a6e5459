//! What was changed by hand in the resources of stacks. Asked for only on request: CloudFormation reads every resource,
//! which costs calls and time.

use std::time::{Duration, Instant};

use anyhow::bail;
use aws_sdk_cloudformation::types::{
    StackDriftDetectionStatus, StackResourceDrift, StackResourceDriftStatus as Status,
};
use futures::future::try_join_all;
use serde_json::Value;

use super::Aws;
use super::diff;
use super::failure::explain;
use super::observe::LiveStacks;
use crate::pace::Pace;
use crate::plan::{DriftedResource, PropertyChange};

/// How long CloudFormation may look at one stack.
const PATIENCE: Duration = Duration::from_secs(300);

/// Statuses in which CloudFormation looks for drift:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html>.
const DETECTABLE: [&str; 4] = [
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_FAILED",
];

/// Every resource of these stacks that is not as its template says.
pub async fn detect(aws: &Aws, stacks: &LiveStacks) -> anyhow::Result<Vec<DriftedResource>> {
    let lives = stacks
        .iter()
        .filter(|(_, live)| DETECTABLE.contains(&live.status.as_str()));
    let found = try_join_all(lives.map(|(name, _)| of_stack(aws, name))).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn of_stack(aws: &Aws, stack: &str) -> anyhow::Result<Vec<DriftedResource>> {
    let started = aws.cloudformation.detect_stack_drift().stack_name(stack).send().await;
    let started = started.map_err(|error| explain(&format!("cloudformation:DetectStackDrift of {stack}"), error))?;
    let id = started.stack_drift_detection_id().unwrap_or_default();
    wait(aws, stack, id).await?;
    let mut drifted = Vec::new();
    let mut page = None;
    loop {
        let answer = aws
            .cloudformation
            .describe_stack_resource_drifts()
            .stack_name(stack)
            .stack_resource_drift_status_filters(Status::Modified)
            .stack_resource_drift_status_filters(Status::Deleted)
            .set_next_token(page)
            .send()
            .await;
        let answer = answer
            .map_err(|error| explain(&format!("cloudformation:DescribeStackResourceDrifts of {stack}"), error))?;
        drifted.extend(
            answer
                .stack_resource_drifts()
                .iter()
                .map(|drift| resource(stack, drift)),
        );
        page = answer.next_token().map(str::to_owned);
        if page.is_none() {
            return Ok(drifted);
        }
    }
}

async fn wait(aws: &Aws, stack: &str, id: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut pace = Pace::default();
    loop {
        let request = aws.cloudformation.describe_stack_drift_detection_status();
        let answer = request.stack_drift_detection_id(id).send().await.map_err(|error| {
            explain(
                &format!("cloudformation:DescribeStackDriftDetectionStatus of {stack}"),
                error,
            )
        })?;
        match answer.detection_status() {
            // A detection that failed on some resources still tells of the others.
            Some(StackDriftDetectionStatus::DetectionComplete | StackDriftDetectionStatus::DetectionFailed) => {
                return Ok(());
            }
            _ if started.elapsed() > PATIENCE => bail!(
                "CloudFormation still looks for drift in stack {stack} after {} s\n  hint: run the same command again",
                PATIENCE.as_secs()
            ),
            _ => {}
        }
        pace.pause().await;
    }
}

fn resource(stack: &str, drift: &StackResourceDrift) -> DriftedResource {
    let side = |text: Option<&str>| serde_json::from_str::<Value>(text.unwrap_or_default()).unwrap_or(Value::Null);
    let deleted = drift.stack_resource_drift_status() == Some(&Status::Deleted);
    let told = drift.property_differences().iter().map(|difference| {
        let path = difference
            .property_path()
            .unwrap_or_default()
            .trim_start_matches('/')
            .replace('/', ".");
        let text = |side: Option<&str>| side.filter(|text| *text != "null").map(str::to_owned);
        PropertyChange::new(path, text(difference.actual_value()), text(difference.expected_value()))
    });
    let mut changes: Vec<PropertyChange> = told.collect();
    if changes.is_empty() && !deleted {
        changes = diff::values(&side(drift.actual_properties()), &side(drift.expected_properties()));
    }
    DriftedResource {
        stack: stack.to_owned(),
        resource: drift.logical_resource_id().unwrap_or_default().to_owned(),
        kind: drift.resource_type().unwrap_or_default().to_owned(),
        deleted,
        changes,
    }
}
