//! The source `files`: raw bucket → SNS → SQS with a dead-letter queue → Lambda `copy` → curated bucket.

use serde_json::{Value, json};

use crate::model::{FilesSource, LOCAL, Model};

use super::alarm::{LATE_SECONDS, Metric, When, absence, alarm, filter, hearing, watch};
use super::landing::{Bucket, Shared, stack};
use super::policy::{Principal, Statement, policy, service_trust};
use super::stack::Parameter;
use super::{Body, Graph};

/// Seconds that one batch of ten files may take.
const TIMEOUT_SECONDS: u32 = 300;
/// Six times the function's time-out, as AWS advises:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>.
const VISIBILITY_SECONDS: u32 = 6 * TIMEOUT_SECONDS;
/// Seconds before a file that failed comes again for the first time; each pause is four times the last.
const RETRY_SECONDS: u32 = 60;
/// The same on the local cloud.
const LOCAL_RETRY_SECONDS: u32 = 1;

/// The metric that counts error lines of the function.
const ERROR_LINES: &str = "CopyErrorLines";

/// Adds the ingest stack and gives the raw bucket.
pub fn contribute(
    model: &Model,
    source: &FilesSource,
    shared: &Shared,
    graph: &mut Graph,
) -> anyhow::Result<Vec<Bucket>> {
    let names = &model.names;
    let topic = names.resource("raw");
    let topic_arn = names.arn("sns", &topic);
    let mut ingest = stack(
        model,
        "ingest",
        "raw files to JSON lines",
        values(model, source, shared, &topic),
    )?;
    ingest.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    let mut needs = vec![shared.runtime.clone()];
    needs.extend(hearing(model, shared));
    let ingest = graph.add("aws:ingest", needs, Body::Stack(ingest));
    Ok(vec![Bucket {
        logical_id: "RawBucket",
        name: source.bucket.clone(),
        topic: topic_arn,
        notify_prefix: "",
        adopt: source.adopt,
        needs: vec![ingest.clone()],
        // S3 may publish, and what it publishes waits in the queue until the function is there.
        enough: vec![(ingest, &["RawTopicPolicy", "CopySubscription"])],
    }])
}

fn values(model: &Model, source: &FilesSource, shared: &Shared, topic: &str) -> Value {
    let names = &model.names;
    let function = names.resource("copy");
    let queue = names.resource("copy");
    let dead_letters = names.resource("copy-dead-letters");
    let topic_arn = names.arn("sns", topic);
    let queue_arn = names.arn("sqs", &queue);
    let from_bucket = Statement::allow(
        "RawBucket",
        Principal::Service("s3.amazonaws.com"),
        &["sns:Publish"],
        std::slice::from_ref(&topic_arn),
    )
    .on_behalf_of(json!(names.bucket_arn(&source.bucket, None)), &names.account);
    let from_topic = Statement::allow(
        "RawTopic",
        Principal::Service("sns.amazonaws.com"),
        &["sqs:SendMessage"],
        std::slice::from_ref(&queue_arn),
    )
    .on_behalf_of(json!(topic_arn), &names.account);
    let retry_seconds = match names.environment == LOCAL {
        true => LOCAL_RETRY_SECONDS,
        false => RETRY_SECONDS,
    };
    json!({
        "topic": { "name": topic, "policy": policy(&[from_bucket]) },
        "queue": { "name": queue, "policy": policy(&[from_topic]) },
        "dead_letters": { "name": dead_letters },
        "visibility_seconds": VISIBILITY_SECONDS,
        "timeout_seconds": TIMEOUT_SECONDS,
        "max_attempts": source.max_attempts,
        "log_group": { "name": format!("/aws/lambda/{function}") },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": names.resource("copy"),
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": copy_policy(model, source, &function, &queue_arn),
        },
        "function": { "name": function },
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "variables": {
            "PIPECTL_RAW_BUCKET": source.bucket,
            "PIPECTL_CURATED_BUCKET": model.landing.bucket,
            "PIPECTL_CURATED_PREFIX": model.landing.prefix,
            "PIPECTL_ERROR_PREFIX": model.landing.error_prefix,
            "PIPECTL_QUEUE_URL": { "Ref": "CopyQueue" },
            "PIPECTL_RETRY_SECONDS": retry_seconds.to_string(),
        },
        "watch": watch(
            &shared.alert_topic,
            vec![filter(model, ERROR_LINES, "CopyLogs")],
            alarms(model, source),
        ),
    })
}

/// What wakes somebody: a function that fails, a file that could not be read or copied, one that nobody could handle,
/// one that waits far longer than a batch takes, and no file at all where the user expects some.
fn alarms(model: &Model, source: &FilesSource) -> Vec<Value> {
    let queue = |id: &str| json!({ "Fn::GetAtt": [id, "QueueName"] });
    let function = || json!({ "Ref": "CopyFunction" });
    let (bucket, curated) = (&source.bucket, &model.landing.bucket);
    let mut alarms = vec![
        alarm(
            model,
            "CopyErrors",
            "copy-errors",
            format!("The function that copies files of {bucket} failed or timed out"),
            Metric::function_errors(function()),
            When::Above(0),
        ),
        alarm(
            model,
            "CopyRejections",
            "copy-rejections",
            format!(
                "A file of {bucket} could not be read (see {curated}/{}) or copied",
                model.landing.error_prefix
            ),
            Metric::error_lines(model, ERROR_LINES),
            When::Above(0),
        ),
        alarm(
            model,
            "CopyDeadLetterDepth",
            "copy-dead-letter-depth",
            format!(
                "Files of {bucket} failed {} times and were given up",
                source.max_attempts
            ),
            Metric::queue_depth(queue("CopyDeadLetters")),
            When::Above(0),
        ),
        alarm(
            model,
            "CopyAge",
            "copy-age",
            format!("A file of {bucket} has waited for {} minutes", LATE_SECONDS / 60),
            Metric::queue_age(queue("CopyQueue")),
            When::Above(LATE_SECONDS),
        ),
    ];
    // The function is invoked for files and for nothing else.
    let none = format!("No file came into {bucket}");
    alarms.extend(absence(
        model,
        "CopyAbsence",
        "copy-absence",
        &none,
        Metric::invocations(function()),
    ));
    alarms
}

/// What the function `copy` may do, and no more.
fn copy_policy(model: &Model, source: &FilesSource, function: &str, queue_arn: &str) -> Value {
    let names = &model.names;
    let curated = |prefix: &str| names.bucket_arn(&model.landing.bucket, Some(&format!("{prefix}*")));
    let written = [curated(model.landing.prefix), curated(model.landing.error_prefix)];
    policy(&[
        Statement::logs(names, &format!("/aws/lambda/{function}")),
        Statement::queue(queue_arn, &["sqs:ChangeMessageVisibility"]),
        Statement::allow(
            "ReadRaw",
            Principal::Holder,
            // Without ListBucket S3 answers 403 for an object that is gone, and its message would never end:
            // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            &["s3:GetObject", "s3:ListBucket"],
            &[
                names.bucket_arn(&source.bucket, None),
                names.bucket_arn(&source.bucket, Some("*")),
            ],
        ),
        Statement::allow(
            "WriteCurated",
            Principal::Holder,
            &["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            &written,
        ),
    ])
}
