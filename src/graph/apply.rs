//! The stack `apply`: topic of the curated files → SQS with a dead-letter queue → Lambda `apply`, which calls a procedure
//! for each file.

use serde_json::{Value, json};

use super::alarm::{LATE_SECONDS, Metric, When, absence, alarm, filter, hearing, watch};
use super::landing::{Shared, stack};
use super::policy::{Principal, Statement, policy, service_trust};
use super::stack::Parameter;
use super::{Body, Graph, NodeId};
use crate::model::names::{APPLY, WORKLOAD_AUDIENCE};
use crate::model::{Apply, LOCAL, Model, SnowflakeTarget};

/// Part of the name of its stack, queue, function and role.
pub const PART: &str = "apply";
/// Seconds that one batch of files may take.
const TIMEOUT_SECONDS: u32 = 300;
/// Six times the function's time-out, as AWS advises; less than once AWS refuses:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>. A function that has begun hides its messages
/// for [`HOLD_SECONDS`] at a time.
const VISIBILITY_SECONDS: u32 = 6 * TIMEOUT_SECONDS;
/// Times that a file is tried: with the pauses of [`RETRY_SECONDS`] over half an hour of a warehouse that is not there.
const MAX_ATTEMPTS: u32 = 9;
/// Seconds before a file that failed comes again for the first time; they double.
const RETRY_SECONDS: u32 = 10;
/// The same on the local cloud.
const LOCAL_RETRY_SECONDS: u32 = 1;
/// Seconds after which files of a function that was killed come again.
const HOLD_SECONDS: u32 = 90;
/// The same on the local cloud.
const LOCAL_HOLD_SECONDS: u32 = 6;
/// Batches at a time, the fewest that Lambda lets one say. Files of one table wait for each other in the warehouse.
const BATCHES_AT_ONCE: u32 = 2;
/// The metric that counts error lines of the function.
const ERROR_LINES: &str = "ApplyErrorLines";

/// Adds the stack, after the topic and what the function calls.
pub fn contribute(
    model: &Model,
    target: &SnowflakeTarget,
    apply: &Apply,
    shared: &Shared,
    mut needs: Vec<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let values = values(model, target, apply, shared);
    let mut stack = stack(model, PART, "files into the warehouse", values)?;
    stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    needs.push(shared.runtime.clone());
    needs.extend(hearing(model, shared));
    Ok(graph.add("aws:apply", needs, Body::Stack(stack)))
}

fn values(model: &Model, target: &SnowflakeTarget, apply: &Apply, shared: &Shared) -> Value {
    let names = &model.names;
    let function = names.resource(PART);
    let topic_arn = names.arn("sns", &model.landing.topic);
    let queue_arn = names.arn("sqs", &function);
    let from_topic = Statement::allow(
        "CuratedTopic",
        Principal::Service("sns.amazonaws.com"),
        &["sqs:SendMessage"],
        std::slice::from_ref(&queue_arn),
    )
    .on_behalf_of(json!(topic_arn), &names.account);
    let (retry_seconds, hold_seconds) = match names.environment == LOCAL {
        true => (LOCAL_RETRY_SECONDS, LOCAL_HOLD_SECONDS),
        false => (RETRY_SECONDS, HOLD_SECONDS),
    };
    json!({
        "topic_arn": topic_arn,
        "dead_letters": { "name": names.resource("apply-dead-letters") },
        "queue": { "name": function, "policy": policy(&[from_topic]) },
        "visibility_seconds": VISIBILITY_SECONDS,
        "timeout_seconds": TIMEOUT_SECONDS,
        "max_attempts": MAX_ATTEMPTS,
        "batches_at_once": BATCHES_AT_ONCE,
        "log_group": { "name": format!("/aws/lambda/{function}") },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": function,
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": apply_policy(model, &function, &queue_arn),
        },
        "function": { "name": function },
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "variables": {
            "PIPECTL_CURATED_BUCKET": model.landing.bucket,
            "PIPECTL_CURATED_PREFIX": model.landing.prefix,
            "PIPECTL_SNOWFLAKE_ACCOUNT": apply.account,
            "PIPECTL_SNOWFLAKE_ROLE": names.snowflake(APPLY),
            "PIPECTL_SNOWFLAKE_WAREHOUSE": target.warehouse.last(),
            "PIPECTL_SNOWFLAKE_SCHEMA": target.raw_schema.to_string(),
            "PIPECTL_QUEUE_URL": { "Ref": "ApplyQueue" },
            "PIPECTL_RETRY_SECONDS": retry_seconds.to_string(),
            "PIPECTL_HOLD_SECONDS": hold_seconds.to_string(),
        },
        "watch": watch(&shared.alert_topic, vec![filter(model, ERROR_LINES, "ApplyLogs")], alarms(model)),
    })
}

/// What wakes somebody: a function that fails, a file that could not be applied, one that was given up, one that waits
/// far longer than a batch takes, and no file at all where the user expects some.
fn alarms(model: &Model) -> Vec<Value> {
    let queue = |id: &str| json!({ "Fn::GetAtt": [id, "QueueName"] });
    let function = || json!({ "Ref": "ApplyFunction" });
    let bucket = &model.landing.bucket;
    let mut alarms = vec![
        alarm(
            model,
            "ApplyErrors",
            "apply-errors",
            format!("The function that applies files of {bucket} failed or timed out"),
            Metric::function_errors(function()),
            When::Above(0),
        ),
        alarm(
            model,
            "ApplyRejections",
            "apply-rejections",
            format!("A file of {bucket} could not be applied"),
            Metric::error_lines(model, ERROR_LINES),
            When::Above(0),
        ),
        alarm(
            model,
            "ApplyDeadLetterDepth",
            "apply-dead-letter-depth",
            format!("Files of {bucket} failed {MAX_ATTEMPTS} times and were given up"),
            Metric::queue_depth(queue("ApplyDeadLetters")),
            When::Above(0),
        ),
        alarm(
            model,
            "ApplyAge",
            "apply-age",
            format!("A file of {bucket} has waited for {} minutes", LATE_SECONDS / 60),
            Metric::queue_age(queue("ApplyQueue")),
            When::Above(LATE_SECONDS),
        ),
    ];
    let none = format!("No file came into {bucket}");
    alarms.extend(absence(
        model,
        "ApplyAbsence",
        "apply-absence",
        &none,
        Metric::invocations(function()),
    ));
    alarms
}

/// What the function `apply` may do, and no more. The files it never reads: Snowflake does.
fn apply_policy(model: &Model, function: &str, queue_arn: &str) -> Value {
    policy(&[
        Statement::logs(&model.names, &format!("/aws/lambda/{function}")),
        Statement::queue(queue_arn, &["sqs:ChangeMessageVisibility"]),
        // It knows no resource; a token for anybody else it may not ask for:
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_policies.html
        Statement::allow(
            "Identity",
            Principal::Holder,
            &["sts:GetWebIdentityToken"],
            &["*".to_owned()],
        )
        .condition(
            "ForAllValues:StringEquals",
            "sts:IdentityTokenAudience",
            json!([WORKLOAD_AUDIENCE]),
        ),
    ])
}
