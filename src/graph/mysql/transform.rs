//! The stack `transform`: the function that Firehose asks about every record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::graph::alarm::{Metric, When, alarm, filter, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Statement, policy, service_trust};
use crate::graph::stack::Parameter;
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Model, Origin, Reader};

/// Longest time that Firehose waits for a function:
/// <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html>.
const TIMEOUT_SECONDS: u32 = 300;
/// The metric that counts error lines of the function.
const ERROR_LINES: &str = "TransformErrorLines";
/// Part of the name of its stack, function and role.
pub const PART: &str = "transform";

/// ARN of the function in its latest version, as Firehose must name it:
/// <https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-lambda>.
pub fn version(model: &Model) -> String {
    let function = model.names.resource(PART);
    model.names.arn("lambda", &format!("function:{function}:$LATEST"))
}

/// Adds the stack.
pub fn contribute(model: &Model, reader: &Reader, shared: &Shared, graph: &mut Graph) -> anyhow::Result<NodeId> {
    let names = &model.names;
    let function = names.resource(PART);
    let log_group = format!("/aws/lambda/{function}");
    let values = json!({
        "log_group": { "name": log_group },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": function,
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": policy(&[Statement::logs(names, &log_group)]),
        },
        "function": { "name": function },
        "timeout_seconds": TIMEOUT_SECONDS,
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "variables": variables(model, reader),
        "watch": watch(&shared.alert_topic, vec![filter(model, ERROR_LINES, "TransformLogs")], alarms(model)),
    });
    let mut stack = stack(model, PART, "records to the folder of their table", values)?;
    stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    Ok(graph.add("aws:transform", vec![shared.runtime.clone()], Body::Stack(stack)))
}

fn variables(model: &Model, reader: &Reader) -> Value {
    match reader {
        Reader::PythonDict => json!({
            "PIPECTL_FORMAT": "python-dict",
            "PIPECTL_KEYS": json!(keys(model)).to_string(),
        }),
        Reader::Ec2 { .. } | Reader::Ecs { .. } => json!({ "PIPECTL_FORMAT": "records" }),
    }
}

/// The key's columns of each table of the source.
fn keys(model: &Model) -> BTreeMap<String, BTreeSet<&str>> {
    let mut keys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for table in &model.tables {
        let Origin::Mysql(origin) = &table.origin else { continue };
        let of_table = table.columns.iter().filter(|column| column.key);
        keys.entry(origin.name.to_string())
            .or_default()
            .extend(of_table.filter_map(|column| column.source_column()));
    }
    keys
}

/// What wakes somebody: a function that fails, and a record that it refused.
fn alarms(model: &Model) -> Vec<Value> {
    vec![
        alarm(
            model,
            "TransformErrors",
            "transform-errors",
            "The function that looks at every record failed or timed out".to_owned(),
            Metric::function_errors(json!({ "Ref": "TransformFunction" })),
            When::Above(0),
        ),
        alarm(
            model,
            "TransformRejections",
            "transform-rejections",
            format!(
                "A record of the stream is not what the loader takes: it is in {}/{}processing-failed/, and \
                 `pipectl redrive --dry-run` says why",
                model.landing.bucket, model.landing.error_prefix
            ),
            Metric::error_lines(model, ERROR_LINES),
            When::Above(0),
        ),
    ]
}
