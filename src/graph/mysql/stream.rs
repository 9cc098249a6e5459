//! The stack `stream`: Kinesis, and Firehose that sorts records into a folder for each table.

use serde_json::{Value, json};

use super::{stream_arn, transform};
use crate::graph::alarm::{LATE_SECONDS, Metric, When, absence, alarm, hearing, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Principal, Statement, policy, service_trust_of};
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Model, MysqlSource};

/// The folder of a record, as Firehose asks jq for it.
const QUERY: &str = "{table: (.schema + \".\" + .table)}";
/// Megabytes of records that the function `transform` gets at a time: its answer is larger, and Lambda takes 6 MB.
const TRANSFORM_MB: &str = "1";
/// Times that Firehose asks the function again before it gives a batch up. The default is 3, and no largest number is
/// documented: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_ProcessorParameter.html>.
const TRANSFORM_RETRIES: &str = "8";

/// Adds the stack.
pub fn contribute(
    model: &Model,
    source: &MysqlSource,
    transform: Option<NodeId>,
    shared: &Shared,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let names = &model.names;
    let landing = &model.landing;
    let delivery = names.resource("delivery");
    let log_group = format!("/aws/kinesisfirehose/{delivery}");
    let delivery_arn = names.arn("firehose", &format!("deliverystream/{delivery}"));
    // A record of the binary log is looked at by our function, which knows more ways to write one than jq.
    let key = match transform.is_some() {
        true => "partitionKeyFromLambda",
        false => "partitionKeyFromQuery",
    };
    let values = json!({
        "stream": { "name": source.stream, "shards": source.shards },
        "log_group": { "name": log_group },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": names.resource("firehose"),
            "trust": service_trust_of("firehose.amazonaws.com", json!(delivery_arn), &names.account),
            "policy": deliver(model, source, &log_group, transform.is_some()),
        },
        "delivery": {
            "name": delivery,
            "bucket_arn": names.bucket_arn(&landing.bucket, None),
            "prefix": format!("{}!{{{key}:table}}/!{{timestamp:yyyy/MM/dd/HH}}/", landing.prefix),
            "error_prefix": format!("{}!{{firehose:error-output-type}}/!{{timestamp:yyyy/MM/dd}}/", landing.error_prefix),
            "buffer_seconds": source.buffer_seconds,
            "processor": match transform.is_some() {
                true => transforming(model),
                false => asking(),
            },
        },
        "watch": watch(&shared.alert_topic, vec![], alarms(model, source, transform.is_some())),
    });
    let stack = stack(model, "stream", "changes on their way to S3", values)?;
    let needs = hearing(model, shared).into_iter().chain(transform).collect();
    Ok(graph.add("aws:stream", needs, Body::Stack(stack)))
}

/// Firehose asks jq for the folder.
fn asking() -> Value {
    json!({ "type": "MetadataExtraction", "parameters": [
        { "name": "MetadataExtractionQuery", "value": QUERY },
        { "name": "JsonParsingEngine", "value": "JQ-1.6" },
    ] })
}

/// Firehose asks the function for the folder, and for the record.
fn transforming(model: &Model) -> Value {
    json!({ "type": "Lambda", "parameters": [
        { "name": "LambdaArn", "value": transform::version(model) },
        { "name": "RoleArn", "value": { "Fn::GetAtt": ["DeliveryRole", "Arn"] } },
        { "name": "BufferSizeInMBs", "value": TRANSFORM_MB },
        { "name": "NumberOfRetries", "value": TRANSFORM_RETRIES },
    ] })
}

/// What wakes somebody: records that nobody reads or looks at, files that are not written or late, and no record at all
/// where the user expects some.
fn alarms(model: &Model, source: &MysqlSource, transforms: bool) -> Vec<Value> {
    let stream = || json!({ "Ref": "ChangeStream" });
    let delivery = || json!({ "Ref": "Delivery" });
    let bucket = &model.landing.bucket;
    let late = LATE_SECONDS / 60;
    let mut alarms = vec![
        alarm(
            model,
            "StreamAge",
            "delivery-iterator-age",
            format!("Changes have waited on the stream for {late} minutes"),
            Metric::stream_age(stream()),
            When::Above(LATE_SECONDS * 1000),
        ),
        alarm(
            model,
            "DeliveryFailures",
            "delivery-failures",
            format!("Firehose could not write to {bucket}"),
            Metric::delivery("DeliveryToS3.Success", "Minimum", delivery()),
            When::Below(1),
        ),
        alarm(
            model,
            "DeliveryFreshness",
            "delivery-freshness",
            format!("Changes have waited for {late} minutes to be written to {bucket}"),
            Metric::delivery("DeliveryToS3.DataFreshness", "Maximum", delivery()),
            When::Above(LATE_SECONDS + u32::try_from(source.buffer_seconds).unwrap_or(LATE_SECONDS)),
        ),
    ];
    // Also where the function was not called at all, which is no error of the function.
    alarms.extend(transforms.then(|| {
        alarm(
            model,
            "DeliveryProcessing",
            "delivery-processing",
            format!(
                "Firehose asked {} in vain. Records of a batch that failed {TRANSFORM_RETRIES} times more are in {bucket}/{}processing-failed/: \
                 mend the cause, then run `pipectl redrive`",
                transform::PART, model.landing.error_prefix
            ),
            Metric::delivery("ExecuteProcessing.Success", "Minimum", delivery()),
            When::Below(1),
        )
    }));
    alarms.extend(absence(
        model,
        "DeliveryAbsence",
        "delivery-absence",
        "No change came from the database",
        Metric::delivery("DeliveryToS3.Records", "Sum", delivery()),
    ));
    alarms
}

/// What Firehose may do: <https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3>.
fn deliver(model: &Model, source: &MysqlSource, log_group: &str, transforms: bool) -> Value {
    let names = &model.names;
    let bucket = &model.landing.bucket;
    let written = [model.landing.prefix, model.landing.error_prefix]
        .map(|prefix| names.bucket_arn(bucket, Some(&format!("{prefix}*"))));
    let mut statements = vec![
        Statement::allow(
            "ReadStream",
            Principal::Holder,
            &[
                "kinesis:DescribeStream",
                "kinesis:GetShardIterator",
                "kinesis:GetRecords",
                "kinesis:ListShards",
            ],
            &[stream_arn(model, source)],
        ),
        Statement::allow(
            "WriteCurated",
            Principal::Holder,
            &["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
            &written,
        ),
        Statement::allow(
            "FindCurated",
            Principal::Holder,
            &["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            &[names.bucket_arn(bucket, None)],
        ),
        Statement::allow(
            "Logs",
            Principal::Holder,
            &["logs:PutLogEvents"],
            &[names.arn("logs", &format!("log-group:{log_group}:log-stream:*"))],
        ),
    ];
    if transforms {
        statements.push(Statement::allow(
            "Transform",
            Principal::Holder,
            &["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"],
            &[transform::version(model)],
        ));
    }
    policy(&statements)
}
